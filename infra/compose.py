"""The composition root: every adapter is built here, once, and handed down."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.types import ASGIApp

from commands.bus import Bus, Tools
from commands.handlers import HANDLERS
from commands.routes import agents, auth, boards, comments, members, missions
from infra.aggregates import Aggregates
from infra.codec import EventCodec
from infra.counters import Counters, LocalCounters, RedisCounters
from infra.envelopes import Envelope
from infra.event_log import EventLog
from infra.history import History
from infra.http import fast_path, problems
from infra.http.limits import BodyLimit, OpenStreams
from infra.identity import Identity
from infra.logging import RequestLog, log
from infra.marks import Marks, NotCaughtUp
from infra.passwords import Passwords
from infra.postgres import Database
from infra.redis import connect
from infra.replica import Replica
from infra.roles import ALL, REQUESTS, Role
from infra.search import SearchEngine
from infra.search_postgres import PostgresSearch
from infra.server import Leaving
from infra.settings import Settings
from infra.stores import in_postgres
from infra.telemetry import Telemetry
from infra.timeseries import TimeSeries
from infra.timeseries_postgres import PostgresTimeSeries
from infra.vault import Vault, finish_rotation, root_key
from infra.write_side import WriteSide
from projections.metrics import MISSION_FLOW
from projections.search import SEARCH_MODELS
from read_api import activity, analytics, events, health, inbox, presence, search
from read_api import agents as agent_queries
from read_api import boards as board_queries
from read_api import comments as comment_queries
from read_api import members as member_queries
from read_api import missions as mission_queries
from read_api import telemetry as telemetry_queries
from streams import sse
from streams.dependencies import DependencyManager
from streams.derived import Derived
from streams.doorbell import Doorbell, NotifyDoorbell, RedisDoorbell
from streams.follower import Follower
from streams.keyframes import Keyframes
from streams.live import Live
from streams.neighbours import RedisNeighbours
from streams.presence import Neighbours, NoNeighbours
from streams.projector import Projector
from streams.revocations import Revocations
from streams.room_index import RoomIndex
from streams.sink import Sink, SinkJob
from streams.sockets import live_socket
from streams.telemetry import TelemetryJob, TelemetryTidy
from streams.timers import Timers

COMMANDS = (missions, agents, boards, comments, members, auth)
QUERIES = (
    mission_queries, events, agent_queries, presence, board_queries, comment_queries,
    member_queries, activity, inbox, search, analytics, telemetry_queries,
)  # fmt: skip
"""In the order of how often they are asked: each request tries them in turn."""
ROUTERS: dict[Role, Sequence[Any]] = {
    Role.COMMANDS: COMMANDS,
    Role.QUERIES: QUERIES,
    Role.LIVE: (auth, sse),
}

PROBLEM_RESPONSE: dict[str, Any] = {
    "description": "A problem document (RFC 9457)",
    "content": {
        "application/problem+json": {
            "schema": {
                "type": "object",
                "required": ["type", "title", "status", "code", "detail"],
                "properties": {
                    "type": {"type": "string"},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                    "field": {"type": "string"},
                },
            }
        }
    },
}
LEADER_LOCKS = {Role.TIMERS: 7_301_202, Role.PROJECTIONS: 7_301_203, Role.RELAY: 7_301_204}
"""Advisory locks: what must run once in a deployment runs in the process that holds its role's."""
LEADER_RETRY_S = 1.0
LEADER_SILENCE_S_MAX = 5
"""Of a process that is paused, or cut off, the database takes the locks back after this long."""
READY_PATIENCE_S = 2.5

MakeJob = Callable[[], AbstractAsyncContextManager[Any]]


@asynccontextmanager
async def write_side(
    settings: Settings, dsn: str, options: str = "", *, as_decided: bool = False
) -> AsyncIterator[Bus]:
    """Open what commands need, without serving anything: for the command line and first starts.

    `options` are of `Database`, `as_decided` of `EventLog`.
    """
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(dsn, options))
        codec = EventCodec()
        log_writer = await stack.enter_async_context(
            EventLog(database, codec, as_decided=as_decided)
        )
        yield await _bus(settings, database, codec, log_writer)


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
        database = await stack.enter_async_context(Database(dsn))
        codec = EventCodec()
        services: dict[str, Callable[[], Awaitable[dict[str, Any]]]] = {}
        shared = await stack.enter_async_context(_shared(settings, database, services))
        log_writer = await stack.enter_async_context(
            EventLog(database, codec, ring=shared.doorbell.ring)
        )
        bus = await _bus(settings, database, codec, log_writer)
        follower = await stack.enter_async_context(Follower(database, codec, shared.doorbell))
        reads = database
        if settings.read_database_url is not None and Role.QUERIES in roles:
            replica = Replica(settings.read_database_url, database)
            reads = await stack.enter_async_context(replica)
            services["replica"] = replica.state
        marks = Marks(reads)
        engine, search_jobs = await _search(
            settings, stack, database, follower, marks, bus, services
        )
        history = History(database, codec)
        revocations = shared.revocations
        identity = Identity(database, bus.tools.vault, shared.counters, revocations.announce)
        revocations.listen(lambda _: identity.forget())
        follower.listen(lambda batch: _tell(identity, batch))
        series, sinks = await _time_series(settings, stack, database, codec, bus, services)
        jobs: dict[Role, list[MakeJob]] = {
            Role.TIMERS: [lambda: Timers(database, bus, settings.heartbeat_timeout_s)],
            Role.PROJECTIONS: [
                lambda: DependencyManager(database, follower, bus),
                lambda: RoomIndex(database, follower),
                lambda: Projector(database, follower, bus, marks, in_postgres(settings)),
                lambda: Keyframes(database, follower, history, marks),
                lambda: Derived(database),
                lambda: TelemetryTidy(series),
                *(partial(SinkJob, database, follower, marks, sink) for sink in sinks),
                *search_jobs,
            ],
        }
        telemetry = Telemetry()
        if settings.kafka_bootstrap is not None:
            # Imported where it is set only: its client takes long to load.
            from infra import kafka  # noqa: PLC0415
            from streams import relay  # noqa: PLC0415

            kafka.client_settings(settings)  # a setting that can't be used is found now
            jobs[Role.RELAY] = [lambda: relay.Relay(database, follower, settings)]
            services["kafka"] = lambda: relay.state(database)
        live = await stack.enter_async_context(
            Live(
                database,
                follower,
                bus.tools.vault,
                identity,
                settings.origins(port),
                neighbours=shared.neighbours,
                telemetry=telemetry,
            )
        )
        revocations.listen(live.revoked)
        if roles & REQUESTS:
            await stack.enter_async_context(TelemetryJob(telemetry, series, live.open_sockets))
        for role in sorted(roles & jobs.keys()):
            leader = asyncio.create_task(
                _lead(database, LEADER_LOCKS[role], jobs[role]), name=f"lead-{role}"
            )
            stack.push_async_callback(_cancel, leader)
        if Role.QUERIES in roles:
            # Who is told that the system is ready looks at a board: it should be there, unless that takes long.
            with contextlib.suppress(NotCaughtUp):
                names = in_postgres(settings)
                await marks.wait(
                    follower.position, *(model.name for model in names), patience_s=READY_PATIENCE_S
                )
        app = web_app(roles)
        app.state.settings = settings
        app.state.primary = database
        app.state.database = reads
        app.state.codec = codec
        app.state.bus = bus
        app.state.vault = bus.tools.vault
        app.state.identity = identity
        app.state.passwords = Passwords()
        app.state.sign_in_limits = auth.SignInLimits(shared.counters)
        app.state.marks = marks
        app.state.search = engine
        app.state.services = services
        app.state.board_bodies = mission_queries.BoardBodies()
        app.state.shared_bodies = shared.bodies
        app.state.history = history
        app.state.follower = follower
        app.state.live = live
        app.state.timeseries = series
        app.state.telemetry = telemetry
        app.state.open_streams = OpenStreams()
        app.state.origins = settings.origins(port)
        app.state.services = services
        app.state.leaving = False
        served = RequestLog(
            BodyLimit(fast_path.install(app, routes(roles))), quiet_mark, telemetry.request
        )

        async def unready() -> None:
            app.state.leaving = True
            await asyncio.sleep(settings.drain_s)

        yield served, Leaving(unready, live.drain)


def web_app(roles: frozenset[Role] = ALL) -> FastAPI:
    """Return the routes of these roles without anything behind them: enough to describe the API."""
    app = FastAPI(
        title="Mission Control",
        version="0.1.0",
        description="Missions that people and agents work together, on a log that can be replayed.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        responses={"default": PROBLEM_RESPONSE},
    )
    problems.install(app)
    for module in _modules(roles):
        app.include_router(module.router)
    if Role.LIVE in roles:
        app.add_api_websocket_route("/ws", live_socket)
    return app


def routes(roles: frozenset[Role] = ALL) -> list[APIRoute]:
    """Return every route of the API that these roles serve."""
    return [
        r for module in _modules(roles) for r in module.router.routes if isinstance(r, APIRoute)
    ]


def _modules(roles: frozenset[Role]) -> list[Any]:
    served = dict.fromkeys(module for role in ROUTERS if role in roles for module in ROUTERS[role])
    return [*served, health]


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
    settings: Settings, database: Database, services: dict[str, Callable[[], Awaitable[Any]]]
) -> AsyncIterator[_Shared]:
    redis = await connect(settings, await _log_id(database))
    if redis is None:
        async with Revocations(database, None) as revocations:
            yield _Shared(NotifyDoorbell(), LocalCounters(), NoNeighbours(), revocations, None)
        return
    services["redis"] = redis.state
    doorbell, neighbours = RedisDoorbell(redis), RedisNeighbours(redis)
    revocations = Revocations(database, redis)
    async with redis, doorbell, neighbours, revocations:
        bodies = mission_queries.SharedBodies(redis)
        yield _Shared(doorbell, RedisCounters(redis), neighbours, revocations, bodies)


async def _log_id(database: Database) -> UUID:
    async with database.system() as connection:
        row = await (await connection.execute("SELECT log_id FROM log_head")).fetchone()
    assert row is not None
    return UUID(str(row[0]))


async def _bus(
    settings: Settings, database: Database, codec: EventCodec, log_writer: EventLog
) -> Bus:
    key_file = settings.data_dir / "root.key"
    await finish_rotation(database, key_file)
    vault = Vault(database, root_key(settings.root_key, key_file))
    await vault.start()
    aggregates = Aggregates(database, codec)
    tools = Tools(aggregates, WriteSide(database), vault, settings.lease_ttl_s)
    return Bus(log_writer, tools, HANDLERS)


async def _time_series(
    settings: Settings, stack: AsyncExitStack, database: Database, codec: EventCodec, bus: Bus,
    services: dict[str, Callable[[], Awaitable[dict[str, Any]]]],
) -> tuple[TimeSeries, list[Sink]]:  # fmt: skip
    """Return where metrics are asked for, and what has to be fed for it from the log, here."""
    if settings.influxdb_url is None:
        return PostgresTimeSeries(database, settings.telemetry_retention_days), []
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
    settings: Settings, stack: AsyncExitStack, database: Database, follower: Follower, marks: Marks,
    bus: Bus, services: dict[str, Callable[[], Awaitable[dict[str, Any]]]],
) -> tuple[SearchEngine, list[MakeJob]]:  # fmt: skip
    """Return what searches, and the jobs that feed it from the log, here."""
    if settings.elasticsearch_url is None:
        return PostgresSearch(database), []
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
        if envelope.type.startswith(("workspace.", "user.", "agent.")):
            identity.on_event(envelope.type, envelope.stream_id, envelope.payload)


async def _lead(database: Database, lock: int, jobs: Sequence[MakeJob]) -> None:
    """Run a role's jobs, which must run once in a deployment, while this process holds its lock."""
    while True:
        try:
            leading = database.connect(idle_session_timeout=f"{LEADER_SILENCE_S_MAX}s")
            async with await leading as connection, AsyncExitStack() as stack:
                while not await _locked(connection, lock):  # noqa: ASYNC110 - a lock of the database
                    await asyncio.sleep(LEADER_RETRY_S)
                for job in jobs:
                    await stack.enter_async_context(job())
                while True:
                    # The lock lives as long as its connection: look after it.
                    await asyncio.sleep(LEADER_RETRY_S)
                    await connection.execute("SELECT 1")
        except (psycopg.Error, OSError) as error:
            log.warning("this process leads no more", error=type(error).__name__)
            await asyncio.sleep(LEADER_RETRY_S)


async def _locked(connection: Any, lock: int) -> bool:
    cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", [lock])
    row = await cursor.fetchone()
    return bool(row[0])


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
