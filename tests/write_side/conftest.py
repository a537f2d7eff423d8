"""The real write side on the real PostgreSQL, without HTTP: bus, log, aggregates, vault."""

import asyncio
import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from commands import missions
from commands.agents import RegisterAgent
from commands.append import Actor, ActorKind, Answer, CommandMeta
from commands.bus import Bus, Context, Tools
from commands.handlers import HANDLERS
from commands.workspaces import FoundWorkspace
from domain.board import Board, Stage
from domain.mission import Content, Mission
from domain.workspace import Workspace
from infra.aggregates import Aggregates
from infra.codec import EventCodec
from infra.event_log import EventLog
from infra.postgres import Database
from infra.vault import RootKey, Vault
from infra.write_side import WriteSide

# Worlds of one module share a database, and so the key that all its keys are wrapped by.
ROOT_KEY = RootKey.new()


@dataclass
class World:
    """A workspace of its own, with an admin and a board, and short ways to act in it."""

    database: Database
    codec: EventCodec
    bus: Bus
    workspace_id: UUID
    admin_id: UUID

    def context(
        self, agent_id: UUID | None = None, *, user_id: UUID | None = None, key: UUID | None = None,
        body: bytes = b"body", if_match: int | None = None,
    ) -> Context:  # fmt: skip
        actor = (
            Actor(ActorKind.AGENT, agent_id)
            if agent_id
            else Actor(ActorKind.USER, user_id or self.admin_id)
        )
        request_hash = body if key else None
        meta = CommandMeta(
            key or uuid7(), self.workspace_id, actor, uuid7(), request_hash=request_hash
        )
        return Context(meta, if_match=if_match)

    async def do(self, command: Any, agent_id: UUID | None = None, **condition: Any) -> Answer:
        return await self.bus.execute(command, self.context(agent_id, **condition))

    async def board(self) -> Board:
        workspace = await self.get(Workspace, self.workspace_id)
        return await self.get(Board, workspace.default_board_id)  # type: ignore[no-any-return]

    async def get(self, kind: Any, key: UUID) -> Any:
        return await self.bus.tools.aggregates.get(kind, key, self.workspace_id)

    async def mission(
        self, title: str = "mission", stage: Stage = Stage.READY, **more: Any
    ) -> UUID:
        board = await self.board()
        assignees = more.pop("assignees", ())
        command = missions.CreateMission(
            Content(title, **more), board.id, board.first(stage).id, assignees
        )
        return UUID(str((await self.do(command)).body["id"]))

    async def agent(self, *capabilities: str) -> UUID:
        command = RegisterAgent(f"agent {uuid7()}", "", capabilities, {}, self.admin_id)
        return UUID(str((await self.do(command)).body["id"]))

    async def claim_next(self, agent_id: UUID, ttl_s: int | None = None) -> Answer | None:
        context = self.context(agent_id)
        wish = missions.next_mission(None, ttl_s, context, self.bus.tools)
        return await self.bus.claim_next(wish, context)

    async def move(self, mission_id: UUID, stage: Stage) -> Answer:
        column = (await self.board()).first(stage)
        return await self.do(missions.MoveMission(mission_id, column.id))

    async def stage(self, mission_id: UUID) -> Stage:
        mission: Mission = await self.get(Mission, mission_id)
        return mission.place.stage

    async def query(self, statement: str, values: Any = ()) -> list[tuple[Any, ...]]:
        async with self.database.system() as connection:
            cursor = await connection.execute(statement, values)
            return await cursor.fetchall() if cursor.description else []

    async def types(self, stream_id: UUID) -> list[str]:
        rows = await self.query(
            "SELECT type FROM events WHERE stream_id = %s ORDER BY stream_version", [stream_id]
        )
        return [row[0].removesuffix(".v1") for row in rows]


@asynccontextmanager
async def a_world(dsn: str) -> AsyncIterator[World]:
    codec = EventCodec()
    async with Database(dsn) as database, EventLog(database, codec) as log:
        aggregates = Aggregates(database, codec)
        tools = Tools(aggregates, WriteSide(database), Vault(database, ROOT_KEY), 60)
        world = World(database, codec, Bus(log, tools, HANDLERS), uuid7(), uuid7())
        await world.do(
            FoundWorkspace(
                world.workspace_id, f"w {world.workspace_id}", world.admin_id,
                "admin@example.org", "Admin", "hash",
            )
        )  # fmt: skip
        yield world
        await aggregates.close()


@pytest.fixture
def world(database_url: str) -> Any:
    """Entered by the hook below, in the event loop of the test."""
    return a_world(database_url)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an `async def` test in an event loop of its own, in a world of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names}

    async def play() -> None:
        async with arguments.pop("world") as world:
            await pyfuncitem.obj(world=world, **arguments)

    asyncio.run(play())
    return True
