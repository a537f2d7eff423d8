"""The database's schema, by numbered migrations that are applied once each."""

from pathlib import Path

import psycopg

from infra.settings import StartRefused

MIGRATIONS = Path(__file__).parent / "migrations"
MIGRATION_LOCK = 7_301_201  # any number that nothing else here uses


def migrate(dsn: str) -> int:
    """Bring the schema up to this program's version and return that version.

    Raises `StartRefused` for a schema newer than this program.
    """
    files = sorted(MIGRATIONS.glob("*.sql"))
    newest = int(files[-1].name[:4])
    with psycopg.connect(dsn) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [MIGRATION_LOCK])
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations"
            " (version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        applied = {row[0] for row in connection.execute("SELECT version FROM schema_migrations")}
        if applied and max(applied) > newest:
            raise StartRefused(
                f"the data is of version {max(applied)}, this program knows {newest}: use a newer program"
            )
        for file in files:
            version = int(file.name[:4])
            if version not in applied:
                connection.execute(file.read_bytes())
                connection.execute("INSERT INTO schema_migrations (version) VALUES (%s)", [version])
    return newest
