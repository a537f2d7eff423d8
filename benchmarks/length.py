"""Reads, writes and live events of the whole server, on a short and on a long log; the specification's figures.

The server is as `mission-control up` starts it, its client one person: one request after the other.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from statistics import mean
from uuid import UUID

import httpx
import psycopg
import uvloop

from benchmarks.history import (
    CARDS_OF_A_BOARD,
    EVENTS_OF_A_MISSION,
    MISSIONS_AT_ONCE,
    SMALL_EVENTS,
    authors_of,
    life_of,
)
from benchmarks.processes import installation, sign_in
from benchmarks.scene import (
    Author,
    Result,
    append_all,
    head,
    ms,
    new_database,
    open_log,
    percentile,
)
from infra.embedded_postgres import EmbeddedPostgres
from infra.postgres import SYSTEM_OPTIONS
from mission_control import MissionControl

TIMES = 100
WARM_UP = 10
READY_S_MAX = 3600
GROWTH_MAX = 1.3
READ, WRITE, LIVE = "read", "write", "live update"
SPECIFIED_S = {READ: 0.100, WRITE: 0.300, LIVE: 0.050}
"""The specification's own figures, on average."""

Found = dict[str, list[float]]


def length(postgres: EmbeddedPostgres, events: int) -> list[Result]:
    """The same questions on a log of 10,000 events and on one of `events`."""
    dsn = new_database(postgres)
    measured: list[tuple[int, Found]] = []
    with installation(dsn) as start:
        with start():
            pass  # the first start founds the workspace
        authors = authors_of(events, workspace_of(dsn))
        for target in sorted({min(SMALL_EVENTS, events), events}):
            boards = max(1, target // EVENTS_OF_A_MISSION // CARDS_OF_A_BOARD)
            reached = uvloop.run(_grow(dsn, authors[:boards], target))
            with start() as url:
                found = uvloop.run(_ask(url, sign_in(url), authors[:boards], reached))
            measured.append((reached, found))
    return _results(measured)


def workspace_of(dsn: str) -> UUID:
    """Return the workspace of a log's first event."""
    with psycopg.connect(dsn, options=SYSTEM_OPTIONS) as connection:
        found = connection.execute("SELECT workspace_id FROM events WHERE position = 1").fetchone()
    assert found is not None
    return UUID(str(found[0]))


async def _grow(dsn: str, authors: list[Author], target: int) -> int:
    """Append boards of 250 missions with ten events each until the log is so long; return its head."""
    chance = random.Random(2)  # noqa: S311 - no secret
    async with open_log(dsn) as (database, log):
        for author in authors:
            if author.board.pending_events:
                await log.append(author.append(author.board))
                author.board.collect_events()
                lives = [life_of(author, chance) for _ in range(CARDS_OF_A_BOARD)]
                await append_all(log, lives, MISSIONS_AT_ONCE)
            if await head(database) >= target:
                break
        return await head(database)


async def _ask(url: str, token: str, authors: list[Author], head: int) -> Found:
    chance = random.Random(3)  # noqa: S311 - no secret
    me = {"authorization": f"Bearer {token}"}
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(
            httpx.AsyncClient(base_url=url, headers=me, timeout=60)
        )
        client = await stack.enter_async_context(MissionControl(url, token))
        await _caught_up(http, head)
        missions = (await http.get("/api/missions", params={"limit": 200})).json()["items"]

        def get(path: str, **parameters: str | int) -> Callable[[], Awaitable[object]]:
            async def ask() -> None:
                (await http.get(path, params=parameters)).raise_for_status()

            return ask

        async def board() -> None:
            board_id = chance.choice(authors).board.id
            await get("/api/missions/board", board_id=str(board_id))()

        async def mission() -> None:
            await get(f"/api/missions/{chance.choice(missions)['id']}")()

        async def write() -> None:
            answer = await http.post("/api/missions", json={"title": "How long does it take?"})
            answer.raise_for_status()

        async def first_replayed() -> None:
            position = chance.randrange(1, head)
            async with aclosing(client.subscribe("workspace", position)) as events:
                await anext(events)

        kinds = {
            f"{READ}: a board of {CARDS_OF_A_BOARD}": board,
            f"{READ}: a mission": mission,
            f"{READ}: 50 missions by change": get("/api/missions", sort="-updated_at"),
            f"{READ}: 50 of the activity": get("/api/activity"),
            f"{READ}: the agents": get("/api/agents"),
            f"{WRITE}: a mission": write,
            "first replayed event, with sign-on": first_replayed,
        }
        found = {name: await _timed(kind) for name, kind in kinds.items()}
        position = (await http.get("/health/ready")).json()["position"]
        found[f"{LIVE}: answer to socket"] = await _live(client, position, write)
        return found


async def _caught_up(http: httpx.AsyncClient, head: int) -> None:
    async with asyncio.timeout(READY_S_MAX):
        while True:
            lags = (await http.get("/health/ready")).json()["lag"]
            if not any(lags.values()):
                return
            await asyncio.sleep(0.5)


async def _timed(ask: Callable[[], Awaitable[object]]) -> list[float]:
    each = []
    for _ in range(WARM_UP + TIMES):
        begin = time.perf_counter()
        await ask()
        each.append(time.perf_counter() - begin)
    return each[WARM_UP:]


async def _live(
    client: MissionControl, position: int, write: Callable[[], Awaitable[None]]
) -> list[float]:
    """Return how long after the answer to its command an event was taken from the socket."""
    each = []
    async with aclosing(client.subscribe("workspace", position)) as events:
        for _ in range(WARM_UP + TIMES):
            hearing = asyncio.ensure_future(anext(events))
            await write()
            answered = time.perf_counter()
            await hearing
            each.append(time.perf_counter() - answered)
    return each[WARM_UP:]


def _results(measured: list[tuple[int, Found]]) -> list[Result]:
    (small, short), (head, long_) = measured[0], measured[-1]
    results = []
    for name, each in long_.items():
        grown = percentile(each, 50) / percentile(short[name], 50)
        met = None if name.startswith(LIVE) else grown <= GROWTH_MAX
        results.append(
            Result(f"{name} at {head:,} events", ms(each), f"{ms(short[name])} at {small:,}", grown,
                   f"≤ {GROWTH_MAX}x", met, {"p50_s": percentile(each, 50), "p99_s": percentile(each, 99)})
        )  # fmt: skip
    for kind, most in SPECIFIED_S.items():
        average = mean(one for name, each in long_.items() if name.startswith(kind) for one in each)
        results.append(
            Result(f"specification: {kind}s", f"{average * 1e3:.1f} ms on average", "",
                   None, f"< {most * 1e3:.0f} ms", average < most, {"average_s": average})
        )  # fmt: skip
    return results
