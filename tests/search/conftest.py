"""A log with ten thousand search documents in it, in both engines."""

import asyncio
import random
from dataclasses import dataclass
from uuid import UUID

import pytest

from infra.elasticsearch import Cluster
from infra.settings import Settings
from tests.search.asking import fill_both
from tests.search.talk import Talk, live
from tests.servers.elasticsearch import Elasticsearch
from tests.write_side.conftest import a_world, pytest_pyfunc_call, world

__all__ = ["pytest_pyfunc_call", "world"]

MISSIONS = 2_300
ELSEWHERE = 150


@dataclass(frozen=True)
class Filled:
    """Where the documents are, and what was said in them."""

    dsn: str
    url: str
    workspace_id: UUID
    elsewhere_id: UUID
    talk: Talk
    elsewhere: Talk


@pytest.fixture(scope="module")
def filled(database_url: str, elasticsearch: Elasticsearch) -> Filled:
    """Two workspaces, a large and a small one, that do not share their rarer words."""
    return asyncio.run(_fill(database_url, elasticsearch.url))


async def _fill(dsn: str, url: str) -> Filled:
    talk, elsewhere = Talk(random.Random(1), 3_000), Talk(random.Random(2), 500)
    async with (
        a_world(dsn) as one,
        a_world(dsn) as other,
        Cluster(Settings(elasticsearch_url=url)) as cluster,
    ):
        await live(one, talk, MISSIONS)
        await live(other, elsewhere, ELSEWHERE)
        await fill_both(one, cluster)
        return Filled(dsn, url, one.workspace_id, other.workspace_id, talk, elsewhere)
