"""S: one room's sockets spread over several processes, as a deployment does it; woken by NOTIFY, and by Redis.

A process takes the commands (`serve --only commands`), three others hold 1,000 sockets each (`serve --only
live`). Measured are deliveries a second of events that are appended to the log all at once, and commit → socket
at a steady rate of commands. Every socket is checked: each event names the one before it in the room, so one
that was missed, doubled or out of order breaks the chain. The peer is one process that holds all 3,000 sockets, in
the same run. All sockets are those of one client process on the same machine, whose cores they share with the
servers.
"""

import asyncio
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import httpx
import uvloop

from benchmarks.live import (
    BODY,
    RATES,
    SATURATING,
    STEADY_S,
    Audience,
    Listener,
    audience_of,
    saturate,
    steadily,
)
from benchmarks.processes import ADMIN, PASSWORD, folder, open_files, process, run, sign_in
from benchmarks.scene import Result, ms, new_database, percentile
from infra.embedded_postgres import EmbeddedPostgres
from tests.servers import redis as redis_server

SOCKETS, PROCESSES = 3_000, 3
FILES = SOCKETS + 1_000
HEARD_S_MAX = 180.0
PLACES = re.compile(rb'"pos":(\d+),"prev":(\d+)')
FRAMES_KEPT = 256


class Links(NamedTuple):
    """What a frame holds of the chain of a room's events; `is_whole`: each follows the one before it."""

    prev: int
    last: int
    is_whole: bool


@lru_cache(FRAMES_KEPT)
def links(text: bytes) -> Links:
    """Read a frame. All sockets of a room are sent the same bytes, so one is hardly ever read twice."""
    places = [(int(at), int(prev)) for at, prev in PLACES.findall(text)]
    follows = pairwise(places)
    return Links(places[0][1], places[-1][0], all(one[0] == next_[1] for one, next_ in follows))


class InOrder(Listener):
    """A listener that notices when it misses an event, or hears one twice or too early."""

    last: int | None = None
    broken = False

    def _heard(self, text: bytes) -> None:
        if text.startswith((b'{"t":"ev"', b'{"t":"batch"')) and PLACES.search(text):
            found = links(text)
            self.broken |= not found.is_whole or self.last not in (None, found.prev)
            self.last = found.last
        super()._heard(text)


class Found(NamedTuple):
    """What a deployment reached: latencies in seconds, by events a second where they are steady."""

    deliveries_s: float
    saturated: list[float]
    steady: dict[int, list[float]]
    client_cores: float


def spread(postgres: EmbeddedPostgres, _: int) -> list[Result]:
    """S1, S2; by Redis where it is installed."""
    open_files(FILES)
    one = _deployed(new_database(postgres, with_schema=False), 1)
    found = {"NOTIFY": _deployed(new_database(postgres, with_schema=False), PROCESSES)}
    results = []
    if (missing := redis_server.missing()) is None:
        with redis_server.start() as redis:
            dsn = new_database(postgres, with_schema=False)
            found["Redis"] = _deployed(dsn, PROCESSES, redis.url)
    else:
        results.append(Result("S by Redis", missing))
    for doorbell, ours in found.items():
        results += _compared(doorbell, ours, one)
    return results


def _deployed(dsn: str, processes: int, redis_url: str = "") -> Found:
    with _deployment(dsn, processes, redis_url) as (writer, lives):
        return uvloop.run(_measure(dsn, redis_url, writer, lives))


@contextmanager
def _deployment(dsn: str, processes: int, redis_url: str) -> Iterator[tuple[str, list[str]]]:
    """Start a process for commands, and some for sockets; give their URLs."""
    settings = {"MC_DATABASE_URL": dsn, "MC_REDIS_URL": redis_url,
                "MC_ADMIN_EMAIL": ADMIN, "MC_ADMIN_PASSWORD": PASSWORD}  # fmt: skip
    with folder() as data_dir, ExitStack() as stack:
        where = ["--data-dir", str(data_dir)]

        def serve(role: str) -> str:
            words = ["infra", "serve", "--only", role, *where, "--port", "0"]
            return stack.enter_context(process(words, **settings))

        run(["infra", "migrate", *where], **settings)
        yield serve("commands"), [serve("live") for _ in range(processes)]


async def _measure(dsn: str, redis_url: str, writer: str, lives: list[str]) -> Found:
    token = await asyncio.to_thread(sign_in, writer)
    parts = [await audience_of(url, token, SOCKETS // len(lives), InOrder) for url in lives]
    listeners = [listener for part in parts for listener in part.listeners]
    crowd = Audience(listeners)
    await asyncio.sleep(2)  # who is there was told to all
    me = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    steady: dict[int, list[float]] = {}
    async with httpx.AsyncClient(base_url=writer, headers=me, timeout=60) as client:
        for rate in RATES:
            crowd.forget()
            sent = await steadily(
                lambda: client.post("/api/missions", content=BODY), rate, STEADY_S
            )
            await _all_heard(crowd, sent)
            steady[rate] = crowd.latencies
    crowd.forget()
    begin, busy = time.perf_counter(), time.process_time()
    await saturate(dsn, token, redis_url or None)
    await _all_heard(crowd, SATURATING)
    took_s, busy_s = time.perf_counter() - begin, time.process_time() - busy
    rate_s = SATURATING * SOCKETS / took_s
    found = Found(rate_s, crowd.latencies, steady, busy_s / took_s)
    await crowd.leave()
    return found


async def _all_heard(crowd: Audience, sent: int) -> None:
    """Wait until everybody has heard so many events; each of them just once, in order."""
    await crowd.have(sent, HEARD_S_MAX)
    for listener in crowd.listeners:
        assert isinstance(listener, InOrder)
        assert listener.events == sent, f"{listener.events} events were heard, {sent} were sent"
        assert not listener.broken, f"out of order before {listener.last}"


def _compared(doorbell: str, ours: Found, one: Found) -> list[Result]:
    where = f"{PROCESSES} x {SOCKETS // PROCESSES:,} sockets by {doorbell}"
    figures = {
        "deliveries_s": ours.deliveries_s, "p50_s": percentile(ours.saturated, 50),
        "p99_s": percentile(ours.saturated, 99), "client_cores": ours.client_cores,
    }  # fmt: skip
    results = [
        Result(f"S1 {where}", f"{ours.deliveries_s:,.0f}/s, {ms(ours.saturated)}",
               f"{one.deliveries_s:,.0f}/s, {ms(one.saturated)} in one process",
               ours.deliveries_s / one.deliveries_s, figures=figures)
    ]  # fmt: skip
    for rate, mine in ours.steady.items():
        theirs = one.steady[rate]
        results.append(
            Result(f"S2 {rate} events/s, {where}", ms(mine), f"{ms(theirs)} in one process",
                   percentile(theirs, 50) / percentile(mine, 50),
                   figures={"p50_s": percentile(mine, 50), "p99_s": percentile(mine, 99)})
        )  # fmt: skip
    return results
