"""A workspace with a board, a real server for its live updates, and a client that checks what it gets."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from uuid_utils.compat import uuid7
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from commands.append import (
    Actor,
    ActorKind,
    Answer,
    Append,
    Appended,
    CommandMeta,
    RowWrite,
    StreamAppend,
)
from domain import base, rank
from domain.board import Board, Stage, default_columns
from domain.mission import Content, Mission, Place
from domain.user import User
from domain.workspace import Role, Workspace
from infra.codec import EventCodec
from infra.event_log import EventLog
from infra.http.principal import Principal
from infra.http.wire import Wire
from infra.identity import Identity
from infra.postgres import Database
from infra.vault import RootKey, Vault
from streams.follower import Follower
from streams.live import Live, Pace
from streams.room_index import RoomIndex
from streams.sockets import live_socket

ORIGIN = "https://mission.example"
Scenario = Callable[["World"], Awaitable[None]]
Playing = Callable[..., None]


@dataclass
class Client:
    """Follows rooms as the protocol asks, and fails on a gap or a duplicate."""

    connection: ClientConnection
    log_id: str = ""
    last: dict[str, int] = field(default_factory=dict)
    events: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    present: dict[str, set[str]] = field(default_factory=dict)

    async def say(self, t: str, **members: Any) -> None:
        await self.connection.send(json.dumps({"t": t, **members}))

    async def hear(self) -> dict[str, Any]:
        """Return the next message but for pings, which are answered, and presence, which is noted."""
        while (heard := await self.hear_all())["t"] == "presence":
            pass
        return heard

    async def hear_all(self) -> dict[str, Any]:
        """Return the next message but for pings; presence is noted."""
        while True:
            async with asyncio.timeout(10):
                heard: dict[str, Any] = json.loads(await self.connection.recv())
            if heard["t"] == "presence":
                known = set() if heard.get("all") else self.present[heard["room"]]
                joined, left = ({one["id"] for one in heard[way]} for way in ("join", "leave"))
                assert not joined & known, "nobody joins twice"
                assert left <= known, "nobody leaves who was not there"
                self.present[heard["room"]] = (known | joined) - left
            if heard["t"] != "ping":
                return heard
            await self.say("pong")

    async def sub(self, room: str, pos: int | None = None, **members: Any) -> dict[str, Any]:
        """Subscribe and return the answer."""
        where = {} if pos is None else {"pos": pos}
        await self.say("sub", id=7, room=room, **where, **members)
        answer = await self.hear()
        if answer["t"] == "sub_ok":
            self.last[room] = answer["head"] if pos is None else pos
            self.events.setdefault(room, [])
        return answer

    async def take(self) -> dict[str, Any]:
        """Apply the next message: events in order, with acks, `live` as a position."""
        heard = await self.hear()
        room = heard.get("room", "")
        if heard["t"] in {"ev", "batch"}:
            for event in heard.get("events", [heard]):
                assert event["prev"] <= self.last[room] < event["pos"], (event, self.last)
                self.last[room] = event["pos"]
                self.events[room].append(event)
            if heard["t"] == "batch" and not heard.get("live"):
                await self.say("ack", room=room, pos=self.last[room])
        elif heard["t"] == "live":
            self.last[room] = max(self.last[room], heard["pos"])
        return heard

    async def until(self, t: str) -> dict[str, Any]:
        """Apply messages up to one of this kind."""
        while (heard := await self.take())["t"] != t:
            pass
        return heard

    async def reach(self, room: str, position: int) -> list[dict[str, Any]]:
        """Apply messages until a room has come to a position; return its events."""
        while self.last[room] < position:
            await self.take()
        return self.events[room]

    async def code(self) -> int | None:
        """Wait for the end, whatever comes before; return its close code."""
        with contextlib.suppress(ConnectionClosed):
            async with asyncio.timeout(10):
                while True:
                    await self.connection.recv()
        return self.connection.close_code


@dataclass
class World:
    """A running server, and the means to make things happen in its log."""

    url: str
    database: Database
    log: EventLog
    vault: Vault
    identity: Identity
    follower: Follower
    live: Live
    workspace_id: UUID = field(default_factory=uuid7)
    user_id: UUID = field(default_factory=uuid7)
    workspace: Workspace | None = None
    position: int = 0

    async def record(self, *aggregates: Any, rows: tuple[RowWrite, ...] = ()) -> int:
        """Append what aggregates have pending; return the position."""
        meta = CommandMeta(
            uuid7(), aggregates[0].workspace_id, Actor(ActorKind.USER, self.user_id), uuid7()
        )
        streams = [
            StreamAppend(a.id, a.version - len(a.pending_events), list(a.pending_events))
            for a in aggregates
        ]
        answer = Answer(200, {})
        verdict = await self.log.append(Append(meta, streams, lambda _: answer, rows))
        assert isinstance(verdict, Appended), verdict
        for aggregate in aggregates:
            aggregate.collect_events()
        self.position = verdict.position
        return verdict.position

    async def found(self, workspace_id: UUID, user_id: UUID) -> Workspace:
        """Make a workspace with an admin."""
        base.command_time.set(datetime.now(UTC))
        rows = (
            self.vault.new_workspace(workspace_id),
            self.vault.new_subject(workspace_id, user_id),
        )
        workspace = Workspace.begin(
            workspace_id,
            workspace_id=workspace_id,
            name=str(workspace_id),
            default_board_id=uuid7(),
        )
        workspace.add_member(user_id, Role.ADMIN)
        await self.record(workspace, self.person(workspace_id, user_id), rows=rows)
        return workspace

    async def join(self, workspace: Workspace, role: Role) -> UUID:
        """Add a member."""
        user_id = uuid7()
        row = self.vault.new_subject(workspace.id, user_id)
        workspace.add_member(user_id, role)
        await self.record(workspace, self.person(workspace.id, user_id), rows=(row,))
        return user_id

    def person(self, workspace_id: UUID, user_id: UUID) -> User:
        seal = self.vault.seal
        return User.begin(
            user_id,
            workspace_id=workspace_id,
            name=seal(user_id, user_id, "name", "Ada Canary"),
            email=seal(user_id, user_id, "email", f"{user_id}@example.org"),
        )

    async def board(self, workspace_id: UUID | None = None) -> Board:
        """Make a board."""
        columns = default_columns([uuid7() for _ in range(5)])
        board = Board.begin(
            uuid7(),
            workspace_id=workspace_id or self.workspace_id,
            name=str(uuid7()),
            columns=columns,
        )
        await self.record(board)
        return board

    async def mission(self, board: Board, text: str = "") -> tuple[Mission, int]:
        """Put a card on a board."""
        made = Mission.create(
            uuid7(), board.workspace_id, self.place(board), Content("title", text), (), self.user_id
        )
        return made, await self.record(made)

    def place(self, board: Board) -> Place:
        column = board.first(Stage.READY)
        return Place(board.id, column.id, column.stage, rank.at_end(datetime.now(UTC), uuid7()))

    async def ticket(self, user_id: UUID | None = None, *, lasts_s: float = 600) -> str:
        ends = datetime.now(UTC) + timedelta(seconds=lasts_s)
        actor = Actor(ActorKind.USER, user_id or self.user_id)
        holder = Principal(actor, self.workspace_id, frozenset(), None, None, ends)
        return await self.identity.new_ticket(holder)

    @asynccontextmanager
    async def client(
        self, user_id: UUID | None = None, *, lasts_s: float = 600
    ) -> AsyncIterator[Client]:
        """Connect as a member; what was recorded before it is not news to the server any more."""
        await self.follower.wait_beyond(self.position - 1)
        ticket = await self.ticket(user_id, lasts_s=lasts_s)
        async with connect(
            self.url, subprotocols=["mc.v1"], max_size=None, close_timeout=1
        ) as opened:
            client = Client(opened)
            await client.say("connect", id=1, ticket=ticket)
            client.log_id = (await client.hear())["log_id"]
            yield client

    async def recorded(self, hidden: bool = False) -> list[tuple[int, str]]:
        """Return position and type of the workspace's events."""
        rows = await self.database.fetch(
            self.workspace_id,
            "SELECT position, type FROM events WHERE workspace_id = %s ORDER BY position",
            [self.workspace_id],
        )
        return [(p, t) for p, t in rows if hidden or not t.startswith("agent.key_")]


@asynccontextmanager
async def world(
    dsn: str, root: RootKey, *, index: bool, pace: Pace, kept: int
) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(dsn))
        codec = EventCodec()
        log = await stack.enter_async_context(EventLog(database, codec))
        follower = await stack.enter_async_context(Follower(database, codec))
        vault = Vault(database, root)
        identity = Identity(database, vault)
        live = Live(database, follower, vault, identity, frozenset({ORIGIN}), pace, kept)
        await stack.enter_async_context(live)
        if index:
            await stack.enter_async_context(RoomIndex(database, follower))
        app = Starlette(routes=[WebSocketRoute("/ws", live_socket)])
        app.state.live = live
        port = await stack.enter_async_context(serving(app))
        here = World(f"ws://127.0.0.1:{port}/ws", database, log, vault, identity, follower, live)
        here.workspace = await here.found(here.workspace_id, here.user_id)
        yield here


@asynccontextmanager
async def serving(app: Starlette) -> AsyncIterator[int]:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, ws=Wire, lifespan="off", log_config=None, ws_per_message_deflate=False,
        ws_max_size=65_536, timeout_graceful_shutdown=2,
    )  # fmt: skip
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve([listening]))
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        await task


@pytest.fixture(scope="module")
def root() -> RootKey:
    return RootKey.new()


@pytest.fixture
def playing(database_url: str, root: RootKey) -> Playing:
    """Run a scenario in a fresh workspace."""

    async def run(scenario: Scenario, index: bool, pace: Pace, kept: int) -> None:
        async with world(database_url, root, index=index, pace=pace, kept=kept) as here:
            await scenario(here)

    def play(
        scenario: Scenario, *, index: bool = True, pace: Pace | None = None, kept: int = 32_000_000
    ) -> None:
        asyncio.run(run(scenario, index, pace or Pace(tick_s=0.05), kept))

    return play
