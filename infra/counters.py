"""Counting what may happen only so often, in this process or, by Redis, in all of them together.

Something counts from when it begins, so that many at once are no way around a limit, and what turns out
well is given back.
"""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from uuid_utils.compat import uuid4

from infra.redis import Redis, RedisAway
from infra.vault import Bounded

if TYPE_CHECKING:
    from redis.asyncio.client import Pipeline

NAMES_MAX = 100_000
GIVEN_BACK_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Limit:
    """So often within so many seconds, wherever these begin."""

    times: int
    window_s: int


@dataclass(frozen=True, slots=True)
class Taken:
    """Something that counts under these names; `give_back` needs it."""

    id: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Full:
    """A limit was reached; nothing was counted."""

    retry_after_s: float


class Counters(Protocol):
    """Moving windows by name."""

    async def take(self, limits: Mapping[str, Limit]) -> Taken | Full:
        """Count something under all these names, if each has room for it."""

    async def give_back(self, taken: Taken) -> None:
        """Count it no more."""


class LocalCounters:
    """Counts in this process; of too many names, those that were used last are kept."""

    def __init__(self) -> None:
        self._windows = Bounded[str, deque[tuple[float, str]]](NAMES_MAX)

    async def take(self, limits: Mapping[str, Limit]) -> Taken | Full:
        """Count something under all these names, if each has room for it."""
        return self.take_now(limits, str(uuid4()))

    async def give_back(self, taken: Taken) -> None:
        """Count it no more."""
        self.give_back_now(taken)

    def take_now(self, limits: Mapping[str, Limit], taken_id: str) -> Taken | Full:
        """Do what `take` does, with an id that is given."""
        now = time.monotonic()
        windows = {name: self._window(name, now - limit.window_s) for name, limit in limits.items()}
        waits = [
            windows[name][-limit.times][0] + limit.window_s - now
            for name, limit in limits.items()
            if len(windows[name]) >= limit.times
        ]
        if waits:
            return Full(max(waits))
        for name, window in windows.items():
            window.append((now, taken_id))
            self._windows.put(name, window)
        return Taken(taken_id, tuple(limits))

    def give_back_now(self, taken: Taken) -> None:
        """Do what `give_back` does."""
        for name in taken.names:
            window = self._windows.get(name)
            if window is not None:
                kept = deque(entry for entry in window if entry[1] != taken.id)
                if kept:
                    self._windows.put(name, kept)
                else:
                    self._windows.drop(name)

    def _window(self, name: str, since: float) -> deque[tuple[float, str]]:
        window = self._windows.get(name) or deque()
        while window and window[0][0] <= since:
            window.popleft()
        return window


TAKE = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local wait = -1
for i, key in ipairs(KEYS) do
    local times, window = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1]) * 1000
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now - window)
    if redis.call('ZCARD', key) >= times then
        local oldest = redis.call('ZRANGE', key, -times, -times, 'WITHSCORES')
        wait = math.max(wait, tonumber(oldest[2]) + window - now)
    end
end
if wait >= 0 then
    return wait
end
for i, key in ipairs(KEYS) do
    redis.call('ZADD', key, now, ARGV[1])
    redis.call('EXPIRE', key, ARGV[2 * i + 1])
end
return -1"""


class RedisCounters:
    """Counts in Redis, for all processes together, and in this process as well.

    The own count is a part of the common one, so it refuses nothing that the common one lets pass; when Redis
    is away, or has forgotten, it is what is left: a limit for each process.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._own = LocalCounters()
        # Given back here, and perhaps not yet in Redis.
        self._given_back = deque[Taken](maxlen=GIVEN_BACK_MAX)

    async def take(self, limits: Mapping[str, Limit]) -> Taken | Full:
        """Count something under all these names, if each has room for it."""
        await self._forget()
        taken = self._own.take_now(limits, str(uuid4()))
        if isinstance(taken, Full):
            return taken
        bounds = [str(n) for limit in limits.values() for n in (limit.times, limit.window_s)]
        asked = [*self._keys(taken), taken.id, *bounds]
        try:
            wait_ms = int(
                await self._redis.ask(lambda client: client.eval(TAKE, len(limits), *asked))
            )
        except RedisAway:
            return taken
        if wait_ms < 0:
            return taken
        self._own.give_back_now(taken)
        return Full(wait_ms / 1000)

    async def give_back(self, taken: Taken) -> None:
        """Count it no more."""
        self._own.give_back_now(taken)
        self._given_back.append(taken)
        await self._forget()

    async def _forget(self) -> None:
        """Let Redis forget what was given back, also while it was away."""
        while self._given_back:
            taken = self._given_back.popleft()
            try:
                await self._redis.ask_all(partial(self._remove, taken))
            except RedisAway:
                self._given_back.appendleft(taken)
                return

    def _remove(self, taken: Taken, pipeline: "Pipeline") -> None:
        for key in self._keys(taken):
            pipeline.zrem(key, taken.id)

    def _keys(self, taken: Taken) -> list[str]:
        return [self._redis.name("limit", name) for name in taken.names]
