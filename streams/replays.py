"""Batches of the past, for clients that come back: read and encoded once for all who ask for the same.

After a restart or a cut line, a thousand clients ask for the same pages in the same second.
"""

import asyncio
import time
from typing import NamedTuple
from uuid import UUID

from infra.http.wire import text_frame
from infra.vault import Vault
from streams import protocol
from streams.open_rooms import BATCH_BYTES_MAX
from streams.protocol import EventText, subjects_in
from streams.room_history import RoomHistory
from streams.rooms import Room

SHARED_MAX = 64
SHARED_S = 5.0  # what is erased meanwhile is not sent for longer


class Replayed(NamedTuple):
    """A batch as a WebSocket frame; None where the room has no events up to `upto`."""

    frame: bytes | None
    last: int
    """The position of its last event."""
    upto: int
    """Up to there, the room has no others."""


class Replays:
    """Reads batches of rooms from the log."""

    def __init__(self, history: RoomHistory, vault: Vault) -> None:
        self._history = history
        self._vault = vault
        self._shared: dict[tuple[str, int, int, int], tuple[float, asyncio.Task[Replayed]]] = {}

    async def batch(self, room: Room, after: int, upto: int, log_id: UUID, limit: int) -> Replayed:
        """Return the oldest events of a room behind `after`, at most `limit`, none beyond `upto`."""
        key, now = (room.key, after, upto, limit), time.monotonic()
        made_at, task = self._shared.get(key, (0.0, None))
        failed = task is not None and task.done() and (task.cancelled() or task.exception())
        if task is None or failed or now - made_at > SHARED_S:
            self._forget(now)
            task = asyncio.create_task(self._read(room, after, upto, log_id, limit))
            self._shared[key] = now, task
        # One that leaves must not take the batch away from the others.
        return await asyncio.shield(task)

    def _forget(self, now: float) -> None:
        for key, (made_at, _) in list(self._shared.items()):
            if now - made_at > SHARED_S or len(self._shared) >= SHARED_MAX:
                del self._shared[key]

    async def _read(self, room: Room, after: int, upto: int, log_id: UUID, limit: int) -> Replayed:
        page = await self._history.page(room, after, upto, limit)
        if not page.events:
            return Replayed(None, after, page.upto)
        prev = await self._history.last(room, after)
        await self._vault.load(subjects_in(page.events))
        bodies: list[bytes] = []
        size = 0
        for envelope in page.events:
            text = EventText(envelope, self._vault, log_id)
            body = protocol.body(envelope.position, prev, text.tail(audit=room.is_audit))
            size += len(body)
            if bodies and size > BATCH_BYTES_MAX:
                break
            bodies.append(body)
            prev = envelope.position
        whole = len(bodies) == len(page.events)
        frame = text_frame(protocol.batch(room.name, bodies, live=False))
        return Replayed(frame, prev, page.upto if whole else prev)
