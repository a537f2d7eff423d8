"""A real server process for the module, started as a user would, and clients for its people and agents."""

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.start.launcher import Process, launch, run
from tests.start.processes import environment as environment_of

ADMIN = "admin@example.org"
PASSWORD = "correct horse battery staple"
START_S = 60
SETTINGS = {
    "MC_ADMIN_EMAIL": ADMIN,
    "MC_ADMIN_PASSWORD": PASSWORD,
    # Nobody goes offline and no lease ends but where a test is about that: it would be an event among its own.
    "MC_HEARTBEAT_TIMEOUT_S": "86400",
    "MC_LEASE_TTL_S": "86400",
}


@dataclass
class System:
    """A running server and what it was started with."""

    url: str
    process: Process
    data_dir: Path
    clients: list[httpx.Client] = field(default_factory=list)

    def client(self, token: str | None = None) -> httpx.Client:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        client = httpx.Client(base_url=self.url, headers=headers, timeout=30)
        self.clients.append(client)
        return client

    def sign_in(self, email: str, password: str, workspace: str | None = None) -> httpx.Client:
        body = {"email": email, "password": password}
        if workspace:
            body["workspace"] = workspace
        answer = self.client().post("/api/auth/sign-in", json=body)
        assert answer.status_code == 200, answer.text
        return self.client(answer.json()["access_token"])

    def run(self, *words: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        """Run a command beside it, on its data directory."""
        given = environment_of(**SETTINGS | settings)
        return run([*words, "--data-dir", str(self.data_dir)], given, START_S)

    def close(self) -> None:
        for client in self.clients:
            client.close()


def start(data_dir: Path, port: int = 0, **settings: str) -> System:
    """Start `mission-control up`, on a free port where none is given, and wait until it is ready."""
    words = ["up", "--data-dir", str(data_dir), "--port", str(port)]
    given = environment_of(**SETTINGS | settings)
    with (data_dir / "stderr.log").open("a") as errors:
        process = launch(words, given, stdout=subprocess.PIPE, stderr=errors.fileno())
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("ready "):
            return System(line.split()[1], process, data_dir)
    process.wait(START_S)
    raise AssertionError((data_dir / "stderr.log").read_text()[-3000:])


@contextmanager
def serving(open_folder: Path, **environment: str) -> Iterator[System]:
    """Run a server on a fresh data directory; it has to end well."""
    data_dir = Path(tempfile.mkdtemp(dir=open_folder))
    data_dir.chmod(0o711)
    running = start(data_dir, **environment)
    yield running
    running.close()
    running.process.terminate()
    assert running.process.wait(30) == 0
    assert running.process.stdout is not None
    running.process.stdout.close()


@pytest.fixture(scope="module")
def system(open_folder: Path) -> Iterator[System]:
    with serving(open_folder) as running:
        yield running


@pytest.fixture(scope="module")
def admin(system: System) -> httpx.Client:
    return system.sign_in(ADMIN, PASSWORD)


@pytest.fixture(scope="module")
def people(system: System, admin: httpx.Client) -> dict[str, httpx.Client]:
    """A signed-in client for each role."""
    clients = {"admin": admin}
    for role in ("viewer", "agent_operator", "mission_commander"):
        email = f"{role}@example.org"
        body = {"email": email, "name": role, "role": role, "password": PASSWORD}
        answer = admin.post("/api/members", json=body)
        assert answer.status_code == 201, answer.text
        clients[role] = system.sign_in(email, PASSWORD)
    return clients


@pytest.fixture(scope="module")
def stranger(system: System) -> httpx.Client:
    """The admin of another workspace."""
    words = ["workspace", "create", "Elsewhere", "--admin-email", "stranger@example.org"]
    done = system.run(*words, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    return system.sign_in("stranger@example.org", report["password"])


def new_agent(
    system: System, admin: httpx.Client, name: str, **fields: Any
) -> tuple[str, httpx.Client]:
    """Register an agent and return its id and a client with its key."""
    agent = admin.post("/api/agents", json={"name": name, **fields})
    assert agent.status_code == 201, agent.text
    key = admin.post(f"/api/agents/{agent.json()['id']}/keys", json={})
    assert key.status_code == 201, key.text
    return agent.json()["id"], system.client(key.json()["key"])


@pytest.fixture(scope="module")
def agent_maker(system: System, admin: httpx.Client) -> Callable[..., tuple[str, httpx.Client]]:
    """Register agents as the admin."""

    def make(name: str, **fields: Any) -> tuple[str, httpx.Client]:
        return new_agent(system, admin, name, **fields)

    return make


@pytest.fixture
def starter() -> Iterator[Callable[[Path], System]]:
    """Start servers at will; what still runs at the end is killed."""
    systems: list[System] = []

    def begin(data_dir: Path) -> System:
        systems.append(start(data_dir))
        return systems[-1]

    yield begin
    for system in systems:
        system.process.kill()
        system.process.wait()
        assert system.process.stdout is not None
        system.process.stdout.close()
