"""`mission-control rebuild` and `mission-control parked`: read models, beside a running server or not."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import msgspec
import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from infra.settings import Settings

parked_app = typer.Typer(
    help="Streams that a read model could not fold.",
    no_args_is_help=True,
    epilog="Exit codes: 0 done, 1 something is still parked, 2 refused or misused.",
)

DataDirOption = Annotated[
    Path | None, typer.Option("--data-dir", help="Where everything is kept (MC_DATA_DIR).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Model = Annotated[str, typer.Argument(help="The read model's name, as `missions`.")]
Stream = Annotated[UUID, typer.Argument(help="The stream's id, as `parked list` shows it.")]


def rebuild(name: Model, data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Build a read model afresh from the log, and put it in the live one's place. Reads go on."""
    from infra import read_models, stores  # noqa: PLC0415 - a second of imports that `--help` can do without

    settings = Settings.load(data_dir=data_dir)
    stores.read_model(name)
    from infra.server import freeze_garbage  # noqa: PLC0415 - the same

    freeze_garbage()
    with _reachable(settings) as dsn, _progress(name) as tell:
        done = uvloop.run(read_models.rebuild(settings, dsn, name, tell))
    text = (
        f"{name} rebuilt: {done.events:,} events into {done.rows:,} rows in {done.seconds:.1f} s,"
        f" now at position {done.position:,}"
    )
    if done.parked:
        text += f"\n{done.parked} streams are parked: mission-control parked list"
    typer.echo(json.dumps({"model": name, **asdict(done)}) if as_json else text)


@parked_app.command("list")
def list_parked(data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """List what is parked, oldest first."""
    from infra import read_models  # noqa: PLC0415 - the same

    with _reachable(Settings.load(data_dir=data_dir)) as dsn:
        found = uvloop.run(read_models.list_parked(dsn))
    if as_json:
        typer.echo(json.dumps(found))
        return
    if not found:
        typer.echo("nothing is parked")
        return
    columns = ("model", "stream_id", "position", "type", "error", "place", "held_back")
    table = Table(*columns, box=None)
    for one in found:
        table.add_row(*(str(one[column]) for column in columns))
    console = Console()
    console.print(table) if console.is_terminal else Console(width=240).print(table)


@parked_app.command("show")
def show_parked(
    model: Model, stream_id: Stream, data_dir: DataDirOption = None, as_json: JsonOption = False
) -> None:
    """Show a parked stream and the event that it waits at; personal fields stay sealed."""
    from infra import read_models, stores  # noqa: PLC0415 - the same

    settings = Settings.load(data_dir=data_dir)
    model = stores.stored_name(settings, model)
    with _reachable(settings) as dsn:
        found = uvloop.run(read_models.show_parked(dsn, model, stream_id))
    text = msgspec.json.encode(found)
    typer.echo((text if as_json else msgspec.json.format(text, indent=2)).decode())


@parked_app.command("retry")
def retry_parked(
    model: Annotated[str | None, typer.Argument(help="Of this read model only.")] = None,
    stream_id: Annotated[UUID | None, typer.Argument(help="This stream only.")] = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fold parked streams again: all, a read model's, or one."""
    from infra import read_models, stores  # noqa: PLC0415 - the same

    settings = Settings.load(data_dir=data_dir)
    if model is not None:
        model = stores.stored_name(settings, model)
    with _reachable(settings) as dsn:
        done = uvloop.run(read_models.retry_parked(settings, dsn, model, stream_id))
    typer.echo(
        json.dumps(done) if as_json else "\n".join(map(_outcome, done)) or "nothing is parked"
    )
    raise typer.Exit(int(any(one["parked_at_position"] is not None for one in done)))


@parked_app.command("discard")
def discard_parked(
    model: Model, stream_id: Stream, data_dir: DataDirOption = None, as_json: JsonOption = False
) -> None:
    """Pass over the event that a stream waits at, for good; the log notes it."""
    from infra import read_models, stores  # noqa: PLC0415 - the same

    settings = Settings.load(data_dir=data_dir)
    model = stores.stored_name(settings, model)
    with _reachable(settings) as dsn:
        done = uvloop.run(read_models.discard_parked(settings, dsn, model, stream_id))
    text = f"discarded the event at position {done['discarded']}\n{_outcome(done)}"
    typer.echo(json.dumps(done) if as_json else text)
    raise typer.Exit(int(done["parked_at_position"] is not None))


def _outcome(done: dict[str, Any]) -> str:
    what = f"{done['model']} {done['stream_id']}: {done['events']} events folded"
    if done["parked_at_position"] is None:
        return f"{what}, parked no more"
    return f"{what}, still parked at position {done['parked_at_position']} ({done['error']})"


@contextmanager
def _progress(name: str) -> Iterator[Callable[[int, int], None]]:
    columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _reachable(settings: Settings) -> AbstractContextManager[str]:
    from infra.start_database import reachable  # noqa: PLC0415 - `--help` can do without

    return reachable(settings)
