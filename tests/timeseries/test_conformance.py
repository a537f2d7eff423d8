"""PostgreSQL and InfluxDB give the same figures of the same log, and know nothing of other workspaces."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from domain.board import Stage
from infra.influxdb import InfluxDb
from infra.settings import Settings
from projections.metrics import MISSION_FLOW
from read_api import analytics
from streams.follower import Follower
from streams.mission_points import MissionPoints, write_again
from streams.sink import SinkLost
from tests.timeseries.conftest import Stores, ask, caught_up, feed, following, same, stores
from tests.write_side.test_metrics import BEGIN, work

SERIES = (
    analytics.flow, analytics.throughput, analytics.cycle_time, analytics.response_time,
    analytics.utilisation,
)  # fmt: skip
OVER = BEGIN + timedelta(days=120)
"""Every life has ended by then, and what is still held is held until then."""
ALL_POINTS = "SELECT * FROM /.*/ GROUP BY *"


async def figures(world: Any, store: Any) -> list[Any]:
    """Return everything that the API tells of a life: by hour, day and week, and by agent."""
    board = (await world.board()).id
    begin = BEGIN + timedelta(days=3, minutes=7)
    found = []
    for bucket, until in (("hour", 20), ("day", 90), ("week", 110)):
        asked: dict[str, Any] = {
            "since": begin, "until": BEGIN + timedelta(days=until),
            "bucket": analytics.Bucket(bucket),
        }  # fmt: skip
        for route in SERIES:
            found += [
                await ask(world, store, route, board_id=board_id, **asked)
                for board_id in (None, board, world.admin_id)
            ]
    for agent_id in await agents(world):
        for ends in pairwise(await edges(world)):
            since, until = ends
            found.append(
                await ask(
                    world,
                    store,
                    analytics.agent_metrics,
                    agent_id=agent_id,
                    since=since,
                    until=until,
                )
            )
    return found


async def agents(world: Any) -> list[Any]:
    rows = await world.query(
        "SELECT agent_id FROM guard_agents WHERE workspace_id = %s ORDER BY 1", [world.workspace_id]
    )
    return [row[0] for row in rows]


async def edges(world: Any) -> list[datetime]:
    """Return times at which something ended, to the microsecond: a range begins with one, and ends with one."""
    rows = await world.query(
        "SELECT DISTINCT at FROM read_metric_points WHERE workspace_id = %s AND agent_id IS NOT NULL"
        " ORDER BY 1", [world.workspace_id],
    )  # fmt: skip
    times = [row[0] for row in rows]
    return [BEGIN, *times[:: max(1, len(times) // 6)], OVER]


async def all_points(server: InfluxDb) -> list[Any]:
    (found,) = await server.query(server.flow, [ALL_POINTS], {})
    points = [
        (series.name, sorted(series.tags.items()), value)
        for series in found
        for value in series.values
    ]
    return sorted(points, key=repr)


async def assert_same_figures(world: Any, opened: Stores) -> list[Any]:
    of_postgres, of_influxdb = [await figures(world, store) for store in opened]
    for one, other in zip(of_postgres, of_influxdb, strict=True):
        same(one, other)
    return of_influxdb


@pytest.mark.parametrize("seed", [1, 2])
async def test_both_stores_give_the_same_figures(world: Any, seed: int, influx: Settings) -> None:
    await work(world, random.Random(seed), 300)
    async with stores(world, influx) as opened:
        await feed(world, opened)
        found = await assert_same_figures(world, opened)
        assert opened.sink.points > 100
        done = [one["completed"] for one in found if "completed" in one]
        assert max(done) > 5
        assert any(one.get("agents") for one in found)


async def test_a_workspace_sees_nothing_of_another(world: Any, influx: Settings) -> None:
    other = await world.another()
    await work(world, random.Random(3), 120)
    await work(other, random.Random(4), 120)
    async with stores(world, influx) as opened:
        await feed(world, opened)
        mine = await assert_same_figures(world, opened)
        theirs = await assert_same_figures(other, opened)
        assert mine != theirs
        nobody = await world.another()
        await feed(world, opened)
        for store in opened:
            for foreign in await agents(world):
                board = (await world.board()).id
                spans = await store.busy(
                    nobody.workspace_id, board, foreign, BEGIN, datetime.now(UTC), datetime.now(UTC)
                )
                assert spans == {}
            flow = await ask(nobody, store, analytics.flow, since=BEGIN)
            assert not any(any(one["counts"].values()) for one in flow["buckets"])


async def test_what_happens_in_the_same_microsecond_is_counted_apart(
    world: Any, influx: Settings
) -> None:
    world.stands_still = True
    await asyncio.gather(*(world.mission(f"m{n}") for n in range(60)))
    moved = [await world.mission(f"n{n}", Stage.BACKLOG) for n in range(20)]
    await asyncio.gather(*(world.move(mission, Stage.READY) for mission in moved))
    async with stores(world, influx) as opened:
        await feed(world, opened)
        asked = {
            "since": BEGIN,
            "until": BEGIN + timedelta(days=1),
            "bucket": analytics.Bucket.HOUR,
        }
        for store in opened:
            flow = await ask(world, store, analytics.flow, **asked)
            assert flow["buckets"][-1]["counts"]["ready"] == 80


async def test_a_rebuild_writes_the_same_points_again(world: Any, influx: Settings) -> None:
    await work(world, random.Random(5), 200)
    async with stores(world, influx) as opened:
        await feed(world, opened)
        before = await all_points(opened.server)
        assert len(before) == opened.sink.points > 100
        vault = world.bus.tools.vault
        fresh = MissionPoints(opened.server, world.database, world.codec, vault, MISSION_FLOW)
        events, _ = await write_again(
            fresh, world.database, world.codec, MISSION_FLOW, lambda _done, _total: None
        )
        assert events > 50 and fresh.points == len(before)
        assert await all_points(opened.server) == before
        await assert_same_figures(world, opened)


@pytest.mark.parametrize("seed", [6, 7])
async def test_events_that_come_twice_or_out_of_order_change_nothing(
    world: Any, seed: int, influx: Settings
) -> None:
    await work(world, random.Random(seed), 150)
    chance = random.Random(seed)
    async with stores(world, influx) as opened, Follower(world.database, world.codec) as follower:
        await feed(world, opened)
        before = await all_points(opened.server)
        events = await follower.read(0)
        clean = influx.model_copy(update={"influxdb_bucket": f"{influx.influxdb_bucket}-other"})
        async with stores(world, clean) as others:
            with pytest.raises(SinkLost):  # said once of a bucket that has nothing of this log
                await others.sink.begin()
            # Duplicates, and any order but that each event comes at least once.
            delivered = [*events, *chance.sample(events, len(events) // 2)]
            chance.shuffle(delivered)
            while delivered:
                size = chance.randrange(1, 40)
                batch, delivered = delivered[:size], delivered[size:]
                sink = others.sink
                if chance.random() < 0.3:  # a worker that was started anew knows nothing
                    vault = world.bus.tools.vault
                    sink = MissionPoints(
                        others.server, world.database, world.codec, vault, MISSION_FLOW
                    )
                await sink.apply(batch)
            assert await all_points(others.server) == before


class Dying(MissionPoints):
    """It dies some times: when points are written, and nobody has heard of it."""

    deaths = 5

    async def apply(self, envelopes: Any) -> None:
        await super().apply(envelopes)
        if self.deaths:
            self.deaths -= 1
            self._known.clear()
            raise OSError


async def test_a_sink_that_dies_before_its_checkpoint_writes_nothing_twice(
    world: Any, influx: Settings
) -> None:
    async with stores(world, influx) as opened:
        vault = world.bus.tools.vault
        opened.sink = sink = Dying(opened.server, world.database, world.codec, vault, MISSION_FLOW)
        async with following(world, opened) as marks:
            await work(world, random.Random(10), 60)
            await caught_up(world, opened, marks)
        assert sink.deaths == 0 and sink.points > 100
        points = await all_points(opened.server)
        rows = await world.query("SELECT count(*) FROM read_metric_points")
        assert [(len(points),)] == rows
        await assert_same_figures(world, opened)


async def test_of_more_durations_than_are_read_the_server_tells_the_ranks(
    world: Any, influx: Settings
) -> None:
    await work(world, random.Random(8), 300)
    async with stores(world, influx, values_max=3) as opened:
        await feed(world, opened)
        asked: dict[str, Any] = {
            "since": BEGIN, "until": OVER, "bucket": analytics.Bucket.WEEK,
        }  # fmt: skip
        exact = await ask(world, opened.postgres, analytics.response_time, **asked)
        near = await ask(world, opened.influxdb, analytics.response_time, **asked)
        for one, other in zip([exact, *exact["buckets"]], [near, *near["buckets"]], strict=True):
            assert one["claim"]["count"] == other["claim"]["count"]
            same(one["claim"]["mean_s"], other["claim"]["mean_s"])
        steps = analytics.buckets(asked["since"], asked["until"], asked["bucket"])
        ordered = sorted(
            row[0]
            for row in await world.query(
                "SELECT seconds FROM read_metric_points WHERE measurement = 'wait' AND at < %s",
                [steps.end],
            )
        )
        for share, name in ((0.5, "p50_s"), (0.85, "p85_s"), (0.95, "p95_s")):
            rank = max(0, int(len(ordered) * share + 0.5) - 1)
            assert near["claim"][name] == pytest.approx(ordered[rank])


async def test_what_is_written_meanwhile_is_followed(world: Any, influx: Settings) -> None:
    async with stores(world, influx) as opened, following(world, opened) as marks:
        await work(world, random.Random(9), 150)
        await caught_up(world, opened, marks)
        await assert_same_figures(world, opened)
