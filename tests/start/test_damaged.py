"""What is lost or damaged in a data directory stops no start that could go on, and is named in one line otherwise."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from infra.doctor import examine
from infra.embedded_postgres import ROLE, SUPERUSER, EmbeddedPostgres
from infra.settings import Settings, StartRefused
from tests.start.processes import refusal, run


@pytest.fixture(scope="module")
def data_dir(open_folder: Path) -> Path:
    """A data directory with a cluster that does not run."""
    folder = open_folder / "damaged"
    folder.mkdir(mode=0o711)
    made = EmbeddedPostgres(folder)
    made.start()
    made.stop()
    return folder


@pytest.fixture
def cluster(data_dir: Path) -> Iterator[EmbeddedPostgres]:
    """Its PostgreSQL, not started; stopped at the end, with the passwords that it began with."""
    server = EmbeddedPostgres(data_dir)
    kept = {file: file.read_text() for file in passwords(data_dir)}
    yield server
    server.stop()
    for file, text in kept.items():
        file.write_text(text)


@pytest.mark.parametrize("text", ["", "\0\0\0\0", "0\n", "99999999999999999999\n", "no number\n"])
def test_lock_files_that_name_no_process_stop_nothing(text: str, cluster: EmbeddedPostgres) -> None:
    for file in ("data/postmaster.pid", "run/.s.PGSQL.5432.lock"):
        (cluster.cluster / file).write_text(text)
    assert answers(cluster.start())


@pytest.mark.parametrize("is_empty", [True, False])
def test_no_password_is_made_up_for_a_superuser_who_has_another(
    is_empty: bool, data_dir: Path, cluster: EmbeddedPostgres
) -> None:
    for file in passwords(data_dir):
        lose(file, is_empty=is_empty)
    before = contents(data_dir)
    lost = data_dir / f"postgres-{SUPERUSER}.password"
    with pytest.raises(StartRefused, match=f"^{lost} is missing or empty"):
        cluster.start()
    assert contents(data_dir) == before


@pytest.mark.parametrize("is_empty", [True, False])
def test_the_applications_password_is_made_anew_by_a_start_and_by_nobody_else(
    is_empty: bool, data_dir: Path, cluster: EmbeddedPostgres
) -> None:
    first = cluster.start()
    lost = data_dir / f"postgres-{ROLE}.password"
    lose(lost, is_empty=is_empty)
    before = contents(data_dir)
    told = examine(Settings(data_dir=data_dir)).problems
    assert any(one.startswith(f"{lost} is missing or empty") for one in told)
    said = refusal(run("workspace", "list", "--data-dir", data_dir))
    assert said.startswith(f"{lost} is missing or empty")
    assert contents(data_dir) == before
    again = cluster.start()
    assert again != first
    assert answers(again)


def test_a_password_that_was_brought_back_by_hand_may_end_with_a_line(
    data_dir: Path, cluster: EmbeddedPostgres
) -> None:
    for file in passwords(data_dir):
        file.write_text(f"{file.read_text()}\n")
    assert answers(cluster.start())


def test_a_version_of_postgresql_that_is_none_is_named(cluster: EmbeddedPostgres) -> None:
    file = cluster.cluster / "data" / "PG_VERSION"
    version = file.read_text()
    file.write_text("")
    try:
        with pytest.raises(StartRefused, match=f"^{file} can't be read as a version number$"):
            cluster.start()
    finally:
        file.write_text(version)


def passwords(data_dir: Path) -> list[Path]:
    return [data_dir / f"postgres-{role}.password" for role in (SUPERUSER, ROLE)]


def contents(data_dir: Path) -> dict[Path, str | None]:
    return {file: file.read_text() if file.exists() else None for file in passwords(data_dir)}


def lose(file: Path, *, is_empty: bool) -> None:
    if is_empty:
        file.write_text("")
    else:
        file.unlink()


def answers(dsn: str) -> bool:
    with psycopg.connect(dsn) as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)
