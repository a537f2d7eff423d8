"""Runs the read models in-process: one read of the log for all, rows and checkpoints written as one."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Self
from uuid import UUID

import msgspec

from commands.bus import Bus
from infra.codec import EventCodec
from infra.envelopes import COLUMNS, Envelope
from infra.logging import log
from infra.marks import Marks
from infra.postgres import Connection, Database
from projections.read_model import ReadModel
from streams.claims import CLAIM_RETRY_S, REFUSED, Source, claim
from streams.fold import Fold, key_of, load_keys, prefixes
from streams.follower import Follower
from streams.job import Job
from streams.parking import ParkingNews, drain, log_parked
from streams.read_tables import Mark, ReadTable, RowRefused, Wanted, load, write
from streams.rebuild import Rebuild, RebuildFailed

BATCH_EVENTS_MAX = 500
KEPT_ROWS_MAX = 2_000
REBUILD_BEYOND_EVENTS = 20_000
"""A model that never ran is built by a rebuild where the log is longer: that is many times faster."""
REFUSED_PAUSE_S = 10.0
UNKNOWN_VERSION = 0
TURN_EVENTS = 25
PAUSE_S_PER_EVENT = 0.0005
PAUSE_S_MAX = 0.1
# A batch's statements are long and always the same: planned once, by keys, and not anew for each batch.
PLANS = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "jit": "off",
    # Rows and checkpoint are lost together, if at all, and folded again.
    "synchronous_commit": "off",
}

OPEN = """
INSERT INTO checkpoints (name, log_id, position, model_version)
SELECT %(name)s, log_id, 0, CASE WHEN position > %(far)s OR EXISTS (SELECT FROM {table})
    OR EXISTS (SELECT FROM stream_gates WHERE model = %(name)s) THEN %(unknown)s ELSE %(version)s END
FROM log_head ON CONFLICT (name) DO NOTHING"""
STANDINGS = """
SELECT c.name, c.position, c.epoch, c.generation, c.model_version, c.log_id = h.log_id,
    CASE WHEN EXISTS (SELECT FROM partition_marks p WHERE p.model = c.name) THEN h.position ELSE 0 END,
    ARRAY(SELECT stream_id FROM parked_events p WHERE p.model = c.name),
    (SELECT coalesce(json_agg(json_build_array(stream_id, stream_version)), '[]')
        FROM projection_discards d WHERE d.model = c.name)
FROM checkpoints c, log_head h WHERE c.name = ANY (%s)"""
MISSING = f"""
SELECT {COLUMNS} FROM json_to_recordset(%s::json) AS g(of_stream uuid, above integer, below integer)
CROSS JOIN LATERAL (SELECT * FROM events e WHERE e.stream_id = g.of_stream
    AND e.stream_version > g.above AND e.stream_version < g.below OFFSET 0) e
ORDER BY position"""


@dataclass(slots=True)
class Standing:
    """Where a model stands; `kept` and `gates` are what was written last, as nobody else may write.

    Of events up to `ahead`, any may be folded already.
    """

    table: ReadTable
    position: int
    saved: int
    epoch: int
    generation: int
    ahead: int
    parked: set[UUID]
    discarded: set[tuple[UUID, int]]
    nouns: frozenset[str] = field(default_factory=frozenset)
    kept: OrderedDict[UUID, Any] = field(default_factory=OrderedDict)
    gates: OrderedDict[UUID, int] = field(default_factory=OrderedDict)

    @property
    def name(self) -> str:
        return self.table.model.name

    def concerns(self, envelope: Envelope) -> bool:
        """Tell whether an event is behind the mark and of a stream that the model folds."""
        return envelope.position > self.saved and envelope.type.partition(".")[0] in self.nouns

    def keep(self, fold: Fold) -> None:
        """Take over what was written, and forget what was not used for longest."""
        self.parked |= fold.poisons.keys()
        changed = fold.changed if self.table.keeps_rows else {}
        for kept, written in ((self.kept, changed), (self.gates, fold.advanced)):
            for key, value in written.items():
                kept[key] = value
                kept.move_to_end(key)
            while len(kept) > KEPT_ROWS_MAX:
                kept.popitem(last=False)


class Moved(Exception):
    """Somebody else changed a model: look again where it stands."""


class Projector(Job):
    """Keeps the tables of all read models up to the log. One process at a time runs it.

    A model that can't go on as it is (of another version, or of another log) is rebuilt meanwhile, and
    a stream that a model could not fold is tried again at each start.
    """

    def __init__(
        self,
        database: Database,
        follower: Follower,
        bus: Bus,
        marks: Marks,
        models: Sequence[ReadModel[Any]],
    ) -> None:
        super().__init__("projector")
        self._database = database
        self._follower = follower
        self._vault = bus.tools.vault
        self._marks = marks
        self._tables = {model.name: ReadTable(model) for model in models}
        self._nouns = {model.name: prefixes(model) for model in models}
        self._news = ParkingNews(database, bus)
        self._rebuilds = Rebuilds(self)
        self._to_drain = True
        self._claimed: set[str] = set()
        self._refused: list[str] = []
        self._connection: Connection | None = None
        self._look_again = asyncio.Event()
        self._helpers = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._helpers.enter_async_context(self._news)
        await self._helpers.enter_async_context(self._rebuilds)
        return await super().__aenter__()

    async def __aexit__(self, *exception: object) -> None:
        await super().__aexit__(*exception)
        await self._helpers.aclose()

    def failing(self) -> dict[str, str]:
        """Return which of this and its helpers have failed again and again, and of what."""
        return {**super().failing(), **self._news.failing(), **self._rebuilds.failing()}

    async def work(self) -> None:
        try:
            await self._work()
        finally:
            # Another process may project from now on, or the server have lost what it had not yet written.
            self._marks.forget(self._tables)

    async def _work(self) -> None:
        async with await self._database.connect(**PLANS) as connection:
            self._connection, self._claimed = connection, set()
            while True:
                self._look_again.clear()
                await self._claim()
                standings = await self._open()
                if self._to_drain:
                    await self._drain(standings)
                    continue
                try:
                    await self._follow(standings)
                except Moved as moved:
                    log.info("a read model was changed by another hand", models=str(moved))

    async def rebuild_due(self) -> bool:
        """Rebuild the models that can't go on as they are, one after the other; tell whether none was refused."""
        refused = False
        for table in self._mine():
            if (await self._found(table.model.name))[table.model.name].is_due(table.model):
                log.info("rebuilding a read model", model=table.model.name)
                try:
                    done = await Rebuild(
                        self._database, self._follower.codec, self._vault, table.model
                    ).run()
                except RebuildFailed as failed:
                    log.error("not rebuilt", model=table.model.name, reason=str(failed))
                    refused = True
                    continue
                log.info("rebuilt", model=table.model.name, events=done.events, rows=done.rows)
                self._news.tell()
        # Also where another hand was quicker.
        self._look_again.set()
        return not refused

    # Where models stand ---------------------------------------------------------------------------

    async def _claim(self) -> None:
        """Take what workers do not fold; of the rest say once why it rests, and ask again later."""
        wanted = self._tables.keys() - self._claimed
        refused = await claim(self._own_connection(), Source.LOG, wanted)
        self._claimed |= wanted.difference(refused)
        self._marks.forget(refused)
        if refused and refused != self._refused:
            log.error("read models rest", models=", ".join(refused), reason=REFUSED[Source.LOG])
        if refused:
            asyncio.get_running_loop().call_later(CLAIM_RETRY_S, self._look_again.set)
        self._refused = refused

    def _mine(self) -> list[ReadTable]:
        return [table for name, table in self._tables.items() if name in self._claimed]

    async def _open(self) -> list[Standing]:
        standings = []
        found = await self._found(*self._claimed)
        for table in self._mine():
            name, at = table.model.name, found[table.model.name]
            due = at.is_due(table.model)
            self._marks.note(name, 0 if due and not at.of_this_log else at.position)
            if due:
                self._rebuilds.tell()
                continue
            standings.append(
                Standing(
                    table, at.position, at.position, at.epoch, at.generation, at.ahead,
                    set(at.parked), set(at.discarded), self._nouns[name],
                )
            )  # fmt: skip
        return standings

    async def _found(self, *names: str) -> dict[str, "Found"]:
        async with self._database.system() as connection:
            for name in names:
                await open_checkpoint(connection, self._tables[name])
            return await find(connection, *names)

    async def _drain(self, standings: Iterable[Standing]) -> None:
        for standing in standings:
            for stream_id in standing.parked:
                await drain(
                    self._database, self._follower.codec, self._vault, standing.table, stream_id
                )
        self._to_drain = False
        self._news.tell()

    # Following ------------------------------------------------------------------------------------

    async def _follow(self, standings: list[Standing]) -> None:
        while not self._look_again.is_set():
            if not standings:
                await self._look_again.wait()
                return
            position = min(standing.position for standing in standings)
            if not await self._follower.waited_beyond(position):
                await self._save_idle(standings)
                continue
            batch = await self._follower.read(position, BATCH_EVENTS_MAX)
            if batch:
                await self._project(standings, batch, batch[-1].position)
                await asyncio.sleep(_pause_s(len(batch)))

    async def _save_idle(self, standings: Iterable[Standing]) -> None:
        """Write the checkpoints of models that events did not concern: their marks moved at once."""
        behind = [standing for standing in standings if standing.saved < standing.position]
        if behind:
            await self._write([(standing, None) for standing in behind])

    async def _project(
        self, standings: Sequence[Standing], batch: Sequence[Envelope], end: int
    ) -> None:
        behind = [standing for standing in standings if standing.position < end]
        concerned = [
            standing
            for standing in behind
            if any(map(standing.concerns, batch)) or end - standing.saved > BATCH_EVENTS_MAX
        ]
        if concerned:
            await self._fold_and_write(concerned, batch, end)
        for standing in behind:
            # What does not concern a model moves its mark at once and its checkpoint later.
            standing.position = end
            self._marks.note(standing.name, end)

    async def _fold_and_write(
        self, standings: Sequence[Standing], batch: Sequence[Envelope], end: int
    ) -> None:
        """Fold a batch into rows; where one is refused for good, find the event that is to blame."""
        await load_keys(self._vault, batch)
        folds = await self._folded(standings, batch)
        for standing in standings:
            standing.position = end
        try:
            await self._write(list(zip(standings, folds, strict=True)))
        except RowRefused as refused:
            if len(standings) > 1:
                for standing in standings:
                    await self._fold_and_write([standing], batch, end)
            elif len(batch) > 1:
                half = len(batch) // 2
                await self._fold_and_write(standings, batch[:half], batch[half - 1].position)
                await self._fold_and_write(standings, batch[half:], end)
            else:
                standing, fold = standings[0], self._empty(standings[0])
                await self._load(standings, [fold], [list(batch)])
                fold.park(batch[0], refused.__cause__ or refused)
                await self._write([(standing, fold)])

    async def _folded(self, standings: Sequence[Standing], batch: Sequence[Envelope]) -> list[Fold]:
        mine = [[e for e in batch if standing.concerns(e)] for standing in standings]
        folds = [self._empty(standing) for standing in standings]
        await self._load(standings, folds, mine)
        missing = _gaps(folds, mine)
        if missing:
            mine = await self._filled(standings, mine, missing)
            await self._load(standings, folds, mine)
        for fold, events in zip(folds, mine, strict=True):
            for number, envelope in enumerate(events, 1):
                fold.take(envelope)
                if number % TURN_EVENTS == 0:
                    await asyncio.sleep(0)  # requests are served in the same loop
        return folds

    def _empty(self, standing: Standing) -> Fold:
        return Fold(standing.table.model, self._vault, standing.discarded, standing.parked)

    async def _load(
        self,
        standings: Sequence[Standing],
        folds: Sequence[Fold],
        mine: Sequence[Sequence[Envelope]],
    ) -> None:
        wanted: dict[str, Wanted] = {}
        for standing, fold, events in zip(standings, folds, mine, strict=True):
            needed = _needed(standing, fold, events)
            if needed.streams or (needed.keys and standing.table.keeps_rows):
                wanted[standing.name] = needed
        if not wanted:
            return
        tables = [standing.table for standing in standings if standing.name in wanted]
        found = await load(self._own_connection(), tables, wanted)
        for standing, fold in zip(standings, folds, strict=True):
            if standing.name in found:
                loaded = found[standing.name]
                fold.rows.update(standing.table.decode(loaded.rows))
                fold.gates.update(loaded.gates)

    async def _filled(
        self,
        standings: Sequence[Standing],
        mine: Sequence[list[Envelope]],
        missing: Mapping[UUID, tuple[int, int]],
    ) -> list[list[Envelope]]:
        """Add the events that a model never saw: it follows their type since today, or missed them."""
        found = await missing_events(self._own_connection(), missing, self._follower.codec)
        await load_keys(self._vault, found)
        return [
            sorted(
                {e.position: e for e in (*found, *events)
                 if e.type.partition(".")[0] in standing.nouns}.values(),
                key=lambda e: e.position,
            )
            for standing, events in zip(standings, mine, strict=True)
        ]  # fmt: skip

    def _own_connection(self) -> Connection:
        assert self._connection is not None, "the work has begun"
        return self._connection

    async def _write(self, changes: Sequence[tuple[Standing, Fold | None]]) -> None:
        marks = [Mark(s.name, s.saved, s.position, s.epoch) for s, _ in changes]
        folds = [(standing.table, fold) for standing, fold in changes if fold is not None]
        moved = await write(self._own_connection(), self._follower.log_id, marks, folds)
        if len(moved) < len(marks):
            raise Moved(", ".join(sorted({mark.name for mark in marks} - moved)))
        for standing, fold in changes:
            standing.saved = standing.position
            if fold is not None:
                standing.keep(fold)
                if fold.poisons:
                    log_parked(fold.poisons.values())
                    self._news.tell()


def _pause_s(events: int) -> float:
    """Return how long to wait after a batch, so that under load the next one is worth its statements.

    A quiet log is projected at once, and what lies far behind without a break.
    """
    if events >= BATCH_EVENTS_MAX:
        return 0.0
    return min(PAUSE_S_MAX, (events - 1) * PAUSE_S_PER_EVENT)


@dataclass(frozen=True, slots=True)
class Found:
    """A checkpoint's row, and what a model has parked and discarded.

    Workers fold ahead of their checkpoint: where they did, `ahead` is the log's end.
    """

    position: int
    epoch: int
    generation: int
    version: int
    of_this_log: bool
    ahead: int
    parked: list[UUID]
    discarded: list[tuple[UUID, int]]

    @classmethod
    def of(cls, row: tuple[Any, ...]) -> "Found":
        """Read a row of `STANDINGS`."""
        _, position, epoch, generation, version, of_this_log, ahead, parked, discarded = row
        passed = [(UUID(stream), at) for stream, at in discarded]
        return cls(position, epoch, generation, version, of_this_log, ahead, parked, passed)

    def is_due(self, model: ReadModel[Any]) -> bool:
        """Tell whether a model must be rebuilt before it goes on."""
        return not self.of_this_log or self.version != model.version


async def open_checkpoint(connection: Connection, table: ReadTable) -> None:
    """Make a model's checkpoint, unless it has one: at the log's beginning, or due where that is far."""
    values = {
        "name": table.model.name, "version": table.model.version, "far": REBUILD_BEYOND_EVENTS,
        "unknown": UNKNOWN_VERSION,
    }  # fmt: skip
    await connection.execute(OPEN.format(table=table.table).encode(), values)


async def find(connection: Connection, *names: str) -> dict[str, Found]:
    """Return where models stand."""
    cursor = await connection.execute(STANDINGS, [list(names)])
    return {row[0]: Found.of(row) for row in await cursor.fetchall()}


class Rebuilds(Job):
    """Rebuilds what is due, beside the models that go on."""

    def __init__(self, projector: Projector) -> None:
        super().__init__("rebuilds")
        self._projector = projector
        self._due = asyncio.Event()

    def tell(self) -> None:
        """Something may be due."""
        self._due.set()

    async def work(self) -> None:
        await self._due.wait()
        self._due.clear()
        if not await self._projector.rebuild_due():
            # Another process is at it, most of the time, and may end before it is done.
            await asyncio.sleep(REFUSED_PAUSE_S)
            self._due.set()


async def missing_events(
    connection: Connection, missing: Mapping[UUID, tuple[int, int]], codec: EventCodec
) -> list[Envelope]:
    """Return the events between two versions of streams, oldest first."""
    asked = [{"of_stream": s, "above": a, "below": b} for s, (a, b) in missing.items()]
    cursor = await connection.execute(MISSING, [msgspec.json.encode(asked).decode()])
    return [Envelope.of(row, codec) for row in await cursor.fetchall()]


def _needed(standing: Standing, fold: Fold, events: Sequence[Envelope]) -> Wanted:
    """Take what is kept in memory, and return what has to be loaded besides."""
    keys: set[UUID] = set()
    streams: set[UUID] = set()
    fresh: set[UUID] = set()
    for envelope in events:
        stream = envelope.stream_id
        is_first = envelope.stream_version == 1 and envelope.position > standing.ahead
        if is_first and stream not in fold.gates:
            fresh.add(stream)  # before a stream's first event there is nothing
        if stream in fresh or stream in standing.parked:
            continue
        if stream not in fold.gates:
            if stream in standing.gates:
                fold.gates[stream] = standing.gates[stream]
            else:
                streams.add(stream)
        key = key_of(standing.table.model, envelope)
        if key is None or key in fold.rows:
            continue
        if key in standing.kept:
            fold.rows[key] = standing.kept[key]
        else:
            keys.add(key)
    return Wanted(keys, streams, standing.generation)


def _gaps(folds: Sequence[Fold], mine: Sequence[Sequence[Envelope]]) -> dict[UUID, tuple[int, int]]:
    """Return the versions that lie between a stream's gate and its first event here, if any do."""
    missing: dict[UUID, tuple[int, int]] = {}
    for fold, events in zip(folds, mine, strict=True):
        seen: set[UUID] = set()
        for envelope in events:
            stream = envelope.stream_id
            gate = fold.gates.get(stream, 0)
            if stream in seen or stream in fold.parked:
                continue
            seen.add(stream)
            if envelope.stream_version > gate + 1:
                above, below = missing.get(stream, (gate, envelope.stream_version))
                missing[stream] = (min(above, gate), max(below, envelope.stream_version))
    return missing
