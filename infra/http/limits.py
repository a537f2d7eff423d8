"""Bounds on what a request may send, checked before anybody parses it; and on answers without an end."""

import asyncio
import re
from array import array
from collections import Counter
from itertools import accumulate
from uuid import UUID

from fastapi import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.http.principal import Principal
from infra.http.problems import problem

BODY_BYTES_MAX = 1_048_576
BODY_S_MAX = 30.0
"""Who sends nothing, or a byte now and then, holds a connection: anybody may, as a body comes before who sends it."""
GOOD_BYE = {"Connection": "close"}
JSON_DEPTH_MAX = 32
STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
"""How a bracket changes the depth, as signed bytes."""
NO_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))
STREAMS_PER_CALLER_MAX = 20
STREAMS_RETRY_AFTER_S = 5
BODY = "mission_control.body"
"""Where a request's scope holds its whole body, once it has passed."""


class BodyLimit:
    """ASGI middleware: refuses bodies that are too large or too slow, or JSON that is nested too deep."""

    def __init__(self, app: ASGIApp, seconds_max: float = BODY_S_MAX) -> None:
        self._app = app
        self._seconds_max = seconds_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in {"GET", "HEAD", "OPTIONS"}:
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._seconds_max):
                body = await _read(receive)
        except TimeoutError:
            detail = f"the body was not here within {self._seconds_max:g} s"
            refusal = problem(408, "body_too_slow", detail, field="body", headers=GOOD_BYE)
            await refusal(scope, receive, send)
            return
        if body is None:
            return
        if len(body) > BODY_BYTES_MAX:
            detail = f"the body is larger than {BODY_BYTES_MAX} bytes"
            await problem(413, "body_too_large", detail, field="body")(scope, receive, send)
            return
        if b"\x00" in body:
            detail = "the body has to be UTF-8, and must not contain the NUL character"
            await problem(422, "body_not_utf_8", detail, field="body")(scope, receive, send)
            return
        if _depth(body) > JSON_DEPTH_MAX:
            detail = f"the body is nested deeper than {JSON_DEPTH_MAX} levels"
            await problem(422, "body_too_deep", detail, field="body")(scope, receive, send)
            return
        scope[BODY] = bytes(body)
        pending: list[Message] = [{"type": "http.request", "body": scope[BODY], "more_body": False}]

        async def replay() -> Message:
            return pending.pop() if pending else await receive()

        await self._app(scope, replay, send)


async def _read(receive: Receive) -> bytearray | None:
    """Return a body, as far as one may be; None where the client is gone."""
    body = bytearray()
    more = True
    while more and len(body) <= BODY_BYTES_MAX:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


class OpenStreams:
    """How many answers without an end each caller has open in this process."""

    def __init__(self, per_caller_max: int = STREAMS_PER_CALLER_MAX) -> None:
        self._per_caller_max = per_caller_max
        self._open = Counter[tuple[UUID, UUID]]()

    def bounded(self, principal: Principal, answer: Response) -> Response:
        """Return an answer that takes a place for as long as it runs, or says 429 where none is left."""
        return _Bounded(self, (principal.workspace_id, principal.actor.id), answer)

    def take(self, caller: tuple[UUID, UUID]) -> bool:
        """Take a place; tell whether there was one."""
        if self._open[caller] >= self._per_caller_max:
            return False
        self._open[caller] += 1
        return True

    def free(self, caller: tuple[UUID, UUID]) -> None:
        """Give a place back."""
        self._open[caller] -= 1
        if self._open[caller] == 0:
            del self._open[caller]

    def refusal(self) -> Response:
        """Return the problem of a caller who has no place left."""
        return problem(
            429, "too_many_streams",
            f"you have {self._per_caller_max} streams open, which is as many as may be; close one of them",
            headers={"Retry-After": str(STREAMS_RETRY_AFTER_S)},
        )  # fmt: skip


class _Bounded(Response):
    # A place is taken when the answer begins, not when it is made: what never runs would never end.
    def __init__(self, streams: OpenStreams, caller: tuple[UUID, UUID], answer: Response) -> None:
        super().__init__()
        self._streams = streams
        self._caller = caller
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._streams.take(self._caller):
            await self._streams.refusal()(scope, receive, send)
            return
        try:
            await self._answer(scope, receive, send)
        finally:
            self._streams.free(self._caller)


def _depth(body: bytearray) -> int:
    """Return how deep a text that may be JSON is nested; 0 where its brackets are too few to matter."""
    if body.count(b"[") + body.count(b"{") <= JSON_DEPTH_MAX:
        return 0
    # Nobody is known yet who sends it: whole passes, none of them of Python's own steps.
    steps = array("b", STRING.sub(b"", body).translate(STEPS, NO_BRACKETS))
    return max(accumulate(steps), default=0)
