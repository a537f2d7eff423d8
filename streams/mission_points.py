"""Writes the points of missions to InfluxDB, from events that may come again, late, or not at all.

A point depends on nothing but its mission's own events, and its identity is made of them: so what is folded
is a stream of the log, from its beginning unless this process folded it lately, and a stream that was not
is written whole. That needs no table, no gate and no order, and a rebuild is the same once more.
"""

import asyncio
import dataclasses
from collections import OrderedDict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from domain.base import replace
from infra.codec import EventCodec
from infra.envelopes import COLUMNS, Envelope
from infra.influxdb import InfluxDb, Point
from infra.logging import log
from infra.postgres import Connection, Database
from infra.settings import Settings
from infra.timeseries import MetricsUnavailable
from infra.timeseries_influxdb import flow_point, has_points, store_name
from infra.vault import Vault
from projections.read_model import ReadModel
from streams.fold import Fold, Poison, load_keys, prefixes
from streams.parking import Drained, park, tell_drained
from streams.projector import MISSING, TURN_EVENTS
from streams.rebuild import BY_STREAM, COUNT, READ_EVENTS_MAX, Tell
from streams.sink import SinkAway, SinkLost

KEPT_STREAMS_MAX = 10_000

HELD_BACK = """
SELECT (SELECT log_id FROM log_head), (SELECT epoch FROM checkpoints WHERE name = %(name)s),
    ARRAY(SELECT stream_id FROM parked_events WHERE model = %(name)s),
    (SELECT coalesce(json_agg(json_build_array(stream_id, stream_version)), '[]')
        FROM projection_discards WHERE model = %(name)s)"""
PARKED = """
SELECT model, stream_id, workspace_id, position, stream_version, event_type, error, place
FROM parked_events WHERE model = %s AND stream_id = %s"""
OF_STREAM = f"SELECT {COLUMNS} FROM events WHERE stream_id = %s ORDER BY stream_version"
HAD_POINTS = """
SELECT FROM checkpoints c WHERE name = %(name)s AND position > 0 AND EXISTS (
    SELECT FROM events WHERE position <= c.position AND split_part(type, '.', 1) = ANY (%(nouns)s))"""
# Marks in the order in which workers lock them, and before the checkpoint, as they do.
LOCK_MARKS = (
    "SELECT FROM partition_marks WHERE model = %(name)s ORDER BY topic, partition FOR UPDATE"
)
FORGET_MARKS = "UPDATE partition_marks SET position = 0, next_offset = 0 WHERE model = %(name)s"
FORGET = """
UPDATE checkpoints SET position = 0, epoch = epoch + 1, updated_at = now() WHERE name = %(name)s"""
WRITTEN = """
UPDATE checkpoints SET position = %s, updated_at = now()
WHERE name = %s AND log_id = (SELECT log_id FROM log_head)"""
UNPARK = "DELETE FROM parked_events WHERE model = %s AND stream_id = %s"


class Known(NamedTuple):
    """A mission's row, without the points that were written, after an event of its stream."""

    version: int
    row: Any


class HeldBack(NamedTuple):
    """The log, and what of it is not folded."""

    log_id: UUID
    parked: AbstractSet[UUID]
    discarded: AbstractSet[tuple[UUID, int]]


class MissionPoints:
    """The sink of `MISSION_FLOW`; see `Sink`."""

    def __init__(
        self, influxdb: InfluxDb, database: Database, codec: EventCodec, vault: Vault,
        model: ReadModel[Any],
    ) -> None:  # fmt: skip
        self.name = store_name(model)
        self.points = 0
        """How many points it has written."""
        self.parked = 0
        """How many streams it has parked."""
        # Under its own name also where a stream is parked: in PostgreSQL the model may go on.
        self.model = dataclasses.replace(model, name=self.name)
        """The read model under the name of its checkpoint, for whoever keeps one."""
        self._influxdb = influxdb
        self._database = database
        self._codec = codec
        self._vault = vault
        self._nouns = prefixes(model)
        self._known: OrderedDict[UUID, Known] = OrderedDict()
        self._tries_parked = True
        self._epoch: int | None = None

    async def apply(self, envelopes: Sequence[Envelope]) -> None:
        """Take events; return when their points are written. Raises `SinkAway`, and `SinkLost`."""
        await self.begin()
        if self._tries_parked:
            await self._drain_all()
            self._tries_parked = False
        mine = [e for e in envelopes if e.type.partition(".")[0] in self._nouns]
        if not mine:
            return
        async with self._database.system() as connection:
            held_back = await self._held_back(connection)
            events = await self._due(connection, mine, held_back)
        fold, points = await self._fold(events, held_back)
        await self._write(points)
        if fold.poisons:
            async with self._database.system() as connection:
                await park(connection, list(fold.poisons.values()))
            self._tell(fold)
        self._keep(fold)

    async def begin(self) -> None:
        """Make InfluxDB ready, unless it is. Raises `SinkAway`, and `SinkLost` where it has nothing of this log
        any more: then the checkpoint is at the beginning before the bucket is made, so that a kill loses nothing.
        """
        if self._influxdb.is_prepared(self._influxdb.flow):
            return
        async with self._database.system() as connection:
            log_id = (await self._held_back(connection)).log_id
            try:
                if not await has_points(self._influxdb, log_id, self.model):
                    await self._forget(connection)
                await self._influxdb.prepare(self._influxdb.flow)
            except MetricsUnavailable as away:
                raise SinkAway(str(away)) from away
            await self._held_back(connection)

    async def _forget(self, connection: Connection) -> None:
        """Set the checkpoint back, unless there was nothing to lose; whoever feeds a sink like this hears of it."""
        values = {"name": self.name, "nouns": list(self._nouns)}
        async with connection.transaction():
            if await (await connection.execute(HAD_POINTS, values)).fetchone() is None:
                return
            for statement in (LOCK_MARKS, FORGET_MARKS, FORGET):
                await connection.execute(statement, values)

    async def aclose(self) -> None:
        """Let go of its connections to InfluxDB."""
        await self._influxdb.aclose()

    async def drain(self, stream_id: UUID) -> Drained | None:
        """Fold a parked stream again; None: it is not parked. Raises `SinkAway`."""
        await self.begin()
        async with self._database.system() as connection:
            row = await (await connection.execute(PARKED, [self.name, stream_id])).fetchone()
            if row is None:
                return None
        before = Poison(*row)
        fold = await self._fold_whole(stream_id)
        poison = fold.poisons.get(stream_id)
        async with self._database.system() as connection, connection.transaction():
            await connection.execute(UNPARK, [self.name, stream_id])
            if poison is None:
                await tell_drained(connection, [before])
            else:
                await park(connection, [poison], tell=poison.position != before.position)
        if poison is None:
            # An event that came just now was held back by who still knew the stream as parked.
            fold = await self._fold_whole(stream_id)
            poison = fold.poisons.get(stream_id)
            if poison is not None:
                async with self._database.system() as connection:
                    await park(connection, [poison])
        return Drained(fold.gates.get(stream_id, 0) - before.stream_version + 1, poison)

    async def _fold_whole(self, stream_id: UUID) -> Fold:
        """Fold a stream from its first event, as if it were not parked, and write its points."""
        async with self._database.system() as connection:
            held_back = await self._held_back(connection)
            cursor = await connection.execute(OF_STREAM, [stream_id])
            events = [Envelope.of(found, self._codec) for found in await cursor.fetchall()]
        self._known.pop(stream_id, None)
        fold, points = await self._fold(events, held_back._replace(parked=frozenset()))
        await self._write(points)
        self._keep(fold)
        return fold

    async def _drain_all(self) -> None:
        async with self._database.system() as connection:
            parked = (await self._held_back(connection)).parked
        for stream_id in parked:
            await self.drain(stream_id)

    async def _held_back(self, connection: Connection) -> HeldBack:
        row = await (await connection.execute(HELD_BACK, {"name": self.name})).fetchone()
        assert row is not None, "a query without FROM has a row"
        log_id, epoch, parked, discarded = row
        before, self._epoch = self._epoch, epoch
        if before is not None and epoch != before:
            # What was folded was written to a bucket that is gone.
            self._known.clear()
            raise SinkLost(
                "InfluxDB has nothing of this log any more, and is filled from its beginning"
            )
        return HeldBack(log_id, set(parked), {(UUID(stream), at) for stream, at in discarded})

    async def _due(
        self, connection: Connection, mine: Sequence[Envelope], held_back: HeldBack
    ) -> list[Envelope]:
        """Return the events to fold by stream: those that came and are new, and all that lie between."""
        due: list[Envelope] = []
        missing = []
        for stream_id, found in groupby(sorted(mine, key=_in_stream), key=attrgetter("stream_id")):
            above = self._known[stream_id].version if stream_id in self._known else 0
            new = {e.stream_version: e for e in found if e.stream_version > above}
            if not new or stream_id in held_back.parked:
                continue
            if len(new) == max(new) - above:
                due += new.values()
            else:
                missing.append({"of_stream": stream_id, "above": above, "below": max(new) + 1})
        if missing:
            cursor = await connection.execute(MISSING, [msgspec.json.encode(missing).decode()])
            due += [Envelope.of(row, self._codec) for row in await cursor.fetchall()]
        return sorted(due, key=_in_stream)

    async def _fold(
        self, events: Sequence[Envelope], held_back: HeldBack
    ) -> tuple[Fold, list[Point]]:
        await load_keys(self._vault, events)
        fold = Fold(self.model, self._vault, held_back.discarded, held_back.parked)
        for stream_id in {envelope.stream_id for envelope in events} & self._known.keys():
            fold.gates[stream_id], fold.rows[stream_id] = self._known[stream_id]
        points: list[Point] = []
        for number, envelope in enumerate(events, 1):
            fold.take(envelope)
            row = fold.rows.get(envelope.stream_id)
            if row is not None and row.points:
                points += [
                    flow_point(held_back.log_id, self.model, envelope, point)
                    for point in row.points
                ]
                fold.rows[envelope.stream_id] = replace(row, points=())
            if number % TURN_EVENTS == 0:
                await asyncio.sleep(0)  # requests are served in the same loop
        return fold, points

    async def _write(self, points: Sequence[Point]) -> None:
        try:
            # Also nothing: whether it is there is known before a checkpoint moves.
            await self._influxdb.write(self._influxdb.flow, points)
        except MetricsUnavailable as away:
            raise SinkAway(str(away)) from away
        self.points += len(points)

    def _tell(self, fold: Fold) -> None:
        for poison in fold.poisons.values():
            self.parked += 1
            log.error(
                "a read model parked a stream", model=poison.model, stream=str(poison.stream_id),
                position=poison.position, error=poison.error, place=poison.place,
            )  # fmt: skip

    def _keep(self, fold: Fold) -> None:
        for stream_id, version in fold.advanced.items():
            self._known[stream_id] = Known(version, fold.rows.get(stream_id))
            self._known.move_to_end(stream_id)
        while len(self._known) > KEPT_STREAMS_MAX:
            self._known.popitem(last=False)


def influxdb_sink(
    settings: Settings, database: Database, codec: EventCodec, vault: Vault, model: ReadModel[Any]
) -> MissionPoints:
    """Return the sink that keeps a model's points in the InfluxDB of these settings."""
    return MissionPoints(InfluxDb(settings), database, codec, vault, model)


async def write_again(
    sink: MissionPoints, database: Database, codec: EventCodec, model: ReadModel[Any], tell: Tell
) -> tuple[int, int]:
    """Write the points of the whole log once more, by a fresh sink; what is there is written over.

    Return how many events were read, and up to which position. Raises `SinkAway`.
    """
    done, is_empty = 0, False
    try:
        await sink.begin()
    except SinkLost:
        is_empty = True
    async with await database.connect(jit="off") as reading, reading.transaction():
        row = await (await reading.execute("SELECT position FROM log_head")).fetchone()
        assert row is not None, "the schema has this row from the first migration on"
        values = {"nouns": list(prefixes(model)), "head": row[0]}
        total = await (await reading.execute(COUNT, values)).fetchone()
        assert total is not None, "a count has a row"
        async with reading.cursor("by_stream") as events:
            await events.execute(BY_STREAM, values)
            while found := await events.fetchmany(READ_EVENTS_MAX):
                await sink.apply([Envelope.of(one, codec) for one in found])
                done += len(found)
                tell(done, total[0])
    if is_empty:  # whoever feeds it need not do the same once more
        async with database.system() as connection:
            await connection.execute(WRITTEN, [row[0], sink.name])
    return done, int(row[0])


def _in_stream(envelope: Envelope) -> tuple[UUID, int]:
    return envelope.stream_id, envelope.stream_version
