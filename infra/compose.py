"""The composition root: every adapter is built here, once, and handed down."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import psycopg
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.types import ASGIApp

from commands.bus import Bus, Tools
from commands.handlers import HANDLERS
from commands.routes import agents, auth, boards, comments, members, missions
from infra.aggregates import Aggregates
from infra.codec import EventCodec
from infra.envelopes import Envelope
from infra.event_log import EventLog
from infra.history import History
from infra.http import fast_path, problems
from infra.http.limits import BodyLimit
from infra.identity import Identity
from infra.logging import RequestLog, log
from infra.marks import Marks, NotCaughtUp
from infra.passwords import Passwords
from infra.postgres import Database
from infra.roles import ALL, Role
from infra.server import Leaving
from infra.settings import Settings
from infra.vault import Vault, finish_rotation, root_key
from infra.write_side import WriteSide
from projections.catalogue import READ_MODELS
from read_api import activity, analytics, events, health, inbox, presence, search
from read_api import agents as agent_queries
from read_api import boards as board_queries
from read_api import comments as comment_queries
from read_api import members as member_queries
from read_api import missions as mission_queries
from streams import sse
from streams.dependencies import DependencyManager
from streams.derived import Derived
from streams.follower import Follower
from streams.keyframes import Keyframes
from streams.live import Live
from streams.parking import ParkingNews
from streams.projector import Projector
from streams.room_index import RoomIndex
from streams.sockets import live_socket
from streams.timers import Timers

COMMANDS = (missions, agents, boards, comments, members, auth)
QUERIES = (
    mission_queries, events, agent_queries, presence, board_queries, comment_queries,
    member_queries, activity, inbox, search, analytics,
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
KAFKA_NEWS_S = 2.0
"""Workers are other processes: nobody tells this one what they parked."""

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
        log_writer = await stack.enter_async_context(EventLog(database, codec))
        bus = await _bus(settings, database, codec, log_writer)
        follower = await stack.enter_async_context(Follower(database, codec))
        marks = Marks(database)
        history = History(database, codec)
        identity = Identity(database, bus.tools.vault)
        follower.listen(lambda batch: _tell(identity, batch))
        jobs: dict[Role, list[MakeJob]] = {
            Role.TIMERS: [lambda: Timers(database, bus, settings.heartbeat_timeout_s)],
            Role.PROJECTIONS: [
                lambda: DependencyManager(database, follower, bus),
                lambda: RoomIndex(database, follower),
                # With Kafka, `mission-control worker` folds them, and parks what it can't.
                (lambda: ParkingNews(database, bus, KAFKA_NEWS_S))
                if settings.kafka_bootstrap
                else (lambda: Projector(database, follower, bus, marks, READ_MODELS)),
                lambda: Keyframes(database, follower, history, marks),
                lambda: Derived(database),
            ],
        }
        services: dict[str, Callable[[], Awaitable[dict[str, Any]]]] = {}
        if settings.kafka_bootstrap is not None:
            # Imported where it is set only: its client takes long to load.
            from infra import kafka  # noqa: PLC0415
            from streams import relay  # noqa: PLC0415

            kafka.client_settings(settings)  # a setting that can't be used is found now
            jobs[Role.RELAY] = [lambda: relay.Relay(database, follower, settings)]
            services["kafka"] = lambda: relay.state(database)
        live = await stack.enter_async_context(
            Live(database, follower, bus.tools.vault, identity, settings.origins(port))
        )
        for role in sorted(roles & jobs.keys()):
            leader = asyncio.create_task(
                _lead(database, LEADER_LOCKS[role], jobs[role]), name=f"lead-{role}"
            )
            stack.push_async_callback(_cancel, leader)
        if Role.QUERIES in roles:
            # Who is told that the system is ready looks at a board: it should be there, unless that takes long.
            with contextlib.suppress(NotCaughtUp):
                names = (model.name for model in READ_MODELS)
                await marks.wait(follower.position, *names, patience_s=READY_PATIENCE_S)
        app = web_app(roles)
        app.state.settings = settings
        app.state.database = database
        app.state.codec = codec
        app.state.bus = bus
        app.state.vault = bus.tools.vault
        app.state.identity = identity
        app.state.passwords = Passwords()
        app.state.sign_in_limits = auth.SignInLimits()
        app.state.marks = marks
        app.state.services = services
        app.state.board_bodies = mission_queries.BoardBodies()
        app.state.history = history
        app.state.follower = follower
        app.state.live = live
        app.state.origins = settings.origins(port)
        app.state.leaving = False
        served = RequestLog(BodyLimit(fast_path.install(app, routes(roles))), quiet_mark)

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
