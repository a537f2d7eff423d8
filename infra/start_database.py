"""Which database: the one of MC_DATABASE_URL, else the embedded server's, started where it must be."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from infra import postgres_checks
from infra.data_dir import DataDir
from infra.embedded_postgres import EmbeddedPostgres
from infra.migrate import migrate
from infra.settings import Settings, StartRefused


@dataclass(frozen=True)
class Started:
    """A database that answers; `postgres` where it is our own to look after."""

    dsn: str
    postgres: EmbeddedPostgres | None


@contextmanager
def started(settings: Settings, cancelled: Callable[[], bool] = lambda: False) -> Iterator[Started]:
    """Yield a database, as it is found. The caller holds the data directory."""
    if settings.database_url:
        postgres_checks.check(settings.database_url)
        yield Started(settings.database_url, None)
        return
    postgres = EmbeddedPostgres(settings.data_dir, settings.postgres_user, cancelled=cancelled)
    try:
        yield Started(postgres.start(), postgres)
    finally:
        postgres.stop()


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    """Yield the DSN of a migrated database. The caller holds the data directory."""
    with started(settings) as found:
        migrate(found.dsn)
        yield found.dsn


@contextmanager
def reachable(settings: Settings, *, migrated: bool = True) -> Iterator[str]:
    """Yield the DSN of a database that a running server may be using, or start it for as long.

    What needs no migrated one only reads, so that a standby will do.
    """
    if settings.database_url:
        postgres_checks.check(settings.database_url, writes=migrated)
        yield settings.database_url
        return
    running = EmbeddedPostgres(settings.data_dir, settings.postgres_user)
    if running.pid() is not None:
        yield _dsn_of(running)
        return
    if not settings.data_dir.is_dir():
        raise StartRefused(f"{settings.data_dir} is no data directory; --data-dir names another")
    with DataDir(settings.data_dir), started(settings) as found:
        if migrated:
            migrate(found.dsn)
        yield found.dsn


def _dsn_of(running: EmbeddedPostgres) -> str:
    try:
        return running.dsn()
    except OSError:
        raise StartRefused(
            f"cannot read the passwords in {running.data_dir}: ask as the user who runs the server"
        ) from None
