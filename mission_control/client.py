"""`MissionControl`: a server, and the right to follow its rooms."""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from types import TracebackType
from typing import Self
from weakref import WeakSet

import httpx

from mission_control.refusals import Refused, SignedOut
from mission_control.subscription import PAUSE_S_MAX, Subscription

REQUEST_S = 10.0

PERMANENT = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED})
"""What no Mission Control answers: the URL is of something else."""

TokenSource = Callable[[], Awaitable[str]]


class MissionControl:
    """A server at a URL, and a caller: an agent's key, an access token, or a function that gives one.

    Access tokens last minutes. A program that runs for longer uses a key, or a function that signs in
    again: it is called for each connection, and before access runs out. Between two tries to connect
    there are at most `pause_s_max` seconds. Without `proxies` those of the environment are passed by.
    White space around the URL and the token is dropped; raises `ValueError` for what can be neither.

    Leaving the block ends every subscription: a task that iterates one finds it at its end, without an error.
    """

    def __init__(
        self, url: str, token: str | TokenSource, *, pause_s_max: float = PAUSE_S_MAX,
        proxies: bool = True,
    ) -> None:  # fmt: skip
        self._url = _address(url)
        self._token = _credential(token) if isinstance(token, str) else token
        self._pause_s_max = pause_s_max
        self._subscriptions = WeakSet[Subscription]()
        self.proxies = proxies
        # A transport of our own is one that the environment's proxies do not reach.
        own = None if proxies else httpx.AsyncHTTPTransport()
        self._http = httpx.AsyncClient(base_url=self._url, timeout=REQUEST_S, transport=own)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await asyncio.gather(*(one.aclose() for one in list(self._subscriptions)))
        finally:
            await self._http.aclose()

    @property
    def socket_url(self) -> str:
        """Where the server's WebSocket is."""
        return "ws" + self._url.removeprefix("http") + "/ws"

    def subscribe(
        self, room: str, pos: int | None = None, *, log_id: str | None = None,
        on_connection: Callable[[bool], None] | None = None,
    ) -> Subscription:  # fmt: skip
        """Follow a room behind a position: `async for event in client.subscribe("workspace", pos=0)`.

        Rooms are `workspace`, `audit`, `board:<id>`, `mission:<id>` and `agent:<id>`. From the beginning
        is 0, from now is no position. `log_id` is the log that the position was of, where it was kept
        for longer than a program runs; `on_connection` is told when the connection stands (True) and
        when it does not (False). The iteration connects again by itself, for ever; it raises
        `SignedOut`, `Refused` or `Reset` where that would not help. The logger `mission_control` warns
        when the connection is lost, and says when it stands again.
        """
        subscription = Subscription(self, room, pos, log_id, self._pause_s_max, on_connection)
        self._subscriptions.add(subscription)
        return subscription

    async def ticket(self) -> str:
        """Return a ticket for one socket. Raises `SignedOut`, or what `httpx` raises."""
        token = self._token if isinstance(self._token, str) else _credential(await self._token())
        if not token:
            raise SignedOut("there is no key and no access token")
        me = {"Authorization": f"Bearer {token}"}
        answer = await self._http.post("/api/ws/ticket", headers=me)
        if answer.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise SignedOut(str(answer.json().get("detail", answer.status_code)))
        if answer.status_code in PERMANENT:
            raise Refused(self._url, f"http_{answer.status_code}")
        answer.raise_for_status()
        return str(answer.json()["ticket"])


def _address(url: str) -> str:
    try:
        parsed = httpx.URL(url.strip().rstrip("/"))
    except httpx.InvalidURL as error:
        raise ValueError(f"url: {url!r} is no address: {error}") from None
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ValueError(f"url: {url!r} does not begin with http:// or https:// and a host")
    return str(parsed)


def _credential(token: str) -> str:
    """Return a token as a header may bear it. What is wrong with it is said without showing it."""
    stripped = token.strip()
    if not stripped.isascii() or not stripped.isprintable() or " " in stripped:
        raise ValueError("token: a key or an access token is one word of ASCII characters")
    return stripped
