"""Keyframes: a board's folded state at intervals, so that its past is near; and events per minute."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from infra.envelopes import Envelope
from infra.history import FORMAT, History
from infra.marks import KEYFRAMES, POLL_S, Marks
from infra.postgres import Connection, Database
from projections.history import NOUNS
from streams.follower import Follower, NotAlone
from streams.job import Job
from streams.room_index import keys_of

BATCH_EVENTS_MAX = 500
PAUSE_S = 0.25
INTERVAL_EVENTS_MIN = 256

OTHER_FORMAT = "SELECT 1 FROM read_keyframes WHERE format <> %s LIMIT 1"
START_AFRESH = """
DELETE FROM read_keyframes;
DELETE FROM read_keyframe_ages;
DELETE FROM read_event_minutes;
DELETE FROM checkpoints WHERE name = 'keyframes'"""
AGES = "SELECT board_id, events, cards FROM read_keyframe_ages WHERE board_id = ANY (%s)"
# Where the checkpoint is not where this batch began, somebody else is at it: nothing is written.
WRITE = """
WITH moved AS (
    INSERT INTO checkpoints AS c (name, log_id, position) VALUES (%(name)s, %(log_id)s, %(to)s)
    ON CONFLICT (name) DO UPDATE SET position = excluded.position, updated_at = now()
        WHERE c.position = %(from)s AND c.log_id = excluded.log_id
    RETURNING name),
ages AS (
    INSERT INTO read_keyframe_ages (board_id, workspace_id, events, cards)
    SELECT r.board_id, r.workspace_id, r.events, r.cards FROM moved,
        json_populate_recordset(NULL::read_keyframe_ages, %(ages)s::json) r
    ON CONFLICT (board_id) DO UPDATE SET events = excluded.events, cards = excluded.cards),
minutes AS (
    INSERT INTO read_event_minutes AS m
    SELECT r.* FROM moved, json_populate_recordset(NULL::read_event_minutes, %(minutes)s::json) r
    ON CONFLICT (workspace_id, minute) DO UPDATE SET events = m.events + excluded.events,
        last_position = excluded.last_position)
SELECT count(*) FROM moved"""
KEYFRAME = """
INSERT INTO read_keyframes (board_id, position, workspace_id, format, state)
VALUES (%s, %s, %s, %s, %s)"""

Minute = tuple[UUID, datetime]


class Keyframes(Job):
    """Makes a keyframe of a board after about as many events as it has cards.

    So one event costs about one card's share of a keyframe, however large the board, and an answer
    folds at most that many events. One process at a time runs it.
    """

    def __init__(
        self,
        database: Database,
        follower: Follower,
        history: History,
        marks: Marks,
        interval_events_min: int = INTERVAL_EVENTS_MIN,
        batch_events_max: int = BATCH_EVENTS_MAX,
    ) -> None:
        super().__init__(KEYFRAMES)
        self._database = database
        self._follower = follower
        self._history = history
        self._marks = marks
        self._interval_events_min = interval_events_min
        self._batch_events_max = batch_events_max

    async def work(self) -> None:
        await self._drop_other_formats()
        position = await self._follower.checkpoint(KEYFRAMES)
        self._marks.note(KEYFRAMES, position)
        while True:
            await self._follower.wait_beyond(position)
            batch = await self._follower.read(position, self._batch_events_max)
            # A keyframe is folded by way of the index of rooms, which another job writes.
            while await self._history.indexed() < batch[-1].position:  # noqa: ASYNC110 - its mark is a row
                await asyncio.sleep(POLL_S)
            await self._take(position, batch)
            position = batch[-1].position
            self._marks.note(KEYFRAMES, position)
            if len(batch) < self._batch_events_max:
                # Nobody waits for keyframes, and many events at once cost little more than one.
                await asyncio.sleep(PAUSE_S)

    async def _drop_other_formats(self) -> None:
        async with self._database.system() as connection:
            if await (await connection.execute(OTHER_FORMAT, [FORMAT])).fetchone():
                async with connection.transaction():
                    await connection.execute(START_AFRESH)

    async def _take(self, start: int, batch: Sequence[Envelope]) -> None:
        end = batch[-1].position
        owners, events = _boards(batch)
        ages = await self._ages(list(owners))
        rows: list[dict[str, Any]] = []
        keyframes: list[tuple[UUID, int, UUID, str, bytes]] = []
        for board_id, workspace_id in owners.items():
            since, cards = ages.get(board_id, (0, 0))
            since += events[board_id]
            if since >= max(self._interval_events_min, cards):
                state = await self._history.board(workspace_id, board_id, end)
                frozen = await asyncio.to_thread(self._history.frozen, state)
                keyframes.append((board_id, end, workspace_id, FORMAT, frozen))
                since, cards = 0, len(state.cards)
            rows.append(
                {
                    "board_id": board_id,
                    "workspace_id": workspace_id,
                    "events": since,
                    "cards": cards,
                }
            )
        values = {
            "name": KEYFRAMES, "log_id": self._follower.log_id, "from": start, "to": end,
            "ages": msgspec.json.encode(rows).decode(),
            "minutes": msgspec.json.encode(_minutes(batch)).decode(),
        }  # fmt: skip
        async with self._database.system() as connection, connection.transaction():
            await self._write(connection, values, keyframes)

    async def _write(
        self,
        connection: Connection,
        values: dict[str, Any],
        keyframes: Sequence[tuple[UUID, int, UUID, str, bytes]],
    ) -> None:
        written = await (await connection.execute(WRITE, values)).fetchone()
        if written != (1,):
            raise NotAlone("the checkpoint was moved by another process")
        for keyframe in keyframes:
            await connection.execute(KEYFRAME, keyframe)

    async def _ages(self, board_ids: list[UUID]) -> dict[UUID, tuple[int, int]]:
        if not board_ids:
            return {}
        async with self._database.system() as connection:
            rows = await (await connection.execute(AGES, [board_ids])).fetchall()
        return {board_id: (events, cards) for board_id, events, cards in rows}


def _boards(batch: Sequence[Envelope]) -> tuple[dict[UUID, UUID], Counter[UUID]]:
    """Return whose each touched board is, and how many events it had."""
    owners: dict[UUID, UUID] = {}
    events: Counter[UUID] = Counter()
    for envelope in batch:
        if envelope.type.startswith(NOUNS):
            for key in keys_of(envelope):
                noun, _, text = key.partition(":")
                if noun == "board":
                    owners[UUID(text)] = envelope.workspace_id
                    events[UUID(text)] += 1
    return owners, events


def _minutes(batch: Sequence[Envelope]) -> list[dict[str, Any]]:
    """Return the rows of `read_event_minutes` that a batch adds to."""
    rows: dict[Minute, dict[str, Any]] = {}
    for envelope in batch:
        minute = envelope.recorded_at.replace(second=0, microsecond=0)
        row = rows.setdefault(
            (envelope.workspace_id, minute),
            {"workspace_id": envelope.workspace_id, "minute": minute, "events": 0,
             "first_position": envelope.position},
        )  # fmt: skip
        row["events"] += 1
        row["last_position"] = envelope.position
    return list(rows.values())
