"""Search in Elasticsearch, put together: its sinks, and the jobs that feed them without Kafka."""

from typing import Any
from uuid import UUID

from infra.codec import EventCodec
from infra.elasticsearch import Cluster
from infra.marks import Marks
from infra.postgres import Database
from infra.search import SearchUnavailable
from infra.settings import Settings
from infra.vault import Vault
from projections.read_model import ReadModel
from streams.follower import Follower
from streams.parking import Drained
from streams.rebuild import Rebuilt, Tell
from streams.search_rebuild import SearchRebuild
from streams.search_sink import SearchSink, SearchWriter
from streams.sink import SinkAway, SinkJob


class SearchJob(SinkJob):
    """Feeds one of search's sinks from the log, once its documents are there."""

    def __init__(
        self, database: Database, follower: Follower, marks: Marks, sink: SearchSink
    ) -> None:
        super().__init__(database, follower, marks, sink)
        self._search = sink

    async def work(self) -> None:
        """Build what is missing, then go on behind the checkpoint."""
        try:
            if not await self._search.is_built():
                # The checkpoint that there is may be of PostgreSQL's tables, which are not asked.
                self._marks.note(self.name, 0)
            await self._search.open()
        except (SinkAway, SearchUnavailable) as away:
            raise OSError(str(away)) from away
        await super().work()


def search_sink(
    cluster: Cluster, database: Database, codec: EventCodec, vault: Vault, model: ReadModel[Any]
) -> SearchSink:
    """Return the sink of one of search's read models, on a connection that others may share."""
    writer = SearchWriter(cluster, codec, vault, model)

    async def rebuild() -> None:
        await SearchRebuild(database, writer).run()

    return SearchSink(writer, database, rebuild)


def elasticsearch_sink(
    settings: Settings,
    database: Database,
    codec: EventCodec,
    vault: Vault,
    model: ReadModel[Any],
) -> SearchSink:
    """Return a sink on a connection of its own, until `aclose`.

    Raises `StartRefused` for settings that can't work.
    """
    return search_sink(Cluster(settings), database, codec, vault, model)


async def rebuild_search(
    settings: Settings,
    database: Database,
    codec: EventCodec,
    vault: Vault,
    model: ReadModel[Any],
    tell: Tell,
) -> Rebuilt:
    """Build the documents of one model afresh. Raises `RebuildFailed` and `SearchUnavailable`."""
    async with Cluster(settings) as cluster:
        writer = SearchWriter(cluster, codec, vault, model)
        return await SearchRebuild(database, writer, tell).run()


async def drain_search(
    settings: Settings,
    database: Database,
    codec: EventCodec,
    vault: Vault,
    model: ReadModel[Any],
    stream_id: UUID,
) -> Drained | None:
    """Fold what was held back of a stream. Raises `SearchUnavailable`."""
    async with Cluster(settings) as cluster:
        return await search_sink(cluster, database, codec, vault, model).drain(stream_id)
