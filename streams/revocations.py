"""Revocation: whoever signed out, or whose sessions were ended, is out in every process at once.

What is in force stands in PostgreSQL. Here it is only said that somebody's credentials are to be looked up
again: by NOTIFY with the statement that ends a session, and by Redis, where there is one.
"""

import contextlib
from collections.abc import Callable
from uuid import UUID

from infra.postgres import Database
from infra.redis import Redis, RedisAway
from streams.job import Job

CHANNEL = "revoked"

Listener = Callable[[UUID | None], None]
"""Takes whose credentials are to be looked up again; None: everybody's."""


class Revocations(Job):
    """Tells this process's listeners of every revocation, and the other processes of its own.

    One that comes by both ways is told twice. What Redis loses, NOTIFY brings; what PostgreSQL may have
    said to nobody, because the connection was broken, is made up for by looking up everybody.
    """

    def __init__(self, database: Database, redis: Redis | None) -> None:
        super().__init__("revocations")
        self._database = database
        self._redis = redis
        self._listeners: list[Listener] = []
        if redis is not None:
            redis.hear(CHANNEL, lambda text: self._tell(UUID(text)))

    def listen(self, listener: Listener) -> None:
        """Call a function with every revocation; it must be quick and must not raise."""
        self._listeners.append(listener)

    async def announce(self, user_id: UUID) -> None:
        """Tell everybody of a revocation that is committed."""
        self._tell(user_id)
        if self._redis is not None:
            with contextlib.suppress(RedisAway):
                await self._redis.publish(CHANNEL, str(user_id))

    async def work(self) -> None:
        """Hear what PostgreSQL says."""
        async with await self._database.connect() as connection:
            await connection.execute("LISTEN mc_revoked")
            self._tell(None)
            async for notice in connection.notifies():
                self._tell(UUID(notice.payload))

    def _tell(self, user_id: UUID | None) -> None:
        for listener in self._listeners:
            listener(user_id)
