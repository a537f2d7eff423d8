"""After a switch of engines, a position counts for the one that answers, whatever the other has reached."""

import random
from typing import Any

import pytest

from infra.elasticsearch import Cluster
from infra.marks import Marks, NotCaughtUp
from infra.settings import Settings
from infra.stores import in_elasticsearch
from projections.search import SEARCH_MODELS
from tests.projections_run.conftest import head
from tests.search.asking import fill_postgres, sinks
from tests.search.talk import Talk, live
from tests.servers.elasticsearch import Elasticsearch

pytestmark = pytest.mark.timeout(300)

NAMES = [model.name for model in SEARCH_MODELS]


async def reached(world: Any, settings: Settings) -> int:
    """Return what a process that only answers queries finds under these settings."""
    return await Marks(world.database, in_elasticsearch(settings)).position(*NAMES)


async def test_an_index_is_not_as_far_as_the_tables_that_were_kept_meanwhile(
    world: Any, elasticsearch: Elasticsearch
) -> None:
    postgres, elastic = Settings(), Settings(elasticsearch_url=elasticsearch.url)
    talk = Talk(random.Random(8), 40)
    async with Cluster(elastic) as cluster:
        fed = sinks(world, cluster)
        for sink in fed:
            await sink.open()
        built_at = await head(world)
        assert (await reached(world, elastic), await reached(world, postgres)) == (built_at, 0)
        # Back to PostgreSQL: the index stands still, and its alias stays.
        await live(world, talk, 5)
        await fill_postgres(world)
        now = await head(world)
        assert now > built_at
        assert await reached(world, postgres) == now
        # And to Elasticsearch once more: nobody may take the tables' position for the index's.
        marks = Marks(world.database, in_elasticsearch(elastic))
        with pytest.raises(NotCaughtUp) as behind:
            await marks.wait(now, *NAMES, patience_s=0.1)
        assert behind.value.position == 0
        for sink in fed:
            await sink.open()
        assert await marks.wait(now, *NAMES, patience_s=0.1) == now
        assert await reached(world, postgres) == 0
