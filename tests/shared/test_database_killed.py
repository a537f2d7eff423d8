"""PostgreSQL is killed under load: what was answered stays, once, and everybody comes back by themselves."""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from infra.migrate import migrate
from infra.postgres import Database
from tests.servers.postgres_replica import Postgres
from tests.servers.redis import Redis
from tests.shared.test_processes import Two, bearer, eventually, hears, sign_in, two
from tests.start.processes import Running

pytestmark = [pytest.mark.servers, pytest.mark.timeout(900)]

UNREADY_S = 10
"""Three seconds, and what a busy machine takes."""
CONVERGED_S = 60
OUTAGE_S = 36
BACK_S = 10
REFUSALS = {"database_unavailable", "log_unavailable", "outcome_unknown", "not_caught_up"}


@dataclass
class Told:
    """What writers were answered: the position of each title, and the codes of refusals."""

    positions: dict[str, int] = field(default_factory=dict)
    refusals: Counter[str] = field(default_factory=Counter)


@pytest.mark.parametrize("kills", [1, pytest.param(20, marks=pytest.mark.long)])
def test_a_killed_database_loses_and_doubles_nothing_and_everybody_comes_back(
    kills: int, own_postgres: Postgres, own_redis: Redis, open_folder: Path
) -> None:
    with two(open_folder / "killed", own_postgres.dsn(), own_redis) as servers:
        me = bearer(sign_in(servers.a))
        with following(servers.b, me) as heard, writing(servers, me) as told:
            for _ in range(kills):
                more(told)
                own_postgres.kill()
                eventually(lambda: readiness(servers) == {"unavailable"}, UNREADY_S)
                eventually(lambda: told.refusals.total() > 0)
                own_postgres.start()
                began = time.monotonic()
                more(told)
                position = max(told.positions.values())
                for server in (servers.a, servers.b):
                    eventually(lambda s=server, p=position: reads(s, me, p), CONVERGED_S)
                eventually(lambda: readiness(servers) == {"ok"}, CONVERGED_S)
                print(f"back {time.monotonic() - began:.1f} s after the server")  # noqa: T201 - the time to converge is what such a test tells
        last = max(told.positions.values())
        # The socket was never closed, and each event came once, behind the one before it.
        assert heard[-1]["pos"] >= last
        assert all(one["prev"] == before["pos"] for before, one in pairwise(heard))
        assert set(told.positions.values()) <= {one["pos"] for one in heard}
        assert set(told.refusals) <= REFUSALS
        for server in (servers.a, servers.b):
            assert titles(server, me, last) == Counter(told.positions.keys())
        with psycopg.connect(own_postgres.dsn(), options="-c mc.system=on") as connection:
            rows = connection.execute("SELECT position FROM events ORDER BY 1").fetchall()
        assert [row[0] for row in rows] == list(range(1, len(rows) + 1))


@pytest.mark.long
def test_a_database_that_was_away_for_long_is_asked_again_within_seconds(
    own_postgres: Postgres,
) -> None:
    migrate(own_postgres.dsn())
    asyncio.run(away_for_long(own_postgres))


async def away_for_long(postgres: Postgres) -> None:
    async with Database(postgres.dsn()) as database:
        await database.look_up("SELECT 1")
        postgres.kill()
        askers = [asyncio.create_task(answered(database)) for _ in range(3)]
        # Long enough for a pool that doubles its pauses to be in a long one.
        await asyncio.sleep(OUTAGE_S)
        await asyncio.to_thread(postgres.start)
        async with asyncio.timeout(BACK_S):
            await asyncio.gather(*askers)


async def answered(database: Database) -> None:
    """Ask until there is an answer."""
    while True:
        with suppress(psycopg.OperationalError):
            await database.look_up("SELECT 1")
            return
        await asyncio.sleep(0.2)


def more(told: Told) -> None:
    """Wait until commands are answered again, and again."""
    enough = len(told.positions) + 10
    eventually(lambda: len(told.positions) >= enough, CONVERGED_S)


def readiness(servers: Two) -> set[str]:
    return {server.get("/health/ready").json()["status"] for server in (servers.a, servers.b)}


def reads(server: Running, me: dict[str, str], position: int) -> bool:
    answer = board(server, me, position)
    assert answer.is_success or answer.json()["code"] in REFUSALS, answer.text
    return answer.is_success


def titles(server: Running, me: dict[str, str], position: int) -> Counter[str]:
    columns = board(server, me, position).raise_for_status().json()["columns"]
    return Counter(card["title"] for column in columns for card in column["cards"])


def board(server: Running, me: dict[str, str], position: int) -> httpx.Response:
    parameters = {"min_position": position}
    return server.get("/api/missions/board", params=parameters, headers=me)


@contextmanager
def writing(servers: Two, me: dict[str, str]) -> Iterator[Told]:
    """Write at both all the time; each command is repeated until it is answered."""
    told, done = Told(), threading.Event()

    def write(server: Running) -> None:
        with httpx.Client(base_url=server.url, headers=me, timeout=30) as client:
            while not done.is_set():
                title = uuid4().hex
                key, body = {"Idempotency-Key": title}, {"title": title}
                while not (
                    answer := client.post("/api/missions", json=body, headers=key)
                ).is_success:
                    told.refusals[answer.json()["code"]] += 1
                    time.sleep(0.1)
                told.positions[title] = answer.json()["position"]
                time.sleep(0.02)

    threads = [threading.Thread(target=write, args=[server]) for server in (servers.a, servers.b)]
    for thread in threads:
        thread.start()
    try:
        yield told
    finally:
        done.set()
        for thread in threads:
            thread.join()


@contextmanager
def following(server: Running, me: dict[str, str]) -> Iterator[list[dict[str, Any]]]:
    """Hear all that a socket tells of a room, by one connection."""
    heard: list[dict[str, Any]] = []
    with hears(server, me) as socket:
        thread = threading.Thread(target=hear, args=(socket, heard))
        thread.start()
        yield heard
        eventually(lambda: bool(heard) and heard[-1]["pos"] >= head(server, me))
    thread.join()


def hear(socket: ClientConnection, heard: list[dict[str, Any]]) -> None:
    with suppress(ConnectionClosed):
        while True:
            said = json.loads(socket.recv())
            if said["t"] == "ping":
                socket.send('{"t":"pong"}')
            elif said["t"] in {"ev", "batch"}:
                heard.extend(said.get("events", [said]))


def head(server: Running, me: dict[str, str]) -> int:
    position: int = (
        server.get("/api/missions/board", headers=me).raise_for_status().json()["position"]
    )
    return position
