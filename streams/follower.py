"""Following the log: one reader per process, woken by a doorbell, that feeds everything which follows."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Self
from uuid import UUID

import psycopg

from infra.codec import EventCodec
from infra.envelopes import COLUMNS, Envelope
from infra.logging import log
from infra.postgres import Connection, Database
from infra.postgres_checks import reason_of
from infra.tasks import end
from streams.doorbell import Doorbell, NotifyDoorbell

RECENT_EVENTS_MAX = 4096
READ_EVENTS_MAX = 1000
IDLE_S = 0.25
RECONNECT_PAUSE_S = 0.2
READ = f"SELECT {COLUMNS} FROM events WHERE position > %s ORDER BY position LIMIT %s"

CHECKPOINT = """
INSERT INTO checkpoints AS c (name, log_id, position) VALUES (%(name)s, %(log_id)s, %(to)s)
ON CONFLICT (name) DO UPDATE SET position = excluded.position, updated_at = now()
    WHERE c.position = %(from)s AND c.log_id = excluded.log_id"""

Listener = Callable[[Sequence[Envelope]], None]


class NotAlone(Exception):
    """Another process does the same work, and has come further."""


class ForeignCheckpoint(Exception):
    """Positions of one log mean nothing in another."""


class Follower:
    """Holds the newest events of the log and tells listeners of each batch, in order, once.

    The doorbell is a hint: the log is looked at by the clock anyway. Positions are gapless, so whoever
    has seen p asks for what is beyond p and can't miss anything.
    """

    def __init__(
        self, database: Database, codec: EventCodec, doorbell: Doorbell | None = None
    ) -> None:
        self._database = database
        self._doorbell = doorbell or NotifyDoorbell()
        self.codec = codec
        self._recent: deque[Envelope] = deque(maxlen=RECENT_EVENTS_MAX)
        self._listeners: list[Listener] = []
        self._moved = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._away: str | None = None
        self.position = 0
        self.log_id = UUID(int=0)

    async def __aenter__(self) -> Self:
        async with self._database.system() as connection:
            cursor = await connection.execute("SELECT log_id, position FROM log_head")
            row = await cursor.fetchone()
        assert row is not None
        self.log_id, self.position = row
        self._task = asyncio.create_task(self._follow(), name="follower")
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._task is not None:
            await end([self._task])

    async def state(self) -> dict[str, Any]:
        """Return what health says of it: a process may ask the database, and yet hear nothing new of the log."""
        return {"status": "away", "reason": self._away} if self._away else {"status": "ok"}

    def listen(self, listener: Listener) -> None:
        """Call a function with every batch from now on; it must be quick and must not raise."""
        self._listeners.append(listener)

    async def wait_beyond(self, position: int) -> None:
        """Return when the log holds more than `position`."""
        while self.position <= position:
            moved = self._moved
            await moved.wait()

    async def waited_beyond(self, position: int) -> bool:
        """Wait as `wait_beyond`, but `IDLE_S` at most; tell whether there is more."""
        try:
            async with asyncio.timeout(IDLE_S):
                await self.wait_beyond(position)
        except TimeoutError:
            return False
        return True

    async def read(self, after: int, limit: int = READ_EVENTS_MAX) -> list[Envelope]:
        """Return the events behind `after`, oldest first; from memory where they are recent."""
        if self._recent and self._recent[0].position <= after + 1:
            start = after + 1 - self._recent[0].position
            return [self._recent[i] for i in range(start, min(start + limit, len(self._recent)))]
        async with self._database.system() as connection:
            return await self._select(connection, after, limit)

    async def checkpoint(self, name: str) -> int:
        """Return how far a follower of this log came; raises `ForeignCheckpoint` for another log's."""
        async with self._database.system() as connection:
            cursor = await connection.execute(
                "SELECT position, log_id FROM checkpoints WHERE name = %s", [name]
            )
            row = await cursor.fetchone()
        if row is None:
            return 0
        if row[1] != self.log_id:
            raise ForeignCheckpoint(f"the checkpoint of {name} is of another log: rebuild it")
        return int(row[0])

    async def save_checkpoint(
        self, connection: Connection, name: str, start: int, position: int
    ) -> None:
        """Note how far a follower came from `start`, in its own transaction.

        Raises `NotAlone` where the checkpoint is elsewhere by now: one that was late would take it back.
        """
        values = {"name": name, "log_id": self.log_id, "from": start, "to": position}
        if (await connection.execute(CHECKPOINT, values)).rowcount != 1:
            raise NotAlone(f"the checkpoint of {name} was moved by another process")

    async def _select(self, connection: Connection, after: int, limit: int) -> list[Envelope]:
        cursor = await connection.execute(READ, [after, limit])
        return [Envelope.of(row, self.codec) for row in await cursor.fetchall()]

    async def _follow(self) -> None:
        while True:
            try:
                connection = await self._database.connect()
                async with connection:
                    await self._doorbell.listen(connection)
                    self._is_here()
                    await self._listen(connection)
            except (psycopg.Error, OSError) as error:
                self._is_away(reason_of(error, self._database.dsn))
                await asyncio.sleep(RECONNECT_PAUSE_S)

    def _is_here(self) -> None:
        if self._away is not None:
            log.info("the log is followed again", position=self.position)
        self._away = None

    def _is_away(self, reason: str) -> None:
        # Once for an outage, and not for each try.
        if self._away is None:
            log.warning("the log can't be followed", reason=reason)
        self._away = reason

    async def _listen(self, connection: Connection) -> None:
        while True:
            full = True
            while full:
                batch = await self._select(connection, self.position, READ_EVENTS_MAX)
                full = len(batch) == READ_EVENTS_MAX
                if batch:
                    self._take(batch)
            await self._doorbell.rung(connection)

    def _take(self, batch: list[Envelope]) -> None:
        self._recent.extend(batch)
        self.position = batch[-1].position
        for listener in self._listeners:
            try:
                listener(batch)
            except Exception:  # noqa: BLE001 - one broken listener must not stop the others
                log.exception("a listener of the log failed")
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
