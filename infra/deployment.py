"""What the processes of one deployment have in common, and what each makes sure of before it starts."""

import psycopg

from infra import postgres_checks
from infra.migrate import require_current
from infra.settings import Settings, StartRefused


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
    file = settings.data_dir / "root.key"
    if settings.root_key or file.exists():
        return
    with psycopg.connect(dsn, options="-c mc.system=on") as connection:
        if connection.execute("SELECT 1 FROM workspace_keys LIMIT 1").fetchone():
            raise StartRefused(
                f"the root key of this data is missing: put it into {file}, mode 600"
            )
