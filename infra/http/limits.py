"""Bounds on what a request may send, checked before anybody parses it."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.http.problems import problem

BODY_BYTES_MAX = 1_048_576
JSON_DEPTH_MAX = 32
BODY = "mission_control.body"
"""Where a request's scope holds its whole body, once it has passed."""


class BodyLimit:
    """ASGI middleware: refuses bodies that are too large, or JSON that is nested too deep."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in {"GET", "HEAD", "OPTIONS"}:
            await self._app(scope, receive, send)
            return
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > BODY_BYTES_MAX:
                detail = f"the body is larger than {BODY_BYTES_MAX} bytes"
                await problem(413, "body_too_large", detail, field="body")(scope, receive, send)
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


def _depth(body: bytearray) -> int:
    """Return an upper bound of the nesting: brackets inside of strings count too, if they are many."""
    if body.count(b"[") + body.count(b"{") <= JSON_DEPTH_MAX:
        return 0
    depth = deepest = 0
    in_string = escaped = False
    for byte in body:
        if in_string:
            in_string = escaped or byte != 0x22
            escaped = byte == 0x5C and not escaped
        elif byte == 0x22:
            in_string = True
        elif byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest
