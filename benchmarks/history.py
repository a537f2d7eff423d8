"""`as_of` on a long log: a board, missions and times at random moments, against the length of the log."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import uvloop
from uuid_utils.compat import uuid7

from benchmarks.scene import CODEC, Author, Result, append_all, new_database, open_log, percentile
from commands.append import Append, StreamAppend
from domain import base
from domain.board import Stage
from domain.mission import Content, Mission, Place, Priority
from infra.embedded_postgres import EmbeddedPostgres
from infra.history import History
from infra.marks import KEYFRAMES, Marks
from infra.postgres import Database
from projections.missions import MISSIONS
from streams.follower import Follower
from streams.keyframes import Keyframes
from streams.room_index import RoomIndex

EVENTS_OF_A_MISSION = 10
MISSIONS_AT_ONCE = 32
CARDS_OF_A_BOARD = 250
READS = 300
SMALL_EVENTS = 10_000
AS_OF_S_MAX = 0.150


def history(postgres: EmbeddedPostgres, events: int) -> list[Result]:
    """H1. A mission has ten events, a board some 250 cards; so 1M events are 100k missions."""
    return uvloop.run(_history(new_database(postgres), events))


async def _history(dsn: str, events: int) -> list[Result]:
    chance = random.Random(1)  # noqa: S311 - the same log each time, no secret
    results: list[Result] = []
    async with open_log(dsn) as (database, log):
        authors = authors_of(events)
        for author in authors:
            await log.append(author.append(author.board))
        mission_ids: list[UUID] = []
        small: dict[str, list[float]] = {}
        filled = 0
        for target in sorted({min(SMALL_EVENTS, events), events}):
            # Board by board, so that those of the short log are as large as those of the long one.
            boards = max(1, target // EVENTS_OF_A_MISSION // CARDS_OF_A_BOARD)
            open_boards, filled = authors[filled:boards] or authors[:boards], boards
            missing = max(0, target // EVENTS_OF_A_MISSION - len(mission_ids))
            for start in range(0, missing, CARDS_OF_A_BOARD * 4):
                number = min(CARDS_OF_A_BOARD * 4, missing - start)
                lives = [life_of(chance.choice(open_boards), chance) for _ in range(number)]
                mission_ids += [life.streams[0].stream_id for life in lives]
                await append_all(log, lives, MISSIONS_AT_ONCE)
            begin = time.perf_counter()
            head = await _keep_up(database)
            kept_s = time.perf_counter() - begin
            measured = await _reads(database, authors[:boards], mission_ids, head, chance)
            for what, each in measured.items():
                results.append(_result(f"as_of {what} at {head:,} events", each, small.get(what)))
            small = small or measured
        size = await _size(database)
        results.append(
            Result("keyframes", f"{size / head:.0f} bytes an event", f"{head / kept_s:,.0f} events/s")
        )  # fmt: skip
    return results


def authors_of(events: int, workspace_id: UUID | None = None) -> list[Author]:
    """Return authors of one workspace, each with a board of its own."""
    workspace_id = workspace_id or uuid7()
    boards = max(1, events // EVENTS_OF_A_MISSION // CARDS_OF_A_BOARD)
    return [Author(workspace_id) for _ in range(boards)]


def life_of(author: Author, chance: random.Random) -> Append:
    """Return a mission and nine more events in its life."""
    base.command_time.set(datetime.now(UTC))
    board = author.board

    def place(stage: Stage) -> Place:
        column = board.first(stage)
        return Place(board.id, column.id, stage, f"m{chance.randrange(10**9)}")

    content = Content(
        f"Summarise the incidents {chance.random()}", "x" * 200, Priority.HIGH, ("a", "b")
    )
    mission = Mission.create(uuid7(), author.workspace_id, place(Stage.READY), content, (), author.user_id)  # fmt: skip
    while mission.version < EVENTS_OF_A_MISSION:
        match chance.randrange(3):
            case 0:
                mission.edit(replace(content, title=f"Another title {chance.random()}"))
            case 1 if mission.blocked_reason is None:
                mission.block("waits for somebody")
            case 1:
                mission.unblock()
            case _:
                mission.move(place(chance.choice([Stage.BACKLOG, Stage.READY])), author.user_id)
    events = list(mission.pending_events)
    return Append(author.meta(), [StreamAppend(mission.id, 0, events)], author.append(mission).answer)  # type: ignore[arg-type]  # fmt: skip


async def _keep_up(database: Database) -> int:
    """Let index and keyframes reach the head, as in a server, and return it."""
    marks, reader = Marks(database), History(database, CODEC)
    async with AsyncExitStack() as stack:
        follower = await stack.enter_async_context(Follower(database, CODEC))
        await stack.enter_async_context(RoomIndex(database, follower))
        await stack.enter_async_context(Keyframes(database, follower, reader, marks))
        while await marks.position(KEYFRAMES) < follower.position:  # noqa: ASYNC110 - its mark has no event
            await asyncio.sleep(0.05)
        return follower.position


async def _reads(
    database: Database, authors: list[Author], mission_ids: list[UUID], head: int, chance: random.Random
) -> dict[str, list[float]]:  # fmt: skip
    reader = History(database, CODEC)
    workspace_id = authors[0].workspace_id
    now = datetime.now(UTC) - timedelta(seconds=1)
    first = (await reader.at(1)).recorded_at or now

    async def board() -> None:
        position = (await reader.at(chance.randint(len(authors) + 1, head))).position
        state = await reader.board(workspace_id, chance.choice(authors).board.id, position)
        assert state.board is not None

    async def mission() -> None:
        position = (await reader.at(chance.randint(1, head))).position
        await reader.row(MISSIONS, workspace_id, chance.choice(mission_ids), position)

    async def moment() -> None:
        await reader.at(first + (now - first) * chance.random())

    kinds: dict[str, Callable[[], Awaitable[None]]] = {
        "a board": board, "a mission": mission, "a time's position": moment,
    }  # fmt: skip
    found: dict[str, list[float]] = {}
    for what, read in kinds.items():
        found[what] = []
        for _ in range(READS):
            begin = time.perf_counter()
            await read()
            found[what].append(time.perf_counter() - begin)
    return found


def _result(name: str, each: list[float], small: list[float] | None) -> Result:
    p50, p95, p99 = (percentile(each, percent) for percent in (50, 95, 99))
    measured = f"p50/p95/p99 {p50 * 1e3:.1f}/{p95 * 1e3:.1f}/{p99 * 1e3:.1f} ms"
    peer = "" if small is None else f"p95 {percentile(small, 95) * 1e3:.1f} ms on the short log"
    ratio = None if small is None else p95 / percentile(small, 95)
    figures = {"p50_s": p50, "p95_s": p95, "p99_s": p99}
    return Result(name, measured, peer, ratio, "p95 < 150 ms", p95 < AS_OF_S_MAX, figures)


async def _size(database: Database) -> int:
    async with database.system() as connection:
        cursor = await connection.execute("SELECT pg_total_relation_size('read_keyframes')")
        row = await cursor.fetchone()
    assert row is not None
    return int(row[0])
