"""`mission-control up` says when it is ready, ends with 0, and recovers from every kill."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import httpx
import psutil
import pytest

from tests.servers.process import free_port
from tests.start import processes
from tests.start.processes import COMMAND, EXIT_S, Running, environment
from tests.tries import tries

up = partial(processes.up, afresh=True)
OUTLIVES = "the embedded PostgreSQL was left running"


def log_of_postgres(data_dir: Path) -> str:
    return (data_dir / "postgres.log").read_text()


def assert_stopped_cleanly(running: Running) -> None:
    assert not (running.data_dir / "postgres" / "data" / "postmaster.pid").exists(), OUTLIVES
    assert log_of_postgres(running.data_dir).rstrip().endswith("database system is shut down")


def test_it_says_ready_only_when_it_serves_and_sigterm_ends_it_with_0(data_dir: Path) -> None:
    with up(data_dir) as running:
        url = running.url
        assert running.get("/health/live").status_code == 200
        assert running.get("/health/ready").json()["status"] == "ok"
        assert running.lines == [f"ready {url}"]
        assert url.startswith("http://127.0.0.1:")
        assert running.end(signal.SIGTERM) == 0
        assert_stopped_cleanly(running)


def test_a_warm_start_takes_less_than_5_seconds_and_ctrl_c_ends_it_with_0(data_dir: Path) -> None:
    for start in tries(within_s=5):
        with ExitStack() as stack:
            with start:
                running = stack.enter_context(up(data_dir))
                assert running.url
            assert os.getsid(running.postgres_pid) != os.getsid(running.process.pid)
            os.killpg(running.process.pid, signal.SIGINT)  # as a terminal does
            assert running.process.wait(20) == 0
            assert_stopped_cleanly(running)


def test_after_sigkill_the_next_start_takes_the_same_postgres_over(data_dir: Path) -> None:
    with up(data_dir) as running:
        created = running.create_mission("kept through a kill")
        first = running.postgres_pid
        running.end(signal.SIGKILL)
        assert psutil.pid_exists(first)
        with up(data_dir) as again:
            assert again.url
            assert again.postgres_pid == first
            assert "kept through a kill" in again.titles(created["position"])
            assert again.end() == 0
            assert_stopped_cleanly(again)


def test_after_a_kill_of_everything_the_next_start_recovers(data_dir: Path) -> None:
    with up(data_dir) as running:
        created = running.create_mission("kept through a power cut")
        postgres = psutil.Process(running.postgres_pid)
        running.end(signal.SIGKILL)
        for process in [postgres, *postgres.children()]:
            process.kill()
        with up(data_dir) as again:
            assert "kept through a power cut" in again.titles(created["position"])
            assert again.end() == 0


def test_a_postgres_that_dies_is_started_again_under_the_server(data_dir: Path) -> None:
    with up(data_dir) as running:
        created = running.create_mission("kept")
        first = running.postgres_pid
        psutil.Process(first).kill()
        deadline = time.monotonic() + 20
        while not _serves_again(running, created["position"]):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert running.postgres_pid != first
        assert running.end() == 0
        assert_stopped_cleanly(running)


def _serves_again(running: Running, position: int) -> bool:
    try:
        return "kept" in running.titles(position)
    except httpx.HTTPStatusError:
        return False  # a connection that was open when it died


def test_a_first_start_killed_in_the_middle_leaves_nothing_that_stops_the_next(
    fresh_dir: Path,
) -> None:
    with up(fresh_dir) as running:
        with stopped_while_there_is(fresh_dir / "postgres" / "data.new" / "base", running):
            running.end(signal.SIGKILL)
        with up(fresh_dir) as again:
            assert again.get("/health/ready").status_code == 200
            assert again.end() == 0
    assert not (fresh_dir / "postgres" / "data.new").exists()


@pytest.mark.parametrize("after_s", [0.3, 1.5])
def test_signals_during_the_start_end_it_with_0(data_dir: Path, after_s: float) -> None:
    with up(data_dir) as running:
        await_handler(running.process.pid, signal.SIGTERM)
        time.sleep(after_s)  # anywhere in the start is the point
        running.process.send_signal(signal.SIGTERM)
        time.sleep(0.02)
        assert running.end(signal.SIGINT) == 0
        assert_stopped_cleanly(running)


def await_handler(pid: int, number: signal.Signals) -> None:
    """Wait until a process has a handler of its own: before its first line, a signal ends it as it ends any."""
    deadline = time.monotonic() + 20
    while True:
        status = Path(f"/proc/{pid}/status").read_text()
        caught = int(status.split("SigCgt:")[1].split()[0], 16)
        if caught >> (number - 1) & 1:
            return
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_signal_while_the_cluster_is_made_ends_it_with_0(fresh_dir: Path) -> None:
    with up(fresh_dir) as running:
        with stopped_while_there_is(fresh_dir / "postgres" / "data.new", running) as server:
            server.send_signal(signal.SIGTERM)
            server.resume()
            assert running.process.wait(EXIT_S) == 0
        assert not (fresh_dir / "postgres" / "data").exists()


@contextmanager
def stopped_while_there_is(path: Path, running: Running) -> Iterator[psutil.Process]:
    """Stop a server, and the `initdb` that makes its cluster, while there is a path; yield the server.

    They stand still while we look: else the cluster might be whole before we have done anything.
    """
    server = psutil.Process(running.process.pid)
    deadline = time.monotonic() + 20
    pause(server)
    while not (path.exists() and (initdb := _children_stopped(server))):
        server.resume()
        assert time.monotonic() < deadline
        time.sleep(0.01)
        pause(server)
    try:
        yield server
    finally:
        for process in initdb:
            with suppress(psutil.NoSuchProcess):  # it was killed, as it should be
                process.resume()


def _children_stopped(server: psutil.Process) -> list[psutil.Process]:
    """Stop a stopped server's children; return those that had not ended."""
    children: list[psutil.Process] = server.children()
    for child in children:
        pause(child)
    return [child for child in children if child.status() == psutil.STATUS_STOPPED]


def pause(process: psutil.Process) -> None:
    process.suspend()
    while process.status() not in {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE}:
        time.sleep(0.001)  # the kernel does it soon, not at once


@pytest.mark.parametrize("closed", [">&- 2>&- <&-", "| :"])
def test_it_serves_when_nobody_reads_what_it_says(data_dir: Path, closed: str) -> None:
    port = free_port()
    words = " ".join(COMMAND)
    script = f'{words} up --data-dir "$1" --port {port} {closed}'
    if not closed.startswith("|"):
        script = f"exec {script}"
    with subprocess.Popen(
        ["bash", "-o", "pipefail", "-c", script, "bash", str(data_dir)], env=environment(),
        cwd="/", stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:  # fmt: skip
        running = Running(process, data_dir, [f"ready http://127.0.0.1:{port}"])  # type: ignore[arg-type]
        try:
            await_port(port)
            assert running.get("/health/live").status_code == 200
            os.killpg(process.pid, signal.SIGTERM)
            # A shell in between was ended by the signal itself.
            assert process.wait(20) in ((-signal.SIGTERM,) if closed.startswith("|") else (0,))
            await_exit(data_dir)
            assert_stopped_cleanly(running)
        finally:
            process.kill()


def await_port(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


def await_exit(data_dir: Path) -> None:
    deadline = time.monotonic() + 20
    while (data_dir / "postgres" / "data" / "postmaster.pid").exists():
        assert time.monotonic() < deadline, OUTLIVES
        time.sleep(0.05)
