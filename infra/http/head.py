"""HEAD of the API: what GET would say, without saying it (RFC 9110, 9.3.2)."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.tasks import end

NOTHING: Message = {"type": "http.response.body", "body": b""}


class Head:
    """ASGI middleware: answers HEAD with the head of GET's answer, and ends whatever would have followed.

    A stream has no end, and its connection could carry no other request.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        begun = asyncio.Event()
        head: Message = {}

        async def take(message: Message) -> None:
            if not begun.is_set():
                head.update(message)
                begun.set()

        async def answer() -> None:
            try:
                await self._app({**scope, "method": "GET"}, receive, take)
            finally:
                begun.set()

        answering = asyncio.create_task(answer(), name="head")
        try:
            await begun.wait()
            if not head:
                await answering  # which has failed
            await send(head)
            await send(NOTHING)
        finally:
            await end([answering])
