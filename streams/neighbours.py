"""Who is in the rooms of the other processes: they meet in Redis.

Each process keeps a hash of its rooms there, which lapses unless it is renewed; so nobody has to say that
a killed one's people are gone. A message names the rooms that have changed, and whoever has them open reads
them again. What a message does not bring, the next beat or the next connection does.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from uuid_utils.compat import uuid4

from commands.append import Actor, ActorKind
from infra.redis import Redis, RedisAway
from streams.job import Job

if TYPE_CHECKING:
    from redis.asyncio.client import Pipeline

BEAT_S = 2.0
BEATS_MISSED_MAX = 3
ROOMS_AT_ONCE = 200
CHANNEL = "presence"
ALIVE = "."
"""A field of every hash: without any, Redis would not keep one."""

Listener = Callable[[str, Iterable[Actor]], None]


class RedisNeighbours(Job):
    """Tells the other processes who is here, and this one who is there. While Redis is away: nobody."""

    def __init__(self, redis: Redis, beat_s: float = BEAT_S) -> None:
        super().__init__("neighbours")
        self._redis = redis
        self._beat_s = beat_s
        self._lapse_s = BEATS_MISSED_MAX * beat_s
        self._process = uuid4().hex
        self._processes = redis.name("processes")
        self._listener: Listener = _ignore
        self._mine: dict[str, frozenset[str]] = {}
        self._unwritten = set[str]()
        self._unread = set[str]()
        self._living = set[str]()
        self._due = asyncio.Event()
        self._beat_at = 0.0
        self._met_at = 0.0
        redis.hear(CHANNEL, self._heard, again=self._read_all)

    # What the hub says

    def listen(self, listener: Listener) -> None:
        """Call a function with the key of a room that is open here and all who are in it elsewhere."""
        self._listener = listener

    def here(self, room: str, actors: Iterable[Actor]) -> None:
        """Say who is in a room here, when it is opened and when that changes; never waits."""
        named = frozenset(f"{actor.kind.value}:{actor.id}" for actor in actors)
        known = self._mine.get(room)
        if known == named:
            return
        if known is None:
            self._unread.add(room)
        self._mine[room] = named
        self._unwritten.add(room)
        self._due.set()

    def closed(self, room: str) -> None:
        """Say that nobody here follows a room any more."""
        if self._mine.pop(room, None) is not None:
            self._unwritten.add(room)
            self._due.set()

    # What Redis says

    def _heard(self, text: str) -> None:
        process, *rooms = text.split()
        if process == self._process:
            return
        self._living.add(process)
        if wanted := self._mine.keys() & rooms:
            self._unread |= wanted
            self._due.set()

    def _read_all(self) -> None:
        self._unread |= self._mine.keys()
        self._due.set()

    async def work(self) -> None:
        """Meet the others at each beat, and whenever something has changed."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._beat_s):
                    await self._due.wait()
            self._due.clear()
            try:
                await self._meet()
            except RedisAway:
                self._be_alone()

    async def __aexit__(self, *exception: object) -> None:
        await super().__aexit__(*exception)

        def leave(pipeline: "Pipeline") -> None:
            pipeline.delete(self._key(self._process))
            pipeline.srem(self._processes, self._process)
            for rooms in _portions(self._mine):
                pipeline.publish(self._redis.name(CHANNEL), self._message(rooms))

        with contextlib.suppress(RedisAway):
            await self._redis.ask_all(leave)

    async def _meet(self) -> None:
        if time.monotonic() - self._beat_at >= self._beat_s:
            await self._beat()
        for rooms in _portions(self._unwritten):
            await self._write(rooms)
        for rooms in _portions(self._unread & self._mine.keys()):
            await self._read(rooms)
        self._met_at = time.monotonic()

    def _be_alone(self) -> None:
        """Show nobody of the others any more, once nothing is known of them for too long."""
        if self._living and time.monotonic() - self._met_at > self._lapse_s:
            self._living = set()
            for room in list(self._mine):
                self._listener(room, ())

    async def _beat(self) -> None:
        """Stay alive, and see who else is."""
        beat_at = time.monotonic()

        def renew(pipeline: "Pipeline") -> None:
            pipeline.pexpire(self._key(self._process), int(self._lapse_s * 1000))
            pipeline.sadd(self._processes, self._process)
            pipeline.smembers(self._processes)

        kept, _, processes = await self._redis.ask_all(renew)
        if not kept:  # it lapsed, or Redis has forgotten
            self._unwritten |= self._mine.keys()
        living, dead = await self._tell_apart(sorted(set(processes) - {self._process}))
        if dead:
            await self._redis.ask(lambda client: client.srem(self._processes, *dead))
        if living != self._living:
            self._living = living
            self._unread |= self._mine.keys()
        self._beat_at = beat_at

    async def _tell_apart(self, others: Sequence[str]) -> tuple[set[str], set[str]]:
        def ask(pipeline: "Pipeline") -> None:
            for other in others:
                pipeline.exists(self._key(other))

        lives = dict(zip(others, await self._redis.ask_all(ask), strict=True))
        return {o for o in others if lives[o]}, {o for o in others if not lives[o]}

    async def _write(self, rooms: Sequence[str]) -> None:
        key = self._key(self._process)

        def write(pipeline: "Pipeline") -> None:
            pipeline.hset(key, ALIVE, "")
            for room in rooms:
                if room in self._mine:
                    pipeline.hset(key, room, " ".join(sorted(self._mine[room])))
                else:
                    pipeline.hdel(key, room)
            pipeline.pexpire(key, int(self._lapse_s * 1000))
            pipeline.publish(self._redis.name(CHANNEL), self._message(rooms))

        # What changes while this is on its way is written again.
        self._unwritten.difference_update(rooms)
        try:
            await self._redis.ask_all(write)
        except RedisAway:
            self._unwritten.update(rooms)
            raise

    async def _read(self, rooms: Sequence[str]) -> None:
        others = sorted(self._living)

        def read(pipeline: "Pipeline") -> None:
            for other in others:
                pipeline.hmget(self._key(other), rooms)

        self._unread.difference_update(rooms)
        try:
            found = await self._redis.ask_all(read)
        except RedisAway:
            self._unread.update(rooms)
            raise
        for room, *texts in zip(rooms, *found, strict=True):
            self._listener(room, [_actor(word) for text in texts for word in (text or "").split()])

    def _key(self, process: str) -> str:
        return self._redis.name("present", process)

    def _message(self, rooms: Sequence[str]) -> str:
        return " ".join([self._process, *rooms])


def _actor(word: str) -> Actor:
    kind, _, text = word.partition(":")
    return Actor(ActorKind(kind), UUID(text))


def _portions(rooms: Iterable[str]) -> list[list[str]]:
    ordered = sorted(rooms)
    return [ordered[n : n + ROOMS_AT_ONCE] for n in range(0, len(ordered), ROOMS_AT_ONCE)]


def _ignore(room: str, actors: Iterable[Actor]) -> None:
    """Nobody listens yet."""
