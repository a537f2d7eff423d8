"""The command line. Exit codes: 0 done, 1 failed or unhealthy, 2 refused or misused."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import FileSizeColumn
from typer.core import TyperGroup

from infra import __version__
from infra.cli_read_models import parked_app, rebuild
from infra.data_dir import DataDir
from infra.logging import forward_libraries, log
from infra.roles import Role, roles_of
from infra.settings import Settings, StartRefused
from infra.terminal import agents, missions, output
from infra.terminal.board import board
from infra.terminal.replay import replay
from infra.terminal.search import search
from infra.terminal.sign_in import sign_in, sign_out

if TYPE_CHECKING:
    from infra import doctor as doctors

# What only some commands need, they load themselves: the others, and `--help`, are there at once.
# ruff: noqa: PLC0415


class Commands(TyperGroup):
    """The commands, which say what is wrong with an option in words for people."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as refused:
            # Typer checks a choice by pydantic, and hands on that it was a `ValueError`.
            refused.message = refused.message.removeprefix("Value error, ")
            raise


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Mission Control: people and agents work missions on a log that can be replayed.",
    epilog="Exit codes: 0 done, 1 failed or unhealthy, 2 refused or misused."
    " Every setting is also an environment variable, MC_...",
)
workspace_app = typer.Typer(help="Workspaces.", no_args_is_help=True)
app.add_typer(workspace_app, name="workspace")
keys_app = typer.Typer(help="Keys of sealed personal data.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")
app.add_typer(parked_app, name="parked")
app.command("rebuild")(rebuild)

AS_A_CLIENT = "Commands that speak to a running server (--url, MC_URL)"
for command in (sign_in, sign_out, board, replay, search):
    app.command(rich_help_panel=AS_A_CLIENT, epilog=output.EXIT_CODES)(command)
for noun in (missions, agents):
    app.add_typer(
        noun.app, name=noun.__name__.rpartition(".")[2], rich_help_panel=AS_A_CLIENT,
        epilog=output.EXIT_CODES,
    )  # fmt: skip

DataDirOption = Annotated[
    Path | None, typer.Option("--data-dir", help="Where everything is kept (MC_DATA_DIR).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def main() -> None:
    """Run the command line: what is refused or fails is one line, and an exit code."""
    _open_standard_streams()
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        # `finally` blocks clean up, and stop a PostgreSQL that was started for a moment.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        with output.quiet_ends():
            app()
    except StartRefused as refused:
        _complain(str(refused), 2)
    except output.Failed as failed:
        _complain(str(failed), failed.exit_code)
    except Exception as error:
        import psycopg

        from infra.backup import OperationFailed

        if isinstance(error, OperationFailed):
            _complain(str(error), 1)
        if isinstance(error, psycopg.OperationalError):
            _complain(f"the database does not answer ({type(error).__name__})", 1)
        raise


def _complain(message: str, exit_code: int) -> None:
    log.flush()
    print(f"mission-control: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(exit_code)


def _log_as(settings: Settings) -> None:
    log.configure(sys.stderr, settings.log_format, settings.log_level)
    forward_libraries()


def _open_standard_streams() -> None:
    # A stream that was closed leaves its number to the next file that is opened: what is printed
    # would end up in a lock or a socket.
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115 - a number, for good
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def _show_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def common(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
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
        bool | None, typer.Option("--behind-proxy", help="TLS ends before us (MC_BEHIND_PROXY).")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain (MC_TLS_CERT).")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key (MC_TLS_KEY).")] = None,
    log_format: Annotated[
        str | None, typer.Option(help="auto, console or json (MC_LOG_FORMAT).")
    ] = None,
    demo: Annotated[
        bool | None,
        typer.Option(
            "--demo/--no-demo", help="A lively workspace in an empty log, and agents (MC_DEMO)."
        ),
    ] = None,
) -> None:
    """Start the whole system; Ctrl-C stops it."""
    from infra.serve import serve

    settings = Settings.load(
        data_dir=data_dir, host=host, port=port, behind_proxy=behind_proxy, tls_cert=tls_cert,
        tls_key=tls_key, log_format=log_format, demo=demo,
    )  # fmt: skip
    _log_as(settings)
    serve(settings)
    log.flush()


@app.command()
def serve(
    only: Annotated[
        list[Role] | None, typer.Option(help="A role; may be repeated. All without it.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on (MC_HOST).")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on, 0 for any (MC_PORT).")
    ] = None,
    behind_proxy: Annotated[
        bool | None, typer.Option("--behind-proxy", help="TLS ends before us (MC_BEHIND_PROXY).")
    ] = None,
    data_dir: DataDirOption = None,
) -> None:
    """Serve some roles of a deployment on the database of MC_DATABASE_URL. Start as many as you like."""
    from infra.serve import serve_roles

    settings = Settings.load(host=host, port=port, behind_proxy=behind_proxy, data_dir=data_dir)
    _log_as(settings)
    serve_roles(settings, roles_of(settings, only or ()))
    log.flush()


@app.command()
def worker(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PROJECTION]...",
            help="Read models by name, all without any.",
        ),
    ] = None,
    in_process: Annotated[bool, typer.Option("--in-process", hidden=True)] = False,
    data_dir: DataDirOption = None,
) -> None:
    """Fold read models from Kafka, one process for each. Start as many as you like, anywhere."""
    from infra import workers

    settings = Settings.load(data_dir=data_dir)
    _log_as(settings)
    models = workers.chosen(names or ())
    done = (
        workers.process(settings, models[0]) if in_process else workers.supervise(settings, models)
    )
    log.flush()
    raise typer.Exit(done)


@app.command()
def migrate(data_dir: DataDirOption = None) -> None:
    """Make or update the database's schema; on an empty log, found the first workspace and its admin."""
    from infra.serve import prepare_database

    prepare_database(Settings.load(data_dir=data_dir))


@app.command()
def doctor(data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Say what runs, where the log stands and how far each projection is."""
    from infra import doctor as doctors

    report = doctors.examine(Settings.load(data_dir=data_dir))
    print(json.dumps(report.as_json(), indent=2) if as_json else _readable(report))
    raise typer.Exit(0 if report.ok else 1)


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="The file to write.")],
    root_key_file: Annotated[
        Path | None, typer.Option(help="Copy the root key to this file. Keep it apart.")
    ] = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the log and all that is not folded from it to a file, beside a running server or not.

    Personal fields stay sealed in it: the root key, which opens them, has to be kept too, elsewhere. An older
    backup in that file is replaced; another root key is not.
    """
    from infra import backup as backups
    from infra.start_database import reachable

    settings = Settings.load(data_dir=data_dir)
    writing = output.progress("writing", None, FileSizeColumn())
    with reachable(settings, migrated=False) as dsn, writing as tell:
        made = backups.backup(settings, dsn, file, root_key_file, tell)
    _report(
        {"file": str(made.file), "size_bytes": made.size_bytes, "root_key": made.root_key},
        f"written to {made.file} ({made.size_bytes:,} bytes)\n"
        f"the root key is not in it, and nothing opens it without: keep {made.root_key}, elsewhere",
        as_json=as_json,
    )


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A file that `backup` wrote.")],
    root_key_file: Annotated[
        Path | None, typer.Option(help="The root key of the system that was backed up.")
    ] = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read a backup into a new data directory. The restored log has an id of its own."""
    from infra import backup as backups
    from infra.start_database import started

    settings = Settings.load(data_dir=data_dir)
    given = backups.source(settings, file, root_key_file)
    restoring = output.progress("restoring", None, FileSizeColumn())
    with DataDir(settings.data_dir), started(settings) as found, restoring as tell:
        made = backups.restore(settings, found.dsn, given, tell)
    lines = [f"restored up to position {made.position}, as the log {made.log_id}"]
    if made.needs_root_key:
        lines.append(f"before it is started, put its root key into {made.needs_root_key}")
    needed = str(made.needs_root_key) if made.needs_root_key else None
    values = {"log_id": str(made.log_id), "position": made.position, "needs_root_key": needed}
    _report(values, "\n".join(lines), as_json=as_json)


@workspace_app.command("create")
def create_workspace(
    name: str,
    admin_email: Annotated[str, typer.Option(help="The first admin's address.")],
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Found another workspace; works beside a running server. Prints its admin's password once."""
    import uvloop

    from infra import maintenance
    from infra.start_database import reachable

    settings = Settings.load(data_dir=data_dir)
    with reachable(settings) as dsn:
        made = uvloop.run(maintenance.create_workspace(settings, dsn, name, admin_email))
    _report(made, "\n".join(f"{key}: {value}" for key, value in made.items()), as_json=as_json)


@workspace_app.command("list")
def list_workspaces(data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Print the names of all workspaces, as a sign-in names them; works beside a running server."""
    from infra import maintenance
    from infra.start_database import reachable

    settings = Settings.load(data_dir=data_dir)
    with reachable(settings) as dsn:
        names = asyncio.run(maintenance.workspace_names(dsn))
    _report({"workspaces": names}, "\n".join(names), as_json=as_json)


@keys_app.command("rotate")
def rotate_keys(data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Make a new root key and wrap every workspace's key with it. Events are not touched."""
    from infra import maintenance
    from infra.start_database import database

    settings = Settings.load(data_dir=data_dir)
    with DataDir(settings.data_dir), database(settings) as dsn:
        made = asyncio.run(maintenance.rotate_root_key(settings, dsn))
    told = f"{made['workspaces']} workspace keys wrapped anew; backups made before need the old root key still"
    _report(made, told, as_json=as_json)


def _report(values: dict[str, Any], text: str, *, as_json: bool) -> None:
    print(json.dumps(values) if as_json else text)


def _readable(report: "doctors.Report") -> str:
    def line(label: str, values: dict[str, Any]) -> str:
        shown = "  ".join(f"{key} {value}" for key, value in values.items() if value is not None)
        return f"{label:12} {shown}"

    lines = [
        f"{'version':12} {report.version}",
        f"{'data':12} {report.data_dir}",
        line("server", report.server),
        line("postgres", report.postgres),
    ]
    if report.position is not None:
        log_values = {"position": report.position, "id": report.log_id, "schema": report.schema}
        lines.append(line("log", log_values))
    lines += [
        f"  {name:18} position {at.position}  lag {at.lag}"
        + (f"  parked {at.parked}" if at.parked else "")
        for name, at in report.projections.items()
    ]
    lines += [line(name, state) for name, state in report.services.items()]
    lines += [f"{'hint':12} {hint}" for hint in report.hints]
    lines += [f"{'problem':12} {problem}" for problem in report.problems] or ["all is well"]
    return "\n".join(lines)
