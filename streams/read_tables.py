"""Where rows of read models are kept: loaded and written for many models in one statement each."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

import msgspec
import psycopg

from infra.postgres import Connection
from projections.read_model import ReadModel, row_of_event
from streams.fold import Fold, Poison

# Classes of SQLSTATE by which the database refuses a row for good: bad data, a broken constraint,
# and what is too large for an index. Anything else is an outage, or a defect that is no row's fault.
REFUSES_ROW = ("22", "23", "54")

# What a batch writes are parameters of their own: to find a member of one document, all of it is parsed each time.
MOVE = """
WITH moved AS (
    UPDATE checkpoints c SET position = m."to", updated_at = now()
    FROM json_to_recordset(%(marks)s::json) AS m(name text, "from" bigint, "to" bigint, epoch bigint)
    WHERE c.name = m.name AND c.position = m."from" AND c.epoch = m.epoch AND c.log_id = %(log_id)s
    RETURNING c.name, c.generation),
ready AS MATERIALIZED (SELECT array_agg(name) AS names FROM moved)"""
# Where positions are kept by partition, and whoever writes holds a lock that a change from outside waits for.
STAY = """
WITH moved AS (
    SELECT c.name, c.generation
    FROM checkpoints c, json_to_recordset(%(marks)s::json) AS m(name text, epoch bigint)
    WHERE c.name = m.name AND c.epoch = m.epoch AND c.log_id = %(log_id)s),
ready AS MATERIALIZED (SELECT array_agg(name) AS names FROM moved)"""
UPSERT = """,
rows_{name} AS (
    INSERT INTO {table} ({columns})
    SELECT {columns_of_row} FROM ready, json_populate_recordset(NULL::{table}, %(rows_{name})s::json) r
    WHERE '{name}' = ANY (ready.names)
    ON CONFLICT (id) DO UPDATE SET {changes})"""
DELETE = """,
gone_{name} AS (
    DELETE FROM {table} WHERE id IN (
        SELECT gone.id FROM ready, unnest(%(gone_{name})s::uuid[]) AS gone(id)
        WHERE '{name}' = ANY (ready.names)))"""
GATES = """,
gates AS (
    INSERT INTO stream_gates (model, generation, stream_id, version)
    SELECT moved.name, moved.generation, g.key::uuid, g.value::integer
    FROM ready, json_each(%(gates)s::json) of_model JOIN moved ON moved.name = of_model.key,
        json_each_text(of_model.value) g
    ON CONFLICT (model, generation, stream_id) DO UPDATE SET version = excluded.version)"""
NOW_MS = "extract(epoch FROM clock_timestamp()) * 1000"
# Revisions grow with the time: one that was lost, in a crash or by a restore, is given to no other state of
# the board. Boards are locked in one order by all who fold, else two would wait for each other.
REVISIONS = f"""
    INSERT INTO board_revisions AS b (board_id, workspace_id, revision)
    SELECT r.board_id, r.workspace_id, {NOW_MS}
    FROM json_to_recordset({{boards}}) AS r(board_id uuid, workspace_id uuid)
    WHERE {{condition}} ORDER BY r.board_id
    ON CONFLICT (board_id) DO UPDATE SET revision = greatest(b.revision + 1, excluded.revision)"""
RAISE_REVISIONS = f"UPDATE board_revisions SET revision = greatest(revision + 1, {NOW_MS})"
NOTED = "model, stream_id, workspace_id, position, stream_version, event_type, error, place"
POISONS = """json_to_recordset({poisons}) AS p(model text, stream_id uuid, workspace_id uuid,
    position bigint, stream_version integer, event_type text, error text, place text, tell boolean)"""
PARK = f"""
    INSERT INTO parked_events ({NOTED}) SELECT {NOTED} FROM {POISONS} WHERE {{condition}}
    ON CONFLICT (model, stream_id) DO UPDATE SET position = excluded.position,
        stream_version = excluded.stream_version, event_type = excluded.event_type,
        error = excluded.error, place = excluded.place, parked_at = now()"""
NEWS = f"""
    INSERT INTO projection_news (kind, {NOTED}) SELECT {{kind}}, {NOTED} FROM {POISONS}
    WHERE tell AND {{condition}}"""
OF_READY = "model = ANY ((SELECT names FROM ready)::text[])"

ABOUT_PARKING = "system.projection_"
"""How the types of events begin whose parking is not told: it would be parked in turn, for ever."""


class RowRefused(Exception):
    """A row that can't be encoded, or that the database refuses whenever it is asked."""


class Loaded(msgspec.Struct):
    """What a model's tables hold of a batch."""

    rows: msgspec.Raw
    gates: dict[UUID, int]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The rows and gates that a batch needs."""

    keys: Collection[UUID]
    streams: Collection[UUID]
    generation: int


@dataclass(frozen=True, slots=True)
class Mark:
    """A model's checkpoint is moved from where it must be; `epoch` says that nobody was there meanwhile."""

    name: str
    start: int
    end: int
    epoch: int


class ReadTable:
    """A model's table, or the one that is built to take its place."""

    def __init__(self, model: ReadModel[Any], table: str | None = None) -> None:
        self.model = model
        self.table = table or model.table
        self.columns = [field.name for field in dataclasses.fields(model.row)]
        self.keeps_rows = model.key is not row_of_event
        """False where an event never meets a row: there is nothing to load."""
        self.says_stale = "stale" in self.columns
        self._rows = msgspec.json.Decoder(list[model.row])  # type: ignore[name-defined]

    @property
    def load(self) -> str:
        """The members of a JSON object that holds rows and gates."""
        name = self.model.name
        rows = f"SELECT json_agg(r) FROM {self.table} r WHERE id = ANY (%({name}_keys)s)"
        gates = (
            "SELECT json_object_agg(stream_id, version) FROM stream_gates"
            f" WHERE model = '{name}' AND generation = %({name}_generation)s"
            f" AND stream_id = ANY (%({name}_streams)s)"
        )
        return (
            f"'{name}', json_build_object('rows', coalesce(({rows}), '[]'),"
            f" 'gates', coalesce(({gates}), '{{}}'))"
        )

    @property
    def upsert(self) -> str:
        """The part of a batch's statement that writes rows."""
        columns = self.columns
        return UPSERT.format(
            name=self.model.name,
            table=self.table,
            columns=", ".join(columns),
            columns_of_row=", ".join(f"r.{column}" for column in columns),
            changes=", ".join(f"{c} = excluded.{c}" for c in columns if c != "id"),
        )

    @property
    def delete(self) -> str:
        """The part of a batch's statement that removes rows."""
        return DELETE.format(name=self.model.name, table=self.table)

    def decode(self, rows: msgspec.Raw) -> dict[UUID, Any]:
        """Return rows by key."""
        return {row.id: row for row in self._rows.decode(rows)}


_LOADED = msgspec.json.Decoder(dict[str, Loaded])


async def load(
    connection: Connection, tables: Sequence[ReadTable], wanted: Mapping[str, Wanted]
) -> dict[str, Loaded]:
    """Return what the tables hold, for many models by one query."""
    statement = _load_statement(tuple(table.load for table in tables))
    values: dict[str, Any] = {}
    for table in tables:
        name, of_model = table.model.name, wanted[table.model.name]
        values[f"{name}_keys"] = list(of_model.keys) if table.keeps_rows else []
        values[f"{name}_streams"] = list(of_model.streams)
        values[f"{name}_generation"] = of_model.generation
    cursor = await connection.execute(statement, values, prepare=True)
    found = await cursor.fetchone()
    assert found is not None
    return _LOADED.decode(found[0])


async def write(
    connection: Connection,
    log_id: UUID,
    marks: Sequence[Mark],
    folds: Sequence[tuple[ReadTable, Fold]] = (),
    move: str = MOVE,
) -> set[str]:
    """Write rows, gates and checkpoints as one, and return whose checkpoint was where it must be.

    Of the others nothing was written. Raises `RowRefused` where a row is to blame. With `STAY` as `move`
    the checkpoints stay where they are.
    """
    of_marks = [{"name": m.name, "from": m.start, "to": m.end, "epoch": m.epoch} for m in marks]
    values: dict[str, Any] = {"log_id": log_id, "marks": encoded(of_marks)}
    parts = _parts(folds, values)
    statement = "".join([move, *parts, "\nSELECT name FROM moved"])
    cursor = await execute(connection, statement, values)
    return {str(name) for (name,) in await cursor.fetchall()}


def encoded(value: Any) -> str:
    """Return what is written as JSON; raise `RowRefused` for a row that can't be."""
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        raise RowRefused from error


async def execute(
    connection: Connection, statement: str, values: Mapping[str, Any]
) -> psycopg.AsyncCursor[tuple[Any, ...]]:
    """Execute a writing statement; raise `RowRefused` where what it writes is to blame."""
    try:
        return await connection.execute(statement.encode(), values, prepare=True)
    except psycopg.Error as error:
        if error.sqlstate is not None and error.sqlstate[:2] in REFUSES_ROW:
            raise RowRefused from error
        raise


def noted(poisons: Collection[Poison]) -> list[dict[str, Any]]:
    """Return what is written of parked streams; `tell` where the log hears of it."""
    return [
        {**dataclasses.asdict(p), "tell": not p.event_type.startswith(ABOUT_PARKING)}
        for p in poisons
    ]


def _parts(folds: Sequence[tuple[ReadTable, Fold]], values: dict[str, Any]) -> list[str]:
    """Return the parts of a batch's statement, and add what they write to its parameters."""
    parts = []
    for table, fold in folds:
        name = table.model.name
        if rows := [row for row in fold.changed.values() if row is not None]:
            values[f"rows_{name}"] = encoded(rows)
            parts.append(table.upsert)
        if gone := [key for key, row in fold.changed.items() if row is None]:
            values[f"gone_{name}"] = gone
            parts.append(table.delete)
    if gates := {table.model.name: fold.advanced for table, fold in folds if fold.advanced}:
        values["gates"] = encoded(gates)
        parts.append(GATES)
    if boards := {board: of for _, fold in folds for board, of in fold.boards.items()}:
        values["boards"] = encoded([{"board_id": b, "workspace_id": w} for b, w in boards.items()])
        touched = REVISIONS.format(
            boards="%(boards)s::json", condition="(SELECT names FROM ready) IS NOT NULL"
        )
        parts.append(f",\nrevisions AS ({touched})")
    if poisons := [poison for _, fold in folds for poison in fold.poisons.values()]:
        values["poisons"] = encoded(noted(poisons))
        of_ready = {"poisons": "%(poisons)s::json", "condition": OF_READY}
        news = NEWS.format(kind="'parked'", **of_ready)
        parts.append(f",\nparked AS ({PARK.format(**of_ready)}),\nnews AS ({news})")
    return parts


@cache
def _load_statement(members: tuple[str, ...]) -> bytes:
    return f"SELECT json_build_object({', '.join(members)})::text".encode()
