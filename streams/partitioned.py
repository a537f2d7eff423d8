"""Read models fed by partitions of Kafka's topics: by many workers at once, each with partitions of its own.

All events of a row are of one stream, and a stream is in one partition, so that workers hardly ever meet.
Where they do, because one was paused while its partitions went to another, the partition's row in
`partition_marks` lets one write after the other, and the gates of streams drop what was folded before.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

from infra.codec import EventCodec
from infra.envelopes import COLUMNS, Envelope
from infra.logging import log
from infra.postgres import Connection, Database
from infra.vault import Vault
from projections.read_model import ReadModel
from streams.claims import REFUSED, Source, claim, show
from streams.fold import Fold, key_of, load_keys, prefixes
from streams.parking import drain, log_parked
from streams.partitions import (
    Delivered,
    PartitionMark,
    PartitionMarks,
    Place,
    Reading,
    by_place,
    read_on,
)
from streams.projector import PLANS, Found, find, missing_events, open_checkpoint
from streams.read_tables import STAY, ReadTable, RowRefused, Wanted, load, write
from streams.read_tables import Mark as CheckpointMark
from streams.rebuild import Rebuild, RebuildFailed
from streams.sink import Sink
from streams.topics import PARTITIONS, PREFIX, partition_of, topic_of

FILL_EVENTS_MAX = 500
REBUILD_RETRY_S = 1.0
# A worker that is paused in its transaction must not hold its partitions for longer.
LIMITS = {"idle_in_transaction_session_timeout": "10000", "lock_timeout": "20000"}

MISSED = f"""
SELECT {COLUMNS} FROM events
WHERE position > %(after)s AND position <= %(up_to)s AND split_part(type, '.', 1) = %(noun)s
ORDER BY position LIMIT %(limit)s"""
OPEN_OUTSIDE = """
INSERT INTO checkpoints (name, log_id, position, model_version)
SELECT %(name)s, log_id, 0, %(version)s FROM log_head
ON CONFLICT (name) DO UPDATE SET log_id = excluded.log_id, position = 0, updated_at = now()
WHERE checkpoints.log_id <> excluded.log_id"""


class StartAgain(Exception):
    """The log, the model or who may fold it is not as it was, or must be: the process must begin anew."""


class Feed(Protocol):
    """What takes the messages of partitions into a read model."""

    @property
    def name(self) -> str:
        """The name of its checkpoint."""
        ...

    @property
    def log_id(self) -> UUID:
        """The log that it is of; messages of others are passed over."""
        ...

    @property
    def topics(self) -> Sequence[str]:
        """The topics whose messages it takes."""
        ...

    async def open(self) -> None:
        """Bring the model into a state that can go on: rebuilt if it must be."""
        ...

    async def take(self, messages: Sequence[Delivered]) -> None:
        """Fold messages; return when they are safe. Messages may come again, or be missing."""
        ...

    async def close(self) -> None:
        """Let go of the database."""
        ...


@runtime_checkable
class Opens(Protocol):
    """A sink that must be made ready before it takes events."""

    async def open(self) -> None:
        """Make it ready, and the checkpoint say what it has. Raises `SinkAway`."""
        ...


@runtime_checkable
class Closes(Protocol):
    """A sink with connections of its own."""

    async def aclose(self) -> None:
        """Let go of them."""
        ...


def topics_of(model: ReadModel[Any], prefix: str = PREFIX) -> list[str]:
    """Return the topics whose events a model folds."""
    return sorted({topic_of(noun, prefix) for noun in prefixes(model)})


@dataclass(frozen=True, slots=True)
class Fill:
    """A part of the log that was read for a partition that misses messages."""

    events: Sequence[Envelope]
    up_to: int
    is_whole: bool


class _Partitions:
    """What both kinds of feeds have: a connection of their own, marks, and what is missing of the log."""

    def __init__(
        self, database: Database, codec: EventCodec, model: ReadModel[Any], name: str, prefix: str
    ) -> None:
        self.database = database
        self.codec = codec
        self.model = model
        self.name = name
        self.topics = topics_of(model, prefix)
        self.log_id = UUID(int=0)
        self._connection: Connection | None = None

    @property
    def marks(self) -> PartitionMarks:
        return PartitionMarks(self.name, self.log_id, self.topics, PARTITIONS)

    async def close(self) -> None:
        """Let go of the database."""
        await self._disconnect()

    async def claim(self, connection: Connection) -> None:
        """Make sure that nobody else writes in our place for as long as the connection lives."""

    async def _disconnect(self) -> None:
        # The next use opens another connection.
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def open_marks(self, connection: Connection) -> None:
        cursor = await connection.execute("SELECT log_id FROM log_head")
        row = await cursor.fetchone()
        assert row is not None
        (self.log_id,) = row
        await self.marks.open(connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Begin one on a connection that works; one that broke is left to its end."""
        is_new = self._connection is None or self._connection.closed
        if self._connection is None or is_new:
            self._connection = await self.database.connect(**PLANS, **LIMITS)
        try:
            if is_new:
                await self.claim(self._connection)
            async with self._connection.transaction():
                yield self._connection
        except BaseException:
            await self._disconnect()
            raise

    async def standing(self, connection: Connection) -> Found:
        """Return where the model stands; raise `StartAgain` where that is in another log."""
        found = (await find(connection, self.name)).get(self.name)
        cursor = await connection.execute("SELECT log_id = %s FROM log_head", [self.log_id])
        if found is None or await cursor.fetchone() != (True,) or not found.of_this_log:
            raise StartAgain(f"{self.name} is of another log")
        return found

    async def fill(
        self, connection: Connection, readings: Mapping[Place, Reading], after: Mapping[Place, int]
    ) -> dict[Place, Fill]:
        """Read from the log what partitions miss."""
        filled: dict[Place, Fill] = {}
        for place, reading in readings.items():
            if reading.missing_up_to is not None and reading.missing_up_to > after[place]:
                filled[place] = await self._fill(
                    connection, place, after[place], reading.missing_up_to
                )
        return filled

    async def _fill(self, connection: Connection, place: Place, after: int, up_to: int) -> Fill:
        values = {
            "after": after, "up_to": up_to, "limit": FILL_EVENTS_MAX,
            "noun": place.topic.rpartition(".")[2],
        }  # fmt: skip
        cursor = await connection.execute(MISSED, values)
        found = [Envelope.of(row, self.codec) for row in await cursor.fetchall()]
        mine = [e for e in found if partition_of(str(e.stream_id).encode()) == place.partition]
        if len(found) == FILL_EVENTS_MAX:
            return Fill(mine, found[-1].position, is_whole=False)
        return Fill(mine, up_to, is_whole=True)


def _plan(
    marks: Mapping[Place, PartitionMark], delivered: Mapping[Place, Sequence[Delivered]]
) -> dict[Place, Reading]:
    return {place: read_on(marks[place], messages) for place, messages in delivered.items()}


def _events(delivered: Iterable[Delivered], filled: Iterable[Fill], beyond: int) -> list[Envelope]:
    """Return each event that a checkpoint has not passed, once, in the log's order."""
    found = {e.position: e for fill in filled for e in fill.events}
    for message in delivered:
        if isinstance(message.said, Envelope):
            found[message.said.position] = message.said
    return sorted((e for p, e in found.items() if p > beyond), key=attrgetter("position"))


def _saved(
    before: Mapping[Place, PartitionMark],
    readings: Mapping[Place, Reading],
    filled: Mapping[Place, Fill],
) -> dict[Place, PartitionMark]:
    """Return the marks to write: where the log could not be read as far, no offset has been passed yet."""
    return {
        place: reading.mark
        if (fill := filled.get(place)) is None or fill.is_whole
        else replace(before[place], position=fill.up_to)
        for place, reading in readings.items()
    }


def _holes(fold: Fold, events: Iterable[Envelope]) -> dict[UUID, tuple[int, int]]:
    """Return between which versions a stream's events are not all here, for those where some are not."""
    holes: dict[UUID, tuple[int, int]] = {}
    reached: dict[UUID, int] = {}
    for envelope in events:
        stream, version = envelope.stream_id, envelope.stream_version
        before = reached.setdefault(stream, fold.gates.get(stream, 0))
        if stream in fold.parked or version <= before:
            continue
        if version > before + 1:
            above, _ = holes.get(stream, (before, 0))
            holes[stream] = above, version
        reached[stream] = version
    return holes


class PartitionedTable(_Partitions):
    """Folds into a read model's table, with the same gates as the projector, and parks alike."""

    def __init__(
        self, database: Database, codec: EventCodec, vault: Vault, model: ReadModel[Any],
        prefix: str = PREFIX,
    ) -> None:  # fmt: skip
        super().__init__(database, codec, model, model.name, prefix)
        self._vault = vault
        self._table = ReadTable(model)

    async def open(self) -> None:
        """Rebuild what can't go on as it is, and try again what is parked: its function may be mended."""
        name = self.name
        async with self.transaction():
            pass  # the table is ours from here on
        while True:
            async with self.database.system() as connection:
                await open_checkpoint(connection, self._table)
                found = (await find(connection, name))[name]
                if found.of_this_log and found.version > self.model.version:
                    raise StartAgain(f"{name} is of a newer version, {found.version}")
                if not found.is_due(self.model):
                    await self.open_marks(connection)
                    break
            await self._rebuild()
        for stream_id in found.parked:
            await drain(self.database, self.codec, self._vault, self._table, stream_id)

    async def claim(self, connection: Connection) -> None:
        """Take the table, unless a projector has it."""
        if await claim(connection, Source.KAFKA, [self.name]):
            raise StartAgain(f"{self.name}: {REFUSED[Source.KAFKA]}")

    async def _rebuild(self) -> None:
        log.info("rebuilding a read model", model=self.model.name)
        try:
            done = await Rebuild(self.database, self.codec, self._vault, self.model).run()
        except RebuildFailed as failed:  # another worker is at it, most of the time
            log.info("not rebuilt", model=self.model.name, reason=str(failed))
            await asyncio.sleep(REBUILD_RETRY_S)
        else:
            log.info("rebuilt", model=self.model.name, events=done.events, rows=done.rows)

    async def take(self, messages: Sequence[Delivered]) -> None:
        """Fold messages; rows, gates and marks are committed together."""
        delivered = by_place(messages)
        while delivered and not await self._take(delivered):
            pass

    async def _take(self, delivered: Mapping[Place, Sequence[Delivered]]) -> bool:
        """Fold messages and what is missing before them; False: that is more than one batch."""
        async with self.transaction() as connection:
            # A rebuild's swap and a stream that is drained wait for us, and we for them.
            lock = f"LOCK TABLE {self._table.table} IN ROW EXCLUSIVE MODE"
            await connection.execute(lock.encode())
            found = await self.standing(connection)
            if found.version != self.model.version:
                raise StartAgain(f"{self.name} is of version {found.version} now")
            before = await self.marks.locked(connection, delivered)
            readings = _plan(before, delivered)
            after = {place: max(mark.position, found.position) for place, mark in before.items()}
            filled = await self.fill(connection, readings, after)
            is_whole = all(fill.is_whole for fill in filled.values())
            own = (message for of_place in delivered.values() for message in of_place)
            events = _events(own if is_whole else (), filled.values(), found.position)
            await load_keys(self._vault, events)
            await self._fold(connection, found, events)
            await self.marks.save(connection, _saved(before, readings, filled))
        return is_whole

    async def _fold(self, connection: Connection, found: Found, events: list[Envelope]) -> None:
        """Fold events into rows; where one is refused for good, find the event that is to blame."""
        if not events:
            return
        try:
            async with connection.transaction():
                await self._write(connection, found, await self._folded(connection, found, events))
        except RowRefused as refused:
            if len(events) > 1:
                half = len(events) // 2
                await self._fold(connection, found, events[:half])
                await self._fold(connection, found, events[half:])
                return
            fold = self._empty(found)
            await self._load(connection, found, fold, events)
            fold.park(events[0], refused.__cause__ or refused)
            await self._write(connection, found, fold)

    async def _folded(self, connection: Connection, found: Found, events: list[Envelope]) -> Fold:
        fold = self._empty(found)
        await self._load(connection, found, fold, events)
        if missing := _holes(fold, events):
            more = await missing_events(connection, missing, self.codec)
            await load_keys(self._vault, more)
            events = sorted(
                {e.position: e for e in (*more, *events)}.values(), key=attrgetter("position")
            )
            await self._load(connection, found, fold, events)
        for envelope in events:
            fold.take(envelope)
        return fold

    def _empty(self, found: Found) -> Fold:
        return Fold(self.model, self._vault, set(found.discarded), set(found.parked))

    async def _load(
        self, connection: Connection, found: Found, fold: Fold, events: Iterable[Envelope]
    ) -> None:
        events = [e for e in events if e.stream_id not in fold.parked]
        keys = {key for e in events if (key := key_of(self.model, e)) is not None}
        streams = {e.stream_id for e in events}
        wanted = Wanted(keys - fold.rows.keys(), streams - fold.gates.keys(), found.generation)
        name = self.name
        loaded = (await load(connection, [self._table], {name: wanted}))[name]
        fold.rows.update(self._table.decode(loaded.rows))
        fold.gates.update(loaded.gates)

    async def _write(self, connection: Connection, found: Found, fold: Fold) -> None:
        name = self.name
        mark = CheckpointMark(name, found.position, found.position, found.epoch)
        if not await write(connection, self.log_id, [mark], [(self._table, fold)], STAY):
            raise StartAgain(f"{name} was changed by another hand")
        # The rest of this batch holds them back, too.
        found.parked.extend(fold.poisons)
        log_parked(fold.poisons.values())


class PartitionedSink(_Partitions):
    """Feeds a sink outside the database; its mark follows what the sink has."""

    def __init__(
        self, database: Database, codec: EventCodec, model: ReadModel[Any], sink: Sink,
        prefix: str = PREFIX,
    ) -> None:  # fmt: skip
        super().__init__(database, codec, model, sink.name, prefix)
        self._sink = sink

    async def open(self) -> None:
        """Let the sink make what it needs, then checkpoint and marks; of another log nothing counts."""
        async with self.transaction():
            pass  # it is seen that we are there, however long the sink takes
        if isinstance(self._sink, Opens):
            await self._sink.open()
        async with self.database.system() as connection:
            values = {"name": self.name, "version": self.model.version}
            await connection.execute(OPEN_OUTSIDE, values)
            await self.open_marks(connection)

    async def claim(self, connection: Connection) -> None:
        """Be seen: several may write to a store, each event has its own place there."""
        await show(connection, Source.KAFKA, [self.name])

    async def close(self) -> None:
        """Let go of the database and the sink."""
        await super().close()
        if isinstance(self._sink, Closes):
            await self._sink.aclose()

    async def take(self, messages: Sequence[Delivered]) -> None:
        """Hand messages to the sink, then move the marks."""
        delivered = by_place(messages)
        while delivered and not await self._take(delivered):
            pass

    async def _take(self, delivered: Mapping[Place, Sequence[Delivered]]) -> bool:
        async with self.transaction() as connection:
            beyond = (await self.standing(connection)).position
            before = await self.marks.locked(connection, delivered)
            readings = _plan(before, delivered)
            after = {place: max(mark.position, beyond) for place, mark in before.items()}
            filled = await self.fill(connection, readings, after)
        is_whole = all(fill.is_whole for fill in filled.values())
        own = (message for of_place in delivered.values() for message in of_place)
        events = _events(own if is_whole else (), filled.values(), beyond)
        if events:
            await self._sink.apply(events)
        # Not in a transaction with the sink, which may take its time: somebody else may have come by.
        async with self.transaction() as connection:
            await self.standing(connection)
            if await self.marks.locked(connection, delivered) != before:
                return False
            await self.marks.save(connection, _saved(before, readings, filled))
        return is_whole
