"""How far each read model is, so that a client can wait for its own write."""

import asyncio
import time
from collections.abc import Iterable, Mapping

from infra.postgres import Database

WAIT_S_MAX = 5.0
POLL_S = 0.02
# A checkpoint is of one store. While Elasticsearch keeps a model, its version is negative: what PostgreSQL's
# tables have reached says nothing of an index, and the other way round.
OF_ITS_STORE = "(c.model_version < 0) = (c.name = ANY (%s))"
POSITIONS = f"""
SELECT name, c.position FROM checkpoints c JOIN log_head h USING (log_id)
WHERE name = ANY (%s) AND {OF_ITS_STORE}"""
# Of each that follows the log: where it is, and for how many seconds it has not moved while there was more;
# NULL where it is at the log's end. The names of all, and of those that Elasticsearch keeps.
FOLLOWERS = f"""
SELECT name, position, CASE WHEN next_at IS NOT NULL THEN
    extract(epoch FROM clock_timestamp() - greatest(updated_at, next_at))::integer END AS still_s
FROM (SELECT f.name, coalesce(c.position, 0) AS position, c.updated_at,
        (SELECT recorded_at FROM events WHERE position = coalesce(c.position, 0) + 1) AS next_at
    FROM unnest(%s::text[]) AS f(name) CROSS JOIN log_head h
    LEFT JOIN checkpoints c ON c.name = f.name AND c.log_id = h.log_id AND {OF_ITS_STORE}) AS followers"""
LAG_EVENTS_MAX = 10_000
"""Whatever is further behind the log is told as a problem,"""
STILL_S_MAX = 60
"""and whatever has not moved for longer while there was more, be it a single event."""
ROOM_INDEX, KEYFRAMES = "room_index", "keyframes"
INDEXES = (ROOM_INDEX, KEYFRAMES)
"""What follows the log, as read models do, so that its past is near."""


def stands_still(still_s: int | None) -> bool:
    """Tell of a follower's seconds whether that is a problem."""
    return still_s is not None and still_s > STILL_S_MAX


class NotCaughtUp(Exception):
    """The read model has not reached the position that the client asked for."""

    def __init__(self, position: int) -> None:
        super().__init__(f"the read model stands at {position}")
        self.position = position


class Marks:
    """Positions of read models: noted by projections of this process, looked up for the others'.

    Where queries read from a replica, what counts is what its rows say: they are behind what this process
    has noted, and come in the transaction that moves the checkpoint.
    """

    def __init__(self, database: Database, in_elasticsearch: Iterable[str] = ()) -> None:
        """`in_elasticsearch` are the models that are asked for there, and not in PostgreSQL."""
        self._database = database
        self._in_elasticsearch = list(in_elasticsearch)
        self._positions: dict[str, int] = {}
        self._began = time.monotonic()

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

    @property
    def age_s(self) -> float:
        """Since when this process runs: what follows the log may have begun with it."""
        return time.monotonic() - self._began

    async def position(self, *models: str) -> int:
        """Return the position that all these read models have reached."""
        if not self._database.is_replica and all(model in self._positions for model in models):
            return min(self._positions[model] for model in models)
        rows = await self._database.look_up(POSITIONS, [list(models), self._in_elasticsearch])
        found = {str(name): int(position) for name, position in rows}
        return min(found.get(model, 0) for model in models)

    async def wait(self, min_position: int, *models: str, patience_s: float = WAIT_S_MAX) -> int:
        """Wait until the read models reach a position; raise `NotCaughtUp` after `patience_s`."""
        deadline = time.monotonic() + patience_s
        while (position := await self.position(*models)) < min_position:
            if time.monotonic() > deadline:
                raise NotCaughtUp(position)
            await asyncio.sleep(POLL_S)
        return position
