"""Asking both search engines the same, as the route does."""

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import msgspec
from fastapi import Request

from infra.elasticsearch import Cluster
from infra.marks import Marks
from infra.postgres import Database
from infra.search_elasticsearch import ElasticsearchSearch
from infra.search_postgres import PostgresSearch
from infra.settings import Settings
from projections.search import SEARCH_MODELS
from read_api import search
from streams.rebuild import Rebuild
from streams.search_jobs import search_sink
from streams.search_sink import SearchSink

Answer = dict[str, Any]


class Both:
    """PostgreSQL and Elasticsearch over one log."""

    def __init__(self, database: Database, cluster: Cluster, log_id: UUID) -> None:
        self.engines = {
            "PostgreSQL": PostgresSearch(database),
            "Elasticsearch": ElasticsearchSearch(cluster, log_id),
        }
        self._marks = Marks(database)
        for model in SEARCH_MODELS:
            self._marks.note(model.name, 1)

    async def ask(self, engine: str, workspace_id: UUID, q: str, **asked: Any) -> Answer:
        """Return the body of an answer."""
        state = SimpleNamespace(search=self.engines[engine], marks=self._marks)
        answer = await search.search(
            Request({"type": "http", "app": SimpleNamespace(state=state)}),
            SimpleNamespace(workspace_id=workspace_id),  # type: ignore[arg-type]
            q,
            **{"limit": 50, **asked},
        )
        body: Answer = msgspec.json.decode(answer.body)
        return body

    async def same(self, workspace_id: UUID, q: str, **asked: Any) -> Answer:
        """Return the answer that both give, to the last character."""
        one, other = [await self.ask(name, workspace_id, q, **asked) for name in self.engines]
        assert one == other, (q, asked)
        # Facets and items are in an order, and clients show it.
        assert msgspec.json.encode(one) == msgspec.json.encode(other), (q, asked)
        return one

    async def pages(self, workspace_id: UUID, q: str, **asked: Any) -> list[Answer]:
        """Return all pages, each asked of both."""
        found = [await self.same(workspace_id, q, **asked)]
        while (cursor := found[-1]["next_cursor"]) is not None:
            found.append(await self.same(workspace_id, q, cursor=cursor, **asked))
        return found


@asynccontextmanager
async def both(dsn: str, url: str) -> Any:
    """Open both engines on what was filled before."""
    async with Database(dsn) as database, Cluster(Settings(elasticsearch_url=url)) as cluster:
        yield Both(database, cluster, await log_id(database))


async def log_id(database: Database) -> UUID:
    async with database.system() as connection:
        cursor = await connection.execute("SELECT log_id FROM log_head")
        row = await cursor.fetchone()
    assert row is not None
    return UUID(str(row[0]))


def sinks(world: Any, cluster: Cluster, models: Any = SEARCH_MODELS) -> list[SearchSink]:
    """Return Elasticsearch's sinks of a world's log."""
    vault = world.bus.tools.vault
    return [search_sink(cluster, world.database, world.codec, vault, model) for model in models]


async def fill_postgres(world: Any) -> None:
    """Build PostgreSQL's tables from the log; nobody keeps them up afterwards."""
    for model in SEARCH_MODELS:
        await Rebuild(world.database, world.codec, world.bus.tools.vault, model).run()
    await world.query("SELECT mc_derive_missing()")


async def fill_both(world: Any, cluster: Cluster) -> None:
    """Build the documents of both. Last Elasticsearch's: the checkpoints are its own from then on."""
    await fill_postgres(world)
    await asyncio.gather(*(sink.open() for sink in sinks(world, cluster)))
