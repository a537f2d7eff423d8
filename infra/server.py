"""Serving: one socket, bound before anything else starts, and a clean end."""

import asyncio
import contextlib
import errno
import gc
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from infra.door import accepted, hold_off
from infra.http.wire import Wire, offer
from infra.settings import Settings, StartRefused

BACKLOG = 2048
SHUTDOWN_S = 5
KEEP_ALIVE_S = 15
HEAD_S = 10.0
REST_S = 5.0
FIRST_REQUEST_S = 0.5
"""How long a server that ends waits for the first request of who has just connected."""
HANDSHAKE_S = 0.05
"""So long it lets those connect who have begun to."""
HEAD_BYTES_MAX = 65_536
SOCKET_MESSAGE_BYTES_MAX = 65_536
GC_THRESHOLDS = (50_000, 20, 50)
OF_THE_PORT = frozenset({errno.EADDRINUSE, errno.EACCES})
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


@dataclass(frozen=True)
class Leaving:
    """How a process takes its leave: `unready` says so while it still serves, `drain` sees off who is there."""

    unready: Callable[[], Awaitable[None]]
    drain: Callable[[], Awaitable[None]]


def bind(settings: Settings) -> socket.socket:
    """Bind the listening socket, or raise `StartRefused` with one line that says why not."""
    if settings.host not in LOOPBACK and not (settings.tls_cert or settings.behind_proxy):
        raise StartRefused(
            f"MC_HOST: {settings.host} can be reached from outside: set MC_TLS_CERT and MC_TLS_KEY,"
            " or say --behind-proxy where TLS ends before this process"
        )
    where = f"{settings.host}:{settings.port}"
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Without it, a restart within a minute would find its own closed connections in the way.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((settings.host, settings.port))
        # Listening from now on, so that no other start gets the port; who connects early waits.
        listening.listen(BACKLOG)
    except (OSError, UnicodeError) as error:  # the second of a name that can't be one
        listening.close()
        reason = getattr(error, "strerror", None) or "this is no address"
        named = "" if getattr(error, "errno", None) in OF_THE_PORT else "MC_HOST: "
        raise StartRefused(f"{named}cannot listen on {where}: {reason.lower()}") from None
    listening.setblocking(False)
    return listening


def tls(settings: Settings) -> ssl.SSLContext | None:
    """Return the context of the certificate that is set: TLS 1.3 and nothing older."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key, password=_no_password)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        named = _unreadable(settings.tls_cert, settings.tls_key)
        reason = named or f"the certificate or its key can't be used ({type(error).__name__})"
        raise StartRefused(f"MC_TLS_CERT, MC_TLS_KEY: {reason}") from None
    return context


class State(ServerState):
    """What connections know of their server. One that is `leaving` keeps none alive behind its answer."""

    leaving = False


class Server(uvicorn.Server):
    """uvicorn's server, with the signals left to its owner: `should_exit` ends it."""

    def __init__(
        self, config: uvicorn.Config, announce: Callable[[], None], leaving: Leaving
    ) -> None:
        super().__init__(config)
        self.server_state: State = State()
        self._announce = announce
        self._leaving = leaving

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take no signal: uvicorn would raise it once more at the end, and the exit code were not 0."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve, and only then say so."""
        await super().startup(sockets)
        self._announce()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say so, let nobody in any more, see off who is there to stay, and finish the requests."""
        self.server_state.leaving = True
        if not self.force_exit:
            await self._leaving.unready()
        await self._close_door(sockets or [])
        if not self.force_exit:
            await self._leaving.drain()
        await super().shutdown(sockets)

    async def _close_door(self, sockets: list[socket.socket]) -> None:
        """Stop listening, and let in who waits at the door."""
        for door in sockets:
            hold_off(door)
        await asyncio.sleep(HANDSHAKE_S)
        waiting = [connection for door in sockets for connection in accepted(door)]
        for listening in self.servers:
            listening.close()
        let_in = asyncio.get_running_loop().connect_accepted_socket
        entering = [let_in(self._protocol, one, ssl=self.config.ssl) for one in waiting]
        with contextlib.suppress(TimeoutError):  # of who says nothing where TLS is spoken
            async with asyncio.timeout(FIRST_REQUEST_S):
                await asyncio.gather(*entering, return_exceptions=True)

    def _protocol(self) -> asyncio.Protocol:
        return BoundedHttp(self.config, self.server_state, self.lifespan.state)


class BoundedHttp(HttpToolsProtocol):
    """The HTTP protocol with limits on a request's head, its size and its time, and a leave that loses nothing."""

    server_state: State
    cycle: RequestResponseCycle | None  # type: ignore[assignment]  # None before the first

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head_bytes = 0
        self._in_head = True
        self._head_timer: asyncio.TimerHandle | None = None
        self._rest_timer: asyncio.TimerHandle | None = None
        self._is_last_call = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_arrived()
        self._rest_arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, and refuse a head that is still unfinished after its share of bytes."""
        if self._in_head:
            if self._head_timer is None:
                self._await_head()
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self.transport.write(TOO_LARGE)
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        # For streams that end with a client which takes nothing any more: see `Wire`.
        offer(self.scope, self)

    def abort(self) -> None:
        """End the connection without waiting for the client to take what was written."""
        self.transport.abort()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_arrived()
        super().on_headers_complete()
        if self.cycle is not None and self.server_state.leaving:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """Close it when it is idle. Who has just connected has asked already, only not been heard."""
        if self.cycle is None and not self._is_last_call:
            self._is_last_call = True
            self.loop.call_later(FIRST_REQUEST_S, self.shutdown)
        else:
            super().shutdown()

    def on_message_complete(self) -> None:
        self._in_head, self._head_bytes = True, 0
        self._rest_arrived()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on to the next request; for the rest of one that is answered, nobody waits long."""
        super().on_response_complete()
        if not self._in_head and self._rest_timer is None:
            self._rest_timer = self.loop.call_later(REST_S, self.transport.close)

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_S, self.transport.close)

    def _rest_arrived(self) -> None:
        if self._rest_timer is not None:
            self._rest_timer.cancel()
            self._rest_timer = None

    def _head_arrived(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def server(
    app: ASGIApp, settings: Settings, announce: Callable[[], None], leaving: Leaving
) -> Server:
    """Return a server for an app; `announce` is called when it serves, `leaving` before it ends."""
    context = tls(settings)
    config = uvicorn.Config(
        app,
        http=BoundedHttp,
        ws=Wire,
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        # Only from the proxies that are named; uvicorn's own default is an environment variable.
        proxy_headers=settings.behind_proxy,
        forwarded_allow_ips=list(settings.trusted_proxies),
        ws_max_size=SOCKET_MESSAGE_BYTES_MAX,
        ws_per_message_deflate=False,
        ws_ping_interval=None,  # mc.v1 has its own, and forgives a client that is slow for a while
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_S,
        backlog=BACKLOG,
        ssl_context_factory=(lambda *_: context) if context else None,
    )
    return Server(config, announce, leaving)


def freeze_garbage() -> None:
    """Keep what was made at start out of every later collection: it stays for the process's life."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def _no_password() -> str:
    # OpenSSL would ask on the terminal, and a server would wait there for ever.
    raise ValueError("the key is encrypted")


def _unreadable(*files: Path) -> str | None:
    for file in files:
        try:
            file.open("rb").close()
        except OSError as error:
            return f"{file}: {(error.strerror or str(error)).lower()}"
    return None
