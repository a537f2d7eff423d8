"""`up --demo` as a user starts it: the board moves, restarts go on, and a kill leaves nothing half-done."""

import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psycopg

from infra.demo.keys import FILE, Keys
from infra.demo.seed import DRAFT
from infra.embedded_postgres import EmbeddedPostgres
from infra.postgres import SYSTEM_OPTIONS
from tests.start.processes import Running, run, up

PATIENCE_S = 60


def query(data_dir: Path, statement: str) -> list[tuple[Any, ...]]:
    dsn = EmbeddedPostgres(data_dir).dsn()
    with psycopg.connect(dsn, options=SYSTEM_OPTIONS) as connection:
        return connection.execute(statement).fetchall()


def until(found: Callable[[], Any]) -> Any:
    """Ask until the answer is something."""
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := found()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.1)
    return answer


def head(data_dir: Path) -> int:
    return int(query(data_dir, "SELECT position FROM log_head")[0][0])


def actors_since(data_dir: Path, position: int) -> Counter[tuple[str, str]]:
    rows = query(
        data_dir, f"SELECT actor_kind, type FROM events WHERE position > {position} ORDER BY 1"
    )
    return Counter((kind, topic.removesuffix(".v1")) for kind, topic in rows)


def await_moves(data_dir: Path, position: int, *wanted: tuple[str, str]) -> None:
    until(lambda: all(actors_since(data_dir, position)[each] for each in wanted))


def lea_sees(running: Running) -> int:
    """Sign in as the viewer, with the password of the file; return how many cards there are."""
    keys = Keys.read(running.data_dir)
    assert keys is not None
    lea = next(person for person in keys.people if person.role == "viewer")
    with httpx.Client(base_url=running.url, timeout=10) as client:
        body = {"email": lea.email, "password": lea.password}
        answer = client.post("/api/auth/sign-in", json=body).raise_for_status().json()
        bearer = {"Authorization": f"Bearer {answer['access_token']}"}
        # Who is ready shows its board soon, and on a busy machine not at once.
        path = "/api/missions/board"
        until(lambda: client.get(path, headers=bearer).is_success)
        board = client.get(path, headers=bearer).raise_for_status().json()
        return sum(len(column["cards"]) for column in board["columns"])


def test_agents_and_people_move_the_board_through_restarts_and_a_lost_key_file(
    fresh_dir: Path,
) -> None:
    worked, led = ("agent", "mission.progressed"), ("user", "mission.approved")
    with up(fresh_dir, "--demo") as running:
        assert running.url and running.lines == [f"ready {running.url}"]
        seeded = head(fresh_dir)
        await_moves(fresh_dir, seeded, worked, led, ("agent", "mission.claimed"))
        assert 60 <= lea_sees(running) <= 90
        assert running.end(signal.SIGTERM) == 0
        assert running.process.stderr is not None
        said = running.process.stderr.read()
        assert "demo-" not in said and "Traceback" not in said, "the demo's own requests are quiet"
    (fresh_dir / FILE).unlink()
    started = time.monotonic()
    with up(fresh_dir, "--demo") as again:
        assert again.url
        assert time.monotonic() - started < PATIENCE_S
        before = head(fresh_dir)
        assert query(fresh_dir, "SELECT count(*) FROM events WHERE stream_version = 1"
                     " AND type = 'agent.registered.v1'") == [(12,)]  # fmt: skip
        assert (fresh_dir / FILE).stat().st_mode & 0o777 == 0o600
        await_moves(fresh_dir, before, worked, led)
        assert lea_sees(again)
        again.end(signal.SIGKILL)
    with up(fresh_dir, "--demo") as third:
        assert third.url
        await_moves(fresh_dir, head(fresh_dir), worked)
        assert third.end(signal.SIGINT) == 0


def test_it_goes_on_beside_another_workspace_and_says_who_is_not_welcome_any_more(
    fresh_dir: Path,
) -> None:
    with up(fresh_dir, "--demo") as running:
        assert running.url
        made = run("workspace", "create", "Tenant B", "--admin-email", "b@example.org",
                   "--data-dir", fresh_dir)  # fmt: skip
        assert made.returncode == 0, made.stderr
        assert running.end() == 0
    keys = Keys.read(fresh_dir)
    assert keys is not None
    first, *others = keys.agents
    Keys((replace(first, key=f"{first.key[:-4]}0000"), *others), keys.people).write(fresh_dir)
    with up(fresh_dir, "--demo") as again:
        assert again.url
        await_moves(
            fresh_dir,
            head(fresh_dir),
            ("agent", "mission.progressed"),
            ("user", "mission.approved"),
        )
        assert again.end() == 0
        assert again.process.stderr is not None
        said = [line for line in again.process.stderr.read().splitlines() if "not welcome" in line]
    assert len(said) == 2, "one of its work, one of its heartbeat"
    assert all(first.name in line for line in said)


def test_a_seeding_that_is_killed_leaves_an_empty_log_and_the_next_start_a_whole_demo(
    fresh_dir: Path,
) -> None:
    def half_told() -> bool:
        # The key is made when PostgreSQL serves and the draft has its tables.
        return (fresh_dir / "root.key").exists() and bool(
            query(fresh_dir, f"SELECT 1 FROM {DRAFT}.events WHERE position = 900")
        )

    with up(fresh_dir, "--demo") as running:
        until(half_told)
        running.end(signal.SIGKILL)
        assert head(fresh_dir) == 0
        assert query(fresh_dir, "SELECT count(*) FROM events") == [(0,)]
        with up(fresh_dir, "--demo") as again:
            assert again.url
            assert query(fresh_dir, "SELECT count(*) FROM events WHERE type = 'mission.created.v1'"
                         " AND recorded_at < now() - interval '3 hours'") == [(300,)]  # fmt: skip
            assert query(fresh_dir, f"SELECT to_regnamespace('{DRAFT}') IS NULL") == [(True,)]
            assert lea_sees(again)
            assert again.end() == 0


def test_without_the_flag_it_starts_empty_and_with_it_then_says_that_this_is_no_demo(
    fresh_dir: Path,
) -> None:
    with up(fresh_dir) as running:
        created = running.create_mission("mine")
        assert running.titles(created["position"]) == {"mine"}
        assert running.end() == 0
    with up(fresh_dir, MC_DEMO="1") as again:
        assert again.titles(created["position"]) == {"mine"}
        assert again.end() == 0
        assert again.process.stderr is not None
        assert again.process.stderr.read().count("not a demo's") == 1
    assert not (fresh_dir / FILE).exists()


def test_the_option_is_explained() -> None:
    assert "--demo" in run("up", "--help").stdout
