"""The database's schema, by numbered migrations that are applied once each, all in one transaction."""

from pathlib import Path

import psycopg

from infra.settings import StartRefused

MIGRATIONS = Path(__file__).parent / "migrations"
MIGRATION_LOCK = 7_301_201  # any number that nothing else here uses
CONNECT_S = 10


def migrate(dsn: str) -> int:
    """Bring the schema up to this program's version and return that version.

    Raises `StartRefused` for a schema newer than this program, and for a database that holds something
    else.
    """
    files = {int(file.name[:4]): file for file in sorted(MIGRATIONS.glob("*.sql"))}
    newest = max(files)
    with psycopg.connect(dsn, connect_timeout=CONNECT_S) as connection:
        # Several processes may start on one database: one migrates, the others then find it done.
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [MIGRATION_LOCK])
        connection.execute("SET LOCAL client_min_messages = warning")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations"
            " (version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        applied = {row[0] for row in connection.execute("SELECT version FROM schema_migrations")}
        if applied and max(applied) > newest:
            raise StartRefused(
                f"the database has schema {max(applied)}, this program knows {newest}:"
                " use a newer program"
            )
        for version, file in files.items():
            if version not in applied:
                _apply(connection, version, file)
    return newest


def require_current(dsn: str) -> None:
    """Raise `StartRefused` unless the schema is just this program's."""
    newest = max(int(file.name[:4]) for file in MIGRATIONS.glob("*.sql"))
    with psycopg.connect(dsn, connect_timeout=CONNECT_S) as connection:
        found = None
        if connection.execute("SELECT to_regclass('schema_migrations')").fetchone() != (None,):
            row = connection.execute("SELECT max(version) FROM schema_migrations").fetchone()
            found = row[0] if row else None
    if found != newest:
        raise StartRefused(
            f"the database has schema {found or 'none'}, this program's is {newest}:"
            " mission-control migrate brings it there"
        )


def _apply(connection: psycopg.Connection, version: int, file: Path) -> None:
    try:
        connection.execute(file.read_bytes())
    except (psycopg.errors.DuplicateTable, psycopg.errors.InsufficientPrivilege) as error:
        raise StartRefused(
            f"the schema can't be made in this database: {error.diag.message_primary}"
        ) from None
    connection.execute("INSERT INTO schema_migrations (version) VALUES (%s)", [version])
