"""`mission-control replay`: the log, told event by event; from the past on, and as it goes on."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated

import msgspec
import typer
from rich.text import Text

from infra.terminal.names import Names
from infra.terminal.output import MISUSED, Failed, progress, screen
from infra.terminal.server import (
    Away,
    JsonOption,
    KeyOption,
    Server,
    UrlOption,
    Value,
    connected,
)
from infra.terminal.words import Happening, in_words, who

GAP_S_MAX = 5.0
RETRY_S = 1.0
NAME_CHARS = 16
NO_LONGER = f"No pause is longer than {GAP_S_MAX:.0f} s."


class _Place(msgspec.Struct):
    position: int
    recorded_at: datetime


def replay(
    from_: Annotated[int, typer.Option("--from", min=0, help="Begin behind this position.")] = 0,
    to: Annotated[int | None, typer.Option(min=1, help="End with this position.")] = None,
    event_type: Annotated[
        list[str] | None,
        typer.Option("--type", help="Only events of this type, like mission.*; may be repeated."),
    ] = None,
    actor: Annotated[str | None, typer.Option(help="Only what this person or agent did.")] = None,
    stream: Annotated[str | None, typer.Option(help="Only what happened to this.")] = None,
    since: Annotated[str | None, typer.Option(help="Begin at this time (ISO 8601).")] = None,
    until: Annotated[str | None, typer.Option(help="End at this time (ISO 8601).")] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what happens from now on.")
    ] = False,
    speed: Annotated[
        float | None,
        typer.Option(min=0.001, help=f"Re-play in recorded time, this many times as fast. {NO_LONGER}"),
    ] = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Tell what happened, event by event, in the order of the log. Needs an admin.

    With --json each line is an event's whole envelope, as GET /api/events gives it. With --follow a server
    that goes away is waited for, and nothing is missed or told twice.
    """
    if to is not None and to <= from_:
        raise Failed("--to: a position behind that of --from is needed", MISUSED)
    parameters: dict[str, Value] = {
        "from": from_, "type": event_type, "actor_id": actor, "stream_id": stream, "since": since,
        "until": until, "follow": "true" if follow else None,
    }  # fmt: skip
    with connected(url, key) as server, _teller(server, as_json=as_json) as teller:
        for lines in _paced(_events(server, parameters, to, follow=follow), teller, speed):
            teller.tell(lines)


def _events(
    server: Server, parameters: dict[str, Value], to: int | None, *, follow: bool
) -> Iterator[list[tuple[_Place, bytes]]]:
    """Yield events as they come; when the connection ends, go on behind the last one."""
    decoder = msgspec.json.Decoder(_Place)
    told_away = False
    while True:
        try:
            for lines in server.stream("/api/events", parameters):
                placed = [(decoder.decode(line), line) for line in lines]
                wanted = [(at, line) for at, line in placed if to is None or at.position <= to]
                if wanted:
                    told_away = False
                    yield wanted
                    parameters["from"] = wanted[-1][0].position
                if len(wanted) < len(placed) or (wanted and parameters["from"] == to):
                    return
        except msgspec.MsgspecError:
            raise Failed("the server's answer holds a line that is no event") from None
        except Away as away:
            if not follow:
                raise
            if not told_away:
                told = Text(f"mission-control: {away.what}; waiting for it", style="yellow")
                screen(stderr=True).print(told, soft_wrap=True)
                told_away = True
        if not follow:
            return
        time.sleep(RETRY_S)


def _paced(
    events: Iterator[list[tuple[_Place, bytes]]], teller: "_Teller", speed: float | None
) -> Iterator[list[bytes]]:
    """Yield lines at once, or one by one with the pauses that were between them."""
    before: datetime | None = None
    for placed in events:
        if speed is None:
            yield [line for _, line in placed]
            continue
        for at, line in placed:
            gap_s = (at.recorded_at - (before or at.recorded_at)).total_seconds()
            before = at.recorded_at
            if gap_s / speed > GAP_S_MAX:
                teller.tell_gap(gap_s)
            if gap_s > 0:
                time.sleep(min(gap_s / speed, GAP_S_MAX))
            yield [line]


class _Teller:
    """Prints envelopes as they are."""

    def tell(self, lines: list[bytes]) -> None:
        sys.stdout.buffer.write(b"\n".join(lines) + b"\n")
        sys.stdout.flush()

    def tell_gap(self, gap_s: float) -> None:
        """Say nothing: in an envelope there is the time."""


class _Words(_Teller):
    """Prints events in words, a line each."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._screen = screen()
        self._day = ""

    def tell(self, lines: list[bytes]) -> None:
        for line in lines:
            self._tell(Happening.of_envelope(msgspec.json.decode(line)))
        sys.stdout.flush()

    def tell_gap(self, gap_s: float) -> None:
        self._print(Text(f"{'':9}… {_duration(gap_s)} later", style="dim italic"))

    def _tell(self, event: Happening) -> None:
        at = event.at.astimezone()
        day = f"{at:%A, %d %B %Y}"
        if day != self._day:
            self._day = day
            self._print(Text(day, style="bold underline"))
        words = in_words(event, self._names)
        name = who(event, self._names)
        shown = name if len(name) <= NAME_CHARS else f"{name[: NAME_CHARS - 1]}…"
        told = Text.assemble(
            (f"{at:%H:%M:%S} ", "dim"), (f"{event.position:>8} ", "dim"), (f" {shown:{NAME_CHARS}} ", "cyan"),
        )  # fmt: skip
        self._print(told + words)

    def _print(self, text: Text) -> None:
        if self._screen.is_terminal:
            self._screen.print(text, no_wrap=True, overflow="ellipsis")
        else:
            sys.stdout.write(f"{text.plain}\n")


@contextmanager
def _teller(server: Server, *, as_json: bool) -> Iterator[_Teller]:
    teller = _Teller() if as_json else _Words(Names(server))
    if sys.stdout.isatty() or not sys.stderr.isatty():
        yield teller
        return
    # Into a file or a pipe, and somebody watches: what is there to see is how far it is.
    head: int | None = server.get("/health/ready").get("position")
    with progress("replaying", head) as tell:
        yield _Counted(teller, tell)


class _Counted(_Teller):
    """Prints as another, and says on the standard error how far it is."""

    def __init__(self, teller: _Teller, progressed: Callable[[int], None]) -> None:
        self._teller, self._progressed = teller, progressed

    def tell(self, lines: list[bytes]) -> None:
        self._teller.tell(lines)
        self._progressed(msgspec.json.decode(lines[-1], type=_Place).position)

    def tell_gap(self, gap_s: float) -> None:
        self._teller.tell_gap(gap_s)


def _duration(seconds: float) -> str:
    whole = round(seconds)
    for unit, length_s, smaller, smaller_s in (
        ("days", 86_400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1),
    ):  # fmt: skip
        if whole >= length_s:
            return f"{whole // length_s} {unit} {whole % length_s // smaller_s} {smaller}"
    return f"{whole} s"
