"""One real PostgreSQL for the whole test session, and a fresh database for each module."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings
from psycopg import sql
from uuid_utils.compat import uuid7

from infra.embedded_postgres import ROLE, SUPERUSER, EmbeddedPostgres
from infra.migrate import migrate

pytest_plugins = ["tests.servers.fixtures"]

# How long an example takes says more about the machine than about the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A folder that others may pass through: as root, PostgreSQL runs as another user.

    In a closed one, like pytest's own, a cluster would be kept elsewhere and stay there.
    """
    folder = Path(tempfile.mkdtemp(prefix="mission-control-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(open_folder: Path) -> Iterator[EmbeddedPostgres]:
    """The embedded server, on a data directory that goes with the session."""
    data_dir = open_folder / "session"
    data_dir.mkdir(mode=0o711)
    server = EmbeddedPostgres(data_dir)
    server.start()
    yield server
    # At once: an orderly end first writes all that nobody needs any more to the disk.
    if pid := server.pid():
        os.kill(pid, signal.SIGQUIT)
    server.stop()


def fresh_database(postgres: EmbeddedPostgres) -> str:
    """Make a fresh, migrated database and return its DSN. It goes with the session: to drop one waits for the disk."""
    name = f"test_{uuid7().hex}"
    with psycopg.connect(postgres.dsn(SUPERUSER, "postgres"), autocommit=True) as connection:
        identifiers = [sql.Identifier(name), sql.Identifier(ROLE)]
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(*identifiers))
    dsn = postgres.dsn(database=name)
    migrate(dsn)
    return dsn


@pytest.fixture(scope="module")
def database_url(postgres: EmbeddedPostgres) -> str:
    """The DSN of a fresh, migrated database, for a role that row-level security binds. It goes with the session."""
    return fresh_database(postgres)
