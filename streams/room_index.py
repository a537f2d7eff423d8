"""The index of rooms: which positions of the log are in a room. It follows the log, for replay."""

import asyncio
from collections.abc import Sequence

import msgspec

from infra.envelopes import Envelope
from infra.marks import ROOM_INDEX
from infra.postgres import Connection, Database
from streams.follower import Follower
from streams.job import Job
from streams.rooms import indexed, rooms

BATCH_EVENTS_MAX = 500
PAUSE_S_PER_EVENT = 0.001
PAUSE_S_MAX = 0.1

WRITE = """
INSERT INTO room_index (room, position, workspace_id)
SELECT room, position, workspace_id
FROM json_to_recordset(%s::json) AS r(room text, position bigint, workspace_id uuid)
ON CONFLICT DO NOTHING"""


def keys_of(envelope: Envelope) -> tuple[str, ...]:
    """Return the keys of an event's rooms."""
    return rooms(envelope.type, envelope.stream_id, envelope.workspace_id, envelope.payload)


class RoomIndex(Job):
    """Writes the index. One process runs it; of two at once, one does the work."""

    def __init__(self, database: Database, follower: Follower) -> None:
        super().__init__(ROOM_INDEX)
        self._database = database
        self._follower = follower

    async def work(self) -> None:
        position = await self._follower.checkpoint(ROOM_INDEX)
        while True:
            await self._follower.wait_beyond(position)
            batch = await self._follower.read(position, BATCH_EVENTS_MAX)
            async with self._database.system() as connection, connection.transaction():
                await self._write(connection, position, batch)
            position = batch[-1].position
            if len(batch) < BATCH_EVENTS_MAX:
                # What is not in the index yet is read from the log's newest events, which are in memory.
                await asyncio.sleep(min(PAUSE_S_MAX, len(batch) * PAUSE_S_PER_EVENT))

    async def _write(self, connection: Connection, start: int, batch: Sequence[Envelope]) -> None:
        rows = [
            {"room": key, "position": envelope.position, "workspace_id": envelope.workspace_id}
            for envelope in batch
            for key in indexed(keys_of(envelope))
        ]
        if rows:
            await connection.execute(WRITE, [msgspec.json.encode(rows).decode()])
        await self._follower.save_checkpoint(connection, ROOM_INDEX, start, batch[-1].position)
