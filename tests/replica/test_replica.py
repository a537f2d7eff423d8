"""Queries on a real streaming replica: they wait for what it has, and the primary answers in its place."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from infra.embedded_postgres import SUPERUSER
from infra.postgres import Database
from infra.replica import Replica
from tests.servers.postgres_replica import Replicated
from tests.start.processes import EMAIL, PASSWORD, doctor, run, started
from tests.tries import tries

PATIENCE_S = 20


@pytest.fixture(scope="module")
def system(open_folder: Path, replicated: Replicated) -> Iterator[httpx.Client]:
    """One process of all roles whose queries read from the replica, and its first admin."""
    data_dir = open_folder / "replica"
    urls = {
        "MC_DATABASE_URL": replicated.primary.dsn(),
        "MC_READ_DATABASE_URL": replicated.replica.dsn(),
    }
    assert run("migrate", "--data-dir", data_dir, **urls).returncode == 0
    with (
        started(data_dir, "serve", **urls) as running,
        httpx.Client(base_url=running.url, timeout=15) as client,
    ):
        body = {"email": EMAIL, "password": PASSWORD}
        answer = client.post("/api/auth/sign-in", json=body).raise_for_status().json()
        client.headers["Authorization"] = f"Bearer {answer['access_token']}"
        yield client


@pytest.fixture(autouse=True)
def caught_up(system: httpx.Client, replicated: Replicated) -> None:
    """Begin with a replica that is there and has everything."""
    resume(replicated)
    await_that(lambda: service(system) == "ok" and replicated.lag_bytes() == 0)


def test_a_paused_replica_is_waited_for_and_never_read_before_its_time(
    system: httpx.Client, replicated: Replicated
) -> None:
    with paused(replicated):
        position = create(system, "not replayed yet")
        began = time.monotonic()
        answer = board(system, min_position=position)
        assert (answer.status_code, answer.json()["code"]) == (503, "not_caught_up")
        assert answer.json()["position"] < position
        assert 5 <= time.monotonic() - began < 8
        # The projector of this very process is there already; its queries say what the replica has.
        behind = board(system)
        assert "not replayed yet" not in titles(behind)
        assert behind.json()["position"] < position
        assert service(system) == "ok"
    assert "not replayed yet" in titles(board(system, min_position=position))


def test_search_and_metrics_are_the_replicas_too(
    system: httpx.Client, replicated: Replicated
) -> None:
    def ready() -> int:
        buckets = system.get("/api/analytics/flow", params={"bucket": "hour"}).json()["buckets"]
        return int(buckets[-1]["counts"].get("ready", 0))

    word = f"w{uuid4().hex}"
    before = ready()
    with paused(replicated):
        position = create(system, word)
        for path, asked in (("search", {"q": word}), ("analytics/flow", {"bucket": "hour"})):
            answer = system.get(f"/api/{path}", params={**asked, "min_position": position})
            assert (answer.status_code, answer.json()["code"]) == (503, "not_caught_up")
            assert answer.json()["position"] < position
        # The primary has it by now, and nobody asks there.
        found = system.get("/api/search", params={"q": word}).json()
        assert found["items"] == [] and found["position"] < position
        assert ready() == before
    found = system.get("/api/search", params={"q": word, "min_position": position}).json()
    assert [item["title"] for item in found["items"]] == [word]
    assert ready() == before + 1


def test_while_the_replica_is_away_the_primary_answers(
    system: httpx.Client, replicated: Replicated
) -> None:
    replicated.replica.kill()
    try:
        position = create(system, "written without a replica")
        assert "written without a replica" in titles(board(system, min_position=position))
        await_that(lambda: service(system) == "away")
        health = system.get("/health/ready")
        assert (health.status_code, health.json()["status"]) == (200, "degraded")
    finally:
        replicated.replica.start()
    await_that(lambda: service(system) == "ok")
    assert system.get("/health/ready").json()["status"] == "ok"


def test_a_replica_that_answers_nothing_any_more_holds_nobody_up(
    system: httpx.Client, replicated: Replicated
) -> None:
    replicated.replica.pause()
    try:
        answer = board(system)
        assert answer.status_code == 200
        await_that(lambda: service(system) == "away")
        for reading in tries(within_s=1):
            with reading:
                assert board(system).status_code == 200
    finally:
        replicated.replica.resume()


def test_no_read_is_stale_while_replicas_come_go_and_stand_still(
    system: httpx.Client, replicated: Replicated
) -> None:
    refused = 0
    for number in range(24):
        if number % 8 == 2:
            pause(replicated)
        if number % 8 == 3:
            # Comes back behind: it replays up to where it was paused, and waits there for nobody.
            replicated.replica.kill()
        if number % 8 == 5:
            replicated.replica.start()
        if number % 8 == 7:
            resume(replicated)
        title = f"comes and goes {number}"
        position = create(system, title)
        answer = board(system, min_position=position)
        if answer.status_code == 503:
            refused += 1
            assert answer.json()["position"] < position
        else:
            assert answer.json()["position"] >= position
            assert title in titles(answer)
    assert refused < 12


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [("superuser", "bypasses row-level security"), ("other", "another log"), ("away", "refused")],
)
def test_what_is_no_replica_is_not_read(
    wrong: str, reason: str, open_folder: Path, database_url: str, replicated: Replicated
) -> None:
    urls = {
        "superuser": replicated.replica.dsn(SUPERUSER),
        "other": database_url,
        "away": "postgresql://nobody:very-secret@127.0.0.1:1/none",
    }
    settings = {
        "MC_DATABASE_URL": replicated.primary.dsn(),
        "MC_READ_DATABASE_URL": urls[wrong],
        "MC_LOG_FORMAT": "json",
    }
    with started(open_folder / "replica", "serve", **settings) as running:
        health = running.get("/health/ready").json()
        assert (health["status"], health["services"]["replica"]["status"]) == ("degraded", "away")
        assert reason in health["services"]["replica"]["reason"]
        assert running.end() == 0
        assert running.process.stderr is not None
        told = [line for line in running.process.stderr if "MC_READ_DATABASE_URL" in line]
        assert len(told) == 1 and reason in told[0]
        assert "very-secret" not in told[0]
    code, report = doctor(open_folder / "replica", **settings)
    found = report["services"]["replica"]
    assert (code, found["status"]) == (1, "away")
    assert found["reason"].startswith("MC_READ_DATABASE_URL: ") and reason in found["reason"]
    assert f"replica is away: {found['reason']}" in report["problems"]
    assert "very-secret" not in found["reason"]


def test_the_doctor_says_how_far_the_replica_is(
    system: httpx.Client, open_folder: Path, replicated: Replicated
) -> None:
    urls = {
        "MC_DATABASE_URL": replicated.primary.dsn(),
        "MC_READ_DATABASE_URL": replicated.replica.dsn(),
    }
    board(system, min_position=create(system, "replayed"))
    code, report = doctor(open_folder / "replica", **urls)
    assert (code, report["problems"]) == (0, [])
    position = report["position"]
    assert report["services"]["replica"] == {"status": "ok", "position": position, "lag": 0}
    with paused(replicated):
        create(system, "not replayed yet")
        _, report = doctor(open_folder / "replica", **urls)
    found = report["services"]["replica"]
    assert found["position"] == position
    assert found["lag"] == report["position"] - position > 0


def create(system: httpx.Client, title: str) -> int:
    answer = system.post("/api/missions", json={"title": title}).raise_for_status()
    return int(answer.json()["position"])


def board(system: httpx.Client, **parameters: int) -> httpx.Response:
    return system.get("/api/missions/board", params=parameters)


def titles(answer: httpx.Response) -> set[str]:
    columns = answer.raise_for_status().json()["columns"]
    return {card["title"] for column in columns for card in column["cards"]}


def service(system: httpx.Client) -> str:
    state: dict[str, Any] = system.get("/health/ready").json()["services"]["replica"]
    return str(state["status"])


def await_that(holds: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.05)


@contextmanager
def paused(replicated: Replicated) -> Iterator[None]:
    pause(replicated)
    try:
        yield
    finally:
        resume(replicated)


def pause(replicated: Replicated) -> None:
    _on_replica(replicated, "SELECT pg_wal_replay_pause()")
    await_that(
        lambda: _on_replica(replicated, "SELECT pg_get_wal_replay_pause_state()") == "paused"
    )


def resume(replicated: Replicated) -> None:
    _on_replica(replicated, "SELECT pg_wal_replay_resume()")


def _on_replica(replicated: Replicated, statement: str) -> Any:
    dsn = replicated.replica.dsn(SUPERUSER, "postgres")
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(statement).fetchone()
    return row[0] if row else None


def test_who_was_told_of_the_primarys_positions_reads_there(replicated: Replicated) -> None:
    asyncio.run(told_by_the_primary(replicated))


async def told_by_the_primary(replicated: Replicated) -> None:
    server = "SELECT pg_is_in_recovery()"
    anybody = uuid4()
    async with (
        Database(replicated.primary.dsn()) as primary,
        Replica(replicated.replica.dsn(), primary) as replica,
    ):
        assert await replica.fetch(anybody, server) == [(True,)]
        replica._away = "for a moment"
        assert await replica.look_up(server) == [(False,)]
        replica._away = None
        # It is back, and may be behind what this request was told.
        assert await replica.fetch(anybody, server) == [(False,)]
        assert await asyncio.create_task(replica.fetch(anybody, server)) == [(False,)]
        assert await replica.look_up(server) == [(True,)]
        assert await replica.fetch(anybody, server) == [(True,)]
