"""Structured logs: one line per fact, readable on a terminal, JSON otherwise.

Lines are built by msgspec and written in batches by a thread, since thousands of requests a second each
have one, and a reader that is slow must not hold them up. Only named values are logged; no body, no
query string, no header, and of an exception its kind and place: its text may hold personal values.
"""

import asyncio
import atexit
import io
import logging
import os
import re
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, TextIO

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils.compat import uuid7

FLUSH_S = 0.2
LINES_MAX = 10_000
LAST_FLUSH_S = 2.0
FRAMES_MAX = 6
REPEATED_S = 10.0
REPEATED_MAX = 1000
PATH_CHARS_MAX = 300
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
COLOURS = {"debug": "2", "info": "36", "warning": "33", "error": "31"}
REQUEST_ID = re.compile(rb"^[A-Za-z0-9._-]{1,64}$")
TRACEPARENT = re.compile(rb"^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
NORMAL_CLOSE = 1000
QUIET_PATHS = frozenset({"/health/live", "/health/ready"})
INTERNAL_ERROR = (
    b'{"type":"urn:mission-control:problem:internal_error","title":"Internal error","status":500,'
    b'"code":"internal_error","detail":"something went wrong on our side; it is in the log"}'
)
ENDING = (
    b'{"type":"urn:mission-control:problem:stopping","title":"Unavailable","status":503,"code":"stopping",'
    b'"detail":"the server ends before this was answered: ask again, a command with its Idempotency-Key"}'
)

Headers = list[tuple[bytes, bytes]]
Observe = Callable[[Scope, int, float], None]
"""Takes a request, the status that it was answered with, and after how many milliseconds."""


UNPRINTABLE = re.compile("[\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
"""C1 controls, and what turns the direction of a text or can't be seen."""


class Log:
    """A log of this process; `configure` says where it goes. Until then, nothing is logged."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque()
        self._dropped = 0
        self._stream: TextIO | None = None
        self._console = False
        self._level = LEVELS["info"]
        self._flusher: threading.Thread | None = None
        self._wake = threading.Event()
        self._waiting: list[threading.Event] = []

    def configure(
        self, stream: TextIO, form: Literal["auto", "console", "json"], level: str = "info"
    ) -> None:
        """Start to write lines of at least this level to a stream."""
        self._stream = stream
        self._console = form == "console" or (form == "auto" and stream.isatty())
        self._level = LEVELS[level]
        if self._flusher is None:
            self._flusher = threading.Thread(target=self._flush_for_ever, daemon=True, name="log")
            self._flusher.start()
            atexit.register(self.flush)

    def debug(self, event: str, **values: Any) -> None:
        """Log what only helps to find a fault."""
        self.write("debug", event, values)

    def info(self, event: str, **values: Any) -> None:
        """Log what happened."""
        self.write("info", event, values)

    def warning(self, event: str, **values: Any) -> None:
        """Log what is not as it should be, and was dealt with."""
        self.write("warning", event, values)

    def error(self, event: str, **values: Any) -> None:
        """Log what somebody should look at."""
        self.write("error", event, values)

    def exception(self, event: str, **values: Any) -> None:
        """Log the exception being handled, by its kind and place."""
        self.write("error", event, {**values, **_describe(*sys.exc_info())})

    def write(self, level: str, event: str, values: dict[str, Any]) -> None:
        """Add a line; it is written within `FLUSH_S`. When too many wait, it is dropped and counted."""
        if LEVELS[level] < self._level or self._stream is None:
            return
        if len(self._lines) >= LINES_MAX:
            self._dropped += 1
            return
        now = datetime.now(UTC)
        form = _pretty if self._console else _json
        self._lines.append(form(now, level, event, values))

    def flush(self) -> None:
        """Write out what waits; a reader that takes nothing is given up after `LAST_FLUSH_S`."""
        # By the thread, since nothing else ends a write to a pipe that nobody empties.
        if self._flusher is not None:
            done = threading.Event()
            self._waiting.append(done)
            self._wake.set()
            done.wait(LAST_FLUSH_S)

    def _flush_for_ever(self) -> None:
        while True:
            self._wake.wait(FLUSH_S)
            self._wake.clear()
            waiting, self._waiting = self._waiting, []
            self._write_out()
            for done in waiting:
                done.set()

    def _write_out(self) -> None:
        # One by one: a line may be added meanwhile, and a list that is swapped could lose it.
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        dropped, self._dropped = self._dropped, 0
        if dropped:
            lines.append(
                _json(datetime.now(UTC), "warning", "log lines dropped", {"lines": dropped})
            )
        if not lines or self._stream is None:
            return
        try:
            _write(self._stream, "".join(lines))
        except (OSError, ValueError):  # the reader is gone: nobody is left to tell
            self._stream = None


def _write(stream: TextIO, text: str) -> None:
    """Write a text to a stream's file, past its buffer.

    While nobody takes what is written, a buffer stays locked, and Python's end would wait for it for ever.
    """
    try:
        number = stream.fileno()
    except io.UnsupportedOperation:  # it is no file
        stream.write(text)
        return
    left = text.encode(errors="backslashreplace")
    while left:
        left = left[os.write(number, left) :]


def _json(now: datetime, level: str, event: str, values: dict[str, Any]) -> str:
    line = {"time": now, "level": level, "event": event, **values}
    text = msgspec.json.encode(line, enc_hook=str).decode()
    # JSON needs no escapes beyond ASCII's controls, and a terminal obeys others as well.
    return (text if text.isascii() else UNPRINTABLE.sub(_escaped, text)) + "\n"


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def _pretty(now: datetime, level: str, event: str, values: dict[str, Any]) -> str:
    rest = " ".join(
        f"\x1b[2m{key}=\x1b[0m{_printable(value)}"
        for key, value in values.items()
        if value is not None
    )
    clock = f"{now:%H:%M:%S}.{now.microsecond // 1000:03}"
    return (
        f"\x1b[2m{clock}\x1b[0m \x1b[{COLOURS[level]}m{level:7}\x1b[0m {_printable(event)} {rest}\n"
    )


def _printable(value: Any) -> str:
    # A terminal obeys control characters, and a line break would be a line of the sender's own.
    text = str(value)
    return text if text.isprintable() else ascii(text)


log = Log()


class _Forward(logging.Handler):
    """Brings what libraries log into the same form.

    While a server is away some say so hundreds of times a second: what differs in its values alone is told
    once in `REPEATED_S`, and with it how often it was not. What comes with an exception is always told.
    """

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[tuple[str, str], tuple[float, int]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        found = _describe(*record.exc_info) if record.exc_info else self._repeated(record)
        if found is not None:
            level = "error" if record.levelno >= logging.ERROR else "warning"
            log.write(level, record.getMessage(), {"logger": record.name, **found})

    def _repeated(self, record: logging.LogRecord) -> dict[str, Any] | None:
        """Return what to add to a line; None for one that was told a moment ago."""
        text = str(record.msg)
        key = record.name, record.getMessage() if text == "%s" else text
        told_at, untold = self._told.get(key, (float("-inf"), 0))
        if record.created - told_at < REPEATED_S:
            self._told[key] = told_at, untold + 1
            return None
        if len(self._told) >= REPEATED_MAX:
            self._told.clear()
        self._told[key] = record.created, 0
        return {"untold": untold} if untold else {}


def forward_libraries() -> None:
    """Send warnings and errors of libraries through our log."""
    logging.basicConfig(handlers=[_Forward()], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)


def _describe(
    kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
) -> dict[str, Any]:
    frames: Sequence[traceback.FrameSummary] = traceback.extract_tb(trace)[-FRAMES_MAX:]
    where = " < ".join(f"{f.name}:{f.lineno}" for f in reversed(frames))
    found = {"exception": kind.__name__ if kind else "unknown", "where": where}
    sqlstate = getattr(error, "sqlstate", None)
    return {**found, "sqlstate": sqlstate} if sqlstate else found


class RequestLog:
    """ASGI middleware, the outermost: an id for each request, and one line when it is answered.

    The id is the sender's `X-Request-Id` where it is a plain word, and comes back in the answer. An
    exception that reaches this far is logged and answered with 500; what the server's end breaks off, with 503.
    """

    def __init__(
        self, app: ASGIApp, quiet_mark: str | None = None, observe: Observe | None = None
    ) -> None:
        """Take requests whose id begins with `quiet_mark`, which nobody can guess, for uninteresting.

        `observe` is told of every request that was answered; it must be quick and must not raise.
        """
        self._app = app
        self._quiet_mark = quiet_mark
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or socket."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        headers = dict(scope["headers"])
        request_id = _request_id(headers.get(b"x-request-id"))
        scope.setdefault("state", {})["request_id"] = request_id
        status, complete = 0, False

        async def send_with_id(message: Message) -> None:
            nonlocal status, complete
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()), (b"x-request-id", request_id.encode())
                ]  # fmt: skip
            elif message["type"] == "http.response.body":
                complete = not message.get("more_body", False)
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except asyncio.CancelledError:
            # The server ends, and has waited as long as it may.
            if status:
                raise
            await _answer(send_with_id, 503, ENDING)
        except Exception as error:
            log.exception("request failed", request_id=request_id, path=_path(scope))
            if not status:
                await _answer(send_with_id, 500, INTERNAL_ERROR)
            elif not complete:
                # The client has to see that the answer is cut off; the text of the error stays here.
                raise BrokenOffError from error.with_traceback(None)
        finally:
            quiet = status < 500 and (
                scope["path"] in QUIET_PATHS
                or (self._quiet_mark is not None and request_id.startswith(self._quiet_mark))
            )
            level = "debug" if quiet else "error" if status >= 500 else "info"
            values = _common(scope, headers, request_id, started)
            log.write(level, "request", {"method": scope["method"], "status": status, **values})
            if self._observe is not None:
                self._observe(scope, status, values["duration_ms"])

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        headers = dict(scope["headers"])
        request_id = _request_id(headers.get(b"x-request-id"))
        scope.setdefault("state", {})["request_id"] = request_id
        code: int | None = None

        async def receive_noting_close() -> Message:
            nonlocal code
            message = await receive()
            if message["type"] == "websocket.disconnect" and code is None:
                code = message.get("code")
            return message

        async def send_noting_close(message: Message) -> None:
            nonlocal code
            if message["type"] == "websocket.close" and code is None:
                code = message.get("code", NORMAL_CLOSE)
            await send(message)

        try:
            await self._app(scope, receive_noting_close, send_noting_close)
        except Exception as error:
            log.exception("socket failed", request_id=request_id, path=_path(scope))
            raise BrokenOffError from error.with_traceback(None)
        finally:
            values = _common(scope, headers, request_id, started)
            log.write("info", "socket", {"close_code": code, **values})


class BrokenOffError(Exception):
    """An answer could not be finished; why is in the log already."""


def _common(
    scope: Scope, headers: dict[bytes, bytes], request_id: str, started: float
) -> dict[str, Any]:
    state = scope["state"]
    actor = state.get("actor")
    traced = TRACEPARENT.match(headers.get(b"traceparent", b""))
    return {
        "path": _path(scope),
        "duration_ms": round((time.perf_counter() - started) * 1000, 2),
        "request_id": request_id,
        "workspace_id": state.get("workspace_id"),
        "actor_id": getattr(actor, "id", actor),
        "trace_id": traced[1].decode() if traced else None,
    }


def _path(scope: Scope) -> str:
    path: str = scope["path"]
    return path if len(path) <= PATH_CHARS_MAX else f"{path[:PATH_CHARS_MAX]}..."


def _request_id(header: bytes | None) -> str:
    return header.decode("ascii") if header and REQUEST_ID.match(header) else uuid7().hex


async def _answer(send: Send, status: int, problem: bytes) -> None:
    headers: Headers = [(b"content-type", b"application/problem+json")]
    headers.append((b"content-length", str(len(problem)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": problem})
