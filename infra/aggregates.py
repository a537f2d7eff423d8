"""The repository: aggregates from snapshots, a bounded cache and the log, loaded many at a time.

A cached aggregate is never trusted: each `get` fast-forwards it by the events that came since. Gets
that are asked for in the same turn of the event loop share one query.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from domain.base import Aggregate, NotFound
from infra.codec import EventCodec, SnapshotCodec
from infra.postgres import Database

CACHED_AGGREGATES_MAX = 20_000
SNAPSHOT_EVERY_EVENTS = 100
SNAPSHOT_FORMAT = 2

# Laterals that can't be flattened: one look by key for each aggregate, never a scan of the log,
# whatever the planner believes about tables that were empty a minute ago.
LOAD = """
WITH wanted AS (
    SELECT w.id, greatest(w.version, s.version) AS version, s.version > w.version AS fresh, s.topic, s.state
    FROM json_to_recordset(%(wanted)s::json) AS w(id uuid, version integer)
    LEFT JOIN LATERAL (SELECT version, topic, state FROM snapshots
        WHERE stream_id = w.id AND format = %(format)s AND w.version = 0 OFFSET 0) s ON true)
SELECT id, version, NULL, 'snapshot:' || topic, NULL, state::text FROM wanted WHERE fresh
UNION ALL
SELECT since.* FROM wanted CROSS JOIN LATERAL (
    SELECT e.stream_id, e.stream_version, e.workspace_id, e.type, e.recorded_at, e.data::text
    FROM events e WHERE e.stream_id = wanted.id AND e.stream_version > coalesce(wanted.version, 0)
    ORDER BY e.stream_version) since"""
SAVE_SNAPSHOT = """
INSERT INTO snapshots (stream_id, workspace_id, version, topic, format, state)
VALUES (%s, %s, %s, %s, %s, %s::json)
ON CONFLICT (stream_id) DO UPDATE SET version = excluded.version, format = excluded.format,
    state = excluded.state WHERE excluded.version > snapshots.version"""

A = TypeVar("A", bound=Aggregate)


class Aggregates:
    """Loads aggregates; saving is the log's business."""

    def __init__(
        self, database: Database, codec: EventCodec, cached_max: int = CACHED_AGGREGATES_MAX
    ) -> None:
        self._database = database
        self._codec = codec
        self._cached_max = cached_max
        self._snapshots = SnapshotCodec()
        self._cache: OrderedDict[UUID, Aggregate] = OrderedDict()
        self._wanted: dict[UUID, asyncio.Future[Aggregate | None]] = {}
        self._loading: set[asyncio.Task[None]] = set()

    async def get(self, kind: type[A], aggregate_id: UUID, workspace_id: UUID) -> A:
        """Return a copy to decide on, as new as the log.

        Raises `NotFound` for what is not there, of another kind, or another workspace's.
        """
        found = await self._load(aggregate_id)
        if not isinstance(found, kind) or found.workspace_id != workspace_id:
            raise NotFound(f"no such {kind.TOPIC} in this workspace")
        return found.fork()

    def last_known(self, aggregate_id: UUID) -> Aggregate | None:
        """Return what is in the cache, however old: for guesses, never for decisions."""
        return self._cache.get(aggregate_id)

    def remember(self, aggregate: Aggregate) -> None:
        """Keep an aggregate whose events were just appended; the next `get` checks it anyway."""
        kept = aggregate.fork()
        known = self._cache.get(kept.id)
        if known is not None and known.version > kept.version:
            return  # somebody has appended more meanwhile, and was quicker to say so
        before = kept.version - max(1, len(aggregate.pending_events))
        self._keep(kept)
        if kept.version // SNAPSHOT_EVERY_EVENTS > before // SNAPSHOT_EVERY_EVENTS:
            self._start(self._save_snapshot(kept))

    async def close(self) -> None:
        """Wait for what is under way."""
        await asyncio.gather(*self._loading, return_exceptions=True)

    def _load(self, aggregate_id: UUID) -> "asyncio.Future[Aggregate | None]":
        future = self._wanted.get(aggregate_id)
        if future is None:
            future = asyncio.get_running_loop().create_future()
            if not self._wanted:
                self._start(self._load_wanted())
            self._wanted[aggregate_id] = future
        return asyncio.shield(future)

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._loading.add(task)
        task.add_done_callback(self._loading.discard)

    async def _load_wanted(self) -> None:
        wanted, self._wanted = self._wanted, {}
        try:
            found = await self._fast_forward(wanted)
            for aggregate_id, future in wanted.items():
                if not future.done():
                    future.set_result(found[aggregate_id])
        except Exception as error:  # noqa: BLE001 - handed to everybody who waits
            for aggregate_id, future in wanted.items():
                self._cache.pop(aggregate_id, None)
                if not future.done():
                    future.set_exception(error)

    async def _fast_forward(self, wanted: Iterable[UUID]) -> dict[UUID, Aggregate | None]:
        """Return each as new as the log, and keep it; what is not in the log is None."""
        # Held here, as the cache may lose them while the log is asked for what came since.
        held = {key: self._cache.get(key) for key in wanted}
        asked = [
            {"id": key, "version": known.version if known else 0} for key, known in held.items()
        ]
        async with self._database.briefly() as connection:
            cursor = await connection.execute(
                LOAD,
                {"wanted": msgspec.json.encode(asked).decode(), "format": SNAPSHOT_FORMAT},
                prepare=True,
            )
            rows = await cursor.fetchall()
        found = dict(held)
        for stream_id, version, workspace_id, topic, recorded_at, data in rows:
            if topic.startswith("snapshot:"):
                kind = topic.removeprefix("snapshot:")
                found[stream_id] = self._snapshots.decode(
                    kind, data, stream_id=stream_id, version=version
                )
                continue
            current = found[stream_id]
            event = self._codec.decode(
                topic, data, stream_id=stream_id, version=version,
                workspace_id=workspace_id, recorded_at=recorded_at,
            )  # fmt: skip
            if current is not None and current is held[stream_id]:
                # A fork, so that whoever holds the cached one never sees it change.
                current = current.fork()
            found[stream_id] = event.mutate(current)
        return {
            key: None if current is None else self._newest(current)
            for key, current in found.items()
        }

    def _newest(self, current: Aggregate) -> Aggregate:
        """Keep an aggregate and return it, or what is known already where another was quicker."""
        known = self._cache.get(current.id)
        newest = current if known is None or known.version < current.version else known
        self._keep(newest)
        return newest

    def _keep(self, aggregate: Aggregate) -> None:
        self._cache[aggregate.id] = aggregate
        self._cache.move_to_end(aggregate.id)
        while len(self._cache) > self._cached_max:
            self._cache.popitem(last=False)

    async def _save_snapshot(self, aggregate: Aggregate) -> None:
        state = self._snapshots.encode(aggregate).decode()
        values = [
            aggregate.id, aggregate.workspace_id, aggregate.version, aggregate.TOPIC, SNAPSHOT_FORMAT, state,
        ]  # fmt: skip
        async with self._database.briefly() as connection:
            await connection.execute(SAVE_SNAPSHOT, values)
