"""Both stores tell the same of what processes counted; what is old is summed up, and then forgotten."""

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from commands.append import Actor, ActorKind
from infra.settings import Settings
from infra.telemetry import SERIES_MAX, Telemetry
from infra.timeseries import Series, Tally
from read_api import analytics, telemetry
from streams.telemetry import TelemetryJob
from tests.timeseries.conftest import RETENTION_DAYS, Stores, ask, same, settings_of, stores

# Within the retention of a real server, which knows no other clock than the day's.
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
ROUTES = (telemetry.commands, telemetry.agent_activity, telemetry.sockets)


def counted(chance: random.Random, workspaces: list[UUID]) -> Mapping[Series, Tally]:
    """Return what a process might count in a few seconds."""
    counts, agents = Telemetry(), [UUID(int=n) for n in range(1, 4)]
    for _ in range(chance.randrange(1, 60)):
        workspace_id, agent = chance.choice(workspaces), chance.choice(agents)
        kind = chance.choice((ActorKind.AGENT, ActorKind.USER))
        path = chance.choice((f"/api/missions/{uuid7()}/claim", "/api/missions"))
        state = {"workspace_id": workspace_id, "actor": Actor(kind, agent)}
        scope = {"method": "POST", "path": path, "state": state}
        counts.request(scope, chance.choice((200, 201, 409, 503)), chance.expovariate(0.01))
        counts.heartbeat(workspace_id, agent, chance.choice(("busy", "available")))
        counts.socket_closed(workspace_id, chance.choice((1012, None)), chance.uniform(0, 90_000))
        counts.sockets_open(workspace_id, chance.randrange(1, 2000))
    return counts.take()


async def note_days(world: Any, opened: Stores, seed: int) -> dict[str, int]:
    """Let two processes count for some days; return how many commands were in this workspace."""
    chance = random.Random(seed)
    workspaces = [world.workspace_id, world.admin_id]
    commands = 0
    for process in ("one", "two"):
        for _ in range(60):
            at = NOW - timedelta(microseconds=chance.randrange(5 * 86_400 * 10**6))
            tallies = counted(chance, workspaces)
            commands += sum(
                tally.count
                for series, tally in tallies.items()
                if series.measurement == "command" and series.workspace_id == world.workspace_id
            )
            for store in opened:
                await store.note(process, at, tallies)
    return {"commands": commands}


async def assert_same_answers(world: Any, opened: Stores) -> list[Any]:
    found = []
    for route in ROUTES:
        for bucket, days in (("hour", 6), ("day", 10), ("week", 20)):
            asked: dict[str, Any] = {
                "since": NOW - timedelta(days=days), "until": NOW,
                "bucket": analytics.Bucket(bucket),
            }  # fmt: skip
            one, other = [await ask(world, store, route, **asked) for store in opened]
            same(one, other)
            found.append(one)
    return found


async def test_both_stores_tell_the_same_of_what_was_counted(world: Any, influx: Settings) -> None:
    async with stores(world, influx) as opened:
        expected = await note_days(world, opened, 1)
        before = await assert_same_answers(world, opened)
        for by_bucket in before[:3]:
            assert by_bucket["commands"] == expected["commands"] > 500
            buckets = by_bucket["buckets"]
            assert sum(one["commands"] for one in buckets) == expected["commands"]
            assert 0 < by_bucket["p50_ms"] < by_bucket["p95_ms"] <= by_bucket["max_ms"]
        assert {len(one["agents"]) for one in before[3:6]} == {3}
        assert all(one["closed"] and one["peak_open"] > 1000 for one in before[6:])
        # Sums by hour take the place of what is older than a day, and nothing is told otherwise.
        ((points,),) = await world.query("SELECT count(*) FROM telemetry_points")
        await opened.postgres.tidy(NOW)
        ((left,),) = await world.query("SELECT count(*) FROM telemetry_points")
        assert 0 < left < points / 2
        for one, other in zip(await assert_same_answers(world, opened), before, strict=True):
            same(one, other)


async def test_what_another_workspace_did_is_not_told(world: Any, influx: Settings) -> None:
    async with stores(world, influx) as opened:
        await note_days(world, opened, 2)
        nobody = await world.another()
        for one in await assert_same_answers(nobody, opened):
            assert not (one.get("commands") or one.get("agents") or one.get("closed"))


async def test_what_is_older_than_the_retention_is_forgotten(world: Any, influx: Settings) -> None:
    async with stores(world, influx) as opened:
        tallies = counted(random.Random(3), [world.workspace_id])
        for days in (RETENTION_DAYS + 1, RETENTION_DAYS - 1):
            await opened.postgres.note("one", NOW - timedelta(days=days), tallies)
        await opened.postgres.tidy(NOW)
        ((hours, points),) = await world.query(
            "SELECT (SELECT count(DISTINCT hour) FROM telemetry_hours),"
            " (SELECT count(*) FROM telemetry_points)"
        )
        assert (hours, points) == (1, 0)


async def test_the_bucket_forgets_after_the_retention_of_the_settings(
    world: Any, influx: Settings
) -> None:
    for days in (RETENTION_DAYS, 7):
        settings = influx.model_copy(update={"telemetry_retention_days": days})
        async with stores(world, settings) as opened:
            await opened.server.prepare(opened.server.telemetry)
            await opened.server.prepare(opened.server.flow)
            found = await opened.server._ask("GET", "/api/v2/buckets", params={"limit": 100})
            kept = {
                bucket["name"]: [rule["everySeconds"] for rule in bucket["retentionRules"]]
                for bucket in found.json()["buckets"]
            }
            assert kept[opened.server.telemetry.bucket] == [days * 86_400]
            assert kept[opened.server.flow.bucket] in ([], [0])


async def test_a_store_that_is_away_costs_counts_and_nothing_else(
    world: Any, influxdb: Any, tmp_path: Any
) -> None:
    nowhere = settings_of(influxdb, tmp_path, influxdb_url="http://127.0.0.1:9")
    async with stores(world, nowhere) as opened:
        counts = Telemetry()
        job = TelemetryJob(counts, opened.influxdb, dict)
        counts.heartbeat(world.workspace_id, world.admin_id, "busy")
        await job.flush()
        assert counts.take() == {}


def test_no_more_series_are_kept_than_fit() -> None:
    counts = Telemetry()
    for number in range(SERIES_MAX + 10):
        counts.heartbeat(UUID(int=0), UUID(int=number), "busy")
    assert counts.dropped == 10
    assert len(counts.take()) == SERIES_MAX
    counts.heartbeat(UUID(int=0), UUID(int=1), "busy")
    assert len(counts.take()) == 1
