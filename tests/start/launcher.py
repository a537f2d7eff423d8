"""Processes of `mission-control` that begin where its code has been loaded already.

To load it takes most of the processor's time that a start takes, and the tests start hundreds. So one process, which
does nothing else, loads it once and forks. What is forked has a session, an environment, streams and a folder of its
own, and runs the program's first line as `python -m infra` does; from there on nothing is different.

The tests of a start itself, in `test_start_and_stop.py` and `test_users.py`, do without.
"""

import array
import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any, Self

REPOSITORY = Path(__file__).parents[2]
PARTS = ("infra.cli", "infra.serve", "infra.doctor", "infra.backup", "infra.maintenance")
"""What is loaded beforehand: all that a server needs, and nothing that starts a thread."""
REQUEST_BYTES_MAX = 100_000
STREAMS = 3


class Process:
    """A forked process, with what the tests use of `subprocess.Popen`."""

    def __init__(self, status: int, stdout: IO[str] | None, stderr: IO[str] | None) -> None:
        self.stdout, self.stderr = stdout, stderr
        self.returncode: int | None = None
        self._status = open(status)  # noqa: SIM115 - closed when it has ended
        self.pid = int(self._status.readline())

    def poll(self) -> int | None:
        """Return the exit code, or minus the signal that ended it; None while it runs."""
        return self._await(0)

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait until it has ended; raises `subprocess.TimeoutExpired`."""
        code = self._await(timeout_s)
        if code is None:
            raise subprocess.TimeoutExpired("mission-control", timeout_s or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, where it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def _await(self, timeout_s: float | None) -> int | None:
        if self.returncode is None and _is_readable(self._status, timeout_s):
            self.returncode = int(self._status.readline())
            self._status.close()
        return self.returncode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for stream in (self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        self.kill()
        self.wait()


def launch(
    words: Sequence[str], environment: Mapping[str, str], *, stdout: int, stderr: int
) -> Process:
    """Start `mission-control` with these words; a stream is a file's number, or `PIPE` or `DEVNULL` of `subprocess`."""
    request = json.dumps({"words": list(words), "environment": dict(environment)}).encode()
    status, told = os.pipe()
    with (
        Path(os.devnull).open("r+b") as nothing,
        _stream(stdout, nothing) as out,
        _stream(stderr, nothing) as err,
    ):
        numbers = array.array("i", [nothing.fileno(), out[1], err[1], told])
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, numbers)]
        _forker().sendmsg([request], rights)
    os.close(told)
    return Process(status, out[0], err[0])


def run(
    words: Sequence[str], environment: Mapping[str, str], timeout_s: float
) -> "subprocess.CompletedProcess[str]":
    """Run `mission-control` to its end and return what it printed."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        with launch(words, environment, stdout=out.fileno(), stderr=err.fileno()) as process:
            try:
                code = process.wait(timeout_s)
            finally:
                process.kill()
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(list(words), code, out.read(), err.read())


def _is_readable(stream: IO[str], timeout_s: float | None) -> bool:
    poll = select.poll()  # `select.select` knows no numbers above 1,023
    poll.register(stream, select.POLLIN)
    return bool(poll.poll(None if timeout_s is None else timeout_s * 1000))


@contextmanager
def _stream(wanted: int, nothing: IO[bytes]) -> Iterator[tuple[IO[str] | None, int]]:
    """Yield our end of a stream, where it is a pipe, and the process's end."""
    if wanted != subprocess.PIPE:
        yield None, nothing.fileno() if wanted == subprocess.DEVNULL else wanted
        return
    ours, theirs = os.pipe()
    try:
        yield os.fdopen(ours), theirs  # closed by who reads it
    finally:
        os.close(theirs)


@cache
def _forker() -> socket.socket:
    """Start the process that loads and forks, once; it ends, with all that it has forked, when we do."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.start.launcher", str(theirs.fileno())],
            pass_fds=[theirs.fileno()], cwd=REPOSITORY, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
    atexit.register(_end, ours, process)
    return ours


def _end(asking: socket.socket, process: "subprocess.Popen[bytes]") -> None:
    asking.close()
    process.wait()


def _load() -> None:
    for part in PARTS:
        importlib.import_module(part)
    threads = len(list(Path("/proc/self/task").iterdir()))
    assert threads == 1, "what is loaded started a thread, which no fork would have"
    gc.collect()
    gc.freeze()


def _serve(requests: socket.socket) -> None:
    """Fork for each request until there is nobody who could ask; then end all that still runs.

    Returns in what is forked too, which then runs the program.
    """
    running: dict[int, int] = {}
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker)
    while True:
        ready, _, _ = select.select([requests, woken], [], [])
        if woken in ready:
            os.read(woken, 1000)
            _reap(running)
        if requests not in ready:
            continue
        request, numbers, *_ = socket.recv_fds(requests, REQUEST_BYTES_MAX, STREAMS + 1)
        if not request:
            for pid in running:
                os.kill(pid, signal.SIGKILL)
            return
        *streams, told = numbers
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            for number in (requests.detach(), woken, waker, *running.values()):
                os.close(number)
            _become(json.loads(request), streams, told)
            return
        running[pid] = told
        for number in streams:
            os.close(number)


def _reap(running: dict[int, int]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        told = running.pop(pid)
        with suppress(BrokenPipeError):  # nobody waits for it any more
            os.write(told, f"{os.waitstatus_to_exitcode(status)}\n".encode())
        os.close(told)


def _become(request: dict[str, Any], streams: Sequence[int], told: int) -> None:
    """Run the program as if it had just been started."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.write(told, f"{os.getpid()}\n".encode())  # now that a signal ends us, and us alone
    os.close(told)
    os.chdir("/")
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for good
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["mission-control", *request["words"]]
    runpy.run_module("infra", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _load()
    _serve(socket.socket(fileno=int(sys.argv[1])))
