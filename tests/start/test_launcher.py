"""What is forked is a process like any other."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.start.launcher import REPOSITORY, launch, run

WAIT_S = 30
ONE_IS_LEFT = """
import os, subprocess
from tests.start.launcher import launch
nothing = subprocess.DEVNULL
print(launch(["up"], dict(os.environ), stdout=nothing, stderr=nothing).pid)
"""


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a process that waits for a database which says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"postgresql://nobody@127.0.0.1:{mute.getsockname()[1]}/nothing"
        yield {**os.environ, "MC_DATABASE_URL": url, "MC_DATA_DIR": str(tmp_path / "data")}


def test_it_has_an_environment_streams_and_an_exit_code_of_its_own() -> None:
    done = run(["up"], {"PATH": os.environ["PATH"], "MC_PORT": "http"}, WAIT_S)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("mission-control: MC_PORT: ")


def test_it_is_ended_by_a_signal_and_says_which(waiting: dict[str, str]) -> None:
    pipe = subprocess.PIPE
    with launch(["up"], waiting, stdout=pipe, stderr=pipe) as one:
        with pytest.raises(subprocess.TimeoutExpired):
            one.wait(0)
        assert one.poll() is None
        assert os.getsid(one.pid) == one.pid
        one.kill()
        assert one.wait(WAIT_S) == -signal.SIGKILL
        one.kill()  # as often as one likes


def test_it_ends_with_the_tests(waiting: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ONE_IS_LEFT], cwd=REPOSITORY, check=True, capture_output=True,
        text=True, env=waiting,
    )  # fmt: skip
    with suppress(psutil.NoSuchProcess):
        psutil.Process(int(done.stdout)).wait(WAIT_S)
