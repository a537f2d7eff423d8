"""The command line. Exit codes: 0 done, 1 failed or unhealthy, 2 refused or misused."""

import asyncio
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer
import uvloop
from pydantic import ValidationError

from infra import backup as backups
from infra import maintenance, postgres_checks
from infra.data_dir import DataDir
from infra.embedded_postgres import EmbeddedPostgres
from infra.logging import forward_libraries, log
from infra.migrate import migrate
from infra.serve import serve
from infra.settings import Settings, StartRefused

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Mission Control: people and agents work missions on a log that can be replayed.",
)
workspace_app = typer.Typer(help="Workspaces.", no_args_is_help=True)
app.add_typer(workspace_app, name="workspace")
keys_app = typer.Typer(help="Keys of sealed personal data.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")

DataDirOption = Annotated[
    Path | None, typer.Option("--data-dir", help="Where everything is kept (MC_DATA_DIR).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def main() -> None:
    """Run the command line; a refused start is one line and exit code 2."""
    try:
        app()
    except StartRefused as refused:
        print(f"mission-control: {refused}", file=sys.stderr)
        sys.exit(2)


def settings_with(**options: Any) -> Settings:
    """Return the settings from the environment, with the options given on the command line."""
    try:
        return Settings(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        fault = error.errors()[0]
        name = f"MC_{'_'.join(str(part) for part in fault['loc'])}".upper()
        raise StartRefused(f"{name}: {fault['msg']}") from None


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    """Yield the DSN of a migrated database: MC_DATABASE_URL's, or the embedded server's."""
    if settings.database_url:
        postgres_checks.check(settings.database_url)
        migrate(settings.database_url)
        yield settings.database_url
        return
    server = EmbeddedPostgres(settings.data_dir, settings.postgres_user)
    try:
        dsn = server.start()
        migrate(dsn)
        yield dsn
    finally:
        server.stop()


def _version(wanted: bool) -> None:
    if wanted:
        print(version("mission-control"))
        raise typer.Exit


@app.callback()
def common(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    """Mission Control."""


@app.command()
def up(
    data_dir: DataDirOption = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on (MC_HOST).")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on, 0 for any (MC_PORT).")
    ] = None,
    behind_proxy: Annotated[
        bool | None, typer.Option("--behind-proxy", help="TLS ends before us.")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain (MC_TLS_CERT).")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key (MC_TLS_KEY).")] = None,
    log_format: Annotated[
        str | None, typer.Option(help="auto, console or json (MC_LOG_FORMAT).")
    ] = None,
) -> None:
    """Start the whole system; Ctrl-C stops it."""
    settings = settings_with(
        data_dir=data_dir, host=host, port=port, behind_proxy=behind_proxy, tls_cert=tls_cert,
        tls_key=tls_key, log_format=log_format,
    )  # fmt: skip
    log.configure(sys.stderr, settings.log_format)
    forward_libraries()
    # Until the server runs, either signal simply ends the start: `finally` blocks clean up.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    with DataDir(settings.data_dir):
        serve(settings, database)
    log.flush()


@app.command()
def doctor(data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Say what runs, where the log stands and how far each projection is."""
    settings = settings_with(data_dir=data_dir)
    report = _examine(settings)
    print(json.dumps(report, indent=2) if as_json else _readable(report))
    raise typer.Exit(0 if report["ok"] else 1)


@app.command()
def backup(file: Path, data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Write the whole database to a file. Keep the root key apart: it opens what is sealed."""
    settings = settings_with(data_dir=data_dir)
    report = backups.backup(settings, file)
    print(
        json.dumps(report)
        if as_json
        else f"written to {file}; keep {report['root_key']} apart from it"
    )


@app.command()
def restore(file: Path, data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Read a backup into an empty data directory. The restored log has an id of its own."""
    settings = settings_with(data_dir=data_dir)
    with DataDir(settings.data_dir), database(settings) as dsn:
        report = backups.restore(settings, dsn, file)
    print(json.dumps(report) if as_json else f"restored up to position {report['position']}")


@workspace_app.command("create")
def create_workspace(
    name: str,
    admin_email: Annotated[str, typer.Option(help="The first admin's address.")],
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Found another workspace; works beside a running server. Prints its admin's password once."""
    settings = settings_with(data_dir=data_dir)
    with reachable(settings) as dsn:
        report = uvloop.run(maintenance.create_workspace(settings, dsn, name, admin_email))
    print(
        json.dumps(report)
        if as_json
        else "\n".join(f"{key}: {value}" for key, value in report.items())
    )


@keys_app.command("rotate")
def rotate_keys(data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Make a new root key and wrap every workspace's key with it. Events are not touched."""
    settings = settings_with(data_dir=data_dir)
    with DataDir(settings.data_dir), database(settings) as dsn:
        report = asyncio.run(maintenance.rotate_root_key(settings, dsn))
    print(json.dumps(report) if as_json else f"{report['workspaces']} workspace keys wrapped anew")


@contextmanager
def reachable(settings: Settings) -> Iterator[str]:
    """Yield the DSN of a database that may be in use by a running server, or start it for a moment."""
    if settings.database_url:
        yield settings.database_url
        return
    server = EmbeddedPostgres(settings.data_dir, settings.postgres_user)
    if server.pid() is not None:
        yield server.dsn()
        return
    with DataDir(settings.data_dir), database(settings) as dsn:
        yield dsn


def _examine(settings: Settings) -> dict[str, Any]:
    report: dict[str, Any] = {"ok": False, "data_dir": str(settings.data_dir)}
    if settings.database_url:
        dsn: str | None = settings.database_url
    elif (settings.data_dir / "postgres").exists():
        server = EmbeddedPostgres(settings.data_dir, settings.postgres_user)
        report["postgres_pid"] = server.pid()
        dsn = server.dsn() if server.pid() else None
    else:
        dsn = None
    if dsn is None:
        return {**report, "problem": "nothing runs on this data directory"}
    try:
        with psycopg.connect(dsn, connect_timeout=5) as connection:
            report.update(_positions(connection))
    except psycopg.Error as error:
        return {**report, "problem": f"the database does not answer: {type(error).__name__}"}
    return {**report, "ok": True}


def _positions(connection: psycopg.Connection[Any]) -> dict[str, Any]:
    head = connection.execute("SELECT log_id, position FROM log_head").fetchone()
    schema = connection.execute("SELECT max(version) FROM schema_migrations").fetchone()
    assert head is not None and schema is not None
    checkpoints = connection.execute(
        "SELECT name, position FROM checkpoints ORDER BY name"
    ).fetchall()
    return {
        "postgres": connection.info.parameter_status("server_version"),
        "schema": schema[0],
        "log_id": str(head[0]),
        "position": head[1],
        "projections": {
            name: {"position": position, "lag": head[1] - position}
            for name, position in checkpoints
        },
    }


def _readable(report: dict[str, Any]) -> str:
    lines = [f"{key:13} {value}" for key, value in report.items() if key != "projections"]
    for name, at in report.get("projections", {}).items():
        lines.append(f"  {name:20} position {at['position']:>10}   lag {at['lag']}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
