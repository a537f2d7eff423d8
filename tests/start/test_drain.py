"""A server that ends says so to its live clients, and ends in time whatever they do."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.start.processes import EMAIL, PASSWORD, Running, up
from tests.tries import tries


def token_of(running: Running) -> str:
    body = {"email": EMAIL, "password": PASSWORD}
    answer = httpx.post(f"{running.url}/api/auth/sign-in", json=body).raise_for_status()
    return str(answer.json()["access_token"])


@contextmanager
def connected(running: Running, token: str, **options: Any) -> Iterator[ClientConnection]:
    me = {"Authorization": f"Bearer {token}"}
    ticket = httpx.post(f"{running.url}/api/ws/ticket", headers=me).raise_for_status().json()
    url = running.url.replace("http", "ws") + "/ws"
    with connect(url, close_timeout=1, **options) as connection:
        connection.send(json.dumps({"t": "connect", "ticket": ticket["ticket"]}))
        assert json.loads(connection.recv(10))["t"] == "connected"
        yield connection


def test_sigterm_drains_sockets_and_streams_and_ends_with_0(data_dir: Path) -> None:
    for end in tries(within_s=5):
        with up(data_dir) as running, ExitStack() as stack:
            token = token_of(running)
            sockets = [stack.enter_context(connected(running, token)) for _ in range(3)]
            with httpx.stream(
                "GET", f"{running.url}/api/stream", params={"room": "workspace"},
                headers={"Authorization": f"Bearer {token}"}, timeout=10,
            ) as stream:  # fmt: skip
                lines = stream.iter_lines()
                assert "connected" in next(lines)
                with end:
                    assert running.end() == 0
                assert any('"t":"drain"' in line for line in lines), "then the stream ends cleanly"
            for connection in sockets:
                assert json.loads(connection.recv(5))["t"] == "drain"
                with pytest.raises(ConnectionClosed):
                    connection.recv(5)
                assert connection.close_code == 1012


def test_a_client_that_takes_nothing_does_not_hold_the_end_up(data_dir: Path) -> None:
    for end in tries(within_s=6):
        with up(data_dir) as running, socket.socket() as plain:
            token = token_of(running)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            plain.connect(("127.0.0.1", int(running.url.rsplit(":", 1)[1])))
            me = {"Authorization": f"Bearer {token}"}
            with (
                httpx.Client(base_url=running.url, headers=me) as client,
                connected(running, token, sock=plain, max_queue=1) as connection,
            ):
                connection.send(json.dumps({"t": "sub", "room": "workspace"}))
                for _ in range(200):
                    body = {"title": "large", "description": "x" * 20_000}
                    client.post("/api/missions", json=body).raise_for_status()
                with end:
                    assert running.end() == 0


def test_what_is_not_done_when_it_ends_is_told_to_come_again(data_dir: Path) -> None:
    with up(data_dir, MC_DRAIN_S="1") as running, socket.socket() as slow:
        host, port = running.url.removeprefix("http://").split(":")
        slow.connect((host, int(port)))
        head = f"POST /api/missions HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token_of(running)}\r\n"
        slow.sendall(
            f'{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"title"'.encode()
        )
        assert running.get("/health/live").status_code == 200  # it was heard
        assert running.end() == 0
        answer = HTTPResponse(slow)
        answer.begin()
        assert (answer.status, json.loads(answer.read())["code"]) == (503, "stopping")


@pytest.mark.parametrize("body", ["Content-Length: 3", "Transfer-Encoding: chunked"])
def test_a_handshake_that_is_none_is_refused_and_keeps_nobody_from_ending(
    data_dir: Path, body: str
) -> None:
    with up(data_dir) as running, socket.socket() as client:
        host, port = running.url.removeprefix("http://").split(":")
        client.connect((host, int(port)))
        client.settimeout(20)
        client.sendall(
            f"GET /ws HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            f"{body}\r\n\r\n".encode()
        )
        answer = HTTPResponse(client)
        answer.begin()
        assert answer.status == 400
        assert client.recv(1) == b""
        assert running.end() == 0


def test_the_rest_of_a_request_that_is_answered_is_not_waited_for_long(data_dir: Path) -> None:
    with up(data_dir) as running, socket.socket() as client:
        host, port = running.url.removeprefix("http://").split(":")
        client.connect((host, int(port)))
        head = f"GET /health/live HTTP/1.1\r\nHost: {host}\r\nContent-Length: 60000\r\n\r\n"
        client.sendall(head.encode())
        answer = HTTPResponse(client)
        answer.begin()
        assert (answer.status, answer.read()) == (200, b'{"status":"ok"}')
        client.settimeout(1)
        begun, ended = time.monotonic(), False
        while not ended and time.monotonic() - begun < 30:
            try:
                client.sendall(b"x")
                ended = client.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                ended = True
        assert ended


def test_a_postgresql_that_was_stopped_ends_with_it(data_dir: Path) -> None:
    with up(data_dir) as running:
        assert running.url
        server = psutil.Process(running.postgres_pid)
        for member in (server, *server.children()):
            member.suspend()
        assert running.end() == 0
        assert not server.is_running()
