"""Backup and restore by PostgreSQL's own tools. Sealed fields stay sealed in the file."""

import os
import subprocess
from pathlib import Path
from typing import Any

import psycopg

from infra.embedded_postgres import EmbeddedPostgres
from infra.settings import Settings, StartRefused


def backup(settings: Settings, file: Path) -> dict[str, Any]:
    """Dump the database of a running or stopped system into a file."""
    server = EmbeddedPostgres(settings.data_dir, settings.postgres_user)
    started_here = server.pid() is None and not settings.database_url
    dsn = settings.database_url or (server.start() if started_here else server.dsn())
    fresh = file.with_name(f"{file.name}.part")
    try:
        _run(server, "pg_dump", dsn, "--format=custom", "--no-owner", f"--file={fresh}")
    finally:
        if started_here:
            server.stop()
    fresh.chmod(0o600)
    fresh.rename(file)
    return {"file": str(file), "root_key": str(settings.data_dir / "root.key")}


def restore(settings: Settings, dsn: str, file: Path) -> dict[str, Any]:
    """Load a dump into an empty log; give the log a new id, since its positions will be given again."""
    if not file.is_file():
        raise StartRefused(f"{file} is not there")
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT position FROM log_head").fetchone()
        if row and row[0]:
            raise StartRefused("this log is not empty: restore into another data directory")
    server = EmbeddedPostgres(settings.data_dir, settings.postgres_user)
    with psycopg.connect(dsn) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    _run(
        server,
        "pg_restore",
        dsn,
        "--no-owner",
        "--exit-on-error",
        "--single-transaction",
        str(file),
    )
    with psycopg.connect(dsn) as connection:
        log_id = connection.execute("SELECT mc_after_restore()").fetchone()
        head = connection.execute("SELECT position FROM log_head").fetchone()
    assert log_id is not None and head is not None
    return {"log_id": str(log_id[0]), "position": head[0]}


def _run(server: EmbeddedPostgres, tool: str, dsn: str, *options: str) -> None:
    # The connection string holds a password, which does not belong on a command line.
    parts = psycopg.conninfo.conninfo_to_dict(dsn)
    named = {
        "host": "PGHOST",
        "port": "PGPORT",
        "user": "PGUSER",
        "password": "PGPASSWORD",
        "dbname": "PGDATABASE",
    }
    environment = {variable: str(parts[key]) for key, variable in named.items() if key in parts}
    # Row-level security would hide the rows from their owner: this is the program itself.
    environment["PGOPTIONS"] = "-c mc.system=on"
    database = (
        ["--enable-row-security"] if tool == "pg_dump" else [f"--dbname={parts.get('dbname', '')}"]
    )
    done = subprocess.run(  # noqa: S603 - PostgreSQL's own tools
        [str(server.bin / tool), *database, *options], env={**os.environ, **environment},
        capture_output=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        message = done.stderr.decode(errors="replace").strip().splitlines()
        raise StartRefused(f"{tool} failed: {message[-1] if message else done.returncode}")
