"""What happened in a room, from the log: pages for replay, and the position before any other."""

import asyncio
from dataclasses import dataclass
from typing import Any

from infra.envelopes import COLUMNS, Envelope
from infra.marks import ROOM_INDEX
from infra.postgres import Database
from streams.follower import Follower
from streams.room_index import keys_of
from streams.rooms import MEMBERS_NEVER_SEE, Room

PAGE_EVENTS_MAX = 500
READERS_MAX = 4  # a thousand clients that come back at once must not starve the requests

IN_WORKSPACE = """
workspace_id = %(workspace)s AND position > %(after)s AND position <= %(upto)s
AND (%(audit)s OR NOT starts_with(type, %(hidden)s))"""
IN_ROOM = "room = %(room)s AND position > %(after)s AND position <= %(upto)s"
PAGE_OF_WORKSPACE = (
    f"SELECT {COLUMNS} FROM events WHERE {IN_WORKSPACE} ORDER BY position LIMIT %(limit)s"
)
PAGE_OF_ROOM = (
    f"SELECT {COLUMNS} FROM events WHERE position IN (SELECT position FROM room_index WHERE {IN_ROOM}"
    " ORDER BY position LIMIT %(limit)s) ORDER BY position"
)
LAST_OF_WORKSPACE = (
    f"SELECT position FROM events WHERE {IN_WORKSPACE} ORDER BY position DESC LIMIT 1"
)
LAST_OF_ROOM = f"SELECT position FROM room_index WHERE {IN_ROOM} ORDER BY position DESC LIMIT 1"
EXISTS = """
SELECT 1 FROM events WHERE stream_id = %s AND stream_version = 1 AND workspace_id = %s
AND starts_with(type, %s)"""


@dataclass(frozen=True, slots=True)
class Page:
    """Events of a room, oldest first: all that there are up to the position `upto`."""

    events: list[Envelope]
    upto: int


class RoomHistory:
    """Reads rooms. The index may lag behind the log: its missing end is read from the log itself."""

    def __init__(self, database: Database, follower: Follower) -> None:
        self._database = database
        self._follower = follower
        self._readers = asyncio.Semaphore(READERS_MAX)

    async def exists(self, room: Room) -> bool:
        """Tell whether the workspace has such a board, mission or agent, or had it."""
        if room.id == room.workspace_id:
            return True
        rows = await self._database.fetch(
            room.workspace_id, EXISTS, [room.id, room.workspace_id, f"{room.kind}."]
        )
        return bool(rows)

    async def head(self) -> int:
        """Return the log's newest position, which this process may not have seen yet."""
        async with self._database.system() as connection:
            row = await (await connection.execute("SELECT position FROM log_head")).fetchone()
        assert row is not None
        return int(row[0])

    async def page(self, room: Room, after: int, upto: int, limit: int = PAGE_EVENTS_MAX) -> Page:
        """Return the oldest events behind `after`, at most `limit`, none beyond `upto`."""
        async with self._readers:
            events = await self._events(room, after, upto, limit)
        full = len(events) == limit
        return Page(events, events[-1].position if full else upto)

    async def last(self, room: Room, upto: int) -> int:
        """Return the position of the room's newest event not beyond `upto`; 0 where it has none."""
        if upto <= 0:
            return 0
        async with self._readers:
            if room.id == room.workspace_id:
                return await self._newest(room, LAST_OF_WORKSPACE, upto)
            reach = min(upto, await self._indexed())
            if tail := await self._tail(room, reach, upto):
                return tail[-1].position
            return await self._newest(room, LAST_OF_ROOM, reach)

    async def _events(self, room: Room, after: int, upto: int, limit: int) -> list[Envelope]:
        if room.id == room.workspace_id:
            return await self._select(PAGE_OF_WORKSPACE, _values(room, after, upto, limit))
        # Asked before the rows are: all rows up to there are in place.
        reach = min(upto, await self._indexed())
        indexed = _values(room, after, reach, limit)
        events = await self._select(PAGE_OF_ROOM, indexed) if after < reach else []
        if len(events) < limit:
            events += await self._tail(room, max(after, reach), upto)
        return events[:limit]

    async def _indexed(self) -> int:
        async with self._database.system() as connection:
            cursor = await connection.execute(
                "SELECT position FROM checkpoints WHERE name = %s AND log_id = %s",
                [ROOM_INDEX, self._follower.log_id],
            )
            row = await cursor.fetchone()
        return 0 if row is None else int(row[0])

    async def _tail(self, room: Room, after: int, upto: int) -> list[Envelope]:
        found: list[Envelope] = []
        while after < upto and (batch := await self._follower.read(after)):
            found += [e for e in batch if e.position <= upto and room.key in keys_of(e)]
            after = batch[-1].position
        return found

    async def _select(self, page: str, values: dict[str, Any]) -> list[Envelope]:
        rows = await self._database.fetch(values["workspace"], page, values)
        return [Envelope.of(row, self._follower.codec) for row in rows]

    async def _newest(self, room: Room, query: str, upto: int) -> int:
        rows = await self._database.fetch(room.workspace_id, query, _values(room, 0, upto))
        return int(rows[0][0]) if rows else 0


def _values(room: Room, after: int, upto: int, limit: int = 1) -> dict[str, Any]:
    return {
        "workspace": room.workspace_id, "room": room.key, "after": after, "upto": upto,
        "audit": room.is_audit, "hidden": MEMBERS_NEVER_SEE, "limit": limit,
    }  # fmt: skip
