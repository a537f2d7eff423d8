"""The doorbell: one suite for both adapters; what it loses, the log has."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from uuid_utils.compat import uuid7

from commands.append import Actor, ActorKind, Answer, Append, Appended, CommandMeta, StreamAppend
from domain.base import command_time
from domain.board import Board, default_columns
from infra.codec import EventCodec
from infra.event_log import EventLog
from infra.postgres import Database
from infra.redis import Redis, connect
from infra.settings import Settings
from streams.doorbell import POLL_S, Doorbell, NotifyDoorbell, RedisDoorbell
from streams.follower import Follower
from tests.servers.redis import Redis as Server
from tests.shared.parts import until
from tests.tries import tries

LOG_ID = uuid4()
EVENTS = 20


@dataclass
class Pair:
    """A process that writes, and one that follows."""

    log: EventLog
    follower: Follower
    seen: dict[int, float]
    redis: Redis | None = None

    async def write(self) -> int:
        board_id, workspace_id = uuid7(), uuid7()
        command_time.set(datetime.now(UTC))
        board = Board.begin(
            board_id, workspace_id=workspace_id, name="b",
            columns=default_columns([uuid7() for _ in range(5)]),
        )  # fmt: skip
        meta = CommandMeta(uuid7(), workspace_id, Actor(ActorKind.USER, uuid7()), uuid7())
        stream = StreamAppend(board_id, 0, list(board.pending_events))
        verdict = await self.log.append(Append(meta, [stream], lambda _: Answer(201, {})))
        assert isinstance(verdict, Appended)
        return verdict.position

    async def delay_s(self) -> float:
        """Write, and return how long it took to be seen."""
        position = await self.write()
        committed = time.perf_counter()
        await self.follower.wait_beyond(position - 1)
        return max(0.0, self.seen[position] - committed)


Play = Callable[[Callable[[Pair], Awaitable[Any]]], Any]


@asynccontextmanager
async def pair(dsn: str, url: str | None) -> AsyncIterator[Pair]:
    codec = EventCodec()
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(dsn))
        # Two processes: each has a connection of its own.
        near = await stack.enter_async_context(belled(url))
        far = await stack.enter_async_context(belled(url))
        log = EventLog(database, codec, ring=near.bell.ring)
        follower = Follower(database, codec, far.bell)
        await stack.enter_async_context(log)
        await stack.enter_async_context(follower)
        seen: dict[int, float] = {}
        follower.listen(lambda batch: seen.update((e.position, time.perf_counter()) for e in batch))
        if far.redis is not None:
            await far.heard_of.wait()
        found = Pair(log, follower, seen, far.redis)
        await found.write()
        yield found


@dataclass
class Belled:
    """A process's doorbell, and what it hangs on; `heard_of` is set when Redis tells it of others."""

    bell: Doorbell
    redis: Redis | None
    heard_of: asyncio.Event


@asynccontextmanager
async def belled(url: str | None) -> AsyncIterator[Belled]:
    heard_of = asyncio.Event()
    if url is None:
        yield Belled(NotifyDoorbell(), None, heard_of)
        return
    redis = await connect(Settings(redis_url=url), LOG_ID)
    assert redis is not None
    bell = RedisDoorbell(redis)
    redis.hear("ready", lambda _: None, again=heard_of.set)
    async with redis, bell:
        yield Belled(bell, redis, heard_of)


@pytest.fixture(params=["notify", pytest.param("redis", marks=pytest.mark.servers)])
def with_doorbell(request: pytest.FixtureRequest, database_url: str) -> Play:
    """Run a scenario with a doorbell of a kind."""
    url = request.getfixturevalue("redis").url if request.param == "redis" else None

    async def run(scenario: Callable[[Pair], Awaitable[Any]]) -> Any:
        async with pair(database_url, url) as found:
            return await scenario(found)

    return lambda scenario: asyncio.run(run(scenario))


def test_who_follows_is_woken_long_before_the_clock_would(with_doorbell: Play) -> None:
    async def scenario(here: Pair) -> list[float]:
        return [await here.delay_s() for _ in range(EVENTS)]

    delays = with_doorbell(scenario)
    assert statistics.median(delays) < POLL_S / 4


def test_every_event_is_seen_once_and_in_order_however_many_ring_at_once(
    with_doorbell: Play,
) -> None:
    async def scenario(here: Pair) -> tuple[list[int], int, int]:
        first = here.follower.position
        last = max(await asyncio.gather(*(here.write() for _ in range(200))))
        await here.follower.wait_beyond(last - 1)
        return [p for p in here.seen if p > first], first, last

    positions, first, last = with_doorbell(scenario)
    assert positions == list(range(first + 1, last + 1))


@pytest.mark.servers
def test_what_a_doorbell_loses_the_log_fills_in(own_redis: Server, database_url: str) -> None:
    async def scenario() -> None:
        async with pair(database_url, own_redis.url) as here:
            assert here.redis is not None
            before = here.follower.position
            writing = asyncio.create_task(write_for_ever(here))
            for _ in range(3):
                await one_outage(here, own_redis)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            last = await here.write()
            await here.follower.wait_beyond(last - 1)
            assert [p for p in here.seen if p > before] == list(range(before + 1, last + 1))
            delays = [await here.delay_s() for _ in range(EVENTS)]
            assert statistics.median(delays) < POLL_S / 4

    asyncio.run(scenario())


async def one_outage(here: Pair, server: Server) -> None:
    for unrung in tries(within_s=2 * POLL_S):
        await asyncio.to_thread(server.kill)
        await until(lambda: here.redis is not None and here.redis.is_away)
        unseen = await here.write()
        with unrung:
            await here.follower.wait_beyond(unseen - 1)
        await asyncio.to_thread(server.start)
        await until(lambda: here.redis is not None and not here.redis.is_away)


async def write_for_ever(here: Pair) -> None:
    while True:
        await here.write()


@pytest.mark.servers
@pytest.mark.parametrize("said", ["9" * 18, "-1", "now", ""])
def test_whatever_is_said_on_the_bus_only_the_log_is_believed(
    own_redis: Server, database_url: str, said: str
) -> None:
    async def scenario() -> None:
        async with pair(database_url, own_redis.url) as here:
            assert here.redis is not None
            await here.redis.publish("head", said)
            last = await here.write()
            await here.follower.wait_beyond(last - 1)
            assert here.follower.position == last

    asyncio.run(scenario())
