"""Worlds whose clock is the test's, and both stores fed from their log."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import msgspec
import pytest
from fastapi import Request
from uuid_utils.compat import uuid7

from commands.bus import Bus, Context, Tools
from commands.handlers import HANDLERS
from commands.workspaces import FoundWorkspace
from infra.aggregates import Aggregates
from infra.codec import EventCodec
from infra.event_log import EventLog
from infra.influxdb import InfluxDb
from infra.marks import Marks
from infra.postgres import Database
from infra.settings import Settings
from infra.timeseries import TimeSeries
from infra.timeseries_influxdb import InfluxTimeSeries
from infra.timeseries_postgres import PostgresTimeSeries
from infra.vault import Vault
from infra.write_side import WriteSide
from projections.agents import AGENTS
from projections.metrics import MISSION_FLOW
from streams.follower import Follower
from streams.mission_points import MissionPoints
from streams.projector import Projector
from streams.sink import SinkJob
from tests.projections_run.conftest import database_url, new_database
from tests.write_side.conftest import ROOT_KEY, World, pytest_pyfunc_call
from tests.write_side.test_metrics import BEGIN

__all__ = ["database_url", "new_database", "pytest_pyfunc_call"]

MICROSECOND = timedelta(microseconds=1)
RETENTION_DAYS = 30
ROUNDING = {"abs": 1e-6, "rel": 1e-9}
"""Seconds, and shares: what the order makes of a sum of floating point numbers is below."""


@dataclass
class PastWorld(World):
    """A world in which time goes by before each command, `pace` at most, in steps of a microsecond."""

    chance: random.Random = field(default_factory=lambda: random.Random(1))
    now: datetime = BEGIN
    pace: timedelta = timedelta(hours=12)
    stands_still: bool = False

    def context(self, agent_id: UUID | None = None, **condition: Any) -> Context:
        if not self.stands_still:
            self.now += timedelta(microseconds=self.chance.randrange(self.pace // MICROSECOND))
        return replace(super().context(agent_id, **condition), now=self.now)

    async def another(self) -> "PastWorld":
        """Found a second workspace in the same log."""
        other = replace(self, workspace_id=uuid7(), admin_id=uuid7())
        await other.found()
        return other

    async def found(self) -> None:
        command = FoundWorkspace(
            self.workspace_id,
            f"w {self.workspace_id}",
            self.admin_id,
            "admin@example.org",
            "A",
            "x",
        )
        await self.do(command)


@asynccontextmanager
async def a_past_world(dsn: str, *, as_decided: bool = True) -> AsyncIterator[PastWorld]:
    codec = EventCodec()
    async with Database(dsn) as database, EventLog(database, codec, as_decided=as_decided) as log:
        aggregates = Aggregates(database, codec)
        tools = Tools(aggregates, WriteSide(database), Vault(database, ROOT_KEY), 60)
        world = PastWorld(database, codec, Bus(log, tools, HANDLERS), uuid7(), uuid7())
        await world.found()
        yield world
        await aggregates.close()


@pytest.fixture
def world(database_url: str) -> Any:
    """Entered in the event loop of the test."""
    return a_past_world(database_url)


@pytest.fixture
def influx(influxdb: Any, tmp_path: Path) -> Settings:
    """Settings with buckets that nobody has made yet."""
    return settings_of(influxdb, tmp_path)


def settings_of(server: Any, data_dir: Path, **more: Any) -> Settings:
    named = {
        "influxdb_url": server.url, "influxdb_token": server.token, "influxdb_org": server.org,
        "influxdb_bucket": f"b{uuid7().hex}", "telemetry_retention_days": RETENTION_DAYS,
    }  # fmt: skip
    return Settings.load(data_dir=data_dir, **(named | more))


@dataclass
class Stores:
    """Both stores, and what feeds InfluxDB."""

    postgres: TimeSeries
    influxdb: TimeSeries
    server: InfluxDb
    sink: MissionPoints
    marks: Marks

    def __iter__(self) -> Any:
        return iter((self.postgres, self.influxdb))


@asynccontextmanager
async def stores(world: Any, settings: Settings, **how: Any) -> AsyncIterator[Stores]:
    """Open both, with nothing in them."""
    server = InfluxDb(settings)
    database, vault = world.database, world.bus.tools.vault
    sink = MissionPoints(server, database, world.codec, vault, MISSION_FLOW)
    try:
        yield Stores(
            PostgresTimeSeries(database, settings.telemetry_retention_days),
            InfluxTimeSeries(server, database, **how),
            server, sink, Marks(database),
        )  # fmt: skip
    finally:
        await server.aclose()


@asynccontextmanager
async def following(world: Any, opened: Stores) -> AsyncIterator[Marks]:
    """Feed both from the log for as long as the block lasts."""
    marks = opened.marks
    async with (
        Follower(world.database, world.codec) as follower,
        Projector(world.database, follower, world.bus, marks, [MISSION_FLOW, AGENTS]),
        SinkJob(world.database, follower, marks, opened.sink),
    ):
        yield marks


async def feed(world: Any, opened: Stores) -> None:
    """Feed both up to where the log is now."""
    async with following(world, opened) as marks:
        await caught_up(world, opened, marks)


async def caught_up(world: Any, opened: Stores, marks: Marks, patience_s: float = 60) -> None:
    ((position,),) = await world.query("SELECT position FROM log_head")
    names = (AGENTS.name, *(store.mark for store in opened))
    await marks.wait(position, *names, patience_s=patience_s)


async def ask(world: Any, store: TimeSeries, route: Any, **parameters: Any) -> Any:
    """Return what a route of the API answers from a store."""
    state = SimpleNamespace(database=world.database, marks=Marks(world.database), timeseries=store)
    request = Request({"type": "http", "app": SimpleNamespace(state=state)})
    principal = SimpleNamespace(workspace_id=world.workspace_id)
    answer = await route(request=request, principal=principal, **parameters)
    return msgspec.json.decode(answer.body)


def same(one: Any, other: Any) -> None:
    """Fail where two answers differ by more than their rounding; positions are the stores' own."""
    assert type(one) is type(other) or {type(one), type(other)} <= {int, float}, (one, other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one.keys() - {"position"}:
            same(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            same(a, b)
    elif isinstance(one, float):
        assert one == pytest.approx(other, **ROUNDING)
    else:
        assert one == other


def at(hours: float) -> datetime:
    return datetime(2026, 3, 2, tzinfo=UTC) + timedelta(hours=hours)
