"""One line per request, with ids and without secrets; readable on a terminal, JSON otherwise."""

import asyncio
import io
import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra import logging as logs
from infra.logging import BrokenOffError, Log, RequestLog
from tests.start.processes import EMAIL, PASSWORD, up

ACTOR = UUID("01890000-0000-7000-8000-000000000001")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    """Let the module's log write JSON; call it for the lines written so far."""
    stream, log = io.StringIO(), Log()
    log.configure(stream, "json", "debug")
    monkeypatch.setattr(logs, "log", log)

    def written() -> list[dict[str, Any]]:
        log.flush()
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    return written


async def ok(scope: Scope, receive: Receive, send: Send) -> None:
    scope["state"]["workspace_id"], scope["state"]["actor"] = ACTOR, ACTOR
    await send({"type": "http.response.start", "status": 201, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


async def raising(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError("tilly@example.org is personal")


async def raising_in_the_middle(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{", "more_body": True})
    raise ValueError("tilly@example.org is personal")


def ask(app: ASGIApp, path: str = "/api/missions", **headers: str) -> list[Message]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "http", "method": "POST", "path": path, "query_string": b"token=secret",
        "headers": raw, "state": {},
    }  # fmt: skip
    asyncio.run(RequestLog(app)(scope, receive, send))
    return sent


def test_a_line_says_who_did_what_and_how_it_ended(lines: Lines) -> None:
    answer = ask(
        ok,
        x_request_id="abc-1",
        traceparent=f"00-{TRACE}-00f067aa0ba902b7-01",
        authorization="secret",
    )
    [line] = lines()
    assert (b"x-request-id", b"abc-1") in answer[0]["headers"]
    assert line.pop("duration_ms") >= 0
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info", "event": "request", "method": "POST", "path": "/api/missions",
        "status": 201, "request_id": "abc-1", "workspace_id": str(ACTOR), "actor_id": str(ACTOR),
        "trace_id": TRACE,
    }  # fmt: skip


@pytest.mark.parametrize("offered", ["two words", "x" * 65, "", "a\nb", "<b>"])
def test_a_request_id_that_is_no_plain_word_is_replaced(lines: Lines, offered: str) -> None:
    answer = ask(ok, x_request_id=offered)
    [line] = lines()
    assert dict(answer[0]["headers"])[b"x-request-id"].decode() == line["request_id"] != offered


def test_probes_are_debug_and_failures_are_errors(lines: Lines) -> None:
    ask(ok, "/health/live")
    ask(raising)
    assert [line["level"] for line in lines()] == ["debug", "error", "error"]


def test_an_error_is_a_500_and_a_line_that_tells_its_place_and_not_its_text(lines: Lines) -> None:
    answer = ask(raising)
    failed, request = lines()
    assert answer[0]["status"] == request["status"] == 500
    assert json.loads(answer[1]["body"])["code"] == "internal_error"
    assert failed["exception"] == "ValueError"
    assert failed["where"].startswith("raising:")
    assert failed["request_id"] == request["request_id"]
    assert "tilly" not in json.dumps([failed, request])


def test_an_answer_that_breaks_off_is_cut_and_not_finished(lines: Lines) -> None:
    with pytest.raises(BrokenOffError):
        ask(raising_in_the_middle)
    assert lines()[0]["exception"] == "ValueError"


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_sender_cannot_write_lines_or_colours_of_its_own_to_a_terminal(form: Any) -> None:
    stream, log = io.StringIO(), Log()
    log.configure(stream, form)
    path = "/a\nfaked line\x1b[31m\x9b31m\u202egnp.exe\u2028é"
    log.info("request", path=path)
    log.flush()
    line = stream.getvalue()
    assert line.count("\n") == 1
    for each in ("\x1b[31m", "\x9b", "\u202e", "\u2028"):
        assert each not in line
    assert form == "console" or json.loads(line)["path"] == path


def test_a_reader_that_stops_reading_holds_nobody_up_and_what_is_lost_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logs, "LAST_FLUSH_S", 0.1)
    reading, writing = os.pipe()
    log = Log()
    with os.fdopen(reading, "rb") as pipe, os.fdopen(writing, "w") as stream:
        log.configure(stream, "json")
        started = time.monotonic()
        for number in range(3 * logs.LINES_MAX):
            log.info("x" * 100, number=number)
            if number == logs.LINES_MAX:
                log.flush()  # fills the pipe, and stays there
        log.flush()
        assert time.monotonic() - started < 5
        accounted = 0
        while accounted < 3 * logs.LINES_MAX:
            line = json.loads(pipe.readline())
            accounted += line["lines"] if line["event"] == "log lines dropped" else 1
        assert accounted == 3 * logs.LINES_MAX


def test_a_request_costs_less_than_a_few_dozen_microseconds(lines: Lines) -> None:
    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"host", b"x")]}

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        pass

    async def take(app: ASGIApp, requests: int = 2000) -> float:
        started = time.process_time()
        for _ in range(requests):
            await app({**scope, "state": {}}, receive, send)
        return (time.process_time() - started) / requests

    bare = min(asyncio.run(take(ok)) for _ in range(3))
    logged = min(asyncio.run(take(RequestLog(ok))) for _ in range(3))
    assert logged - bare < 60e-6  # some 13 on a quiet machine, without coverage


def test_a_server_logs_each_request_and_no_secret(data_dir: Path) -> None:
    with up(data_dir, "--log-format", "json") as running:
        running.create_mission("logged")
        assert running.get("/api/nowhere%0A?token=hunter2").status_code == 404
        assert running.end() == 0
        assert running.process.stderr is not None
        text = running.process.stderr.read()
    written = [json.loads(line) for line in text.splitlines()]
    requests = [line for line in written if line["event"] == "request"]
    paths = ["/api/auth/sign-in", "/api/missions", "/api/nowhere\n"]
    assert [line["path"] for line in requests] == paths
    assert requests[1]["actor_id"]
    assert requests[1]["workspace_id"]
    for secret in (PASSWORD, EMAIL, "hunter2", "eyJ"):
        assert secret not in text


def test_a_library_that_repeats_itself_is_heard_once_and_counted(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = logs._Forward()

    def says(text: str, number: int, error: Exception | None = None) -> None:
        found = (type(error), error, None) if error else None
        record = logging.LogRecord(
            "library", logging.ERROR, "", 0, text, (number,), found  # type: ignore[arg-type]
        )  # fmt: skip
        forward.emit(record)

    for number in range(500):
        says("node %s is away", number)
    says("node %s is back", 1)
    for _ in range(2):
        says("node %s broke", 1, ValueError())
    monkeypatch.setattr(logs, "REPEATED_S", 0)
    says("node %s is away", 500)
    said = [(line["event"], line.get("untold")) for line in lines()]
    assert said == [
        ("node 0 is away", None), ("node 1 is back", None), ("node 1 broke", None),
        ("node 1 broke", None), ("node 500 is away", 499),
    ]  # fmt: skip
