"""A backup holds the whole log, a restored log is another log, and the doctor sees what is wrong."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from infra.backup import LEFT_OUT
from infra.doctor import examine
from infra.embedded_postgres import SUPERUSER, EmbeddedPostgres
from infra.marks import INDEXES, KEYFRAMES, LAG_EVENTS_MAX, ROOM_INDEX
from infra.migrate import MIGRATIONS
from infra.settings import Settings
from infra.vault import RootKey
from tests.start.processes import EMAIL, Running, doctor, refusal, run, up

JOB_S = 20
"""Within which a job has failed several times, or has been well for a while."""


@pytest.fixture(scope="module")
def original(open_folder: Path) -> Iterator[Running]:
    """A running server with two missions."""
    with up(open_folder / "original") as running:
        running.create_mission("first")
        running.create_mission("second")
        yield running


@pytest.fixture(scope="module")
def backed_up(original: Running, open_folder: Path) -> dict[str, Any]:
    """What `backup` said, of a server that runs."""
    words: list[str | Path] = [
        "--root-key-file",
        open_folder / "kept.key",
        "--data-dir",
        original.data_dir,
        "--json",
    ]
    done = run("backup", open_folder / "kept.backup", *words)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_a_backup_is_private_and_holds_no_address_and_no_root_key(
    backed_up: dict[str, Any], original: Running
) -> None:
    file, key = Path(backed_up["file"]), Path(backed_up["root_key"])
    assert file.stat().st_mode & 0o077 == key.stat().st_mode & 0o077 == 0
    assert key.read_text() == (original.data_dir / "root.key").read_text()
    pg_restore = EmbeddedPostgres(original.data_dir).bin / "pg_restore"
    plain = subprocess.run([pg_restore, "--file=-", file], check=True, capture_output=True).stdout
    assert b"COPY public.events" in plain
    assert EMAIL.encode() not in plain
    assert key.read_bytes().strip() not in plain
    assert b"COPY public.read_missions" not in plain, "read models hold opened text"


def test_a_restored_log_is_whole_has_another_id_and_goes_on(
    backed_up: dict[str, Any], original: Running, fresh_dir: Path
) -> None:
    words = [backed_up["file"], "--data-dir", fresh_dir, "--json"]
    done = run("restore", *words, "--root-key-file", backed_up["root_key"])
    assert done.returncode == 0, done.stderr
    restored = json.loads(done.stdout)
    _, before = doctor(original.data_dir)
    assert restored["position"] == before["position"]
    assert restored["log_id"] != before["log_id"]
    with up(fresh_dir) as running:
        created = running.create_mission("third")
        assert created["position"] == restored["position"] + 1
        assert running.titles(created["position"]) == {"first", "second", "third"}
        code, after = doctor(fresh_dir)
        assert (code, after["problems"]) == (0, [])
        assert after["log_id"] == restored["log_id"]
        assert running.end() == 0
    assert "there is a log already" in refusal(run("restore", *words))


def test_a_restored_log_is_not_served_with_a_root_key_made_up(
    backed_up: dict[str, Any], fresh_dir: Path
) -> None:
    done = run("restore", backed_up["file"], "--data-dir", fresh_dir, "--json")
    needed = json.loads(done.stdout)["needs_root_key"]
    assert needed == str(fresh_dir / "root.key")
    assert needed in refusal(run("up", "--data-dir", fresh_dir, "--port", "0"))
    assert not Path(needed).exists()


def test_a_broken_backup_leaves_nothing_and_the_whole_one_can_follow(
    backed_up: dict[str, Any], fresh_dir: Path
) -> None:
    whole = Path(backed_up["file"]).read_bytes()
    half = fresh_dir.with_suffix(".half")
    half.write_bytes(whole[: len(whole) // 2])
    done = run("restore", half, "--data-dir", fresh_dir)
    assert done.returncode == 1
    assert done.stderr.startswith("mission-control: pg_restore: ")
    assert run("restore", backed_up["file"], "--data-dir", fresh_dir).returncode == 0


def test_a_backup_replaces_an_older_one_and_nothing_else(
    backed_up: dict[str, Any], original: Running, open_folder: Path
) -> None:
    older = open_folder / "older.backup"
    older.write_bytes(Path(backed_up["file"]).read_bytes())
    precious = open_folder / "precious.txt"
    precious.write_text("no backup")
    old_key = open_folder / "old.key"
    old_key.write_text(f"{RootKey.new().text()}\n")
    kept = old_key.read_text()
    where: list[str | Path] = ["--data-dir", original.data_dir]
    key: list[str | Path] = ["--root-key-file", old_key]
    assert run("backup", older, *where, "--root-key-file", backed_up["root_key"]).returncode == 0
    assert "is not a backup" in refusal(run("backup", precious, *where))
    assert "an older backup may need it" in refusal(run("backup", older, *where, *key))
    assert (precious.read_text(), old_key.read_text()) == ("no backup", kept)


def test_what_is_no_backup_is_refused(fresh_dir: Path) -> None:
    assert "is not a backup" in refusal(run("restore", __file__, "--data-dir", fresh_dir))


def test_nothing_is_made_for_a_backup_or_a_root_key_that_is_not_there(
    backed_up: dict[str, Any], fresh_dir: Path
) -> None:
    there, nowhere = backed_up["file"], fresh_dir / "nowhere"
    for words in (
        [nowhere],
        [there, "--root-key-file", nowhere],
        [there, "--root-key-file", there],
    ):
        assert str(words[-1]) in refusal(run("restore", *words, "--data-dir", fresh_dir))
        assert not fresh_dir.exists()


def test_nothing_is_restored_for_a_root_key_that_does_not_open_it(
    backed_up: dict[str, Any], fresh_dir: Path
) -> None:
    other = RootKey.new().text()
    file = fresh_dir.with_suffix(".key")
    file.write_text(other)
    words: list[str | Path] = ["restore", backed_up["file"], "--data-dir", fresh_dir]
    told = refusal(run(*words, "--root-key-file", file))
    assert told.startswith(f"{file} is not the root key of this backup (")
    assert refusal(run(*words, MC_ROOT_KEY=other)).startswith("MC_ROOT_KEY is not the root key")
    assert not fresh_dir.exists()


def test_what_is_left_out_is_what_a_restore_clears() -> None:
    schema = "".join(file.read_text() for file in sorted(MIGRATIONS.glob("*.sql")))
    cleared = schema.rpartition("FUNCTION mc_after_restore()")[2].partition("END $$")[0]
    for table in LEFT_OUT:
        assert f"'{table.rstrip('*')}'" in cleared


def test_beside_a_healthy_server_the_doctor_finds_nothing_wrong(original: Running) -> None:
    position = original.create_mission("seen by the doctor")["position"]
    original.titles(position)
    code, report = doctor(original.data_dir)
    assert (code, report["problems"]) == (0, [])
    pid = original.process.pid
    assert report["server"] == {"state": "ok", "pid": pid, "url": original.url}
    assert report["postgres"]["pid"] == original.postgres_pid
    assert report["position"] == position
    assert report["projections"]["missions"] == {"position": position, "lag": 0, "parked": 0}
    readable = run("doctor", "--data-dir", original.data_dir)
    assert readable.returncode == 0
    assert "all is well" in readable.stdout


@contextmanager
def altered(running: Running, change: str, back: str) -> Iterator[None]:
    """Change a row of a running server's database, and change it back."""
    dsn = EmbeddedPostgres(running.data_dir).dsn(SUPERUSER)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(change)
        try:
            yield
        finally:
            connection.execute(back)


def test_streams_that_are_parked_are_counted_by_the_health_and_the_doctor(
    original: Running,
) -> None:
    park = """INSERT INTO parked_events (model, stream_id, workspace_id, position, stream_version,
            event_type, error, place)
        SELECT 'missions', gen_random_uuid(), gen_random_uuid(), 1, 1, 'mission.edited.v1', 'E', 'here'
        FROM generate_series(1, 2)"""
    assert original.get("/health/ready").json()["parked"] == {}
    with altered(original, park, "DELETE FROM parked_events"):
        health = original.get("/health/ready")
        assert (health.status_code, health.json()["status"]) == (200, "degraded")
        assert health.json()["parked"] == {"missions": 2}
        code, report = doctor(original.data_dir)
    assert (code, report["projections"]["missions"]["parked"]) == (1, 2)
    assert "missions has parked 2 streams" in " ".join(report["problems"])
    assert original.get("/health/ready").json()["status"] == "ok"


def test_a_job_that_fails_again_and_again_is_named_until_it_succeeds(original: Running) -> None:
    assert original.get("/health/ready").json()["services"]["jobs"] == {"status": "ok"}
    rename = "ALTER FUNCTION {} RENAME TO {}"
    names = "mc_derive_missing", "mc_derive_missing_not"
    with altered(original, rename.format(*names), rename.format(*reversed(names))):
        health = until_health(original, "degraded")
        code, report = doctor(original.data_dir)
    assert health["services"]["jobs"]["jobs"] == {"derived": "UndefinedFunction"}
    assert code == 1
    assert "the job derived fails again and again (UndefinedFunction)" in report["problems"]
    assert until_health(original, "ok")["services"]["jobs"] == {"status": "ok"}


def until_health(running: Running, status: str) -> dict[str, Any]:
    """Wait until a server's health is so."""
    for _ in range(JOB_S * 10):
        health: dict[str, Any] = running.get("/health/ready").json()
        if health["status"] == status:
            return health
        time.sleep(0.1)
    raise AssertionError(health)


@pytest.mark.parametrize("name", INDEXES)
def test_an_index_that_is_far_behind_is_told(original: Running, name: str) -> None:
    behind = LAG_EVENTS_MAX + 1
    assert original.get("/health/ready").json()["lag"][name] < behind
    move = f"UPDATE checkpoints SET position = position {{}} {behind} WHERE name = '{name}'"
    with altered(original, move.format("-"), move.format("+")):
        code, report = doctor(original.data_dir)
        health = original.get("/health/ready").json()
    assert code == 1
    assert report["projections"][name]["lag"] == behind
    assert any(f"{name} is {behind} events behind" in one for one in report["problems"])
    if (
        name == ROOM_INDEX
    ):  # of the others the process that does the work knows better than its rows
        assert (health["status"], health["lag"][name]) == ("degraded", behind)


def test_what_has_gone_on_meanwhile_is_not_behind(original: Running) -> None:
    move = f"UPDATE checkpoints SET position = position {{}} 3 WHERE name = '{KEYFRAMES}'"
    with altered(original, move.format("+"), move.format("-")):
        _, report = doctor(original.data_dir)
    assert report["projections"][KEYFRAMES]["lag"] == 0


def test_a_database_that_lets_nobody_in_is_told_as_a_start_tells_it(database_url: str) -> None:
    wrong = make_conninfo(database_url, password="hunter2")
    for url, said in (
        (wrong, "password authentication failed"),
        ("postgresql://ada:hunter2@127.0.0.1:9/missions", "Connection refused"),
    ):
        report = examine(Settings.load(database_url=url))
        (told,) = report.problems
        assert told.startswith("MC_DATABASE_URL: ")
        assert said in told
        assert "hunter2" not in told


def test_where_nothing_runs_the_doctor_says_so_and_exits_with_1(fresh_dir: Path) -> None:
    code, report = doctor(fresh_dir)
    assert code == 1
    assert report["problems"] == ["no server runs on this data directory"]
    assert not fresh_dir.exists()


def test_after_a_kill_the_doctor_finds_the_postgres_that_was_left_behind(original: Running) -> None:
    position = examine(Settings.load(data_dir=original.data_dir)).position
    original.end(signal.SIGKILL)
    report = examine(Settings.load(data_dir=original.data_dir))
    assert report.server == {"state": "not running"}
    assert f"PostgreSQL {original.postgres_pid} was left behind" in " ".join(report.problems)
    assert report.position == position
