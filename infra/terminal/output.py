"""What commands print: for people on a terminal, in tab-separated lines for programs, or as JSON."""

import errno
import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any, NoReturn

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

FAILED, MISUSED, NOTHING_TO_CLAIM, INTERRUPTED = 1, 2, 3, 130
EXIT_CODES = (
    "Exit codes: 0 done, 1 failed (the server says no, or does not answer), 2 misused (also a value that"
    " makes no sense to the server), 3 nothing to claim, 130 ended by Ctrl-C."
)
PROGRESS_AFTER_S = 2.0
TABLE_CELLS_MIN = 100
UNPRINTED = {
    errno.ENOSPC: "there is no space left for what is printed",
    errno.EBADF: "standard output is closed, and what is printed is lost",
}
PRIORITY_STYLES = {"urgent": "bold red", "high": "yellow", "normal": "", "low": "dim"}
STAGE_STYLES = {
    "backlog": "dim", "ready": "blue", "active": "cyan", "review": "magenta", "done": "green",
}  # fmt: skip

Json = dict[str, Any]
Cell = str | Text


class Failed(Exception):
    """A command comes to nothing; the message is one line that says what to do."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Screen(Console):
    """Standard output. A reader that has read enough ends the command, without a word."""

    def on_broken_pipe(self) -> NoReturn:
        """End quietly."""
        end_of_reader()


@contextmanager
def quiet_ends() -> Iterator[None]:
    """Let Ctrl-C, a reader who goes away (`| head`) and a full disk end a command without a traceback."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # what can't be printed is told as such, and not by Python's end
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:
        end_of_reader()
    except OSError as error:
        if error.errno not in UNPRINTED:
            raise
        _write_no_more()
        raise Failed(UNPRINTED[error.errno]) from None


def mind_a_closed_output() -> None:
    """Let printing fail where standard output was closed from the start: else it goes nowhere, silently."""
    if sys.__stdout__ is None:
        os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdout.fileno())


def end_of_reader() -> NoReturn:
    """Exit with 0: whoever read has all that they wanted."""
    _write_no_more()
    raise SystemExit(0)


def _write_no_more() -> None:
    # Else Python tries to flush what is left at its end, and exits with 120.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def screen(*, stderr: bool = False) -> Console:
    """Return a console of the standard output; letters that it can't show become question marks."""
    stream = sys.stderr if stderr else sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")
    return Screen(stderr=stderr, highlight=False, emoji=False, markup=False)


def clean(text: object) -> str:
    """Return somebody's text as one line without control characters: a terminal obeys those."""
    shown = (char if char.isprintable() else " " for char in str(text))
    return " ".join("".join(shown).split())


def short(identifier: object) -> str:
    """Return the end of an id, which tells ids apart; their beginnings are times."""
    return str(identifier)[-8:]


def print_json(value: object) -> None:
    """Print a document as the server gave it."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    sys.stdout.buffer.write(text.encode("utf-8", "replace") + b"\n")


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    """Print a table on a terminal, and tab-separated lines anywhere else. Ids are never cut."""
    console = screen()
    if not console.is_terminal:
        for row in rows:
            sys.stdout.write("\t".join(str(cell) for cell in row) + "\n")  # rich expands tabs
        return
    if not rows:
        console.print(Text("nothing found", style="dim"))
        return
    if console.width < TABLE_CELLS_MIN:
        _print_pairs(console, rows)
        return
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in columns:
        whole = name == "id"
        table.add_column(
            name, no_wrap=True, overflow="ignore" if whole else "ellipsis",
            min_width=36 if whole else None,
        )  # fmt: skip
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _print_pairs(console: Console, rows: Sequence[Sequence[Cell]]) -> None:
    """Print rows on a narrow terminal: what they begin with, the id, on a line of its own."""
    for identifier, *cells in rows:
        shown = [cell if isinstance(cell, Text) else Text(cell) for cell in cells if str(cell)]
        console.print(Text("  ").join(reversed(shown)), no_wrap=True, overflow="ellipsis")
        console.print(Text(f"  {identifier}", style="dim"), soft_wrap=True)


def print_values(values: Sequence[tuple[str, Cell]]) -> None:
    """Print names and values, one a line; those without a value are left out."""
    console = screen()
    for name, value in values:
        if str(value):
            label = Text(f"{name:12} ", style="dim")
            console.print(label + value, soft_wrap=True)


def moment(text: str) -> datetime:
    """Read a time as the server writes it."""
    return datetime.fromisoformat(text)


def age(then: datetime, now: datetime | None = None) -> str:
    """Say how long ago, in the largest unit that fits."""
    seconds = max(0, int(((now or datetime.now(UTC)) - then).total_seconds()))
    for unit, length_s in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= length_s:
            return f"{seconds // length_s}{unit}"
    return f"{seconds}s"


@contextmanager
def progress(
    what: str, total: int | None, figure: ProgressColumn | None = None
) -> Iterator[Callable[[int], None]]:
    """Show how far something is, on a terminal, from when it has taken a while."""
    console = screen(stderr=True)
    middle = (figure,) if figure else (BarColumn(), MofNCompleteColumn())
    columns = (SpinnerColumn(), TextColumn(what), *middle, TimeElapsedColumn())
    bar = Progress(*columns, console=console, transient=True)
    task = bar.add_task(what, total=total)
    show_at = time.monotonic() + PROGRESS_AFTER_S
    with ExitStack() as stack:

        def tell(done: int) -> None:
            bar.update(task, completed=done)
            if console.is_terminal and not bar.live.is_started and time.monotonic() > show_at:
                stack.enter_context(bar)

        yield tell
