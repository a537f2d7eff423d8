"""What the processes of one deployment have in common, and what each makes sure of before it starts."""

import psycopg

from infra import postgres_checks
from infra.migrate import require_current
from infra.settings import Settings, StartRefused
from infra.vault import STORED_KEY, root_key


def database_of(settings: Settings) -> str:
    """Return the database that they share; raises `StartRefused` where none is set."""
    if settings.database_url is None:
        raise StartRefused("MC_DATABASE_URL: processes of one deployment share a database")
    return settings.database_url


def ready_database(settings: Settings, *, writes: bool = True) -> str:
    """Return it, if a process can start on it as it is: fit, migrated, and its root key known.

    Raises `StartRefused`.
    """
    dsn = database_of(settings)
    postgres_checks.check(dsn, writes=writes)
    require_current(dsn)
    require_root_key(settings, dsn)
    return dsn


def require_root_key(settings: Settings, dsn: str) -> None:
    """Raise `StartRefused` where there is data and its root key is not."""
    # Of a first start the key is made; after a restore, a new one would be in the right one's place.
    if not _has_root_key(settings):
        with psycopg.connect(dsn, options="-c mc.system=on") as connection:
            _require_no_keys(settings, connection)


def check_root_key(settings: Settings, connection: psycopg.Connection) -> None:
    """Raise `StartRefused` where there is data and its root key is not, or is another. Makes no key."""
    if not _has_root_key(settings):
        _require_no_keys(settings, connection)
        return
    root = root_key(settings.root_key, settings.root_key_file)
    root.require_fits(connection.execute(STORED_KEY, [root.id]).fetchone())


def _has_root_key(settings: Settings) -> bool:
    return settings.root_key is not None or settings.root_key_file.exists()


def _require_no_keys(settings: Settings, connection: psycopg.Connection) -> None:
    if connection.execute("SELECT 1 FROM workspace_keys LIMIT 1").fetchone():
        raise StartRefused(
            "the root key of this data is missing: set MC_ROOT_KEY, or put it into"
            f" {settings.root_key_file}, mode 600"
        )
