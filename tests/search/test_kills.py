"""Elasticsearch's documents equal the fold of the log, whatever is killed: who writes them, or the server."""

import random
from functools import partial
from typing import Any

import pytest

from infra.elasticsearch import Cluster
from infra.settings import Settings
from projections.search import SEARCH_MODELS
from tests.faults.sinks import converge, kill_at_random
from tests.search.talk import Talk, live
from tests.search.test_sinks import differ_nowhere
from tests.servers.elasticsearch import Elasticsearch

MISSIONS_AT_ONCE = 8


async def kill_and_compare(
    world: Any, elasticsearch: Elasticsearch, kills: int, server_kills: int
) -> None:
    settings = Settings(elasticsearch_url=elasticsearch.url)
    talk = Talk(random.Random(kills), 60)
    lives = partial(live, world, talk, MISSIONS_AT_ONCE)
    await kill_at_random(world, settings, elasticsearch, lives, kills, server_kills)
    # What was cut off in the middle of a rebuild has no checkpoint that counts: it is built afresh.
    async with Cluster(settings) as cluster:
        await converge(world, settings, [model.name for model in SEARCH_MODELS])
        assert await differ_nowhere(world, cluster, talk) > 20


# Every test run kills who writes to InfluxDB, by the same means, and Elasticsearch itself (test_outage.py).
@pytest.mark.long
@pytest.mark.timeout(400)
async def test_kills_at_random_lose_and_double_nothing(
    world: Any, elasticsearch: Elasticsearch
) -> None:
    await kill_and_compare(world, elasticsearch, kills=2, server_kills=1)


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_a_hundred_kills_lose_and_double_nothing(
    world: Any, elasticsearch: Elasticsearch
) -> None:
    await kill_and_compare(world, elasticsearch, kills=100, server_kills=10)
