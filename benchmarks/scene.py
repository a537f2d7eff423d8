"""A server for the measurements, what is written to it, and how results are told."""

import asyncio
import bisect
import gc
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import psycopg
from eventsourcing.domain import event
from psycopg import sql
from uuid_utils.compat import uuid7

from benchmarks.processes import folder
from commands.append import (
    Actor,
    ActorKind,
    Answer,
    Append,
    Appended,
    CommandMeta,
    Recorded,
    StreamAppend,
)
from domain import base
from domain.board import Board, Stage, default_columns
from domain.catalogue import EVENTS
from domain.mission import Content, Mission, Place
from infra.codec import EventCodec
from infra.embedded_postgres import ROLE, SUPERUSER, EmbeddedPostgres
from infra.event_log import EventLog
from infra.migrate import migrate
from infra.postgres import Database
from infra.redis import connect
from infra.settings import Settings
from streams.doorbell import Doorbell, NotifyDoorbell, RedisDoorbell


@dataclass
class Result:
    """One line of the report. `ratio` is against the peer of the same run."""

    name: str
    measured: str
    peer: str = ""
    ratio: float | None = None
    target: str = ""
    met: bool | None = None
    figures: dict[str, float] = field(default_factory=dict)


class Bare(base.Aggregate):
    """A mission's first event without its guards."""

    TOPIC = "bare"
    place: Place
    content: Content

    class Created(base.Aggregate.Created):
        TOPIC = "bare.created.v1"
        board_id: UUID
        column_id: UUID
        stage: Stage
        rank: str
        content: Content
        assignees: tuple[UUID, ...]
        created_by: UUID

    @event(Created)
    def __init__(
        self, workspace_id: UUID, board_id: UUID, column_id: UUID, stage: Stage, rank: str,
        content: Content, assignees: tuple[UUID, ...], created_by: UUID,
    ) -> None:  # fmt: skip
        self.workspace_id = workspace_id


CODEC = EventCodec({**EVENTS, Bare.Created.TOPIC: Bare.Created})


class Author:
    """Makes commands of one workspace."""

    def __init__(self, workspace_id: UUID | None = None) -> None:
        base.command_time.set(datetime.now(UTC))
        self.workspace_id, self.user_id = workspace_id or uuid7(), uuid7()
        columns = default_columns([uuid7() for _ in range(5)])
        name = f"Board {uuid7()}"
        self.board = Board.begin(
            uuid7(), workspace_id=self.workspace_id, name=name, columns=columns
        )
        self.ready, self.active = self.board.first(Stage.READY), self.board.first(Stage.ACTIVE)

    def meta(self, key: bytes | None = None) -> CommandMeta:
        actor = Actor(ActorKind.USER, self.user_id)
        return CommandMeta(uuid7(), self.workspace_id, actor, uuid7(), request_hash=key)

    def append(self, aggregate: base.Aggregate, key: bytes | None = None) -> Append:
        events = list(aggregate.pending_events)
        stream = StreamAppend(aggregate.id, aggregate.version - len(events), events)  # type: ignore[arg-type]
        return Append(self.meta(key), [stream], _answer)

    def mission(self) -> Append:
        """A mission as the product makes it: guards and an idempotency row."""
        place = Place(self.board.id, self.ready.id, self.ready.stage, "m")
        content = Content("Summarise the incidents", "x" * 100)
        mission = Mission.create(uuid7(), self.workspace_id, place, content, (), self.user_id)
        return self.append(mission, b"x" * 32)

    def bare(self) -> Append:
        """The same event without guards and idempotency row."""
        return self.append(
            Bare.begin(
                uuid7(), workspace_id=self.workspace_id, board_id=self.board.id, column_id=self.ready.id,
                stage=self.ready.stage, rank="m", content=Content("Summarise the incidents", "x" * 100),
                assignees=(), created_by=self.user_id,
            )
        )  # fmt: skip


def _answer(recorded: Recorded) -> Answer:
    stream_id, version = next(iter(recorded.versions.items()))
    return Answer(201, {"id": stream_id, "version": version, "position": recorded.position})


@contextmanager
def server() -> Iterator[EmbeddedPostgres]:
    """Run a PostgreSQL with durable settings."""
    with folder() as data_dir:
        postgres = EmbeddedPostgres(data_dir)
        postgres.start()
        try:
            yield postgres
        finally:
            postgres.stop()


def new_database(postgres: EmbeddedPostgres, *, with_schema: bool = True) -> str:
    """Return the DSN of an empty database."""
    name = f"bench_{uuid7().hex}"
    with psycopg.connect(postgres.dsn(SUPERUSER, "postgres"), autocommit=True) as connection:
        names = [sql.Identifier(name), sql.Identifier(ROLE)]
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(*names))
    dsn = postgres.dsn(database=name)
    if with_schema:
        migrate(dsn)
    return dsn


@asynccontextmanager
async def open_log(
    dsn: str, redis_url: str | None = None
) -> AsyncIterator[tuple[Database, EventLog]]:
    """Open a log to write to; its appends ring by NOTIFY, and in a Redis if one is given."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(dsn))
        doorbell: Doorbell = NotifyDoorbell()
        if redis_url is not None:
            log_id, _ = await log_head(database)
            redis = await connect(Settings(redis_url=redis_url), log_id)
            assert redis is not None
            doorbell = RedisDoorbell(await stack.enter_async_context(redis))
            await stack.enter_async_context(doorbell)
        writer = EventLog(database, CODEC, ring=doorbell.ring)
        yield database, await stack.enter_async_context(writer)


async def log_head(database: Database) -> tuple[UUID, int]:
    """Return the log's id, and the position of its last event."""
    async with database.system() as connection:
        row = await (await connection.execute("SELECT log_id, position FROM log_head")).fetchone()
    assert row is not None
    return row[0], row[1]


async def head(database: Database) -> int:
    """Return the position of the log's last event."""
    return (await log_head(database))[1]


async def drive(
    jobs: Sequence[Callable[[], Awaitable[object]]], concurrent: int
) -> tuple[float, list[float]]:
    """Run jobs by so many workers; return jobs per second, and each one's latency in seconds."""
    latencies: list[float] = []

    async def work(mine: Sequence[Callable[[], Awaitable[object]]]) -> None:
        for job in mine:
            begin = time.perf_counter()
            await job()
            latencies.append(time.perf_counter() - begin)

    # As the server does after its start: what is there already is not looked at again and again.
    gc.collect()
    gc.freeze()
    begin = time.perf_counter()
    await asyncio.gather(*(work(jobs[n::concurrent]) for n in range(concurrent)))
    return len(jobs) / (time.perf_counter() - begin), latencies


async def append_all(
    log: EventLog, commands: Sequence[Append], concurrent: int
) -> tuple[float, list[float]]:
    """Append commands; every one must be accepted."""

    def job(command: Append) -> Callable[[], Awaitable[None]]:
        async def append() -> None:
            verdict = await log.append(command)
            assert isinstance(verdict, Appended), verdict

        return append

    return await drive([job(command) for command in commands], concurrent)


async def append_steadily(
    log: EventLog, author: Author, rate: int, seconds: float
) -> dict[int, float]:
    """Append so many missions a second; return when each position was acknowledged."""
    committed: dict[int, float] = {}
    begin = time.perf_counter()
    for number in range(int(rate * seconds)):
        verdict = await log.append(author.mission())
        assert isinstance(verdict, Appended), verdict
        committed[verdict.position] = time.perf_counter()
        due = begin + (number + 1) / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
    return committed


class Reached:
    """When something that follows the log had reached which position."""

    def __init__(self) -> None:
        self._positions: list[int] = []
        self._times: list[float] = []
        self._moved = asyncio.Event()

    def note(self, position: int) -> None:
        """Say that it is at a position now."""
        self._positions.append(position)
        self._times.append(time.perf_counter())
        self._moved.set()

    async def at(self, position: int) -> float:
        """Return when all up to a position was there, by `time.perf_counter`; wait for it."""
        while not self._positions or self._positions[-1] < position:
            self._moved.clear()
            await self._moved.wait()
        return self._times[bisect.bisect_left(self._positions, position)]


def percentile(values: Sequence[float], percent: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def ms(values: Sequence[float]) -> str:
    """Return median and p99 in milliseconds."""
    return f"{statistics.median(values) * 1e3:.1f}/{percentile(values, 99) * 1e3:.1f} ms"
