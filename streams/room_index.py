"""Which positions belong to which room: an index that follows the log, for replay."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Self

import msgspec
import psycopg

from infra.envelopes import Envelope
from infra.logging import log
from infra.postgres import Database
from streams.follower import Follower
from streams.rooms import rooms

NAME = "room_index"
BATCH_EVENTS_MAX = 500
RETRY_PAUSE_S = 0.5
INSERT = """
INSERT INTO room_index (room, position, workspace_id)
SELECT room, position, workspace_id
FROM json_to_recordset(%s::json) AS r(room text, position bigint, workspace_id uuid)
ON CONFLICT DO NOTHING"""


class RoomIndex:
    """Keeps the table `room_index` up to the log. Runs in one process of a deployment."""

    def __init__(self, database: Database, follower: Follower) -> None:
        self._database = database
        self._follower = follower
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name=NAME)
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
                log.warning("room index waits", error=type(error).__name__)
            except Exception:  # noqa: BLE001 - nothing is skipped: the same events are tried again
                log.exception("room index failed")
            await asyncio.sleep(RETRY_PAUSE_S)

    async def _follow(self) -> None:
        position = await self._follower.checkpoint(NAME)
        while True:
            await self._follower.wait_beyond(position)
            batch = await self._follower.read(position, BATCH_EVENTS_MAX)
            async with self._database.system() as connection, connection.transaction():
                await connection.execute(INSERT, [_rows(batch)])
                position = batch[-1].position
                await self._follower.save_checkpoint(connection, NAME, position)


def _rows(batch: Sequence[Envelope]) -> str:
    found = [
        {"room": room, "position": e.position, "workspace_id": e.workspace_id}
        for e in batch
        for room in rooms(e.type, e.stream_id, e.workspace_id, e.payload)
    ]
    return msgspec.json.encode(found).decode()
