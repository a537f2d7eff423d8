"""The state of things at any moment, from the log: keyframes of boards, and streams folded up to it."""

import asyncio
import hashlib
import time
import zlib
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from domain.board import Column
from infra.codec import EventCodec
from infra.envelopes import COLUMNS, Envelope
from infra.marks import POLL_S, ROOM_INDEX, WAIT_S_MAX, NotCaughtUp
from infra.postgres import Database
from projections.boards import BoardRow
from projections.history import NOUNS, BoardState, advance, arrivals, fold
from projections.missions import MISSIONS, MissionRow
from projections.read_model import ReadModel

R = TypeVar("R", bound=Any)

PAGE_EVENTS = 2000
READERS_MAX = 4  # each holds a board and a page of events, and computes
COMPRESSION_LEVEL = 3
VERSION = 1
"""Raise it when a fold changes its mind about old events: keyframes of another format are made anew."""


AT_POSITION = """
SELECT h.position, e.position, e.recorded_at
FROM log_head h LEFT JOIN events e ON e.position = %(position)s"""
# Positions are gapless and times never fall: a binary search, some twenty looks at the primary key.
AT_TIME = """
WITH RECURSIVE search(low, high) AS (
    SELECT 0::bigint, position FROM log_head
    UNION ALL
    SELECT CASE WHEN e.before THEN m.middle ELSE low END,
        CASE WHEN e.before THEN high ELSE m.middle - 1 END
    FROM search CROSS JOIN LATERAL (SELECT (low + high + 1) / 2 AS middle) m
    CROSS JOIN LATERAL (SELECT recorded_at < %(time)s::timestamptz
        OR (%(inclusive)s AND recorded_at = %(time)s::timestamptz) AS before
        FROM events WHERE position = m.middle LIMIT 1) e
    WHERE low < high)
SELECT h.position, CASE WHEN %(time)s::timestamptz <= clock_timestamp() THEN s.low END,
    (SELECT recorded_at FROM events WHERE position = s.low)
FROM log_head h, (SELECT low FROM search WHERE low >= high LIMIT 1) s"""
INDEXED = """
SELECT coalesce((SELECT c.position FROM checkpoints c JOIN log_head h ON h.log_id = c.log_id
    WHERE c.name = %s), 0)"""
KEYFRAME = """
SELECT position, state FROM read_keyframes
WHERE board_id = %s AND workspace_id = %s AND position <= %s AND format = %s
ORDER BY position DESC LIMIT 1"""
# The inner LIMIT makes one look at the primary key for each row of the index, whatever the planner
# thinks of the index's statistics.
OF_BOARD = f"""
SELECT e.* FROM (SELECT position FROM room_index
    WHERE room = %(room)s AND workspace_id = %(workspace)s AND position > %(after)s AND position <= %(upto)s
    ORDER BY position LIMIT %(limit)s) r
CROSS JOIN LATERAL (SELECT {COLUMNS} FROM events
    WHERE events.position = r.position AND workspace_id = %(workspace)s LIMIT 1) e
ORDER BY r.position"""
OF_STREAMS = f"""
SELECT {COLUMNS} FROM events
WHERE stream_id = ANY (%s) AND workspace_id = %s AND position <= %s AND starts_with(type, %s)
ORDER BY stream_id, stream_version"""
OF_STREAM = f"""
SELECT {COLUMNS} FROM events
WHERE stream_id = %s AND workspace_id = %s AND position <= %s AND starts_with(type, %s)
    AND stream_version > %s
ORDER BY stream_version LIMIT %s"""


class _State(msgspec.Struct):
    board: BoardRow | None
    cards: list[MissionRow]


FORMAT = hashlib.sha256(
    repr((VERSION, [(f.name, f.type) for kind in (BoardRow, Column, MissionRow) for f in fields(kind)]))
    .encode()
).hexdigest()[:16]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Moment:
    """A place in the log."""

    position: int
    recorded_at: datetime | None
    """When the event there was recorded; None before the first event."""


class BeyondTheLog(Exception):
    """The position or time asked for is yet to come; `head` is the newest position."""

    def __init__(self, head: int) -> None:
        super().__init__(f"the log ends at position {head}")
        self.head = head


class History:
    """Reads the past. Everything is asked in the eyes of one workspace, except where times are."""

    def __init__(
        self, database: Database, codec: EventCodec, page_events: int = PAGE_EVENTS
    ) -> None:
        self._database = database
        self._codec = codec
        self._decoder = msgspec.json.Decoder(_State)
        self._page_events = page_events
        self._readers = asyncio.Semaphore(READERS_MAX)

    async def at(self, when: int | datetime, *, inclusive: bool = True) -> Moment:
        """Return a position's moment, or that of the last position at or before a time.

        With `inclusive` off: the last before it. Raises `BeyondTheLog` for what is yet to come.
        """
        values: dict[str, Any]
        if isinstance(when, int):
            statement, values = AT_POSITION, {"position": when}
        else:
            statement, values = AT_TIME, {"time": when, "inclusive": inclusive}
        async with self._database.briefly() as connection:
            row = await (await connection.execute(statement, values)).fetchone()
        assert row is not None, "the schema has the head's row from the first migration on"
        head, position, recorded_at = row
        if position is None and when != 0:
            raise BeyondTheLog(head)
        return Moment(position or 0, recorded_at)

    async def board(self, workspace_id: UUID, board_id: UUID, position: int) -> BoardState:
        """Return a board as of a position; its `board` is None where there was none in the workspace.

        Raises `NotCaughtUp` while the index of rooms is behind that position.
        """
        await self._await_index(position)
        async with self._readers:
            return await self._board(workspace_id, board_id, position)

    async def _board(self, workspace_id: UUID, board_id: UUID, position: int) -> BoardState:
        values = [board_id, workspace_id, position, FORMAT]
        found = await self._database.fetch(workspace_id, KEYFRAME, values)
        state, after = BoardState(), 0
        if found:
            after = found[0][0]
            state = await asyncio.to_thread(self._thawed, found[0][1])
        while after < position:
            page = await self._page(workspace_id, board_id, after, position)
            facts = [envelope for envelope in page if envelope.type.startswith(NOUNS)]
            moved = await asyncio.to_thread(arrivals, board_id, facts)
            arrived = await self.rows(MISSIONS, workspace_id, moved, position)
            state = await asyncio.to_thread(fold, state, board_id, facts, arrived)
            after = page[-1].position if len(page) == self._page_events else position
        return state

    async def row(
        self, model: ReadModel[R], workspace_id: UUID, stream_id: UUID, position: int
    ) -> R | None:
        """Return a read model's row of one stream as of a position, or None before its first event."""
        noun = _noun(model)
        row: R | None = None
        version, full = 0, True
        while full:
            values = [stream_id, workspace_id, position, noun, version, self._page_events]
            found = await self._database.fetch(workspace_id, OF_STREAM, values)
            envelopes = [Envelope.of(each, self._codec) for each in found]
            full = len(envelopes) == self._page_events
            if envelopes:
                version = envelopes[-1].stream_version
                row = await asyncio.to_thread(_folded, model, row, envelopes)
        return row

    def frozen(self, state: BoardState) -> bytes:
        """Return a state as a keyframe holds it."""
        plain = msgspec.json.encode(_State(state.board, list(state.cards.values())))
        return zlib.compress(plain, COMPRESSION_LEVEL)

    def _thawed(self, frozen: bytes) -> BoardState:
        state = self._decoder.decode(zlib.decompress(frozen))
        return BoardState(state.board, {row.id: row for row in state.cards})

    async def _page(
        self, workspace_id: UUID, board_id: UUID, after: int, upto: int
    ) -> list[Envelope]:
        values = {
            "room": f"board:{board_id}", "workspace": workspace_id, "after": after, "upto": upto,
            "limit": self._page_events,
        }  # fmt: skip
        rows = await self._database.fetch(workspace_id, OF_BOARD, values)
        return [Envelope.of(row, self._codec) for row in rows]

    async def rows(
        self, model: ReadModel[R], workspace_id: UUID, stream_ids: set[UUID], position: int
    ) -> dict[UUID, R | None]:
        """Return a read model's rows of some streams as of a position; those that had begun by then."""
        if not stream_ids:
            return {}
        values = [list(stream_ids), workspace_id, position, _noun(model)]
        found = await self._database.fetch(workspace_id, OF_STREAMS, values)
        envelopes = [Envelope.of(row, self._codec) for row in found]
        streams: dict[UUID, list[Envelope]] = {}
        for envelope in envelopes:
            streams.setdefault(envelope.stream_id, []).append(envelope)

        def folded() -> dict[UUID, R | None]:
            return {key: _folded(model, None, events) for key, events in streams.items()}

        return await asyncio.to_thread(folded)

    async def _await_index(self, position: int) -> None:
        deadline = time.monotonic() + WAIT_S_MAX
        while (indexed := await self.indexed()) < position:
            if time.monotonic() > deadline:
                raise NotCaughtUp(indexed)
            await asyncio.sleep(POLL_S)

    async def indexed(self) -> int:
        """Return the position up to which the index of rooms is complete."""
        async with self._database.briefly() as connection:
            row = await (await connection.execute(INDEXED, [ROOM_INDEX])).fetchone()
        return 0 if row is None else int(row[0])


def _noun(model: ReadModel[Any]) -> str:
    return next(iter(model.on)).TOPIC.partition(".")[0] + "."


def _folded(model: ReadModel[R], row: R | None, envelopes: list[Envelope]) -> R | None:
    for envelope in envelopes:
        row = advance(model, row, envelope)
    return row
