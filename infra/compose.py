"""The composition root: every adapter is built here, once, and handed down."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
from fastapi import FastAPI
from starlette.types import ASGIApp

from commands.bus import Bus
from commands.signs import SignsOfLife
from infra.codec import EventCodec
from infra.command_bus import command_bus
from infra.counters import Counters, LocalCounters, RedisCounters
from infra.envelopes import Envelope
from infra.event_log import EventLog
from infra.history import History
from infra.http import fast_path
from infra.http.encodings import Compressed
from infra.http.head import Head
from infra.http.limits import BodyLimit, OpenStreams
from infra.http.privacy import Private
from infra.http.site import Site
from infra.identity import Identity
from infra.logging import RequestLog, log
from infra.marks import Marks, NotCaughtUp
from infra.passwords import Passwords
from infra.postgres import Database
from infra.postgres_checks import reason_of
from infra.redis import connect
from infra.replica import Replica
from infra.roles import ALL, LEADER_LOCKS, REQUESTS, Role
from infra.search import SearchEngine
from infra.search_postgres import PostgresSearch
from infra.server import Leaving
from infra.settings import Settings
from infra.sign_in import SignInLimits
from infra.stores import in_elasticsearch, in_postgres
from infra.tasks import end
from infra.telemetry import Telemetry
from infra.timeseries import TimeSeries
from infra.timeseries_postgres import PostgresTimeSeries
from infra.web import routes, web_app
from projections.metrics import MISSION_FLOW
from projections.search import SEARCH_MODELS
from read_api import missions as mission_queries
from read_api.events import MEDIA_TYPE as NDJSON
from streams import claims
from streams.dependencies import DependencyManager
from streams.derived import Derived
from streams.doorbell import Doorbell, NotifyDoorbell, RedisDoorbell
from streams.follower import Follower
from streams.job import Job, Roster
from streams.keyframes import Keyframes
from streams.live import Live
from streams.neighbours import RedisNeighbours
from streams.parking import ParkingNews
from streams.presence import Neighbours, NoNeighbours
from streams.projector import Projector
from streams.revocations import Revocations
from streams.room_index import RoomIndex
from streams.sink import Sink, SinkJob
from streams.telemetry import TelemetryJob, TelemetryTidy
from streams.timers import Timers

LEADER_RETRY_S = 1.0
LEADER_SILENCE_S_MAX = 5
"""Of a process that is paused, or cut off, the database takes the locks back after this long."""
READY_PATIENCE_S = 2.5
KAFKA_NEWS_S = 2.0
"""Workers are other processes: nobody tells this one what they parked."""

MakeJob = Callable[[], Job]
Services = dict[str, Callable[[], Awaitable[dict[str, Any]]]]
"""Outside services by name, and what asks one how it is."""


@asynccontextmanager
async def running(
    settings: Settings,
    dsn: str,
    port: int,
    quiet_mark: str | None = None,
    roles: frozenset[Role] = ALL,
) -> AsyncIterator[tuple[ASGIApp, Leaving]]:
    """Build a process of these roles on a migrated database; yield its ASGI app and how it ends."""
    async with AsyncExitStack() as stack:
        parts = await _parts(stack, settings, dsn, port, roles)
        for role, jobs in sorted(_jobs(settings, parts).items()):
            if role in roles:
                leading = _lead(parts.database, LEADER_LOCKS[role], jobs, parts.roster)
                leader = asyncio.create_task(leading, name=f"lead-{role}")
                stack.push_async_callback(end, [leader])
        if Role.QUERIES in roles:
            await _for_a_moment(settings, parts)
        app = web_app(roles)
        _hand_down(app, settings, port, parts)
        # A follower hears at once that its stream has begun: compressed, that waits for the first event.
        plain: ASGIApp = Compressed(fast_path.install(app, routes(roles)), but=(NDJSON,))
        plain = Head(plain)
        if Role.QUERIES in roles:
            plain = Site(plain)
        served = RequestLog(Private(BodyLimit(plain)), quiet_mark, parts.telemetry.request)

        async def unready() -> None:
            app.state.leaving = True
            await asyncio.sleep(settings.drain_s)

        yield served, Leaving(unready, parts.live.drain)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a process is made of. `database` is the primary, `reads` what queries ask."""

    database: Database
    reads: Database
    codec: EventCodec
    bus: Bus
    follower: Follower
    marks: Marks
    history: History
    identity: Identity
    live: Live
    shared: "_Shared"
    roster: Roster
    search: SearchEngine
    search_jobs: list[MakeJob]
    series: TimeSeries
    sinks: list[Sink]
    telemetry: Telemetry
    services: Services


async def _parts(
    stack: AsyncExitStack, settings: Settings, dsn: str, port: int, roles: frozenset[Role]
) -> _Parts:
    database = await stack.enter_async_context(Database(dsn))
    codec = EventCodec()
    roster = Roster()
    services: Services = {"jobs": roster.state}
    shared = await stack.enter_async_context(_shared(settings, database, services, roster))
    log_writer = await stack.enter_async_context(
        EventLog(database, codec, ring=shared.doorbell.ring)
    )
    bus = await command_bus(settings, database, codec, log_writer)
    follower = await stack.enter_async_context(Follower(database, codec, shared.doorbell))
    services["log"] = follower.state
    services["writer"] = log_writer.state
    reads = database
    if settings.read_database_url is not None and Role.QUERIES in roles:
        replica = Replica(settings.read_database_url, database)
        reads = await stack.enter_async_context(replica)
        services["replica"] = replica.state
    marks = Marks(reads, in_elasticsearch(settings))
    engine, search_jobs = await _search(
        settings, stack, reads, database, follower, marks, bus, services
    )
    identity = Identity(database, bus.tools.vault, shared.counters, shared.revocations.announce)
    shared.revocations.listen(lambda _: identity.forget())
    # A right that a command takes is gone when its client hears of it; here by the bus, elsewhere by the log.
    bus.listen(identity.on_event)
    follower.listen(lambda batch: _tell(identity, batch))
    series, sinks = await _time_series(settings, stack, reads, database, codec, bus, services)
    telemetry = Telemetry()
    live = await stack.enter_async_context(
        Live(
            database, follower, bus.tools.vault, identity, settings.origins(port),
            neighbours=shared.neighbours, telemetry=telemetry,
        )
    )  # fmt: skip
    shared.revocations.listen(live.revoked)
    if roles & REQUESTS:
        job = TelemetryJob(telemetry, series, live.open_sockets)
        await stack.enter_async_context(roster.running(job))
    return _Parts(
        database, reads, codec, bus, follower, marks, History(database, codec), identity, live, shared,
        roster, engine, search_jobs, series, sinks, telemetry, services,
    )  # fmt: skip


def _jobs(settings: Settings, parts: _Parts) -> dict[Role, list[MakeJob]]:
    """Return what must run once in a deployment, by role."""
    database, follower, marks, bus = parts.database, parts.follower, parts.marks, parts.bus
    jobs: dict[Role, list[MakeJob]] = {
        Role.TIMERS: [lambda: Timers(database, bus, settings.heartbeat_timeout_s)],
        Role.PROJECTIONS: [
            lambda: DependencyManager(database, follower, bus),
            lambda: RoomIndex(database, follower),
            # With Kafka, `mission-control worker` folds them, and parks what it can't.
            (lambda: ParkingNews(database, bus, KAFKA_NEWS_S))
            if settings.kafka_bootstrap
            else (lambda: Projector(database, follower, bus, marks, in_postgres(settings))),
            lambda: Keyframes(database, follower, parts.history, marks),
            lambda: Derived(database),
            lambda: TelemetryTidy(parts.series),
            *(partial(SinkJob, database, follower, marks, sink) for sink in parts.sinks),
            *parts.search_jobs,
        ],
    }
    source = claims.source_of(settings)
    tables = [model.name for model in in_postgres(settings)]
    parts.services["read_models"] = lambda: claims.state(database, source, tables)
    if settings.kafka_bootstrap is not None:
        # Imported where it is set only: its client takes long to load.
        from infra import kafka  # noqa: PLC0415
        from streams import relay  # noqa: PLC0415

        kafka.client_settings(settings)  # a setting that can't be used is found now
        jobs[Role.RELAY] = [lambda: relay.Relay(database, follower, settings)]
        parts.services["kafka"] = lambda: relay.state(database)
    return jobs


async def _for_a_moment(settings: Settings, parts: _Parts) -> None:
    """Who is told that the system is ready looks at a board: it should be there, unless that takes long."""
    names = (model.name for model in in_postgres(settings))
    with contextlib.suppress(NotCaughtUp):
        await parts.marks.wait(parts.follower.position, *names, patience_s=READY_PATIENCE_S)


def _hand_down(app: FastAPI, settings: Settings, port: int, parts: _Parts) -> None:
    """Give the routes what they work with."""
    app.state.settings = settings
    app.state.primary = parts.database
    app.state.database = parts.reads
    app.state.codec = parts.codec
    app.state.bus = parts.bus
    app.state.signs = SignsOfLife(parts.bus)
    app.state.vault = parts.bus.tools.vault
    app.state.identity = parts.identity
    app.state.passwords = Passwords()
    app.state.sign_in_limits = SignInLimits(parts.shared.counters)
    app.state.marks = parts.marks
    app.state.search = parts.search
    app.state.board_bodies = mission_queries.BoardBodies()
    app.state.shared_bodies = parts.shared.bodies
    app.state.history = parts.history
    app.state.follower = parts.follower
    app.state.live = parts.live
    app.state.timeseries = parts.series
    app.state.telemetry = parts.telemetry
    app.state.services = parts.services
    app.state.open_streams = OpenStreams()
    app.state.origins = settings.origins(port)
    app.state.leaving = False


@dataclass(frozen=True, slots=True)
class _Shared:
    """What processes share where they have a Redis, and each has to itself where not."""

    doorbell: Doorbell
    counters: Counters
    neighbours: Neighbours
    revocations: Revocations
    bodies: mission_queries.SharedBodies | None


@asynccontextmanager
async def _shared(
    settings: Settings, database: Database, services: Services, roster: Roster
) -> AsyncIterator[_Shared]:
    redis = await connect(settings, await _log_id(database))
    if redis is None:
        revocations = Revocations(database, None)
        async with roster.running(revocations):
            yield _Shared(NotifyDoorbell(), LocalCounters(), NoNeighbours(), revocations, None)
        return
    services["redis"] = redis.state
    doorbell, neighbours = RedisDoorbell(redis), RedisNeighbours(redis)
    revocations = Revocations(database, redis)
    async with redis, doorbell, roster.running(neighbours), roster.running(revocations):
        bodies = mission_queries.SharedBodies(redis)
        yield _Shared(doorbell, RedisCounters(redis), neighbours, revocations, bodies)


async def _log_id(database: Database) -> UUID:
    async with database.system() as connection:
        row = await (await connection.execute("SELECT log_id FROM log_head")).fetchone()
    assert row is not None
    return UUID(str(row[0]))


async def _time_series(
    settings: Settings, stack: AsyncExitStack, reads: Database, database: Database, codec: EventCodec,
    bus: Bus, services: Services,
) -> tuple[TimeSeries, list[Sink]]:  # fmt: skip
    """Return where metrics are asked for, and what has to be fed for it from the log, here."""
    if settings.influxdb_url is None:
        return PostgresTimeSeries(reads, settings.telemetry_retention_days), []
    # Imported where it is set only: its client alone takes longer to load than the rest of a start.
    from infra.influxdb import InfluxDb  # noqa: PLC0415
    from infra.timeseries_influxdb import InfluxTimeSeries  # noqa: PLC0415
    from streams.mission_points import MissionPoints  # noqa: PLC0415

    influxdb = InfluxDb(settings)
    stack.push_async_callback(influxdb.aclose)
    services["influxdb"] = influxdb.state
    sinks: list[Sink] = []
    if settings.kafka_bootstrap is None:
        sinks.append(MissionPoints(influxdb, database, codec, bus.tools.vault, MISSION_FLOW))
    return InfluxTimeSeries(influxdb, database), sinks


async def _search(
    settings: Settings, stack: AsyncExitStack, reads: Database, database: Database, follower: Follower,
    marks: Marks, bus: Bus, services: Services,
) -> tuple[SearchEngine, list[MakeJob]]:  # fmt: skip
    """Return what searches, and the jobs that feed it from the log, here."""
    if settings.elasticsearch_url is None:
        return PostgresSearch(reads), []
    # Imported where it is set only: its client takes long to load.
    from infra.elasticsearch import Cluster  # noqa: PLC0415
    from infra.search_elasticsearch import ElasticsearchSearch  # noqa: PLC0415
    from streams.search_jobs import SearchJob, search_sink  # noqa: PLC0415

    cluster = await stack.enter_async_context(Cluster(settings))
    services["elasticsearch"] = cluster.state
    vault = bus.tools.vault
    jobs: list[MakeJob] = []
    if settings.kafka_bootstrap is None:
        for model in SEARCH_MODELS:
            sink = search_sink(cluster, database, follower.codec, vault, model)
            jobs.append(partial(SearchJob, database, follower, marks, sink))
    return ElasticsearchSearch(cluster, follower.log_id), jobs


def _tell(identity: Identity, batch: Sequence[Envelope]) -> None:
    for envelope in batch:
        identity.on_event(envelope.type)


async def _lead(database: Database, lock: int, jobs: Sequence[MakeJob], roster: Roster) -> None:
    """Run a role's jobs, which must run once in a deployment, while this process holds its lock."""
    told = False
    while True:
        try:
            leading = database.connect(idle_session_timeout=f"{LEADER_SILENCE_S_MAX}s")
            async with await leading as connection, AsyncExitStack() as stack:
                told = False
                while not await _locked(connection, lock):  # noqa: ASYNC110 - a lock of the database
                    await asyncio.sleep(LEADER_RETRY_S)
                for job in jobs:
                    await stack.enter_async_context(roster.running(job()))
                while True:
                    # The lock lives as long as its connection: look after it.
                    await asyncio.sleep(LEADER_RETRY_S)
                    await connection.execute("SELECT 1")
        except (psycopg.Error, OSError) as error:
            if not told:
                log.warning("this process can't lead", reason=reason_of(error, database.dsn))
            told = True
            await asyncio.sleep(LEADER_RETRY_S)


async def _locked(connection: Any, lock: int) -> bool:
    cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", [lock])
    row = await cursor.fetchone()
    return bool(row[0])
