"""Guarantee 6: however slow its clients are, the server's memory stays bounded, and they miss nothing.

A real server process, and clients that subscribe and then read nothing while events arrive.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.start.processes import EMAIL, PASSWORD, Running, up

TEXT = "x" * 4_000
PER_READER_BYTES_MAX = 600_000
"""A write buffer (64 KiB), a batch (256 KiB), and as much again for what a socket is made of."""
SHARED_BYTES_MAX = 120_000_000
"""What rooms keep (32 MB), encoded batches (64 of 256 KiB), and what commands take."""
WRITERS = 16
CLIENTS = 1_000
RENEWED_AFTER = 20_000
"""Edits; an access token lives for ten minutes."""
WARM_UP = 100


@pytest.fixture
def running(open_folder: Path) -> Iterator[Running]:
    with up(open_folder / "slow") as server:
        yield server
        assert server.end() == 0


def token_of(running: Running) -> str:
    body = {"email": EMAIL, "password": PASSWORD}
    answer = httpx.post(f"{running.url}/api/auth/sign-in", json=body, timeout=30)
    return str(answer.raise_for_status().json()["access_token"])


class Line:
    """One keep-alive connection of a writer. A client library costs more per request than the server."""

    def __init__(
        self, running: Running, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader, self._writer = reader, writer
        self._host = running.url.removeprefix("http://")

    async def ask(self, token: str, method: str, path: str, **fields: Any) -> dict[str, Any]:
        """Send a command until the server takes it; return the answer's document."""
        body = json.dumps(fields).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nhost: {self._host}\r\nauthorization: Bearer {token}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        status = 503
        while status == 503:
            self._writer.write(head.encode() + body)
            status, answer = await self._answer()
        assert status < 300, answer
        document: dict[str, Any] = json.loads(answer)
        return document

    async def _answer(self) -> tuple[int, bytes]:
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
        return int(head[9:12]), await self._reader.readexactly(length)

    def close(self) -> None:
        self._writer.close()


class Load:
    """Writes from many connections at a time; each edits a mission of its own again and again."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._token = ""
        self.last = 0

    async def write(self, count: int, text: str = "") -> None:
        """Cause that many events, one by each writer at least: its mission's creation."""
        await self._renew()
        left = iter(range(1, count - WRITERS + 1))
        await asyncio.gather(*(self._work(left, text) for _ in range(WRITERS)))

    async def _renew(self) -> None:
        self._token = await asyncio.to_thread(token_of, self._running)

    async def _work(self, left: Iterator[int], text: str) -> None:
        host, port = self._running.url.removeprefix("http://").rsplit(":", 1)
        line = Line(self._running, *await asyncio.open_connection(host, int(port)))
        mission = await line.ask(self._token, "POST", "/api/missions", title="m")
        path = f"/api/missions/{mission['id']}"
        for number in left:
            if number % RENEWED_AFTER == 0:
                await self._renew()
            edited = await line.ask(self._token, "PUT", path, description=f"{number} {text}")
            self.last = max(self.last, edited["position"])
        self.last = max(self.last, mission["position"])
        line.close()


class Readers:
    """Clients of the workspace's room; at the end they hang up without a word, all at once."""

    def __init__(self, running: Running, http: httpx.AsyncClient) -> None:
        self._running = running
        self._http = http
        self._opened: list[ClientConnection] = []

    async def join(self, token: str, pos: int | None = None) -> ClientConnection:
        """Connect one that takes as little as it can before it is told to read."""
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        plain.setblocking(False)
        host, port = self._running.url.removeprefix("http://").rsplit(":", 1)
        await asyncio.get_running_loop().sock_connect(plain, (host, int(port)))
        url = self._running.url.replace("http", "ws") + "/ws"
        connection = await connect(
            url, sock=plain, max_queue=1, max_size=None, ping_interval=None, compression=None
        )
        self._opened.append(connection)
        me = {"authorization": f"Bearer {token}"}
        answer = await self._http.post("/api/ws/ticket", headers=me)
        ticket = answer.raise_for_status().json()["ticket"]
        await connection.send(json.dumps({"t": "connect", "ticket": ticket}))
        assert json.loads(await connection.recv())["t"] == "connected"
        await connection.send(json.dumps({"t": "sub", "room": "workspace", "pos": pos}))
        while json.loads(await connection.recv())["t"] != "sub_ok":
            pass
        return connection

    def hang_up(self) -> None:
        for connection in self._opened:
            connection.transport.abort()


@asynccontextmanager
async def readers_of(running: Running) -> AsyncIterator[Readers]:
    async with httpx.AsyncClient(base_url=running.url, timeout=30) as http:
        readers = Readers(running, http)
        try:
            yield readers
        finally:
            readers.hang_up()


async def read(connection: ClientConnection, events: int) -> int:
    """Read that many events, each behind the one before; return the last one's position."""
    last, count = 0, 0
    while count < events:
        heard = json.loads(await connection.recv())
        if heard["t"] in {"ev", "batch"}:
            for event in heard.get("events", [heard]):
                assert not last or event["prev"] == last
                last = event["pos"]
                count += 1
            if heard["t"] == "batch" and not heard.get("live"):
                ack = {"t": "ack", "room": "workspace", "pos": last}
                await connection.send(json.dumps(ack))
        elif heard["t"] == "ping":
            await connection.send('{"t":"pong"}')
    return last


def bounded(running: Running, readers: int, events: int, record_property: Any) -> None:
    """Let readers stand still while events arrive; measure, and let one of them catch up."""

    async def session() -> None:
        token = await asyncio.to_thread(token_of, running)
        load = Load(running)
        async with readers_of(running) as room:
            await load.write(WRITERS)
            begin = load.last
            connections = [await room.join(token) for _ in range(readers)]
            await load.write(WARM_UP)
            server = psutil.Process(running.process.pid)
            before = server.memory_info().rss
            await load.write(events, TEXT)
            grown = server.memory_info().rss - before
            record_property("grown_mb", grown // 1_000_000)
            assert grown < SHARED_BYTES_MAX + readers * PER_READER_BYTES_MAX
            one = connections[0]
            if events > 10_000:  # by now, who takes nothing was shown out, and comes back
                one = await room.join(await asyncio.to_thread(token_of, running), begin)
            async with asyncio.timeout(600):
                assert await read(one, events + WARM_UP) == load.last

    asyncio.run(session())


def test_readers_that_stand_still_cost_little_and_miss_nothing(
    running: Running, record_property: Any
) -> None:
    bounded(running, 20, 600, record_property)


@pytest.mark.long
def test_200_readers_stand_still_while_100k_events_arrive(
    running: Running, record_property: Any
) -> None:
    bounded(running, 200, 100_000, record_property)


@pytest.mark.long
def test_1000_clients_hear_everything_in_order(running: Running) -> None:
    async def session() -> None:
        token = await asyncio.to_thread(token_of, running)
        load = Load(running)
        async with readers_of(running) as room, asyncio.TaskGroup() as group:
            reading = [group.create_task(read(await room.join(token), 500)) for _ in range(CLIENTS)]
            async with asyncio.timeout(600):
                await load.write(500)
                assert set(await asyncio.gather(*reading)) == {load.last}

    asyncio.run(session())
