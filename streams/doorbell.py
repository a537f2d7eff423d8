"""The doorbell: wakes the followers of the log in all processes when there is more to read.

It may fail to ring, and then it does so late: every follower looks at the log by the clock anyway, and reads
what lies beyond its own position, whatever it was told.
"""

import asyncio
import contextlib
from typing import Protocol, Self

from infra.postgres import Connection
from infra.redis import Redis, RedisAway
from infra.tasks import end

POLL_S = 1.0
POLL_AWAY_S = 0.2
"""How often the log is looked at while nobody can ring."""
CHANNEL = "head"


class Doorbell(Protocol):
    """Between who writes to the log and who follows it."""

    def ring(self, position: int) -> None:
        """Say that the log has come to a position; never waits."""

    async def listen(self, connection: Connection) -> None:
        """Hear it from now on; the connection is the follower's own."""

    async def rung(self, connection: Connection) -> None:
        """Return when the log may hold more than at the last look, after `POLL_S` at the latest."""


class NotifyDoorbell:
    """Rings by NOTIFY, which the log's writer sends with each append."""

    def ring(self, position: int) -> None:
        """Do nothing: whoever commits has rung."""

    async def listen(self, connection: Connection) -> None:
        """Hear it from now on."""
        await connection.execute("LISTEN mc_log")

    async def rung(self, connection: Connection) -> None:
        """Return when the log may hold more."""
        async for _ in connection.notifies(timeout=POLL_S, stop_after=1):
            pass


class RedisDoorbell:
    """Rings by Redis, with the position of the log's head. Followers need no LISTEN of their own."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._head = 0
        self._moved = asyncio.Event()
        self._due = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        redis.hear(CHANNEL, self._heard, again=self._moved.set)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._publish(), name="doorbell")
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._task is not None:
            await end([self._task])

    def ring(self, position: int) -> None:
        """Say that the log has come to a position: to this process at once, to the others soon."""
        self._head = max(self._head, position)
        self._moved.set()
        self._due.set()

    async def listen(self, connection: Connection) -> None:
        """Hear it from now on: nothing has to be asked of PostgreSQL."""

    async def rung(self, connection: Connection) -> None:
        """Return when the log may hold more."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_AWAY_S if self._redis.is_away else POLL_S):
                await self._moved.wait()
        self._moved.clear()

    def _heard(self, text: str) -> None:
        # What this process has rung itself comes back to it, and is no news.
        if text.isdecimal() and int(text) > self._head:
            self._head = int(text)
            self._moved.set()

    async def _publish(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            # One message tells of all that was committed since the last.
            with contextlib.suppress(RedisAway):
                await self._redis.publish(CHANNEL, str(self._head))
