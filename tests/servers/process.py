"""A server's process, from its start to its end, whatever happens in between."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import psutil

from infra.postgres_binaries import ENVIRONMENT, Account

HOST = "127.0.0.1"
# Below the ports that systems give to clients: nobody's connection takes one while its server is down. Each
# test process has its own, and gives none twice: what has a port may bind it late, and once more when restarted.
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
PORTS = range(15_000 + WORKER, 32_000, WORKERS)
PORTS_TO_GIVE = iter(secrets.SystemRandom().sample(PORTS, len(PORTS)))
POLL_S = 0.02
START_S = 100.0
STOP_S = 30.0
LOG_TAIL_BYTES = 4000

# The kernel ends a server when the thread that started it ends. A test may start one in a thread of its
# own; this one lives as long as the program.
LAUNCHER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="server-launcher")


class StartFailed(Exception):
    """A server ended, or did not answer in time; with what it logged last."""


class Server(ABC):
    """A server on ports and a folder of its own, so that it can be killed and started again.

    In a `with` it is started, and killed at the end: nobody needs its data then, and an orderly end takes
    some of them half a minute. It also ends when this process does, even by SIGKILL.
    """

    stop_signal = signal.SIGTERM

    def __init__(
        self,
        words: Sequence[str | Path],
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        account: Account | None = None,
    ) -> None:
        self.folder = folder
        self.log = folder / "server.log"
        self._words = words
        self._environment = {**ENVIRONMENT, **(environment or {})}
        self._account = account
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def answers(self) -> bool:
        """Tell whether a request succeeds right now, within about a second."""

    @property
    def pid(self) -> int:
        """The process id of the server itself; it changes with a restart."""
        return self._running().pid

    def start(self) -> None:
        """Start the process and wait until it answers; raises `StartFailed`, with nothing left running."""
        assert self._process is None, "it runs already"
        self._process = LAUNCHER.submit(self._launch).result()
        try:
            self._await_answer()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Ask it to end, and wait until it has; it is killed when it takes longer than `STOP_S`."""
        if self._process is None:
            return
        self.resume()
        family = self._family()
        self._process.send_signal(self.stop_signal)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_S)
        self._bury(family)

    def kill(self) -> None:
        """End all its processes by SIGKILL, in the middle of whatever they do."""
        if self._process is not None:
            self._bury(self._family())

    def restart(self) -> None:
        """Start it again on the same ports and data; one that still runs is stopped first."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Stop its processes by SIGSTOP: connections stay open, and nothing is answered."""
        self._signal(signal.SIGSTOP)
        # The kernel does it soon, not at once; and a child may have been born after the family was asked for.
        while any(_goes_on(member) for member in self._family()):
            time.sleep(POLL_S)
            self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let paused processes go on."""
        self._signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "it does not run"
        return self._process

    def _launch(self) -> subprocess.Popen[bytes]:
        words = ["setpriv", "--pdeathsig", "KILL", "--", *map(str, self._words)]
        with self.log.open("ab") as log:
            # A session of its own: the terminal's Ctrl-C is for whoever started us.
            return subprocess.Popen(
                words, cwd=self.folder, env=self._environment, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True, **(self._account.run_as() if self._account else {}),
            )  # fmt: skip

    def _await_answer(self) -> None:
        give_up = time.monotonic() + START_S
        while not self.answers():
            code = self._running().poll()
            if code is not None:
                raise StartFailed(f"{self._words[0]} ended with {code}: {self._log_tail()}")
            if time.monotonic() > give_up:
                raise StartFailed(f"{self._words[0]} does not answer: {self._log_tail()}")
            time.sleep(POLL_S)

    def _log_tail(self) -> str:
        return self.log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")

    def _family(self) -> list[psutil.Process]:
        try:
            parent = psutil.Process(self._running().pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _signal(self, number: signal.Signals) -> None:
        for member in self._family():
            with suppress(psutil.NoSuchProcess):
                member.send_signal(number)

    def _bury(self, family: list[psutil.Process]) -> None:
        # The children too, and until they are gone: some hold what the next start needs.
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        self._running().wait(STOP_S)
        give_up = time.monotonic() + STOP_S
        while not all(map(is_gone, family)):
            assert time.monotonic() < give_up, f"{family} survived SIGKILL"
            time.sleep(POLL_S)
        self._process = None


def is_gone(process: psutil.Process) -> bool:
    """Tell whether a process has ended, also where nobody has taken note of it yet."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def free_port() -> int:
    """Return a port on which nobody listens, and which nobody else is given."""
    for port in PORTS_TO_GIVE:
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            return port
    raise AssertionError("all ports were given")


def is_open(port: int) -> bool:
    """Tell whether somebody listens on a port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that others may pass through: some servers run as another user. It goes at the end."""
    folder = Path(tempfile.mkdtemp(prefix="mc-server-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def reachable(path: Path, account: Account | None, folder: Path) -> Path:
    """Return a path, or its copy in `folder` where the account can't enter it, as below root's home."""
    if account is None or account.can_enter(path):
        return path
    copy = folder / path.name
    shutil.copytree(path, copy, symlinks=True)
    give(copy, account)
    return copy


def give(folder: Path, account: Account | None) -> None:
    """Make a folder and all in it this account's."""
    if account is not None:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, account.uid, account.gid, follow_symlinks=False)


def _goes_on(member: psutil.Process) -> bool:
    """Tell whether a process runs; one that has ended is a zombie for as long as its parent is stopped."""
    try:
        return member.status() not in {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE}
    except psutil.NoSuchProcess:
        return False
