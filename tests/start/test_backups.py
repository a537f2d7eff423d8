"""Backups to one file at a time leave a whole one, and nothing of those that were killed."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import psutil
import psycopg
import pytest

from infra.backup import backup
from infra.embedded_postgres import EmbeddedPostgres
from infra.settings import Settings
from tests.conftest import fresh_database
from tests.start.processes import COMMAND, environment

PATIENCE_S = 30
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'log_head'::regclass"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "nightly.backup"


def test_of_two_backups_to_one_file_each_is_whole_and_the_last_to_finish_stays(
    postgres: EmbeddedPostgres, database_url: str, file: Path, tmp_path: Path
) -> None:
    settings, began = Settings(data_dir=tmp_path), Event()
    late = Thread(target=backup, args=(settings, database_url, file, None, lambda _: began.set()))
    with held_up(database_url):
        late.start()
        assert began.wait(PATIENCE_S)
        made = backup(settings, fresh_database(postgres), file, None, lambda _: None)
        first = file.read_bytes()
        assert made.size_bytes == len(first)
        assert_whole(postgres, file)
    late.join()
    assert file.read_bytes() != first
    assert_whole(postgres, file)
    assert list(tmp_path.iterdir()) == [file]
    assert file.stat().st_mode & 0o077 == 0


def test_what_outlives_a_killed_backup_writes_to_no_other_and_is_removed_when_it_is_over(
    postgres: EmbeddedPostgres, database_url: str, file: Path, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path)
    words = [*COMMAND, "backup", str(file), "--data-dir", str(tmp_path)]
    with held_up(database_url) as holder:
        with subprocess.Popen(words, env=environment(MC_DATABASE_URL=database_url)) as killed:
            await_one_waiting(holder)
            (outlives,) = psutil.Process(killed.pid).children()
            killed.kill()
        backup(settings, fresh_database(postgres), file, None, lambda _: None)
        whole = file.read_bytes()
        assert len(list(tmp_path.iterdir())) == 2, "it is still written to"
    psutil.wait_procs([outlives], PATIENCE_S)
    assert file.read_bytes() == whole
    precious = tmp_path / f"{file.name}.my-own.part"
    precious.touch()
    backup(settings, database_url, file, None, lambda _: None)
    assert_whole(postgres, file)
    assert set(tmp_path.iterdir()) == {file, precious}


@contextmanager
def held_up(dsn: str) -> Iterator[psycopg.Connection]:
    """Have every backup of a database wait, before it has written anything."""
    with psycopg.connect(dsn) as connection:
        connection.execute("LOCK TABLE log_head IN ACCESS EXCLUSIVE MODE")
        yield connection


def await_one_waiting(connection: psycopg.Connection) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while connection.execute(WAITING).fetchone() == (0,):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def assert_whole(postgres: EmbeddedPostgres, file: Path) -> None:
    words = [postgres.bin / "pg_restore", "--file=-", file]
    assert b"COPY public.log_head" in subprocess.run(words, check=True, capture_output=True).stdout
