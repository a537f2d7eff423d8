"""Writer processes, and what must hold of the log whatever happened to them."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from infra.postgres import SYSTEM_OPTIONS

ROOT = Path(__file__).parents[2]
PATIENCE_S = 900


class WriterProcess:
    """A writer in a process of its own; `acks` maps command id to the moment it was acknowledged."""

    def __init__(self, dsn: str, **options: object) -> None:
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        self.acks: dict[str, float] = {}
        self.finished = False
        self.moved = threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("writer.py")), *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert self.process.stdin is not None
        self.process.stdin.write(f"{dsn}\n")
        self.process.stdin.close()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                with self.moved:
                    word, _, command_id = line.strip().partition(" ")
                    if word == "ack":
                        self.acks[command_id] = time.monotonic()
                    self.finished = self.finished or word == "done"
                    self.moved.notify_all()

    def wait_for_acks(self, count: int) -> None:
        with self.moved:
            assert self.moved.wait_for(lambda: len(self.acks) >= count or self.finished, PATIENCE_S)

    def kill(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)

    def is_stopped(self) -> bool:
        state = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "T"

    def wait(self) -> int:
        """Return the exit code, with every line read that was written."""
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code


@pytest.fixture
def start(database_url: str) -> Iterator[Callable[..., WriterProcess]]:
    started: list[WriterProcess] = []

    def start_one(**options: object) -> WriterProcess:
        started.append(WriterProcess(database_url, **options))
        return started[-1]

    yield start_one
    for writer in started:
        if writer.process.poll() is None:
            writer.kill()
        writer.wait()


@pytest.fixture
def check_log(database_url: str) -> Callable[..., None]:
    """Hold the log against what the writers were told."""

    def check(*writers: WriterProcess) -> None:
        with psycopg.connect(database_url, options=SYSTEM_OPTIONS) as connection:
            # Behind the lock: what a killed process had under way is over.
            head = connection.execute("SELECT position FROM log_head FOR UPDATE").fetchone()
            events = connection.execute(
                "SELECT position, prev, workspace_id, command_id FROM events ORDER BY position"
            ).fetchall()
            answered = connection.execute("SELECT command_id FROM commands").fetchall()
        assert [row[0] for row in events] == list(range(1, len(events) + 1))
        assert head == (len(events),)
        last: dict[object, int] = {}
        for position, prev, workspace_id, _ in events:
            assert prev == last.get(workspace_id, 0)
            last[workspace_id] = position
        recorded = Counter(str(row[3]) for row in events)
        assert set(recorded.values()) <= {1}
        assert {str(row[0]) for row in answered} == set(recorded)
        acknowledged = {command_id for writer in writers for command_id in writer.acks}
        assert acknowledged <= recorded.keys()

    return check
