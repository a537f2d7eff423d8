"""Builds the search documents of a read model in an index of their own, and puts it behind the alias.

Queries ask the alias, which names one index or the other at any moment: no read fails, and none sees a
half-built index.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from infra.elasticsearch import REQUEST_S_MAX, Cluster, IndexMissing
from infra.envelopes import Envelope
from infra.postgres import Connection, Database
from infra.search import SearchUnavailable
from infra.search_documents import MAPPING, SETTINGS, alias, every_index, index
from projections.read_model import ReadModel
from projections.search import SEARCH_MISSIONS
from streams.fold import Poison, prefixes
from streams.parking import replace_parked
from streams.rebuild import (
    BY_STREAM,
    CATCH_UP_EVENTS_MAX,
    CHECKPOINT,
    COUNT,
    LOCK_REBUILD,
    OLD_GATES,
    PARKED_MAX,
    READ_EVENTS_MAX,
    SINCE,
    RebuildFailed,
    Rebuilt,
    Tell,
)
from streams.search_sink import LOCK, Place, SearchWriter, Standing, kept_version


class BeingRebuilt(SearchUnavailable):
    """Another process builds these documents right now."""


@dataclass(slots=True)
class SearchRebuild:
    """One rebuild of the documents of one read model."""

    database: Database
    writer: SearchWriter
    tell: Tell = lambda _done, _total: None
    place: Place = field(init=False)
    position: int = 0
    events: int = 0
    total: int = 0
    poisons: dict[UUID, Poison] = field(default_factory=dict)

    async def run(self) -> Rebuilt:
        """Build and swap; raises `RebuildFailed`, or `SearchUnavailable` with the live index as it was."""
        began = time.monotonic()
        async with self._alone() as connection:
            old = await self._begin(connection)
            await self._fold_streams(connection)
            while await self._catch_up(connection):
                pass
            if self._of_missions:
                # Most of the work is done before anybody has to wait for it.
                await self.writer.tell_all_facts(self.place.log_id, self.place.index)
            rows = await self._swap()
            await connection.execute(OLD_GATES, [self.model.name, self.place.generation])
        if old:
            # A query that began before the swap may still be reading them.
            await asyncio.sleep(REQUEST_S_MAX)
            await self._delete(old)
        seconds = time.monotonic() - began
        return Rebuilt(self.events, rows, len(self.poisons), self.position, seconds)

    @property
    def model(self) -> ReadModel[Any]:
        """The read model whose documents are built."""
        return self.writer.model

    @property
    def _cluster(self) -> Cluster:
        return self.writer.cluster

    @property
    def _of_missions(self) -> bool:
        return self.model.name == SEARCH_MISSIONS.name

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[Connection]:
        connection = await self.database.connect()
        async with connection:
            cursor = await connection.execute(LOCK_REBUILD, [self.model.name])
            if await cursor.fetchone() != (True,):
                raise BeingRebuilt(f"{self.model.name} is being rebuilt by another process")
            yield connection

    async def _begin(self, connection: Connection) -> list[str]:
        """Make the index; return the one that it will take the place of."""
        at = await Standing.of(connection, self.model.name)
        self.position, generation = at.head, at.generation + 1
        where = index(self.model, at.log_id, generation)
        self.place = Place(
            where, at.log_id, generation, discarded=at.discarded, is_live=False
        )  # fmt: skip
        live = await self._live()
        # What a rebuild that was cut off left behind.
        await connection.execute(OLD_GATES, [self.model.name, at.generation])
        pattern = every_index(self.model.name, at.log_id)
        found = await self._cluster.call(self._cluster.writer.indices.get(index=pattern))
        await self._delete([name for name in found if name not in live])
        if where in live:
            # Its checkpoint was lost with the swap that it was of: it is built once more, beside it.
            self.place.generation += 1
            self.place.index = index(self.model, at.log_id, self.place.generation)
        making = self._cluster.writer.indices.create(
            index=self.place.index, mappings=MAPPING, settings=SETTINGS
        )
        await self._cluster.call(making)
        return live

    async def _live(self) -> list[str]:
        name = alias(self.model.name, self.place.log_id)
        try:
            return list(await self._cluster.call(self._cluster.writer.indices.get_alias(name=name)))
        except IndexMissing:
            return []

    async def _delete(self, names: list[str]) -> None:
        for name in names:
            deleting = self._cluster.writer.indices.delete(index=name, ignore_unavailable=True)
            await self._cluster.call(deleting)

    async def _fold_streams(self, writing: Connection) -> None:
        values = {"nouns": list(prefixes(self.model)), "head": self.position}
        async with await self.database.connect(jit="off") as reading, reading.transaction():
            cursor = await reading.execute(COUNT, values)
            counted = await cursor.fetchone()
            self.total = int(counted[0]) if counted else 0
            async with reading.cursor("by_stream") as events:
                await events.execute(BY_STREAM, values)
                while found := await events.fetchmany(READ_EVENTS_MAX):
                    await self._take(writing, found)

    async def _catch_up(self, connection: Connection) -> bool:
        """Fold the next events of the log; tell whether there may be more."""
        cursor = await connection.execute(SINCE.encode(), [self.position])
        found = await cursor.fetchall()
        if found:
            await self._take(connection, found)
            self.position = found[-1][0]
        return len(found) == CATCH_UP_EVENTS_MAX

    async def _take(self, connection: Connection, rows: list[tuple[Any, ...]]) -> None:
        batch = [Envelope.of(row, self.writer.codec) for row in rows]
        self.poisons |= await self.writer.take(connection, self.place, batch)
        self.place.parked = set(self.poisons)
        if len(self.poisons) > PARKED_MAX:
            raise RebuildFailed(f"more than {PARKED_MAX} streams can't be folded")
        self.events += len(self.writer.concerned(batch))
        self.tell(self.events, max(self.total, self.events))

    async def _swap(self) -> int:
        name, place = self.model.name, self.place
        async with self.database.system() as connection, connection.transaction():
            # From here on nobody writes to the live index.
            await connection.execute(LOCK.format("").encode(), [name])
            while await self._catch_up(connection):
                pass
            await self._cluster.call(self._cluster.writer.indices.refresh(index=place.index))
            named = alias(name, place.log_id)
            old = [{"remove": {"index": live, "alias": named}} for live in await self._live()]
            moving = self._cluster.writer.indices.update_aliases(
                actions=[*old, {"add": {"index": place.index, "alias": named}}]
            )
            await self._cluster.call(moving)
            if self._of_missions:
                await self.writer.tell_all_facts(place.log_id, place.index)
            values = {
                "name": name, "log_id": place.log_id, "position": self.position,
                "version": kept_version(self.model), "generation": place.generation,
            }  # fmt: skip
            await connection.execute(CHECKPOINT, values)
            await replace_parked(connection, name, list(self.poisons.values()))
            counted = await self._cluster.call(self._cluster.writer.count(index=place.index))
            return int(counted["count"])
