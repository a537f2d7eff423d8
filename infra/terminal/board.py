"""`mission-control board`: a board in the terminal, that moves as the work does."""

import io
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from infra.terminal import board_view
from infra.terminal.names import Names
from infra.terminal.output import MISUSED, Failed, Json, moment, print_json, screen
from infra.terminal.server import (
    AsOfOption,
    JsonOption,
    KeyOption,
    Server,
    UrlOption,
    as_it_was,
    connected,
)

PIPED_WIDTH = 120
FRAME_LINES = 40
# Rich's own, without the fonts that it would fetch from elsewhere: whoever looks is not told on.
PICTURE = re.sub(r"@font-face {{.*?}}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
PATH = "/api/missions/board"


def board(
    name: Annotated[str | None, typer.Option("--board", help="A board, by its name or id.")] = None,
    as_of: AsOfOption = None,
    once: Annotated[bool, typer.Option("--once", help="Print one frame and end.")] = False,
    width: Annotated[
        int | None, typer.Option(min=20, max=500, help="Columns of that frame.")
    ] = None,
    height: Annotated[
        int, typer.Option(min=5, max=2000, help="Lines of that frame, at most.")
    ] = FRAME_LINES,
    svg: Annotated[Path | None, typer.Option(help="Write that frame as a picture.")] = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Show a board, live: what moves is marked for a moment. q or Ctrl-C leaves.

    With --once, --as-of or --svg it is one frame, also for a pipe.
    """
    one_frame = once or svg is not None or as_of is not None
    if not one_frame and not as_json and not sys.stdout.isatty():
        raise Failed("the live board needs a terminal; --once prints one frame", MISUSED)
    with connected(url, key) as server:
        board_id = server.board_id(name)
        if not one_frame and not as_json:
            from infra.terminal.live_board import follow  # noqa: PLC0415 - sockets, for this alone

            follow(server, board_id)
            return
        found = as_it_was(server.get(PATH, board_id=board_id, as_of=as_of), as_of)
        if as_json:
            print_json(found)
        else:
            _print_frame(server, found, width, height, svg)


def _print_frame(
    server: Server, found: Json, width: int | None, height: int, svg: Path | None
) -> None:
    console = screen()
    cells = width or (console.width if console.is_terminal else PIPED_WIDTH)
    at, status = datetime.now(UTC), ""
    if "as_of" in found:
        at, status = moment(found["as_of"]), "as it was"
    scene = board_view.Scene(at, Names(server).actor, status)
    frame = board_view.draw(found, scene, cells, None)
    if frame.plain.count("\n") >= height:
        frame = board_view.draw(found, scene, cells, height)
    if svg is not None:
        _write_picture(frame, cells, svg, found["name"])
    else:
        console.print(frame, soft_wrap=True)


def _write_picture(frame: Text, cells: int, file: Path, title: str) -> None:
    painter = Console(
        record=True, file=io.StringIO(), width=cells, force_terminal=True, color_system="truecolor",
        legacy_windows=False,
    )  # fmt: skip
    painter.print(frame, soft_wrap=True)
    try:
        painter.save_svg(
            str(file), title=f"mission-control board · {title}", code_format=PICTURE, unique_id="board"
        )  # fmt: skip
    except OSError as error:
        raise Failed(f"cannot write {file}: {error.strerror}", MISUSED) from None
