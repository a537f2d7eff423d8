"""How far each read model is, so that a client can wait for its own write."""

import asyncio
import time
from collections.abc import Iterable, Mapping

from infra.postgres import Database

WAIT_S_MAX = 5.0
POLL_S = 0.02
LAG_EVENTS_MAX = 10_000
"""Whatever is further behind the log is told as a problem."""
ROOM_INDEX, KEYFRAMES = "room_index", "keyframes"
INDEXES = (ROOM_INDEX, KEYFRAMES)
"""What follows the log, as read models do, so that its past is near."""


class NotCaughtUp(Exception):
    """The read model has not reached the position that the client asked for."""

    def __init__(self, position: int) -> None:
        super().__init__(f"the read model stands at {position}")
        self.position = position


class Marks:
    """Positions of read models: noted by projections of this process, looked up for the others'."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._positions: dict[str, int] = {}

    def note(self, model: str, position: int) -> None:
        """Remember how far a read model is."""
        self._positions[model] = position

    def forget(self, models: Iterable[str]) -> None:
        """Another process goes on with these read models."""
        for model in models:
            self._positions.pop(model, None)

    @property
    def noted(self) -> Mapping[str, int]:
        """How far the read models are that this process projects."""
        return self._positions

    async def position(self, *models: str) -> int:
        """Return the position that all these read models have reached."""
        if all(model in self._positions for model in models):
            return min(self._positions[model] for model in models)
        async with self._database.system() as connection:
            cursor = await connection.execute(
                "SELECT name, c.position FROM checkpoints c JOIN log_head h USING (log_id)"
                " WHERE name = ANY (%s)",
                [list(models)],
            )
            found = {str(name): int(position) for name, position in await cursor.fetchall()}
        return min(found.get(model, 0) for model in models)

    async def wait(self, min_position: int, *models: str, patience_s: float = WAIT_S_MAX) -> int:
        """Wait until the read models reach a position; raise `NotCaughtUp` after `patience_s`."""
        deadline = time.monotonic() + patience_s
        while (position := await self.position(*models)) < min_position:
            if time.monotonic() > deadline:
                raise NotCaughtUp(position)
            await asyncio.sleep(POLL_S)
        return position
