"""Runs a read model in-process: fold a batch of the log in memory, write rows and checkpoint as one."""

import asyncio
import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any, Self
from uuid import UUID

import msgspec
import psycopg

from infra.envelopes import Envelope
from infra.logging import log
from infra.marks import Marks
from infra.postgres import Connection, Database
from projections.read_model import ReadModel
from streams.follower import Follower

BATCH_EVENTS_MAX = 500
RETRY_PAUSE_S = 0.5

GATES = """
INSERT INTO stream_gates (model, stream_id, version)
SELECT %s, g.key::uuid, g.value::integer FROM json_each_text(%s::json) g
ON CONFLICT (model, stream_id) DO UPDATE SET version = excluded.version"""
REVISIONS = """
INSERT INTO board_revisions (board_id, workspace_id, revision)
SELECT board_id, workspace_id, 1 FROM json_to_recordset(%s::json) AS b(board_id uuid, workspace_id uuid)
ON CONFLICT (board_id) DO UPDATE SET revision = board_revisions.revision + 1"""


class Projector:
    """Keeps one read model's table up to the log. One process at a time runs it."""

    def __init__(
        self, database: Database, follower: Follower, model: ReadModel[Any], marks: Marks
    ) -> None:
        self._database = database
        self._follower = follower
        self._marks = marks
        self.model = model
        self._row_type = list[model.row]  # type: ignore[name-defined]
        self._task: asyncio.Task[None] | None = None
        columns = [field.name for field in dataclasses.fields(model.row)]
        names = ", ".join(columns)
        changes = ", ".join(f"{name} = excluded.{name}" for name in columns if name != "id")
        self._load = (
            f"SELECT coalesce(json_agg(r), '[]')::text FROM {model.table} r"
            " WHERE id IN (SELECT value::uuid FROM json_array_elements_text(%s::json))"
        )
        self._write = (
            f"INSERT INTO {model.table} ({names}) SELECT {names}"
            f" FROM json_populate_recordset(NULL::{model.table}, %s)"
            f" ON CONFLICT (id) DO UPDATE SET {changes}"
        )

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name=f"projector {self.model.name}")
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            try:
                await self._follow()
            except (psycopg.Error, OSError) as error:
                # The database is away: wait for it, for ever, and lose nothing.
                log.warning("projection waits", projection=self.model.name, error=str(error))
                await asyncio.sleep(RETRY_PAUSE_S)
            except Exception:  # noqa: BLE001 - seen in the log and in doctor's lag, never skipped
                log.exception("projection failed", projection=self.model.name)
                await asyncio.sleep(RETRY_PAUSE_S)

    async def _follow(self) -> None:
        position = await self._follower.checkpoint(self.model.name)
        self._marks.note(self.model.name, position)
        while True:
            await self._follower.wait_beyond(position)
            batch = await self._follower.read(position, BATCH_EVENTS_MAX)
            async with self._database.system() as connection, connection.transaction():
                await self._apply(connection, batch)
            position = batch[-1].position
            self._marks.note(self.model.name, position)

    async def _apply(self, connection: Connection, batch: Sequence[Envelope]) -> None:
        followed = {kind.TOPIC.split(".")[0] for kind in self.model.on}
        events = [e for e in batch if e.type.split(".")[0] in followed]
        if events:
            await self._apply_events(connection, events)
        await self._follower.save_checkpoint(connection, self.model.name, batch[-1].position)

    async def _apply_events(self, connection: Connection, events: Sequence[Envelope]) -> None:
        streams = list({envelope.stream_id for envelope in events})
        gates = await self._gates(connection, streams)
        rows = await self._rows(connection, streams)
        boards: dict[UUID, UUID] = {}
        for envelope in events:
            stream = envelope.stream_id
            if envelope.stream_version <= gates.get(stream, 0):
                continue  # seen before: a duplicate changes nothing
            before = rows.get(stream)
            after = self.model.apply(before, envelope.event)
            gates[stream] = envelope.stream_version
            if after is not None:
                rows[stream] = after
            for row in (before, after):
                if row is not None:
                    boards.update(dict.fromkeys(self.model.boards(row), envelope.workspace_id))
        await self._save(connection, rows, gates, boards)

    async def _gates(self, connection: Connection, streams: list[UUID]) -> dict[UUID, int]:
        cursor = await connection.execute(
            "SELECT stream_id, version FROM stream_gates WHERE model = %s AND stream_id IN"
            " (SELECT value::uuid FROM json_array_elements_text(%s::json))",
            [self.model.name, _json(streams)],
        )
        return dict(await cursor.fetchall())

    async def _rows(self, connection: Connection, streams: list[UUID]) -> dict[UUID, Any]:
        cursor = await connection.execute(self._load, [_json(streams)])
        found = await cursor.fetchone()
        assert found is not None
        return {row.id: row for row in msgspec.json.decode(found[0], type=self._row_type)}

    async def _save(
        self,
        connection: Connection,
        rows: dict[UUID, Any],
        gates: dict[UUID, int],
        boards: dict[UUID, UUID],
    ) -> None:
        touched = [{"board_id": b, "workspace_id": w} for b, w in boards.items()]
        async with connection.pipeline():
            await connection.execute(self._write, [_json(list(rows.values()))])
            await connection.execute(GATES, [self.model.name, _json(gates)])
            await connection.execute(REVISIONS, [_json(touched)])


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
