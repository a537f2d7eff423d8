"""Whatever becomes of the relay, or of Kafka: nothing is lost, and no mark is untrue."""

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from infra.settings import Settings
from tests.distributed.conftest import (
    LEAKS_SOCKETS,
    assert_marks_are_true,
    events_of,
    log_of,
    read_topics,
    relayed,
    relaying,
    until,
)
from tests.distributed.test_relay import expected, place_of
from tests.projections_run.test_kills import ended, is_stopped, kill
from tests.servers.kafka import Kafka
from tests.tries import tries
from tests.write_side.test_projections import live_a_life

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60
TAKEOVER_S_MAX = 5.0


async def start(world: Any, settings: Settings, *words: str) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__).with_name("relayer.py")),
        "--kafka", str(settings.kafka_bootstrap), "--prefix", settings.kafka_topic_prefix, *words,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(f"{world.database.dsn}\n".encode())
    process.stdin.close()
    return process


async def says(process: asyncio.subprocess.Process, word: str) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        assert await process.stdout.readline() == f"{word}\n".encode()


@asynccontextmanager
async def relayer(
    world: Any, settings: Settings, *words: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await start(world, settings, *words)
    try:
        await says(process, "ready")
        yield process
    finally:
        await kill(process)


@asynccontextmanager
async def living(world: Any) -> AsyncIterator[None]:
    """Commands go on for as long as the block lasts; none is refused for Kafka's sake."""
    done = asyncio.Event()

    async def live() -> None:
        chance = random.Random(5)
        while not done.is_set():
            await live_a_life(world, chance)

    life = asyncio.create_task(live())
    try:
        yield
    finally:
        done.set()
        await life


async def assert_nothing_is_lost(world: Any, settings: Settings, *, doubled: bool | None) -> None:
    """Each partition has its events in order, once; those that came twice came in order, too."""
    log, read = await log_of(world), read_topics(settings)
    wanted, found = expected(settings, log), events_of(read)
    assert found.keys() == wanted.keys()
    extra = 0
    for place, events in found.items():
        firsts = list(dict.fromkeys(event.position for event in events))
        assert firsts == [event.position for event in wanted[place]]
        by_position = {event.position: event for event in wanted[place]}
        assert all(by_position[event.position] == event for event in events)
        extra += len(events) - len(firsts)
    assert_marks_are_true(read, log, lambda envelope: place_of(settings, envelope))
    assert doubled is None or (extra > 0) is doubled


@pytest.mark.parametrize(("point", "doubled"), [("after-ack", True), ("after-checkpoint", False)])
async def test_a_relay_killed_at_a_named_point_loses_nothing(
    world: Any, kafka_settings: Settings, point: str, doubled: bool
) -> None:
    async with relayer(world, kafka_settings, "--point", point, "--after", "2") as process:
        async with living(world):
            assert await ended(process) == -signal.SIGKILL
        async with relaying(world, kafka_settings):
            await until(lambda: relayed(world), PATIENCE_S)
    await assert_nothing_is_lost(world, kafka_settings, doubled=doubled)


async def test_a_second_relay_takes_over_within_five_seconds_of_a_kill(
    world: Any, kafka_settings: Settings, record_property: Any
) -> None:
    epoch = 0
    for stopwatch in tries(TAKEOVER_S_MAX):
        async with relayer(world, kafka_settings) as first, living(world):
            await says(first, "leads")
            async with relayer(world, kafka_settings) as second:
                await until(lambda at=epoch + 1: acknowledged(world, at, "-infinity"), PATIENCE_S)
                first.kill()
                with stopwatch:
                    ((now,),) = await world.query("SELECT clock_timestamp()")
                    epoch += 2
                    await until(lambda at=epoch, now=now: acknowledged(world, at, now), PATIENCE_S)
                await says(second, "leads")
        record_property("takeover_s", stopwatch.taken_s)


async def acknowledged(world: Any, epoch: int, since: Any) -> bool:
    """Tell whether this epoch, or a later one, moved the checkpoint since then."""
    moved = "SELECT epoch >= %s AND position > 0 AND acked_at > %s FROM relay"
    return bool(await world.query(moved, [epoch, since]) == [(True,)])


async def test_a_paused_relay_that_wakes_up_moves_no_checkpoint(
    world: Any, kafka_settings: Settings
) -> None:
    words = ("--point", "after-ack", "--after", "2", "--signal", "SIGSTOP")
    async with relayer(world, kafka_settings, *words) as paused:
        async with living(world):
            await until(lambda: stopped(paused), PATIENCE_S)
            stopped_at = (await world.query("SELECT clock_timestamp()"))[0][0]
            # Its connection stays open, but the database takes the lock back.
            async with relayer(world, kafka_settings) as second:
                await says(paused, "leads")
                await says(second, "leads")
                await until(lambda: acknowledged(world, 2, stopped_at), PATIENCE_S)
                before = await positions(world)
                paused.send_signal(signal.SIGCONT)
                # It hears first that its checkpoint is refused, or that it lost the lock; either will do.
                woken_at = (await world.query("SELECT clock_timestamp()"))[0][0]
                await until(lambda: acknowledged(world, 2, woken_at), PATIENCE_S)
                assert (await positions(world))[0] >= before[0]
                ((epoch,),) = await world.query("SELECT epoch FROM relay")
                assert epoch >= 2
        async with relaying(world, kafka_settings):
            await until(lambda: relayed(world), PATIENCE_S)
    await assert_nothing_is_lost(world, kafka_settings, doubled=None)


async def stopped(process: asyncio.subprocess.Process) -> bool:
    return is_stopped(process.pid)


@LEAKS_SOCKETS
async def test_kafka_that_was_away_is_caught_up_with(
    world: Any, own_kafka: Kafka, record_property: Any
) -> None:
    settings = Settings(kafka_bootstrap=own_kafka.bootstrap)
    async with relaying(world, settings):
        await until(lambda: relayed(world), PATIENCE_S)
        async with living(world):
            own_kafka.kill()
            before = await positions(world)
            await until(lambda: log_grew(world, before[1] + 300), PATIENCE_S)
            await asyncio.to_thread(own_kafka.start)
            began = time.monotonic()
        await until(lambda: relayed(world), PATIENCE_S)
        record_property("caught_up_s", time.monotonic() - began)
    await assert_nothing_is_lost(world, settings, doubled=None)


async def positions(world: Any) -> tuple[int, int]:
    rows = await world.query("SELECT r.position, h.position FROM relay r, log_head h")
    return rows[0][0], rows[0][1]


async def log_grew(world: Any, beyond: int) -> bool:
    return (await positions(world))[1] > beyond
