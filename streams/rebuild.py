"""Builds a read model's table afresh beside the live one, and puts it in its place between two reads.

All events of a row are of one stream, so most of the log is read stream by stream: each row is whole
when its stream is, is written once, and memory stays small however long the log. What came meanwhile
is then folded in the log's order. The swap waits for a moment in which nobody reads, and never longer
than `SWAP_LOCK_MS` at a time, because readers that come later queue behind it.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import psycopg

from domain.base import replace
from infra.codec import EventCodec
from infra.envelopes import COLUMNS, Envelope
from infra.postgres import Connection, Database
from infra.tasks import end
from infra.vault import Vault
from projections.read_model import ReadModel, no_boards, row_of_stream
from streams.fold import Fold, Poison, key_of, load_keys, prefixes
from streams.parking import replace_parked
from streams.read_tables import (
    RAISE_REVISIONS,
    REVISIONS,
    ReadTable,
    RowRefused,
    Wanted,
    encoded,
    execute,
    load,
)

READ_EVENTS_MAX = 1000
CATCH_UP_EVENTS_MAX = 500
SWAP_LOCK_MS = 250
SWAP_PAUSE_S = 0.05
SWAP_TRIES_MAX = 600
PARKED_MAX = 1000

LOCK_REBUILD = "SELECT pg_try_advisory_lock(hashtextextended('rebuild ' || %s, 0))"
STAND = """
SELECT h.position, h.log_id, c.generation FROM log_head h LEFT JOIN checkpoints c ON c.name = %s"""
SHADOW = """
DROP TABLE IF EXISTS {shadow};
CREATE TABLE {shadow} (LIKE {table} INCLUDING ALL EXCLUDING INDEXES);
SELECT mc_isolate('{shadow}')"""
INDEXES = """
SELECT i.relname, pg_get_indexdef(i.oid), c.conname, pg_get_constraintdef(c.oid)
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
LEFT JOIN pg_constraint c ON c.conindid = i.oid AND c.contype IN ('p', 'u')
WHERE x.indrelid = %s::regclass ORDER BY i.relname"""
CONCERNS = "split_part(type, '.', 1) = ANY (%(nouns)s) AND position <= %(head)s"
COUNT = f"SELECT count(*) FROM events WHERE {CONCERNS}"
# What a model is never told is not fetched.
FACTS = COLUMNS.replace(
    "command_id, correlation_id, causation_id, traceparent", "NULL, NULL, NULL, NULL"
)
BY_STREAM = f"SELECT {FACTS} FROM events WHERE {CONCERNS} ORDER BY stream_id, stream_version"
SINCE = f"""
SELECT {COLUMNS} FROM events WHERE position > %s ORDER BY position LIMIT {CATCH_UP_EVENTS_MAX}"""
ROWS = """
INSERT INTO {table} ({columns}) SELECT {columns_of_row}
FROM json_populate_recordset(NULL::{table}, %(rows)s::json) r"""
UPSERT = f"{ROWS} ON CONFLICT (id) DO UPDATE SET {{changes}}"
GATES = """
INSERT INTO stream_gates (model, generation, stream_id, version)
SELECT %(model)s, %(generation)s, key::uuid, value::integer FROM json_each_text(%(gates)s::json)
ON CONFLICT (model, generation, stream_id) DO UPDATE SET version = excluded.version"""
OF_STREAM = f"""
SELECT {COLUMNS} FROM events WHERE stream_id = %s AND position <= %s ORDER BY stream_version"""
DISCARDS = "SELECT stream_id, stream_version FROM projection_discards WHERE model = %s"
CHECKPOINT = """
INSERT INTO checkpoints (name, log_id, position, model_version, generation, epoch)
VALUES (%(name)s, %(log_id)s, %(position)s, %(version)s, %(generation)s, 1)
ON CONFLICT (name) DO UPDATE SET log_id = excluded.log_id, position = excluded.position,
    model_version = excluded.model_version, generation = excluded.generation,
    epoch = checkpoints.epoch + 1, updated_at = now()"""
OLD_GATES = "DELETE FROM stream_gates WHERE model = %s AND generation <> %s"

Tell = Callable[[int, int], None]
"""Called with how many events were folded, of how many."""


class RebuildFailed(Exception):
    """The read model was not rebuilt; the live one is as it was."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild did."""

    events: int
    rows: int
    parked: int
    position: int
    seconds: float


class Index(NamedTuple):
    """An index of the live table, and how it is made on the one that takes its place."""

    name: str
    definition: str
    constraint: str | None
    constraint_definition: str | None

    def create(self, table: str, name: str) -> str:
        """Return the statement that makes it under another name."""
        if self.constraint is not None:
            return f"ALTER TABLE {table} ADD CONSTRAINT {name} {self.constraint_definition}"
        head, _, how = self.definition.partition(" USING ")
        unique = "UNIQUE " if head.startswith("CREATE UNIQUE") else ""
        return f"CREATE {unique}INDEX {name} ON {table} USING {how}"


@dataclass(slots=True)
class Rebuild:
    """One rebuild of one read model. Another one of the same model at the same time is refused."""

    database: Database
    codec: EventCodec
    vault: Vault
    model: ReadModel[Any]
    tell: Tell = lambda _done, _total: None
    table: ReadTable = field(init=False)
    live: str = field(init=False)
    generation: int = 0
    position: int = 0
    log_id: UUID | None = None
    events: int = 0
    total: int = 0
    rows: int = 0
    discarded: set[tuple[UUID, int]] = field(default_factory=set)
    poisons: dict[UUID, Poison] = field(default_factory=dict)
    boards: dict[UUID, UUID] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.live = self.model.table
        self.table = ReadTable(self.model, f"{self.live}_next")

    async def run(self) -> Rebuilt:
        """Rebuild and swap; raises `RebuildFailed`. Killed at any moment, the live table is as it was."""
        began = time.monotonic()
        async with self._alone() as connection:
            indexes = await self._begin(connection)
            try:
                await self._fold_streams()
                for number, index in enumerate(indexes):
                    statement = index.create(self.table.table, self._index_name(number))
                    await connection.execute(statement.encode())
                await connection.execute(f"ANALYZE {self.table.table}".encode())
                await self._swap(connection, indexes)
            except RebuildFailed:
                await connection.execute(f"DROP TABLE IF EXISTS {self.table.table}".encode())
                raise
            await connection.execute(OLD_GATES, [self.model.name, self.generation])
        return Rebuilt(
            self.events, self.rows, len(self.poisons), self.position, time.monotonic() - began
        )

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[Connection]:
        connection = await self.database.connect()
        async with connection:
            cursor = await connection.execute(LOCK_REBUILD, [self.model.name])
            if await cursor.fetchone() != (True,):
                raise RebuildFailed(f"{self.model.name} is being rebuilt by another process")
            yield connection

    async def _begin(self, connection: Connection) -> list[Index]:
        cursor = await connection.execute(STAND, [self.model.name])
        row = await cursor.fetchone()
        assert row is not None
        self.position, self.log_id, generation = row
        self.generation = (generation or 0) + 1
        # What a rebuild that was cut off left behind.
        await connection.execute(OLD_GATES, [self.model.name, generation or 0])
        await connection.execute(SHADOW.format(shadow=self.table.table, table=self.live).encode())
        cursor = await connection.execute(DISCARDS, [self.model.name])
        self.discarded = {(stream, version) for stream, version in await cursor.fetchall()}
        cursor = await connection.execute(INDEXES, [self.live])
        return [Index(*row) for row in await cursor.fetchall()]

    def _index_name(self, number: int) -> str:
        return f"{self.table.table}_{number}"

    # Stream by stream -------------------------------------------------------------------------------

    async def _fold_streams(self) -> None:
        """Write each part while the next is folded."""
        writing: asyncio.Task[None] | None = None
        try:
            async with aclosing(self._whole_streams()) as folds:
                async for fold in folds:
                    if writing is not None:
                        await writing
                    writing = asyncio.create_task(self._insert(fold))
            if writing is not None:
                await writing
        finally:
            if writing is not None:
                await end([writing])

    async def _whole_streams(self) -> AsyncGenerator[Fold, None]:
        values = {"nouns": list(prefixes(self.model)), "head": self.position}
        fold = self._empty()
        async with await self.database.connect(jit="off") as reading, reading.transaction():
            cursor = await reading.execute(COUNT, values)
            counted = await cursor.fetchone()
            self.total = int(counted[0]) if counted else 0
            async with reading.cursor("by_stream") as events:
                await events.execute(BY_STREAM, values)
                while found := await events.fetchmany(READ_EVENTS_MAX):
                    batch = [Envelope.of(row, self.codec) for row in found]
                    await load_keys(self.vault, batch)
                    self._take(fold, batch)
                    # The last stream may go on: its row is not whole yet.
                    whole, fold = fold, self._go_on(fold, batch[-1].stream_id)
                    self._note(whole, len(batch))
                    yield whole
        yield fold

    def _take(self, fold: Fold, batch: Sequence[Envelope]) -> None:
        if self.model.key is not row_of_stream:
            for envelope in batch:
                fold.take(envelope)
            return
        for _, envelopes in groupby(batch, key=attrgetter("stream_id")):
            fold.take_stream(list(envelopes))

    def _empty(self) -> Fold:
        return Fold(self.model, self.vault, self.discarded, set(self.poisons))

    def _go_on(self, fold: Fold, stream_id: UUID) -> Fold:
        """Return the next fold with what the last one knows of a stream, which it gives away."""
        going_on = self._empty()
        going_on.parked = {stream_id} & (fold.poisons.keys() | fold.parked)
        if stream_id in fold.advanced:
            going_on.gates[stream_id] = fold.advanced[stream_id]
            going_on.advanced[stream_id] = fold.advanced.pop(stream_id)
        if self.table.keeps_rows:
            of_stream = (
                [stream_id] if self.model.key is row_of_stream
                else [key for key, of in fold.streams.items() if of == stream_id]
            )  # fmt: skip
            for key in of_stream:
                if key not in fold.changed:
                    continue
                going_on.rows[key] = going_on.changed[key] = fold.changed.pop(key)
                going_on.streams[key] = stream_id
        return going_on

    def _note(self, fold: Fold, events: int) -> None:
        self.events += events
        self.poisons.update(fold.poisons)
        self.boards.update(fold.boards)
        if len(self.poisons) > PARKED_MAX:
            raise RebuildFailed(f"more than {PARKED_MAX} streams can't be folded")
        self.tell(self.events, max(self.total, self.events))

    async def _insert(self, fold: Fold) -> None:
        async with self.database.system() as connection:
            await self._write(connection, fold, ROWS)

    async def _write(self, connection: Connection, fold: Fold, statement: str) -> None:
        self._hold_back(fold)
        rows = [row for row in fold.changed.values() if row is not None]
        try:
            await self._write_rows(connection, rows, statement)
        except RowRefused:
            await self._write_by_stream(connection, fold, statement)
        if fold.advanced:
            values = {
                "model": self.model.name, "generation": self.generation,
                "gates": encoded({str(stream): at for stream, at in fold.advanced.items()}),
            }  # fmt: skip
            await connection.execute(GATES, values)

    async def _write_rows(
        self, connection: Connection, rows: Sequence[Any], statement: str, *, probe: bool = False
    ) -> None:
        if not rows:
            return
        columns = self.table.columns
        text = statement.format(
            table=self.table.table,
            columns=", ".join(columns),
            columns_of_row=", ".join(f"r.{column}" for column in columns),
            changes=", ".join(f"{c} = excluded.{c}" for c in columns if c != "id"),
        )
        values = {"rows": encoded(rows)}
        async with connection.transaction(force_rollback=probe):
            await execute(connection, text, values)
        if not probe:
            self.rows += len(rows)

    # What the database refuses ----------------------------------------------------------------------

    def _hold_back(self, fold: Fold) -> None:
        """Drop what was folded of streams of which an earlier row was refused meanwhile."""
        for stream_id in self.poisons.keys() & fold.advanced.keys():
            if fold.advanced[stream_id] >= self.poisons[stream_id].stream_version:
                del fold.advanced[stream_id]
                for key in [key for key, of in fold.streams.items() if of == stream_id]:
                    fold.changed.pop(key, None)

    async def _write_by_stream(self, connection: Connection, fold: Fold, statement: str) -> None:
        rows: dict[UUID, list[Any]] = {}
        for key, row in fold.changed.items():
            if row is not None:
                rows.setdefault(fold.streams[key], []).append(row)
        for stream_id, of_stream in rows.items():
            try:
                await self._write_rows(connection, of_stream, statement)
            except RowRefused:
                await self._write_until_refused(connection, fold, stream_id, statement)

    async def _write_until_refused(
        self, connection: Connection, fold: Fold, stream_id: UUID, statement: str
    ) -> None:
        """Fold a stream once more, event by event, up to the one whose row is refused."""
        cursor = await connection.execute(OF_STREAM, [stream_id, self.position])
        events = [Envelope.of(row, self.codec) for row in await cursor.fetchall()]
        await load_keys(self.vault, events)
        alone, good, gate = Fold(self.model, self.vault, self.discarded), dict[UUID, Any](), 0
        for envelope in events:
            alone.take(envelope)
            rows = {key: row for key, row in alone.changed.items() if row is not None}
            try:
                await self._write_rows(connection, list(rows.values()), ROWS, probe=True)
            except RowRefused as refused:
                error = refused.__cause__ or refused
                self.poisons[stream_id] = Poison.of(self.model.name, envelope, error)
                break
            good.update({key: row for key, row in rows.items() if key in fold.changed})
            gate = alone.gates.get(stream_id, 0)
            if not self.table.keeps_rows:
                alone.changed.clear()
        if stream_id in good and self.table.says_stale:
            good[stream_id] = replace(good[stream_id], stale=True)
        fold.advanced.pop(stream_id, None)
        if gate:
            fold.advanced[stream_id] = gate
        await self._write_rows(connection, list(good.values()), statement)

    # In the log's order -----------------------------------------------------------------------------

    async def _catch_up(self, connection: Connection) -> bool:
        """Fold the next events of the log; tell whether there may be more."""
        cursor = await connection.execute(SINCE.encode(), [self.position])
        found = [Envelope.of(row, self.codec) for row in await cursor.fetchall()]
        if not found:
            return False
        nouns = prefixes(self.model)
        batch = [e for e in found if e.type.partition(".")[0] in nouns]
        if batch:
            await load_keys(self.vault, batch)
            fold = self._empty()
            keys = {key for e in batch if (key := key_of(self.model, e)) is not None}
            wanted = Wanted(keys, {e.stream_id for e in batch}, self.generation)
            loaded = await load(connection, [self.table], {self.model.name: wanted})
            fold.rows = self.table.decode(loaded[self.model.name].rows)
            fold.gates = loaded[self.model.name].gates
            for envelope in batch:
                fold.take(envelope)
            self.position = batch[-1].position
            self._note(fold, len(batch))
            await self._write(connection, fold, UPSERT)
        self.position = found[-1].position
        return len(found) == CATCH_UP_EVENTS_MAX

    async def _swap(self, connection: Connection, indexes: Sequence[Index]) -> None:
        for _ in range(SWAP_TRIES_MAX):
            while await self._catch_up(connection):
                pass
            before, poisons = self.position, dict(self.poisons)
            try:
                async with connection.transaction():
                    await self._take_the_place(connection, indexes)
            except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
                # What was folded in the transaction is folded again.
                self.position, self.poisons = before, poisons
                await asyncio.sleep(SWAP_PAUSE_S)
            else:
                return
        raise RebuildFailed(f"{self.live} is always in use")

    async def _take_the_place(self, connection: Connection, indexes: Sequence[Index]) -> None:
        # The table first, then the checkpoint: as a batch of the runner takes them.
        await connection.execute(f"SET LOCAL lock_timeout = {SWAP_LOCK_MS}".encode())
        await connection.execute(f"LOCK TABLE {self.live} IN ACCESS EXCLUSIVE MODE".encode())
        cursor = await connection.execute(
            "SELECT FROM checkpoints WHERE name = %s FOR UPDATE", [self.model.name]
        )
        # Workers fold ahead of the checkpoint, and whatever they folded is in the log by now.
        cursor = await connection.execute(
            "SELECT log_id = %s, position FROM log_head", [self.log_id]
        )
        row = await cursor.fetchone()
        while row is not None and row[0] and self.position < row[1]:
            await self._catch_up(connection)
        shadow = self.table.table
        statements = [
            f"DROP TABLE {self.live}",
            f"ALTER TABLE {shadow} RENAME TO {self.live}",
            *(f"ALTER INDEX {self._index_name(n)} RENAME TO {index.name}"
              for n, index in enumerate(indexes)),
        ]  # fmt: skip
        await connection.execute("; ".join(statements).encode())
        values = {
            "name": self.model.name, "log_id": self.log_id, "position": self.position,
            "version": self.model.version, "generation": self.generation,
        }  # fmt: skip
        await connection.execute(CHECKPOINT, values)
        await self._park(connection)
        if self.model.boards is not no_boards:
            # Whatever a client has kept of a board may differ from now on.
            await connection.execute(RAISE_REVISIONS.encode())
            boards = [{"board_id": b, "workspace_id": w} for b, w in self.boards.items()]
            statement = REVISIONS.format(boards="%s::json", condition="true")
            await connection.execute(statement.encode(), [msgspec.json.encode(boards).decode()])

    async def _park(self, connection: Connection) -> None:
        await replace_parked(connection, self.model.name, list(self.poisons.values()))
