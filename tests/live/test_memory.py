"""Guarantee 6: however slow its clients are, the server's memory stays bounded, and they miss nothing.

A real server process, and clients that subscribe and then read nothing while events arrive.
"""

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack
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


class Load:
    """Writes missions, many at a time; the access token is renewed as it goes."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self.last = 0

    async def write(self, count: int, **fields: Any) -> None:
        left = iter(range(count))

        async def work(client: httpx.AsyncClient) -> None:
            for number in left:
                if number % 20_000 == 19_999:
                    token = await asyncio.to_thread(token_of, self._running)
                    client.headers["authorization"] = f"Bearer {token}"
                while True:
                    answer = await client.post("/api/missions", json={"title": "m", **fields})
                    if answer.status_code != 503:
                        break
                assert answer.status_code == 201, answer.text
                self.last = max(self.last, answer.json()["position"])

        me = {"authorization": f"Bearer {token_of(self._running)}"}
        async with httpx.AsyncClient(base_url=self._running.url, headers=me, timeout=60) as client:
            await asyncio.gather(*(work(client) for _ in range(WRITERS)))


async def reader(
    stack: AsyncExitStack, running: Running, token: str, pos: int | None = None
) -> ClientConnection:
    """Connect a client that takes as little as it can before it is told to read."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    plain.setblocking(False)
    host, port = running.url.removeprefix("http://").rsplit(":", 1)
    await asyncio.get_running_loop().sock_connect(plain, (host, int(port)))
    url = running.url.replace("http", "ws") + "/ws"
    connection = await stack.enter_async_context(
        connect(url, sock=plain, max_queue=1, max_size=None, ping_interval=None, close_timeout=1)
    )
    async with httpx.AsyncClient(base_url=running.url, timeout=30) as client:
        me = {"authorization": f"Bearer {token}"}
        answer = await client.post("/api/ws/ticket", headers=me)
    ticket = answer.raise_for_status().json()["ticket"]
    await connection.send(json.dumps({"t": "connect", "ticket": ticket}))
    assert json.loads(await connection.recv())["t"] == "connected"
    await connection.send(json.dumps({"t": "sub", "room": "workspace", "pos": pos}))
    while json.loads(await connection.recv())["t"] != "sub_ok":
        pass
    return connection


async def catch_up(connection: ClientConnection, until: int) -> int:
    """Read until a position, as the protocol asks; return how many events there were."""
    last, count = 0, 0
    while last < until:
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
    return count


def bounded(running: Running, readers: int, events: int, record_property: Any) -> None:
    """Let readers stand still while events arrive; measure, and let one of them catch up."""

    async def session() -> None:
        token = await asyncio.to_thread(token_of, running)
        load = Load(running)
        async with AsyncExitStack() as stack:
            await load.write(1)
            begin = load.last
            connections = [await reader(stack, running, token) for _ in range(readers)]
            await load.write(WARM_UP)
            server = psutil.Process(running.process.pid)
            before = server.memory_info().rss
            await load.write(events, description=TEXT)
            grown = server.memory_info().rss - before
            record_property("grown_mb", grown // 1_000_000)
            assert grown < SHARED_BYTES_MAX + readers * PER_READER_BYTES_MAX
            one = connections[0]
            if events > 10_000:  # by now, who takes nothing was shown out, and comes back
                one = await reader(
                    stack, running, await asyncio.to_thread(token_of, running), begin
                )
            async with asyncio.timeout(600):
                assert await catch_up(one, load.last) == events + WARM_UP

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
        async with AsyncExitStack() as stack:
            connections = [await reader(stack, running, token) for _ in range(1_000)]
            writing = asyncio.create_task(load.write(500))
            async with asyncio.timeout(600):
                await writing
                counts = await asyncio.gather(*(catch_up(c, load.last) for c in connections))
        assert set(counts) == {500}

    asyncio.run(session())
