"""Runs a read model in-process: fold a batch of the log in memory, write rows and checkpoint as one."""

import dataclasses
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec

from infra.envelopes import Envelope
from infra.marks import Marks
from infra.postgres import Database
from infra.vault import Vault, subjects_of
from projections.read_model import ReadModel
from streams.follower import Follower
from streams.job import Job

BATCH_EVENTS_MAX = 500

# One statement is one transaction. Where the checkpoint is not where this batch began, somebody else
# projects too, and nothing is written.
WRITE = """
WITH input AS (SELECT %(batch)s::json AS doc),
moved AS (
    INSERT INTO checkpoints AS c (name, log_id, position)
    SELECT doc->>'name', (doc->>'log_id')::uuid, (doc->>'to')::bigint FROM input
    ON CONFLICT (name) DO UPDATE SET position = excluded.position, updated_at = now()
        WHERE c.position = (SELECT (doc->>'from')::bigint FROM input) AND c.log_id = excluded.log_id
    RETURNING name),
rows AS (
    INSERT INTO {table} ({columns})
    SELECT {columns_of_row} FROM moved, input, json_populate_recordset(NULL::{table}, doc->'rows') r
    ON CONFLICT (id) DO UPDATE SET {changes}),
gates AS (
    INSERT INTO stream_gates (model, stream_id, version)
    SELECT moved.name, g.key::uuid, g.value::integer FROM moved, input, json_each_text(doc->'gates') g
    ON CONFLICT (model, stream_id) DO UPDATE SET version = excluded.version),
revisions AS (
    INSERT INTO board_revisions AS b (board_id, workspace_id, revision)
    SELECT r.board_id, r.workspace_id, 1 FROM moved, input,
        json_to_recordset(doc->'boards') AS r(board_id uuid, workspace_id uuid)
    ON CONFLICT (board_id) DO UPDATE SET revision = b.revision + 1)
SELECT count(*) FROM moved"""
LOAD = """
SELECT coalesce((SELECT json_agg(r) FROM {table} r WHERE id = ANY (%(keys)s)), '[]')::text,
    coalesce((SELECT json_object_agg(stream_id, version) FROM stream_gates
        WHERE model = %(model)s AND stream_id = ANY (%(streams)s)), '{{}}')::text"""


class NotAlone(Exception):
    """Another process projects the same read model."""


def opened(envelope: Envelope, vault: Vault) -> Envelope:
    """Return an event with its personal fields as text: read models hold what people read."""
    event = vault.opened(envelope.event)
    return envelope if event is envelope.event else envelope.with_event(event)


class Projector(Job):
    """Keeps one read model's table up to the log. One process at a time runs it."""

    def __init__(
        self,
        database: Database,
        follower: Follower,
        model: ReadModel[Any],
        marks: Marks,
        vault: Vault,
    ) -> None:
        super().__init__(model.name)
        self._database = database
        self._follower = follower
        self._marks = marks
        self._vault = vault
        self.model = model
        self._rows = msgspec.json.Decoder(list[model.row])  # type: ignore[name-defined]
        self._gates = msgspec.json.Decoder(dict[UUID, int])
        self._followed = {kind.TOPIC.split(".")[0] for kind in model.on}
        columns = [field.name for field in dataclasses.fields(model.row)]
        self._load = LOAD.format(table=model.table)
        self._write = WRITE.format(
            table=model.table,
            columns=", ".join(columns),
            columns_of_row=", ".join(f"r.{name}" for name in columns),
            changes=", ".join(f"{name} = excluded.{name}" for name in columns if name != "id"),
        )

    async def work(self) -> None:
        saved = await self._follower.checkpoint(self.model.name)
        self._marks.note(self.model.name, saved)
        position = saved
        while True:
            if not await self._follower.waited_beyond(position) and saved < position:
                await self._save(saved, position, {}, {}, {})
                saved = position
            batch = await self._follower.read(position, BATCH_EVENTS_MAX)
            if not batch:
                continue
            position = batch[-1].position
            events = [e for e in batch if e.type.split(".")[0] in self._followed]
            if events or position - saved > BATCH_EVENTS_MAX:
                # What does not concern this model moves the mark at once and the checkpoint later.
                await self._apply(saved, position, events)
                saved = position
            self._marks.note(self.model.name, position)

    async def _apply(self, start: int, end: int, events: Sequence[Envelope]) -> None:
        keys = [self.model.key(envelope) for envelope in events]
        rows, gates = await self._loaded(
            list(set(keys)), list({envelope.stream_id for envelope in events})
        )
        await self._vault.load(set().union(*(subjects_of(envelope.event) for envelope in events)))
        boards: dict[UUID, UUID] = {}
        for key, envelope in zip(keys, events, strict=True):
            stream = envelope.stream_id
            if envelope.stream_version <= gates.get(stream, 0):
                continue  # seen before: a duplicate changes nothing
            before = rows.get(key)
            after = self.model.apply(before, opened(envelope, self._vault))
            gates[stream] = envelope.stream_version
            if after is not None:
                rows[key] = after
            for row in (before, after):
                if row is not None:
                    boards.update(dict.fromkeys(self.model.boards(row), envelope.workspace_id))
        await self._save(start, end, rows, gates, boards)

    async def _loaded(
        self, keys: list[UUID], streams: list[UUID]
    ) -> tuple[dict[UUID, Any], dict[UUID, int]]:
        if not streams:
            return {}, {}
        async with self._database.system() as connection:
            cursor = await connection.execute(
                self._load, {"keys": keys, "streams": streams, "model": self.model.name}
            )
            found = await cursor.fetchone()
        assert found is not None
        return {row.id: row for row in self._rows.decode(found[0])}, self._gates.decode(found[1])

    async def _save(
        self,
        start: int,
        end: int,
        rows: dict[UUID, Any],
        gates: dict[UUID, int],
        boards: dict[UUID, UUID],
    ) -> None:
        batch = {
            "name": self.model.name, "log_id": self._follower.log_id, "from": start, "to": end,
            "rows": list(rows.values()), "gates": gates,
            "boards": [{"board_id": b, "workspace_id": w} for b, w in boards.items()],
        }  # fmt: skip
        async with self._database.system() as connection:
            cursor = await connection.execute(
                self._write, {"batch": msgspec.json.encode(batch).decode()}
            )
            written = await cursor.fetchone()
        if written != (1,):
            raise NotAlone("the checkpoint was moved by another process")
