"""Workers that feed InfluxDB from Kafka's partitions, and whose bucket is deleted."""

import random
from pathlib import Path
from typing import Any

import pytest

from projections.metrics import MISSION_FLOW
from streams.mission_points import write_again
from streams.partitioned import PartitionedSink
from streams.partitions import Delivered
from streams.sink import SinkAway
from tests.servers.influxdb import Influxdb
from tests.timeseries.conftest import settings_of, stores
from tests.timeseries.test_away import delete_bucket
from tests.timeseries.test_conformance import all_points
from tests.workers.channel import Channel, mine
from tests.write_side.test_metrics import work

pytestmark = pytest.mark.servers


async def insist(feed: PartitionedSink, messages: list[Delivered]) -> None:
    """Hand messages to a feed as the processor does: once more while its sink is away."""
    while True:
        try:
            return await feed.take(messages)
        except SinkAway:
            continue


async def test_each_of_them_writes_all_of_its_partitions_again(
    world: Any, influxdb: Influxdb, tmp_path: Path
) -> None:
    settings, other = settings_of(influxdb, tmp_path), settings_of(influxdb, tmp_path)
    chance, channel = random.Random(3), Channel()
    async with (
        stores(world, settings) as one,
        stores(world, settings) as two,
        stores(world, other) as spared,
    ):
        feeds = [
            PartitionedSink(world.database, world.codec, MISSION_FLOW, opened.sink)
            for opened in (one, two)
        ]
        for feed in feeds:
            await feed.open()

        async def go_on() -> None:
            await work(world, chance, 40)
            published = await channel.publish(world)
            for number, feed in enumerate(feeds):
                share = [m for m in mine(feed, published) if m.place.partition % 2 == number]
                await insist(feed, share)

        await go_on()
        delete_bucket(influxdb, settings.influxdb_bucket)
        # The first finds it gone, and makes it anew; the second never heard that it was.
        await go_on()
        await go_on()
        await write_again(spared.sink, world.database, world.codec, MISSION_FLOW, lambda *_: None)
        points = await all_points(one.server)
        assert len(points) > 40
        assert points == await all_points(spared.server)
        for feed in feeds:
            await feed.close()
