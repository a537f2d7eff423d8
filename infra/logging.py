"""Structured logs: one line per fact, readable on a terminal, JSON otherwise.

Lines are built by msgspec and written in batches, since thousands of requests a second each have one.
Only named values are logged; no body, no query string, no header.
"""

import atexit
import logging
import re
import sys
import threading
import time
import traceback
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils.compat import uuid7

FLUSH_S = 0.2
LINES_MAX = 10_000
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
COLOURS = {"debug": "2", "info": "36", "warning": "33", "error": "31"}
REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{8,64}$")
QUIET_PATHS = {"/health/live", "/health/ready"}


class Log:
    """A log of this process; `configure` says where it goes."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._lock = threading.Lock()
        self._stream: TextIO | None = None
        self._console = False
        self._level = LEVELS["info"]
        self._flusher: threading.Thread | None = None

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
        self._write("debug", event, values)

    def info(self, event: str, **values: Any) -> None:
        self._write("info", event, values)

    def warning(self, event: str, **values: Any) -> None:
        self._write("warning", event, values)

    def error(self, event: str, **values: Any) -> None:
        self._write("error", event, values)

    def exception(self, event: str, **values: Any) -> None:
        """Log the exception being handled: its kind and where, not its values, which may be personal."""
        kind, _, trace = sys.exc_info()
        frames = traceback.extract_tb(trace)[-6:]
        where = " < ".join(f"{f.name}:{f.lineno}" for f in reversed(frames))
        name = kind.__name__ if kind else "unknown"
        self._write("error", event, {**values, "exception": name, "where": where})

    def flush(self) -> None:
        """Write out what waits."""
        with self._lock:
            lines, self._lines = self._lines, []
        if lines and self._stream is not None:
            try:
                self._stream.write("".join(lines))
                self._stream.flush()
            except (OSError, ValueError):  # the reader is gone: nobody is left to tell
                self._stream = None

    def _write(self, level: str, event: str, values: dict[str, Any]) -> None:
        if LEVELS[level] < self._level or self._stream is None:
            return
        now = datetime.now(UTC)
        line = (
            _pretty(now, level, event, values)
            if self._console
            else _json(now, level, event, values)
        )
        if len(self._lines) < LINES_MAX:
            self._lines.append(line)

    def _flush_for_ever(self) -> None:
        while True:
            time.sleep(FLUSH_S)
            self.flush()


def _json(now: datetime, level: str, event: str, values: dict[str, Any]) -> str:
    return (
        msgspec.json.encode({"time": now, "level": level, "event": event, **values}).decode() + "\n"
    )


def _pretty(now: datetime, level: str, event: str, values: dict[str, Any]) -> str:
    rest = " ".join(
        f"\x1b[2m{key}=\x1b[0m{value}" for key, value in values.items() if value is not None
    )
    return (
        f"\x1b[2m{now:%H:%M:%S.%f}\x1b[0m \x1b[{COLOURS[level]}m{level:7}\x1b[0m {event} {rest}\n"
    )


log = Log()


class _Forward(logging.Handler):
    """Brings what libraries log into the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        level = "error" if record.levelno >= logging.ERROR else "warning"
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        log._write(level, record.getMessage(), {"logger": record.name, "exception": kind})


def forward_libraries() -> None:
    """Send warnings and errors of libraries through our log."""
    logging.basicConfig(handlers=[_Forward()], level=logging.WARNING, force=True)


class RequestLog:
    """ASGI middleware: an id for each request, and one line when it is answered."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = dict(scope["headers"])
        request_id = _request_id(headers.get(b"x-request-id"))
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            log.exception("request failed", request_id=request_id, path=scope["path"])
            raise
        finally:
            level = "debug" if scope["path"] in QUIET_PATHS else "info"
            log._write(level, "request", {
                "request_id": request_id,
                "method": scope["method"],
                "path": scope["path"],
                "status": status,
                "duration_ms": round((time.perf_counter() - started) * 1000, 2),
                "workspace_id": state.get("workspace_id"),
                "actor_id": _actor_id(state.get("actor")),
                "trace_id": _trace_id(headers.get(b"traceparent")),
            })  # fmt: skip


def _request_id(header: bytes | None) -> str:
    offered = header.decode("latin-1") if header else ""
    return offered if REQUEST_ID.match(offered) else uuid7().hex


def _actor_id(actor: Any) -> Any:
    return getattr(actor, "id", actor)


def _trace_id(header: bytes | None) -> str | None:
    parts = header.decode("latin-1").split("-") if header else []
    return parts[1] if len(parts) == 4 and re.fullmatch("[0-9a-f]{32}", parts[1]) else None
