"""Root and plain users start it alike, and no existing folder's mode is changed."""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from infra.data_dir import write_private
from infra.embedded_postgres import SOCKET_PATH_BYTES_MAX, EmbeddedPostgres
from infra.postgres_binaries import ROOT_STATE, Account, account_named
from infra.settings import StartRefused
from tests.start.processes import REPOSITORY, Running, end_postgres, environment

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
PACKAGES = ("domain", "commands", "projections", "read_api", "streams", "infra")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@as_root
def test_as_root_postgres_runs_as_another_user_who_owns_no_more_than_the_cluster(
    fresh_dir: Path,
) -> None:
    fresh_dir.mkdir(mode=0o711)
    server = EmbeddedPostgres(fresh_dir)
    with psycopg.connect(server.start()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    try:
        assert (fresh_dir / "postgres").owner() == account_named(None).name
        assert mode(fresh_dir / "postgres") == mode(fresh_dir / "postgres" / "run") == 0o700
        owners = {file.name: file.owner() for file in fresh_dir.iterdir() if file.is_file()}
        assert set(owners.values()) == {"root"}
        assert {mode(fresh_dir / name) for name in owners} == {0o600}
    finally:
        server.stop()


@as_root
def test_a_folder_that_the_other_user_cannot_enter_stays_closed(fresh_dir: Path) -> None:
    fresh_dir.mkdir(mode=0o700)
    server = EmbeddedPostgres(fresh_dir)
    try:
        first = server.start()
        assert mode(fresh_dir) == 0o700
        assert (fresh_dir / "postgres").is_symlink()
        assert server.cluster.parent == ROOT_STATE / "clusters"
        assert (server.cluster / "belongs-to").read_text() == f"{fresh_dir}\n"
        server.stop()
        assert server.start() == first
        shutil.copytree(fresh_dir, fresh_dir.with_name("copy"), symlinks=True)
        with pytest.raises(StartRefused, match="in use"):
            EmbeddedPostgres(fresh_dir.with_name("copy")).start()
    finally:
        server.stop()
        shutil.rmtree(server.cluster)


def test_a_path_that_is_too_long_for_a_socket_gets_a_short_private_folder(
    open_folder: Path,
) -> None:
    data_dir = open_folder / ("long" * (SOCKET_PATH_BYTES_MAX // 4))
    data_dir.mkdir(mode=0o711)
    server = EmbeddedPostgres(data_dir)
    try:
        first = server.start()
        folder = Path((data_dir / "socket-folder").read_text())
        assert mode(folder) == 0o700
        server.stop()
        assert server.start() == first, "the folder is remembered"
        server.stop()
        folder.chmod(0o777)  # no longer to be trusted
        assert server.start() != first
        folder.rmdir()
    finally:
        server.stop()
        Path((data_dir / "socket-folder").read_text()).rmdir()


def test_a_number_in_a_lock_file_that_another_process_has_now_stops_nothing(
    fresh_dir: Path,
) -> None:
    fresh_dir.mkdir(mode=0o711)
    server = EmbeddedPostgres(fresh_dir)
    server.start()
    server.stop()
    account = account_named(None) if os.geteuid() == 0 else None
    with subprocess.Popen(["sleep", "60"], **(account.run_as() if account else {})) as other:
        try:
            stale = f"{other.pid}\n{server.cluster / 'data'}\n1\n5432\n{server.cluster / 'run'}\n\n"
            for file in ("data/postmaster.pid", "run/.s.PGSQL.5432.lock"):
                write_private(server.cluster / file, stale)
                if account is not None:
                    os.chown(server.cluster / file, account.uid, account.gid)
            assert server.start()
            assert server.pid() != other.pid
        finally:
            server.stop()
            other.kill()


@as_root
def test_a_plain_user_starts_it_from_a_closed_home(
    open_folder: Path, plain_python: list[str], plain_user: Account
) -> None:
    home = open_folder / "home"
    home.mkdir(mode=0o700)
    os.chown(home, plain_user.uid, plain_user.gid)
    code = open_folder / "code"
    for package in PACKAGES:
        shutil.copytree(REPOSITORY / package, code / package)
    data_dir = home / "data"
    path = f"{code}:{Path(psycopg.__file__).parents[1]}"
    with subprocess.Popen(
        [*plain_python, "-m", "infra", "up", "--data-dir", str(data_dir), "--port", "0"],
        env={**environment(PYTHONPATH=path), "HOME": str(home)}, cwd="/", text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True, **plain_user.run_as(),
    ) as process:  # fmt: skip
        running = Running(process, data_dir)
        try:
            assert running.create_mission("by a plain user")
            assert mode(data_dir) == 0o700
            owners = {file.owner() for file in (data_dir, *data_dir.iterdir())}
            assert owners == {plain_user.name}
            assert running.end() == 0
        finally:
            process.kill()
            end_postgres(data_dir)


@as_root
def test_root_starts_what_a_plain_user_made_as_that_user(
    open_folder: Path, plain_user: Account
) -> None:
    data_dir = open_folder / "of-a-plain-user"
    data_dir.mkdir(mode=0o711)
    (data_dir / "postgres").mkdir(mode=0o700)
    os.chown(data_dir / "postgres", plain_user.uid, plain_user.gid)
    server = EmbeddedPostgres(data_dir)
    try:
        assert server.start()
        assert (data_dir / "postgres" / "data").owner() == plain_user.name
    finally:
        server.stop()


@pytest.fixture
def plain_user() -> Account:
    """A user without rights, other than the one who usually runs PostgreSQL."""
    return account_named("nobody")


@pytest.fixture
def plain_python(plain_user: Account) -> Iterator[list[str]]:
    """A Python of our version that a plain user can run with our libraries."""
    libraries = Path(psycopg.__file__).parents[1]
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (
        sys.executable,
        f"/usr/bin/python{version}",
        f"/usr/local/bin/python{version}",
    ):
        try:
            subprocess.run(
                [candidate, "-c", "import psycopg, pydantic_core, uvloop"], check=True, cwd="/",
                capture_output=True, env={"PYTHONPATH": str(libraries)}, **plain_user.run_as(),
            )  # fmt: skip
        except (OSError, subprocess.CalledProcessError):
            continue
        yield [candidate]
        return
    pytest.skip("no Python here that a plain user can run")
