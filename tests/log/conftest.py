"""A workspace to write about, and a log to write to."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from uuid_utils.compat import uuid7

from commands.append import Actor, ActorKind, Answer, Append, CommandMeta, Recorded, StreamAppend
from domain.base import Aggregate, command_time
from domain.board import Board, Stage, default_columns
from domain.mission import Content, Mission, Place
from infra.aggregates import Aggregates
from infra.codec import EventCodec
from infra.event_log import EventLog
from infra.postgres import SYSTEM_OPTIONS, Database


@dataclass
class Story:
    """One workspace, its board, and commands in it."""

    workspace_id: UUID = field(default_factory=uuid7)
    user_id: UUID = field(default_factory=uuid7)

    def __post_init__(self) -> None:
        columns = default_columns([uuid7() for _ in range(5)])
        self.board = Board.begin(
            uuid7(), workspace_id=self.workspace_id, name="Main", columns=columns
        )

    def place(self, stage: Stage = Stage.READY, rank: str = "m") -> Place:
        column = self.board.first(stage)
        return Place(self.board.id, column.id, column.stage, rank)

    def mission(self, title: str = "a mission") -> Mission:
        return Mission.create(
            uuid7(), self.workspace_id, self.place(), Content(title), (), self.user_id
        )

    def edited(self, mission_id: UUID, version: int, title: str = "edited") -> Mission.Edited:
        return Mission.Edited(
            originator_id=mission_id, originator_version=version, timestamp=datetime.now(UTC),
            board_id=self.board.id, content=Content(title), changed=("title",),
        )  # fmt: skip

    def meta(self, key: bytes | None = None, command_id: UUID | None = None) -> CommandMeta:
        actor = Actor(ActorKind.USER, self.user_id)
        return CommandMeta(
            command_id or uuid7(), self.workspace_id, actor, uuid7(), request_hash=key
        )

    def append(self, *aggregates: Aggregate, **meta: Any) -> Append:
        streams = [
            StreamAppend(a.id, a.version - len(a.pending_events), list(a.pending_events))  # type: ignore[arg-type]
            for a in aggregates
        ]
        return Append(self.meta(**meta), streams, answer)

    def append_edits(self, mission_id: UUID, after: int, count: int = 1, **meta: Any) -> Append:
        events = [self.edited(mission_id, after + n) for n in range(1, count + 1)]
        return Append(self.meta(**meta), [StreamAppend(mission_id, after, events)], answer)


def answer(recorded: Recorded) -> Answer:
    return Answer(
        201, {"versions": list(recorded.versions.values()), "position": recorded.position}
    )


@dataclass
class Stand:
    """What a scenario works with."""

    database: Database
    log: EventLog
    aggregates: Aggregates
    codec: EventCodec


Scenario = Callable[[Stand], Awaitable[Any]]


@pytest.fixture(autouse=True)
def _time() -> Iterator[None]:
    token = command_time.set(datetime.now(UTC))
    yield
    command_time.reset(token)


@pytest.fixture
def new_story() -> type[Story]:
    return Story


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture
def run(database_url: str) -> Callable[..., Any]:
    """Run a scenario on a log, of a class of its own where asked."""

    async def stage(scenario: Scenario, log_class: type[EventLog]) -> Any:
        codec = EventCodec()
        async with Database(database_url) as database, log_class(database, codec) as log:
            aggregates = Aggregates(database, codec)
            try:
                return await scenario(Stand(database, log, aggregates, codec))
            finally:
                await aggregates.close()

    return lambda scenario, log_class=EventLog: asyncio.run(stage(scenario, log_class))


@pytest.fixture
def rows(database_url: str) -> Iterator[Callable[..., Sequence[tuple[Any, ...]]]]:
    """Query as the program itself, which sees every workspace."""
    with psycopg.connect(database_url, autocommit=True, options=SYSTEM_OPTIONS) as connection:
        yield lambda statement, *values: connection.execute(statement, values).fetchall()
