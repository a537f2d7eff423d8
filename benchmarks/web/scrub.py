"""The timeline scrubbed by mouse on a long log: from the hand to the board painted, and the API's own time."""

import asyncio
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import httpx
import uvloop
from playwright.sync_api import Page

from benchmarks.history import MISSIONS_AT_ONCE, authors_of, life_of
from benchmarks.length import workspace_of
from benchmarks.processes import installation, sign_in
from benchmarks.scene import Result, append_all, head, new_database, open_log, percentile, server
from benchmarks.web.browser import signed_in
from benchmarks.web.sizes import Sizes

FILL_S_MIN = 30.0
"""The line knows whole seconds: the log has to last for as many as a board is scrubbed to."""
BOARDS = 4
"""So many are scrubbed, each at other moments: none is answered by the browser's own cache."""
S_MAX = 0.200
PAUSE_S = 0.3
WAIT_MS = 5_000


@dataclass
class Log:
    """A log that was filled between two times."""

    boards: list[UUID]
    begin: float
    end: float
    head: int

    def moments(self, chance: random.Random, count: int) -> list[int]:
        """Return as many whole seconds while it was filled, as far as there are so many."""
        seconds = range(int(self.begin) + 2, int(self.end) - 1)
        return chance.sample(seconds, min(count, len(seconds)))


def scrub(sizes: Sizes) -> list[Result]:
    """Both, p50 and p95."""
    chance = random.Random(5)  # noqa: S311 - no secret
    with server() as postgres:
        dsn = new_database(postgres)
        with installation(dsn) as start:
            with start():
                pass  # the first start founds the workspace
            log = uvloop.run(_fill(dsn, sizes.events))
            with start() as url:
                _caught_up(url)
                asked = _ask(url, log, chance, sizes.scrubs)
                with signed_in(url) as page:
                    seen = [
                        took
                        for board in log.boards[:BOARDS]
                        for took in _scrub(page, board, log.moments(chance, sizes.scrubs // BOARDS))
                    ]
    painted = [took for took in seen if took is not None]
    name = f"at {log.head:,} events"
    return [
        _result(f"scrub to paint {name}", painted, f"{len(painted)} of {len(seen)} changed the board"),
        _result(f"the API's answer {name}", asked, ""),
    ]  # fmt: skip


async def _fill(dsn: str, events: int) -> Log:
    """Let boards of 250 missions grow side by side until the log is so long: at each moment another board."""
    chance = random.Random(6)  # noqa: S311 - no secret
    authors = authors_of(events, workspace_of(dsn))
    async with open_log(dsn) as (database, log):
        for author in authors:
            await log.append(author.append(author.board))
        begin = time.time()
        while (position := await head(database)) < events:
            lives = [life_of(author, chance) for author in authors]
            await append_all(log, lives, MISSIONS_AT_ONCE)
            due = begin + FILL_S_MIN * min(1.0, position / events)
            await asyncio.sleep(max(0.0, due - time.time()))
    return Log([author.board.id for author in authors], begin, time.time(), position)


def _caught_up(url: str) -> None:
    while any(httpx.get(f"{url}/health/ready").json()["lag"].values()):
        time.sleep(0.5)


def _ask(url: str, log: Log, chance: random.Random, count: int) -> list[float]:
    headers = {"authorization": f"Bearer {sign_in(url)}"}
    each = []
    with httpx.Client(base_url=url, headers=headers, timeout=60) as http:
        for _ in range(count):
            moment = datetime.fromtimestamp(chance.uniform(log.begin + 2, log.end), UTC)
            board = str(chance.choice(log.boards))
            wanted = {"board_id": board, "as_of": moment.isoformat()}
            begin = time.perf_counter()
            http.get("/api/missions/board", params=wanted).raise_for_status()
            each.append(time.perf_counter() - begin)
    return each


def _scrub(page: Page, board: UUID, moments: list[int]) -> list[float | None]:
    """Drag the time to each moment; return how long the board took to show it, in seconds, or None if it did not."""
    page.goto(f"/boards/{board}")
    slider = page.get_by_role("slider", name="Moment shown")
    page.locator("[data-card]").first.wait_for()
    slider.wait_for()
    box = slider.bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] - 1, y)
    page.mouse.down()
    time.sleep(PAUSE_S)
    each: list[float | None] = []
    for moment in moments:
        start, end = (
            float(slider.get_attribute(f"aria-value{which}") or 0) for which in ("min", "max")
        )
        # Asked for first, so that nothing is missed.
        page.evaluate("notes.awaitBoard()")
        page.mouse.move(box["x"] + box["width"] * (moment + 0.5 - start) / (end - start), y)
        took_ms = page.evaluate("ms => notes.boardWithin(ms)", WAIT_MS)
        each.append(None if took_ms is None else took_ms / 1000)
        time.sleep(PAUSE_S)
    page.mouse.up()
    return each


def _result(name: str, each: list[float], peer: str) -> Result:
    p50, p95 = (percentile(each, percent) for percent in (50, 95))
    return Result(
        name, f"p50/p95 {p50 * 1e3:.0f}/{p95 * 1e3:.0f} ms", peer, None, f"p95 < {S_MAX * 1e3:.0f} ms",
        p95 < S_MAX, {"p50_s": p50, "p95_s": p95},
    )  # fmt: skip
