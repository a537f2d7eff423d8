"""Real processes of `mission-control`, as a user starts them."""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.start import launcher

REPOSITORY = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "infra")
EMAIL, PASSWORD = "ada@example.org", "a password of some length"
READY_S = 60
"""Not a promise: a demo is seeded within, on a machine that runs at a third of its speed."""
EXIT_S = 20


def environment(**settings: str) -> dict[str, str]:
    """Return our environment without the settings of whoever runs the tests, and with these.

    `PYTHONUNBUFFERED` is one: to write without a buffer, nobody else has to wait for anybody.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MC_") and name != "PYTHONUNBUFFERED"
    }
    admin = {"MC_ADMIN_EMAIL": EMAIL, "MC_ADMIN_PASSWORD": PASSWORD}
    return {**kept, "PYTHONPATH": str(REPOSITORY), **admin, **settings}


def run(*words: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return launcher.run([*map(str, words)], environment(**settings), timeout_s=60)


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one line of a command that was refused."""
    assert done.returncode == 2, done
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("mission-control: ")
    return lines[0].removeprefix("mission-control: ")


@dataclass
class Running:
    """A started server; `url` is what it said that it is ready at."""

    process: "subprocess.Popen[str] | launcher.Process"
    data_dir: Path
    lines: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Wait for the ready line and return its address."""
        if not self.lines or not self.lines[-1].startswith("ready "):
            self.lines += _lines_until_ready(self.process)
        return self.lines[-1].removeprefix("ready ")

    @property
    def postgres_pid(self) -> int:
        """Return the process id of the server's PostgreSQL."""
        pid_file = self.data_dir / "postgres" / "data" / "postmaster.pid"
        return int(pid_file.read_text().splitlines()[0])

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(EXIT_S)

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Ask for something."""
        return httpx.get(f"{self.url}{path}", timeout=10, **options)

    def create_mission(self, title: str) -> dict[str, Any]:
        """Sign in as the first admin and create a mission; return the answer."""
        with self._signed_in() as client:
            answer = client.post("/api/missions", json={"title": title}).raise_for_status()
            found: dict[str, Any] = answer.json()
            return found

    def titles(self, min_position: int) -> set[str]:
        """Return the titles on the board."""
        with self._signed_in() as client:
            board = client.get("/api/missions/board", params={"min_position": min_position})
            columns = board.raise_for_status().json()["columns"]
            return {card["title"] for column in columns for card in column["cards"]}

    @contextmanager
    def _signed_in(self) -> Iterator[httpx.Client]:
        body = {"email": EMAIL, "password": PASSWORD}
        with httpx.Client(base_url=self.url, timeout=10) as client:
            answer = client.post("/api/auth/sign-in", json=body).raise_for_status().json()
            client.headers["Authorization"] = f"Bearer {answer['access_token']}"
            yield client


@contextmanager
def started(
    data_dir: Path, *words: str, port: int = 0, afresh: bool = False, **settings: str
) -> Iterator[Running]:
    """Start a process that serves, on any free port where none is given; kill it at the end.

    It begins with its code loaded already; `afresh`, as a user's does.
    """
    words = (*words, "--data-dir", str(data_dir), "--port", str(port))
    begin = _spawn if afresh else _launch
    with begin(words, environment(**settings)) as process:
        try:
            yield Running(process, data_dir)
        finally:
            process.kill()
            process.wait()


def _launch(words: Sequence[str], environment: dict[str, str]) -> launcher.Process:
    pipe = subprocess.PIPE
    return launcher.launch(words, environment, stdout=pipe, stderr=pipe)


def _spawn(words: Sequence[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *words], env=environment, cwd="/", text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


@contextmanager
def up(data_dir: Path, *words: str, afresh: bool = False, **settings: str) -> Iterator[Running]:
    """Start a server on any free port; nothing of it is left behind."""
    try:
        with started(data_dir, "up", *words, afresh=afresh, **settings) as running:
            yield running
    finally:
        end_postgres(data_dir)


def end_postgres(data_dir: Path) -> None:
    """End the PostgreSQL that a killed server left behind."""
    pid_file = data_dir / "postgres" / "data" / "postmaster.pid"
    try:
        process = psutil.Process(int(pid_file.read_text().splitlines()[0]))
    except (OSError, ValueError, IndexError, psutil.NoSuchProcess):
        return
    if process.name() == "postgres":
        # At once: nobody needs what an orderly end would write to the disk.
        process.send_signal(signal.SIGQUIT)
        process.wait(EXIT_S)


def doctor(data_dir: Path, **settings: str) -> tuple[int, dict[str, Any]]:
    """Return the doctor's exit code and report."""
    done = run("doctor", "--json", "--data-dir", data_dir, **settings)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def _lines_until_ready(process: "subprocess.Popen[str] | launcher.Process") -> list[str]:
    assert process.stdout is not None
    lines: list[str] = []
    deadline = time.monotonic() + READY_S
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while selector.select(deadline - time.monotonic()):
            line = process.stdout.readline()
            lines.append(line.rstrip("\n"))
            if line.startswith("ready "):
                return lines
            if not line:
                break
    process.kill()
    assert process.stderr is not None
    raise AssertionError(f"never ready: {lines}, {process.stderr.read()}")
