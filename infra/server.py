"""Serving: one socket, bound before anything else starts, and a clean end."""

import gc
import socket
import ssl
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from infra.settings import Settings, StartRefused

BACKLOG = 2048
SHUTDOWN_S = 5
SOCKET_MESSAGE_BYTES_MAX = 65_536
GC_THRESHOLDS = (50_000, 20, 50)
LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def bind(settings: Settings) -> socket.socket:
    """Bind the listening socket, or raise `StartRefused` with one line that says why not."""
    if settings.host not in LOOPBACK and not (settings.tls_cert or settings.behind_proxy):
        raise StartRefused(
            f"{settings.host} is not loopback: set MC_TLS_CERT and MC_TLS_KEY, or say --behind-proxy"
        )
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise StartRefused("MC_TLS_CERT and MC_TLS_KEY go together")
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        reason = error.strerror or str(error)
        raise StartRefused(f"can't listen on {settings.host}:{settings.port}: {reason}") from None
    listening.setblocking(False)
    return listening


def server(app: ASGIApp, settings: Settings) -> "Server":
    """Return a server for an app; TLS 1.3 where a certificate is set."""
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        proxy_headers=settings.behind_proxy,
        ws_max_size=SOCKET_MESSAGE_BYTES_MAX,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
        backlog=BACKLOG,
    )
    config.load()
    if settings.tls_cert and settings.tls_key:
        config.ssl = _tls(settings.tls_cert, settings.tls_key)
    return Server(config)


class Server(uvicorn.Server):
    """uvicorn's server, whose signals are ours to handle: `should_exit` ends it."""

    def install_signal_handlers(self) -> None:
        """Leave the signals to the command line."""


def freeze_garbage() -> None:
    """Keep what was made at start out of every later collection: it stays for the process's life."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def _tls(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise StartRefused(
            f"the certificate or its key can't be used: {error.strerror or error}"
        ) from None
    return context
