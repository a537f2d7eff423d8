"""InfluxDB's points equal the fold of the log, whatever is killed: who writes them, or the server."""

import random
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from infra.timeseries_influxdb import store_name
from projections.metrics import MISSION_FLOW
from streams.mission_points import write_again
from tests.faults.sinks import converge, kill_at_random
from tests.servers import influxdb as influxdb_server
from tests.servers.fixtures import require
from tests.servers.influxdb import Influxdb
from tests.timeseries.conftest import settings_of, stores
from tests.timeseries.test_conformance import all_points
from tests.write_side.test_metrics import work

pytestmark = pytest.mark.servers
STEPS_AT_ONCE = 20


@pytest.fixture
def own_influxdb() -> Iterator[Influxdb]:
    """A server that a test may kill."""
    require(influxdb_server.missing())
    with influxdb_server.start() as server:
        yield server


async def kill_and_compare(
    world: Any, server: Influxdb, folder: Path, kills: int, server_kills: int
) -> None:
    settings, other = settings_of(server, folder), settings_of(server, folder)
    lives = partial(work, world, random.Random(kills), STEPS_AT_ONCE)
    await kill_at_random(world, settings, server, lives, kills, server_kills)
    await converge(world, settings, [store_name(MISSION_FLOW)])
    async with stores(world, settings) as struck, stores(world, other) as spared:
        await write_again(spared.sink, world.database, world.codec, MISSION_FLOW, lambda *_: None)
        points = await all_points(struck.server)
        assert len(points) > 20
        assert points == await all_points(spared.server)


@pytest.mark.long
@pytest.mark.timeout(400)
async def test_kills_at_random_lose_and_double_nothing(
    world: Any, own_influxdb: Influxdb, tmp_path: Path
) -> None:
    await kill_and_compare(world, own_influxdb, tmp_path, kills=3, server_kills=1)


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_two_hundred_kills_lose_and_double_nothing(
    world: Any, own_influxdb: Influxdb, tmp_path: Path
) -> None:
    world.pace = timedelta(
        minutes=2
    )  # a hundred thousand commands in weeks: InfluxDB has a shard for each
    await kill_and_compare(world, own_influxdb, tmp_path, kills=200, server_kills=40)
