"""A server that is killed under load, and comes back: what was acknowledged is there, once."""

import json
import signal
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

KILLS = 3
WRITERS = 8
ACKNOWLEDGED_PER_KILL = 150
WAIT_S = 60


def write(client: httpx.Client, acknowledged: dict[str, int], stop: threading.Event) -> None:
    """Create missions until the server is gone; one that was not answered is asked for again."""
    while not stop.is_set():
        headers = {"Idempotency-Key": uuid4().hex}
        try:
            answer = client.post("/api/missions", json={"title": "under load"}, headers=headers)
        except httpx.TransportError:
            return
        assert answer.status_code == 201, answer.text
        acknowledged[answer.json()["id"]] = answer.json()["position"]


@pytest.mark.timeout(240)
def test_nothing_acknowledged_is_missing_or_doubled_after_kills(
    starter: Any, open_folder: Path
) -> None:
    acknowledged: dict[str, int] = {}
    folder = tempfile.mkdtemp(dir=open_folder)
    Path(folder).chmod(0o711)
    for kill in range(KILLS):
        system = starter(Path(folder))
        admin = system.sign_in("admin@example.org", "correct horse battery staple")
        stop = threading.Event()
        threads = [
            threading.Thread(target=write, args=(admin, acknowledged, stop)) for _ in range(WRITERS)
        ]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + WAIT_S
        while len(acknowledged) < (kill + 1) * ACKNOWLEDGED_PER_KILL:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        system.process.send_signal(signal.SIGKILL)
        system.process.wait(WAIT_S)
        stop.set()
        for thread in threads:
            thread.join(WAIT_S)
        system.close()
    system = starter(Path(folder))
    admin = system.sign_in("admin@example.org", "correct horse battery staple")
    events = [json.loads(line) for line in admin.get("/api/events").text.splitlines()]
    created = Counter(e["stream_id"] for e in events if e["type"] == "mission.created.v1")
    assert all(created[key] == 1 for key in acknowledged)
    assert max(created.values()) == 1
    assert [e["position"] for e in events] == list(range(1, len(events) + 1))
    parameters = {"min_position": events[-1]["position"]}
    board = admin.get("/api/missions/board", params=parameters).json()
    shown = {card["id"] for column in board["columns"] for card in column["cards"]}
    assert shown == set(created)
    system.close()
    system.process.terminate()
    assert system.process.wait(WAIT_S) == 0
