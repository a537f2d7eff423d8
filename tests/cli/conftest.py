"""The command line against a real server: in this process where that tells the same, else in one of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra import cli
from tests.api.conftest import (
    ADMIN,
    PASSWORD,
    System,
    admin,
    new_agent,
    people,
    serving,
)
from tests.cli.terminal import Terminal

__all__ = ["admin", "people"]

REPOSITORY = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "infra")


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, which has to be JSON."""
        assert self.code == 0, self.err
        return json.loads(self.out)

    @property
    def complaint(self) -> str:
        """The one line that it complained with."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("mission-control: ")
        return lines[0].removeprefix("mission-control: ")


Run = Callable[..., Done]


def environment(home: Path, url: str, **settings: str) -> dict[str, str]:
    """Return our environment with the settings of a user whose home is this, and no others."""
    # Whoever runs the tests may have a size in mind for a terminal of their own.
    left_out = {"COLUMNS", "LINES"}
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MC_") and name not in left_out
    }
    own = {"XDG_CONFIG_HOME": str(home), "PYTHONPATH": str(REPOSITORY), "MC_URL": url}
    return {**kept, **own, "TERM": "xterm-256color", **settings}


@pytest.fixture(scope="package")
def system(open_folder: Path) -> Iterator[System]:
    """One server for all tests of this folder: they read what they wrote, and mind nothing else."""
    with serving(open_folder) as running:
        yield running


@pytest.fixture
def run(
    system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Run:  # fmt: skip
    """Run a command in this process, as somebody who has not signed in."""

    def command(*words: object, **settings: str) -> Done:
        env = environment(tmp_path, system.url, **settings)
        with monkeypatch.context() as patch:
            for name in set(os.environ) - set(env):
                patch.delenv(name)
            for name, value in env.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["mission-control", *map(str, words)])
            capfd.readouterr()
            with pytest.raises(SystemExit) as ended:
                cli.main()
        code = ended.value.code
        out, err = capfd.readouterr()
        return Done(code if isinstance(code, int) else 0, out, err)

    return command


@pytest.fixture
def mc(run: Run) -> Run:
    """Run a command as the admin, who has signed in."""
    done = run("sign-in", MC_EMAIL=ADMIN, MC_PASSWORD=PASSWORD)
    assert done.code == 0, done.err
    return run


@pytest.fixture(scope="package")
def home(system: System, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of a user who has signed in as the admin."""
    folder = tmp_path_factory.mktemp("home")
    subprocess.run(
        [*COMMAND, "sign-in"], check=True, timeout=30, stdout=subprocess.DEVNULL,
        env=environment(folder, system.url, MC_EMAIL=ADMIN, MC_PASSWORD=PASSWORD),
    )  # fmt: skip
    return folder


def sign_in_at(url: str, signed_in_at: str, home: Path) -> None:
    """Let a user be signed in at another address of the same server."""
    file = home / "mission-control" / "sign-ins.json"
    sign_ins = json.loads(file.read_text())
    file.write_text(json.dumps({**sign_ins, url: sign_ins[signed_in_at]}))


@pytest.fixture
def spawn(system: System, home: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a command as the admin in a process of its own; what still runs at the end is killed."""
    processes: list[subprocess.Popen[bytes]] = []

    def begin(*words: object, **options: Any) -> subprocess.Popen[bytes]:
        env = environment(home, system.url)
        piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        process = subprocess.Popen([*COMMAND, *map(str, words)], env=env, **{**piped, **options})
        processes.append(process)
        return process

    yield begin
    for process in processes:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture(scope="package")
def agent(system: System) -> tuple[str, str]:
    """An agent's id and its key."""
    admin = system.sign_in(ADMIN, PASSWORD)
    agent_id, client = new_agent(system, admin, "scribe", role="writer")
    return agent_id, client.headers["authorization"].removeprefix("Bearer ")


@pytest.fixture
def terminal(spawn: Callable[..., subprocess.Popen[bytes]]) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def begin(*words: str) -> Terminal:
        opened.append(Terminal(spawn, *words))
        return opened[-1]

    yield begin
    for one in opened:
        one.process.kill()
        one.close()
