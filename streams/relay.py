"""The relay: the log, in order, to Kafka."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec

from infra.envelopes import Envelope
from infra.kafka import RELAY_STATE, KafkaAway, described, why_away
from infra.logging import log
from infra.postgres import Database
from infra.settings import Settings
from infra.tasks import end
from streams.follower import Follower
from streams.job import Job
from streams.kafka_messages import Mark
from streams.kafka_sender import KafkaSender

BATCH_EVENTS_MAX = 1_000
MARK_S = 0.1
"""At most this often every partition is told how far the log is in Kafka,"""
MARK_IDLE_S = 5.0
"""and at least this often: it also shows whether Kafka is there."""
LOOK_S = 30.0
"""How often topics are looked at: partitions may be added to one, or it may be deleted."""
RATE_S = 10.0
SLOW_S = 3.0
"""What takes longer to be acknowledged is asked why."""
FENCED_PAUSE_S = 3.0
ERROR_CHARS_MAX = 300

TAKE = """
INSERT INTO relay (epoch, log_id) VALUES (1, %(log_id)s)
ON CONFLICT (only_row) DO UPDATE SET epoch = relay.epoch + 1, log_id = excluded.log_id,
    position = CASE WHEN relay.log_id = excluded.log_id THEN relay.position ELSE 0 END
RETURNING epoch"""
# Of a topic that was made anew, Kafka has lost what was in it: all is sent again.
OPEN = """
UPDATE relay SET topics = %(topics)s::json, position = CASE WHEN topics::jsonb <@ %(topics)s::jsonb
    THEN position ELSE 0 END
WHERE epoch = %(epoch)s RETURNING position"""
ADVANCE = """
UPDATE relay SET position = %(position)s, events_per_s = %(rate)s, acked_at = now()
WHERE epoch = %(epoch)s RETURNING position"""
FAILED = """
UPDATE relay SET last_error = %(error)s, last_error_at = now(), events_per_s = 0
WHERE epoch = %(epoch)s RETURNING position"""


class Fenced(Exception):
    """Another process relays, under a higher epoch."""


class Relay(Job):
    """Sends every event to Kafka, in the log's order, and moves its checkpoint behind the acknowledgement.

    Whoever works takes a higher epoch first. One that was paused may still send what it had; it can't
    move the checkpoint, and what comes twice is passed over by the version of its stream.
    """

    def __init__(self, database: Database, follower: Follower, settings: Settings) -> None:
        super().__init__("relay")
        self._database = database
        self._follower = follower
        self._settings = settings
        self._epoch: int | None = None
        self._rate = Rate(RATE_S)
        self._told = ""

    async def work(self) -> None:
        """Relay until something goes wrong; then say what."""
        try:
            await self._work()
        except Fenced:
            log.warning("another process relays")
            self._epoch = None
            # Who leads no more is ended meanwhile. Who is not, takes over again.
            await asyncio.sleep(FENCED_PAUSE_S)

    async def _work(self) -> None:
        if self._epoch is None:
            await self._take()
        try:
            async with KafkaSender(self._settings) as sender:
                await self._relay(sender)
        except KafkaAway as away:
            await self._tell(await self._reason(away))
            raise

    async def _relay(self, sender: KafkaSender) -> None:
        position = await self._open(sender.topics)
        marked, marked_at, looked_at = -1, 0.0, time.monotonic()
        while True:
            if time.monotonic() - looked_at >= LOOK_S:
                await sender.look()
                looked_at = time.monotonic()
            since = time.monotonic() - marked_at
            more = await self._waited(
                position, (MARK_S if marked < position else MARK_IDLE_S) - since
            )
            batch = await self._follower.read(position, BATCH_EVENTS_MAX) if more else []
            # Before the batch, as it speaks of what was acknowledged.
            mark = self._mark(position) if time.monotonic() - marked_at >= MARK_S else None
            await self._send(sender, mark, batch)
            if mark is not None:
                marked, marked_at = mark.position, time.monotonic()
            position = batch[-1].position if batch else position
            await self._advance(position, len(batch))

    async def _send(
        self, sender: KafkaSender, mark: Mark | None, batch: Sequence[Envelope]
    ) -> None:
        """Send, and say why Kafka takes nothing long before its client gives up: health is asked meanwhile."""
        sending = asyncio.create_task(sender.send(self._follower.log_id, mark, batch))
        try:
            await asyncio.wait([sending], timeout=SLOW_S)
            if not sending.done():
                reason = await asyncio.to_thread(why_away, self._settings)
                if reason is not None and not sending.done():
                    await self._tell(reason)
            await sending
        finally:
            await end([sending])

    async def _waited(self, position: int, patience_s: float) -> bool:
        try:
            async with asyncio.timeout(max(0.0, patience_s)):
                await self._follower.wait_beyond(position)
        except TimeoutError:
            return self._follower.position > position
        return True

    def _mark(self, position: int) -> Mark:
        return Mark(self._follower.log_id, position)

    async def _take(self) -> None:
        rows = await self._ask(TAKE, log_id=self._follower.log_id)
        self._epoch = int(rows[0][0])
        log.info("this process relays", epoch=self._epoch)

    async def _open(self, topics: dict[str, str]) -> int:
        """Return the position to go on behind; raises `Fenced`."""
        return await self._under_epoch(OPEN, topics=msgspec.json.encode(topics).decode())

    async def _advance(self, position: int, events: int) -> None:
        """Move the checkpoint; raises `Fenced`."""
        rate = self._rate.after(events)
        await self._under_epoch(ADVANCE, position=position, rate=rate)
        if self._told:
            log.info("Kafka takes events again")
            self._told = ""

    async def _reason(self, away: KafkaAway) -> str:
        # The client of Kafka has its reasons for itself.
        found = await asyncio.to_thread(why_away, self._settings)
        return found or str(away)

    async def _tell(self, reason: str) -> None:
        if reason != self._told:
            log.warning("Kafka is away", reason=reason)
            self._told = reason
        await self._under_epoch(FAILED, error=reason[:ERROR_CHARS_MAX])

    async def _under_epoch(self, statement: str, **values: Any) -> int:
        rows = await self._ask(statement, epoch=self._epoch, **values)
        if not rows:
            raise Fenced
        return int(rows[0][0])

    async def _ask(self, statement: str, **values: Any) -> Sequence[tuple[Any, ...]]:
        async with self._database.system() as connection:
            cursor = await connection.execute(statement, values)
            return await cursor.fetchall()


async def state(database: Database) -> dict[str, Any]:
    """Return how the relay does, for health: any process can tell."""
    async with database.system() as connection:
        cursor = await connection.execute(RELAY_STATE)
        row = await cursor.fetchone()
    assert row is not None
    return described(*row)


class Rate:
    """Events a second over the last `window_s`."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._began = time.monotonic()
        self._counts: deque[tuple[float, int]] = deque()

    def after(self, events: int) -> float:
        """Count events, and return the rate."""
        now = time.monotonic()
        if events:
            self._counts.append((now, events))
        while self._counts and self._counts[0][0] < now - self._window_s:
            self._counts.popleft()
        seconds = max(min(self._window_s, now - self._began), 1.0)
        return sum(count for _, count in self._counts) / seconds
