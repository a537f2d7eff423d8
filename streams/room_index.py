"""The index of rooms: which positions of the log are in a room. It follows the log, for replay."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Self

import msgspec
import psycopg

from infra.envelopes import Envelope
from infra.logging import log
from infra.postgres import Connection, Database
from streams.follower import Follower
from streams.rooms import indexed, rooms

NAME = "room_index"
BATCH_EVENTS_MAX = 500
RETRY_PAUSE_S = 0.5

WRITE = """
INSERT INTO room_index (room, position, workspace_id)
SELECT room, position, workspace_id
FROM json_to_recordset(%s::json) AS r(room text, position bigint, workspace_id uuid)
ON CONFLICT DO NOTHING"""


def keys_of(envelope: Envelope) -> tuple[str, ...]:
    """Return the keys of an event's rooms."""
    return rooms(envelope.type, envelope.stream_id, envelope.workspace_id, envelope.payload)


class RoomIndex:
    """Writes the index. One process runs it; two at once would do the same work, and no harm."""

    def __init__(self, database: Database, follower: Follower) -> None:
        self._database = database
        self._follower = follower
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="room index")
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
                log.warning("the room index waits", error=str(error))
            except Exception:  # noqa: BLE001 - seen in the log and in the lag, never skipped
                log.exception("the room index failed")
            await asyncio.sleep(RETRY_PAUSE_S)

    async def _follow(self) -> None:
        position = await self._follower.checkpoint(NAME)
        while True:
            await self._follower.wait_beyond(position)
            batch = await self._follower.read(position, BATCH_EVENTS_MAX)
            async with self._database.system() as connection, connection.transaction():
                await self._write(connection, batch)
            position = batch[-1].position

    async def _write(self, connection: Connection, batch: Sequence[Envelope]) -> None:
        rows = [
            {"room": key, "position": envelope.position, "workspace_id": envelope.workspace_id}
            for envelope in batch
            for key in indexed(keys_of(envelope))
        ]
        async with connection.pipeline():
            if rows:
                await connection.execute(WRITE, [msgspec.json.encode(rows).decode()])
            await self._follower.save_checkpoint(connection, NAME, batch[-1].position)
