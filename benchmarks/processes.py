"""Processes for the measurements: the system as its commands start it, and what it is measured against."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

ADMIN, PASSWORD = "bench@example.org", "correct horse battery staple"
END_S = 30.0


@contextmanager
def folder() -> Iterator[Path]:
    """A folder that goes at the end; as root, PostgreSQL runs as another user, who passes through it."""
    with TemporaryDirectory(prefix="mission-control-bench-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@contextmanager
def child(
    words: Sequence[str], line: str = "", **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """Run a module as a process, which gets a line of input; it is asked to end at the end."""
    running = subprocess.Popen(  # noqa: S603 - our own programs
        [sys.executable, "-m", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        stderr=subprocess.DEVNULL, env={**os.environ, **environment},
    )  # fmt: skip
    assert running.stdin is not None
    assert running.stdout is not None
    try:
        running.stdin.write(f"{line}\n")
        running.stdin.close()
        yield running
    finally:
        running.terminate()
        try:
            running.wait(END_S)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
        running.stdout.close()


def run(words: Sequence[str], **environment: str) -> None:
    """Run a module to its end; raises `RuntimeError` with what it said where it fails."""
    done = subprocess.run(  # noqa: S603 - our own programs
        [sys.executable, "-m", *words], env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}: {done.stderr}")


@contextmanager
def process(words: Sequence[str], line: str = "", **environment: str) -> Iterator[str]:
    """Start a server that prints `ready URL`; give the URL."""
    with child(words, line, **environment) as running:
        assert running.stdout is not None
        url = next((text.split()[1] for text in running.stdout if text.startswith("ready ")), None)
        if url is None:
            raise RuntimeError(f"{' '.join(words)} did not start")
        yield url


@contextmanager
def installation(
    dsn: str = "", **environment: str
) -> Iterator[Callable[[], AbstractContextManager[str]]]:
    """Give what starts the server as `mission-control up` does, on the same data as often as it is asked to.

    Without a DSN it has a PostgreSQL of its own.
    """
    with folder() as data_dir:
        up = ["infra", "up", "--data-dir", str(data_dir), "--port", "0"]
        settings = {
            "MC_DATABASE_URL": dsn, "MC_ADMIN_EMAIL": ADMIN, "MC_ADMIN_PASSWORD": PASSWORD,
            **environment,
        }  # fmt: skip
        yield lambda: process(up, **settings)


@contextmanager
def up(dsn: str = "", **environment: str) -> Iterator[str]:
    """Start the server as `mission-control up` does; give the URL."""
    with installation(dsn, **environment) as start, start() as url:
        yield url


def sign_in(url: str) -> str:
    """Return an access token of the first admin."""
    answer = httpx.post(
        f"{url}/api/auth/sign-in", json={"email": ADMIN, "password": PASSWORD}, timeout=30
    )
    answer.raise_for_status()
    return str(answer.json()["access_token"])


def open_files(count: int) -> None:
    """Let this process, and those that it starts, have so many files and sockets open.

    Raises `RuntimeError` where the system does not allow that.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise RuntimeError(f"{count} open files are needed, `ulimit -Hn` allows {hard}")
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
