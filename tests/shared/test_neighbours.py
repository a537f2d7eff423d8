"""Who is in a room, over processes: whoever lives is shown, and nobody else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest

from commands.append import Actor, ActorKind
from infra.redis import Redis, connect
from infra.settings import Settings
from streams.neighbours import RedisNeighbours
from streams.presence import Neighbours, NoNeighbours, Roll
from tests.servers.redis import Redis as Server
from tests.shared.parts import until

pytestmark = pytest.mark.servers
BEAT_S = 0.2
ROOM = f"board:{uuid4()}"
ADA, BOB, SCRIBE = (
    Actor(kind, uuid4()) for kind in (ActorKind.USER, ActorKind.USER, ActorKind.AGENT)
)


@dataclass
class Process:
    """One process's part: what it says, and what it was told of each room."""

    neighbours: Neighbours
    redis: Redis | None = None
    told: dict[str, set[Actor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.neighbours.listen(lambda room, actors: self.told.__setitem__(room, set(actors)))

    def sees(self, *actors: Actor, room: str = ROOM) -> bool:
        return self.told.get(room, set()) == set(actors)


@asynccontextmanager
async def process(url: str, log_id: UUID) -> AsyncIterator[Process]:
    redis = await connect(Settings(redis_url=url), log_id)
    assert redis is not None
    found = Process(RedisNeighbours(redis, BEAT_S), redis)
    assert isinstance(found.neighbours, RedisNeighbours)
    async with redis, found.neighbours:
        yield found


@asynccontextmanager
async def three(server: Server) -> AsyncIterator[tuple[Process, Process, Process]]:
    log_id = uuid4()
    async with (
        process(server.url, log_id) as a,
        process(server.url, log_id) as b,
        process(server.url, log_id) as c,
    ):
        yield a, b, c


def test_the_people_of_all_processes_are_in_one_room(own_redis: Server) -> None:
    async def scenario() -> None:
        async with three(own_redis) as (a, b, c):
            a.neighbours.here(ROOM, [ADA])
            b.neighbours.here(ROOM, [BOB, SCRIBE])
            await until(lambda: a.sees(BOB, SCRIBE) and b.sees(ADA))
            c.neighbours.here(ROOM, [ADA])
            await until(lambda: c.sees(ADA, BOB, SCRIBE))
            b.neighbours.here(ROOM, [BOB])
            await until(lambda: a.sees(BOB, ADA) and c.sees(ADA, BOB))
            a.neighbours.closed(ROOM)
            b.neighbours.closed(ROOM)
            await until(c.sees)
            assert not any(p.told.keys() - {ROOM} for p in (a, b, c))

    asyncio.run(scenario())


def test_who_leaves_in_good_order_is_gone_at_once_and_the_dead_soon(own_redis: Server) -> None:
    async def scenario() -> None:
        log_id = uuid4()
        async with process(own_redis.url, log_id) as a:
            a.neighbours.here(ROOM, [ADA])
            async with process(own_redis.url, log_id) as b:
                b.neighbours.here(ROOM, [BOB])
                await until(lambda: a.sees(BOB))
            await until(a.sees)
            with own_redis.client() as client:  # as a process that was killed leaves it
                key = f"mc:{log_id}:present:{'0' * 32}"
                client.hset(key, mapping={".": "", ROOM: f"user:{BOB.id}"})
                client.sadd(f"mc:{log_id}:processes", "0" * 32)

                def is_seen() -> bool:
                    client.pexpire(key, int(3 * BEAT_S * 1000))  # it lives until then
                    return a.sees(BOB)

                await until(is_seen)
            await until(a.sees)

    asyncio.run(scenario())


def test_a_redis_that_was_away_or_has_forgotten_is_told_again(own_redis: Server) -> None:
    async def scenario() -> None:
        async with three(own_redis) as (a, b, _):
            a.neighbours.here(ROOM, [ADA])
            b.neighbours.here(ROOM, [BOB])
            await until(lambda: a.sees(BOB) and b.sees(ADA))
            with own_redis.client() as client:
                client.flushall()
            a.neighbours.here(ROOM, [ADA, SCRIBE])
            await until(lambda: b.sees(ADA, SCRIBE) and a.sees(BOB))

            await asyncio.to_thread(own_redis.kill)
            b.neighbours.here(ROOM, [])
            await until(lambda: a.sees() and b.sees())  # each is alone by now
            b.neighbours.here(ROOM, [BOB, SCRIBE])
            await asyncio.to_thread(own_redis.start)
            await until(lambda: a.sees(BOB, SCRIBE) and b.sees(ADA, SCRIBE))

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", ["none", "redis"])
def test_a_room_shows_each_once_wherever_they_are(own_redis: Server, kind: str) -> None:
    async def scenario() -> None:
        roll = Roll("board")
        roll.enter(ADA)
        roll.settle()
        async with three(own_redis) as (a, b, _):
            here = Process(NoNeighbours()) if kind == "none" else a
            here.neighbours.here(ROOM, roll.here)
            b.neighbours.here(ROOM, [ADA, BOB])
            if kind == "redis":
                await until(lambda: here.sees(ADA, BOB))
            told = here.told.get(ROOM, ())
        assert roll.note_elsewhere(told) is (kind == "redis")
        roll.settle()
        assert [a for a in (ADA, BOB) if str(a.id).encode() in (roll.news(None) or b"")] == (
            [ADA, BOB] if kind == "redis" else [ADA]
        )
        roll.leave(ADA)
        roll.note_elsewhere([])
        roll.settle()
        assert str(ADA.id).encode() not in (roll.news(None) or b"")

    asyncio.run(scenario())
