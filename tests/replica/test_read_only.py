"""A PostgreSQL that takes no writes: it is told by everyone who is asked, and over when it is over."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from infra.embedded_postgres import SUPERUSER
from tests.replica.test_replica import await_that, system
from tests.servers.postgres_replica import Replicated
from tests.start.processes import EMAIL, PASSWORD, doctor, refusal, run, started

__all__ = ["system"]

READ_ONLY = "the database is read-only: default_transaction_read_only is on"
STANDBY = "the server is a standby, which is read-only: name the primary, or promote it"


def test_commands_are_told_to_come_again_and_health_says_why(
    system: httpx.Client, replicated: Replicated
) -> None:
    def attempt() -> httpx.Response:
        return system.post("/api/missions", json={"title": "written"})

    with read_only(replicated):
        answer = attempt()
        assert (answer.status_code, answer.json()["code"]) == (503, "log_unavailable")
        assert "retry-after" in answer.headers
        body = {"email": EMAIL, "password": PASSWORD}
        assert system.post("/api/auth/sign-in", json=body).status_code == 503
        health = system.get("/health/ready")
        assert (health.status_code, health.json()["status"]) == (200, "degraded")
        assert writer(system) == {"status": "away", "reason": READ_ONLY}
        assert system.get("/api/missions/board").status_code == 200
    await_that(lambda: attempt().status_code == 201)
    assert writer(system) == {"status": "ok"}


def test_nothing_that_writes_starts_and_the_doctor_says_why(
    open_folder: Path, tmp_path: Path, system: httpx.Client, replicated: Replicated
) -> None:
    primary = {"MC_DATABASE_URL": replicated.primary.dsn()}
    with read_only(replicated):
        words = ("serve", "--only", "commands", "--data-dir", tmp_path)
        assert refusal(run(*words, **primary)) == f"MC_DATABASE_URL: {READ_ONLY}"
        code, report = doctor(tmp_path, **primary)
        assert code == 1
        assert f"MC_DATABASE_URL: {READ_ONLY}" in report["problems"]
        queries = ("serve", "--only", "queries")
        with started(open_folder / "replica", *queries, **primary) as running:
            assert running.get("/health/ready").json()["services"]["writer"]["reason"] == READ_ONLY


@pytest.mark.parametrize("words", [("serve", "--only", "timers"), ("worker",), ("migrate",)])
def test_no_process_that_writes_starts_on_a_standby(
    words: tuple[str, ...], tmp_path: Path, system: httpx.Client, replicated: Replicated
) -> None:
    urls = {"MC_DATABASE_URL": replicated.replica.dsn(), "MC_KAFKA_BOOTSTRAP": "127.0.0.1:1"}
    assert refusal(run(*words, "--data-dir", tmp_path, **urls)) == f"MC_DATABASE_URL: {STANDBY}"


def writer(system: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = system.get("/health/ready").json()["services"]["writer"]
    return found


@contextmanager
def read_only(replicated: Replicated) -> Iterator[None]:
    dsn = replicated.primary.dsn(SUPERUSER, "postgres")
    # Its own session writes the setting, and may.
    with psycopg.connect(
        dsn, autocommit=True, options="-c default_transaction_read_only=off"
    ) as own:
        own.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        own.execute("SELECT pg_reload_conf()")
        try:
            await_that(lambda: is_read_only(replicated))
            yield
        finally:
            own.execute("ALTER SYSTEM RESET default_transaction_read_only")
            own.execute("SELECT pg_reload_conf()")
            await_that(lambda: not is_read_only(replicated))


def is_read_only(replicated: Replicated) -> bool:
    with psycopg.connect(replicated.primary.dsn(SUPERUSER, "postgres")) as connection:
        return connection.execute("SHOW transaction_read_only").fetchone() == ("on",)
