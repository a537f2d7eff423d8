"""What every answer says of itself: who may keep it, and that it is what its type says (ASVS 5.0, 14.2.1)."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

CACHE_CONTROL = b"cache-control"
NO_STORE = (CACHE_CONTROL, b"no-store")
"""The next person at a browser has the same address bar, and its cache knows nothing of sign-ins."""
NOSNIFF = (b"x-content-type-options", b"nosniff")


class Private:
    """ASGI middleware: an answer that doesn't say how long it may be kept is kept by nobody."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), NOSNIFF]
                if all(name != CACHE_CONTROL for name, _ in headers):
                    headers.append(NO_STORE)
                message["headers"] = headers
            await send(message)

        await self._app(scope, receive, tell)
