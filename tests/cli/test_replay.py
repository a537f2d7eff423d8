"""`replay`: every event once and in order, as JSON or in words, at once or in recorded time."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest

from infra.terminal import replay as replaying
from infra.terminal.words import SENTENCES
from tests.cli.conftest import Run, sign_in_at
from tests.cli.relay import Relay

Spawn = Callable[..., subprocess.Popen[bytes]]
CATALOGUE = Path(__file__).parents[1] / "log" / "catalogue.json"


def created(admin: httpx.Client, title: str) -> int:
    position: int = admin.post("/api/missions", json={"title": title}).json()["position"]
    return position


def test_json_is_what_the_server_gives(mc: Run, admin: httpx.Client) -> None:
    for _ in range(3):
        created(admin, "one of three")
    done = mc("replay", "--json")
    assert done.code == 0
    assert done.out == admin.get("/api/events").text
    positions = [json.loads(line)["position"] for line in done.out.splitlines()]
    assert all(before < after for before, after in pairwise(positions))


def test_a_range_is_told_and_no_more(mc: Run, admin: httpx.Client) -> None:
    first = created(admin, "first")
    created(admin, "second")
    third = created(admin, "third")
    created(admin, "fourth")
    done = mc("replay", "--from", first, "--to", third, "--json")
    told = [json.loads(line)["data"]["content"]["title"] for line in done.out.splitlines()]
    assert told == ["second", "third"]


def test_words_say_who_did_what_to_which_mission(mc: Run, admin: httpx.Client) -> None:
    # One of its own: of one that others work with, nobody knows whether it comes online.
    key = mc("agents", "create", "narrator", "--with-key", "--json").json["key"]
    before = created(admin, "unrelated")
    mission = mc("missions", "create", "Tell my story", "--json").json["id"]
    token = mc("missions", "claim", mission, "--json", MC_KEY=key).json["lease"]["token"]
    mc(
        "missions",
        "progress",
        mission,
        30,
        "--note",
        "under way",
        "--lease-token",
        token,
        MC_KEY=key,
    )
    lines = mc("replay", "--from", before).out.splitlines()
    told = [line[36:] for line in lines[1:]]
    assert told == [
        "created Tell my story in Ready", "claimed Tell my story", "narrator came online",
        "narrator went to work", "Tell my story is at 30 % · under way",
    ], lines  # fmt: skip


def test_a_title_is_asked_for_where_the_range_begins_later(mc: Run, admin: httpx.Client) -> None:
    mission = mc("missions", "create", "Known from before", "--json").json["id"]
    before = created(admin, "between")
    mc("missions", "move", mission, "Review")
    assert "moved Known from before to Review" in mc("replay", "--from", before).out


def test_every_event_has_a_sentence_whose_fields_exist() -> None:
    events = json.loads(CATALOGUE.read_text())
    assert {name.rpartition(".v")[0] for name in events} <= set(SENTENCES)
    own = {"title", "board", "agent", "person"}
    for name, fields in events.items():
        for field in re.findall(r"{(\w+)}", SENTENCES[name.rpartition(".v")[0]]):
            assert field in {*fields, *own}, f"{name}: {field}"


def test_it_re_plays_in_recorded_time(
    mc: Run, admin: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = created(admin, "at first")
    time.sleep(0.3)
    created(admin, "a moment later")
    slept: list[float] = []
    monkeypatch.setattr(replaying.time, "sleep", slept.append)
    done = mc("replay", "--from", first - 1, "--speed", "0.5", "--json")
    times = [json.loads(line)["recorded_at"] for line in done.out.splitlines()]
    gaps = [datetime.fromisoformat(b) - datetime.fromisoformat(a) for a, b in pairwise(times)]
    assert gaps[0] >= timedelta(seconds=0.3)
    assert slept == pytest.approx([gap.total_seconds() * 2 for gap in gaps])


def test_a_long_pause_is_cut_and_said(
    mc: Run, admin: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = created(admin, "before the pause")
    time.sleep(0.1)
    created(admin, "after it")
    slept: list[float] = []
    monkeypatch.setattr(replaying.time, "sleep", slept.append)
    done = mc("replay", "--from", first - 1, "--speed", "0.001")
    assert slept == [replaying.GAP_S_MAX]
    envelopes = mc("replay", "--from", first - 1, "--json").out.splitlines()
    before, after = (datetime.fromisoformat(json.loads(line)["recorded_at"]) for line in envelopes)
    assert f"… {(after - before).total_seconds():.0f} s later" in done.out


def test_following_tells_what_happens_from_then_on(spawn: Spawn, admin: httpx.Client) -> None:
    before = created(admin, "the last one")
    process = spawn("replay", "--follow", "--json", "--from", before)
    assert process.stdout is not None
    titles = [f"live {uuid4()}" for _ in range(3)]
    for title in titles:
        created(admin, title)
        assert json.loads(process.stdout.readline())["data"]["content"]["title"] == title


def test_ctrl_c_ends_following_quietly_with_130(spawn: Spawn, admin: httpx.Client) -> None:
    before = created(admin, "x")
    process = spawn("replay", "--follow", "--from", before - 1)
    assert process.stdout is not None
    process.stdout.readline()  # the day
    assert b"created" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, b"")


def test_ctrl_c_while_the_program_loads_is_quiet_too(spawn: Spawn) -> None:
    process = spawn("replay", "--follow")
    own = psutil.Process(process.pid)
    # From when it has loaded a library of the first thing that the command line imports.
    while not any("site-packages" in file.path for file in own.memory_maps()):
        pass
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, b"")


@pytest.mark.parametrize("form", ["--json", "--follow"])
def test_a_reader_that_goes_away_ends_it_quietly(
    form: str, spawn: Spawn, admin: httpx.Client
) -> None:
    for _ in range(3):
        created(admin, "something to read")
    reading, writing = os.pipe()
    process = spawn("replay", form, stdout=writing)
    os.close(writing)
    os.read(reading, 1)
    os.close(reading)
    deadline = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < deadline:
        created(admin, "one more")
    assert process.stderr is not None
    assert (process.returncode, process.stderr.read()) == (0, b"")


def test_a_connection_that_breaks_costs_no_event_and_doubles_none(
    spawn: Spawn, admin: httpx.Client, system: Any, home: Path
) -> None:
    relay = Relay(system.url)
    sign_in_at(relay.url, system.url, home)
    before = created(admin, "the last one")
    process = spawn("replay", "--follow", "--json", "--from", before, "--url", relay.url)
    assert process.stdout is not None
    assert process.stderr is not None
    told = []
    for number in range(3):
        created(admin, f"before cut {number}")
        told.append(json.loads(process.stdout.readline())["position"])
        relay.cut()
        complaint = process.stderr.readline()
        assert b"waiting for it" in complaint
        assert b"try again" not in complaint
        created(admin, f"during cut {number}")
        relay.mend()
        told.append(json.loads(process.stdout.readline())["position"])
    assert told == list(range(before + 1, before + 7))
    relay.cut()
