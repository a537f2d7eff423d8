"""Every role in a process of its own, on one database: together they are the whole system."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import ExitStack, aclosing
from pathlib import Path

import httpx
import pytest
from psycopg.conninfo import conninfo_to_dict

from infra.embedded_postgres import SUPERUSER, EmbeddedPostgres
from infra.roles import Role
from infra.vault import RootKey
from mission_control import MissionControl
from tests.start.processes import EMAIL, PASSWORD, Running, doctor, refusal, run, started

APART = (Role.COMMANDS, Role.QUERIES, Role.LIVE, Role.TIMERS, Role.PROJECTIONS)


@pytest.fixture(scope="module")
def apart(open_folder: Path, database_url: str) -> Iterator[dict[Role, Running]]:
    data_dir = open_folder / "apart"
    settings = {"MC_DATABASE_URL": database_url}
    assert run("migrate", "--data-dir", data_dir, **settings).returncode == 0
    with ExitStack() as stack:
        servers = {
            role: stack.enter_context(
                started(data_dir, "serve", "--only", role, MC_DRAIN_S="1", **settings)
            )
            for role in APART
        }
        yield servers


def signed_in(server: Running) -> dict[str, str]:
    body = {"email": EMAIL, "password": PASSWORD}
    answer = httpx.post(f"{server.url}/api/auth/sign-in", json=body, timeout=10).raise_for_status()
    return {"authorization": f"Bearer {answer.json()['access_token']}"}


def test_what_one_process_does_the_others_show(apart: dict[Role, Running]) -> None:
    commands, queries, live = (apart[role].url for role in (Role.COMMANDS, Role.QUERIES, Role.LIVE))
    me = signed_in(apart[Role.COMMANDS])
    made = httpx.post(f"{commands}/api/missions", json={"title": "far away"}, headers=me).json()
    board = httpx.get(
        f"{queries}/api/missions/board", params={"min_position": made["position"]}, headers=me
    ).json()
    assert [card["title"] for column in board["columns"] for card in column["cards"]] == [
        "far away"
    ]

    async def heard() -> int:
        token, before = me["authorization"].removeprefix("Bearer "), made["position"] - 1
        async with (
            MissionControl(live, token) as client,
            aclosing(client.subscribe("workspace", before)) as events,
        ):
            return (await anext(events)).position

    assert asyncio.run(heard()) == made["position"]
    # Each role serves what it is for, and no more.
    assert httpx.post(f"{queries}/api/missions", json={"title": "no"}, headers=me).status_code in {
        404,
        405,
    }
    assert httpx.get(f"{commands}/api/missions/board", headers=me).status_code in {404, 405}
    timers = apart[Role.TIMERS].url
    assert httpx.get(f"{timers}/api/missions", headers=me).status_code == 404
    assert httpx.get(f"{timers}/health/ready").json()["status"] == "ok"


def test_who_leaves_says_so_before_the_door_is_closed(apart: dict[Role, Running]) -> None:
    server = apart[Role.QUERIES]
    url = server.url
    with httpx.Client(base_url=url) as client:
        assert client.get("/health/ready").status_code == 200
        server.process.terminate()
        while (answer := client.get("/health/ready")).status_code == 200:
            pass
        assert (answer.status_code, answer.json()) == (503, {"status": "leaving"})
        assert answer.headers["connection"] == "close"
    assert server.process.wait(20) == 0


def test_a_role_that_nobody_has_is_told(
    apart: dict[Role, Running], database_url: str, fresh_dir: Path, postgres: EmbeddedPostgres
) -> None:
    def problems() -> str:
        _, report = doctor(fresh_dir, MC_DATABASE_URL=database_url)
        return " ".join(report["problems"])

    for role in (Role.TIMERS, Role.PROJECTIONS):
        assert apart[role].url
    assert "the role" not in problems()
    apart[Role.TIMERS].end(signal.SIGKILL)
    assert "no process has the role timers: no lease lapses" in problems()
    # Whoever asks as somebody else is told of that, and of the rest as well.
    name = conninfo_to_dict(database_url)["dbname"]
    database_url = postgres.dsn(SUPERUSER, str(name))
    assert f"MC_DATABASE_URL: the role {SUPERUSER} bypasses row-level security" in problems()
    assert "no process has the role timers" in problems()


def test_a_root_key_that_is_missing_or_another_is_told_and_none_is_made(
    apart: dict[Role, Running], database_url: str, fresh_dir: Path
) -> None:
    def told(**key: str) -> str:
        return " ".join(doctor(fresh_dir, MC_DATABASE_URL=database_url, **key)[1]["problems"])

    file = fresh_dir / "root.key"
    missing = (
        f"the root key of this data is missing: set MC_ROOT_KEY, or put it into {file}, mode 600"
    )
    assert missing in told()
    serve = run("serve", "--data-dir", fresh_dir, "--port", "0", MC_DATABASE_URL=database_url)
    assert refusal(serve) == missing
    assert "is not the one of this data" in told(MC_ROOT_KEY=RootKey.new().text())
    right = (apart[Role.COMMANDS].data_dir / "root.key").read_text().strip()
    assert "root key" not in told(MC_ROOT_KEY=right)
    assert not file.exists()


def test_a_database_that_is_not_there_yet_is_refused_in_one_line(
    fresh_dir: Path, database_url: str
) -> None:
    assert "MC_DATABASE_URL" in refusal(run("serve", "--data-dir", fresh_dir))
    only_relay = run(
        "serve", "--only", "relay", "--data-dir", fresh_dir, MC_DATABASE_URL=database_url
    )
    assert "MC_KAFKA_BOOTSTRAP" in refusal(only_relay)
