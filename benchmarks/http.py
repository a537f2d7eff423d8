"""B: commands over HTTP on the server as `mission-control up` starts it."""

import asyncio
import json
import time
from typing import cast
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import uvloop
from uuid_utils.compat import uuid7

from benchmarks import peers
from benchmarks.processes import process, sign_in, up
from benchmarks.scene import Result, ms, new_database, percentile
from infra.embedded_postgres import EmbeddedPostgres

CLIENTS, CLAIMERS = 64, 16
SECONDS = 6.0
CLAIMABLE = 4000
WARM_UP_S = 1.5
BODY = json.dumps({"title": "Summarise the incidents", "description": "x" * 100}).encode()


class Line(asyncio.Protocol):
    """One keep-alive connection that sends a request whenever the last one was answered."""

    def __init__(self, request: "Request") -> None:
        self._request = request
        self._buffer = b""
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = 0
        for line in head.lower().split(b"\r\n")[1:]:
            if line.startswith(b"content-length:"):
                length = int(line[15:])
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        self._request.answered(int(head[9:12]), rest[:length], time.perf_counter() - self._sent_at)
        if self._request.goes_on():
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._request.lines_open -= 1
        if not self._request.lines_open:
            self._request.finished.set()

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(self._request.encoded())


class Request:
    """The same request again and again, with an Idempotency-Key of its own each time."""

    def __init__(self, url: str, path: str, token: str, body: bytes) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "", parts.port or 80
        self._head = (
            f"POST {path} HTTP/1.1\r\nhost: {parts.netloc}\r\nauthorization: Bearer {token}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\nidempotency-key: "
        ).encode()
        self._body = body
        self.latencies: list[float] = []
        self.statuses: dict[int, int] = {}
        self.bodies: list[bytes] = []
        self.lines_open = 0
        self.finished = asyncio.Event()

    def encoded(self) -> bytes:
        return b"%b%b\r\n\r\n%b" % (self._head, uuid7().hex.encode(), self._body)

    def answered(self, status: int, body: bytes, latency_s: float) -> None:
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.latencies.append(latency_s)
        self.bodies.append(body)

    def goes_on(self) -> bool:
        return time.perf_counter() < self._until

    async def repeat(self, clients: int, seconds: float) -> float:
        """Return requests per second."""
        loop = asyncio.get_running_loop()
        begin = time.perf_counter()
        self._until = begin + seconds
        self.lines_open = clients
        self.finished.clear()
        for _ in range(clients):
            await loop.create_connection(lambda: Line(self), self.host, self.port)
        await self.finished.wait()
        return len(self.latencies) / (time.perf_counter() - begin)


def _load(url: str, token: str) -> tuple[float, Request]:
    for seconds in (WARM_UP_S, SECONDS):
        request = Request(url, "/api/missions", token, BODY)

        async def repeat(asked: Request = request, lasting: float = seconds) -> float:
            return await asked.repeat(CLIENTS, lasting)

        rate = uvloop.run(repeat())
    assert set(request.statuses) == {201}, request.statuses
    return rate, request


def http(postgres: EmbeddedPostgres, _: int) -> list[Result]:
    """B1, B2, B3."""
    with process(["benchmarks.peers", "stock"], new_database(postgres, with_schema=False)) as url:
        stock, stock_request = _load(url, peers.token())
    with process(["benchmarks.peers", "none"]) as url:
        nothing, nothing_request = _load(url, peers.token())
    with up() as url:
        token = sign_in(url)
        rate, request = _load(url, token)
        claims, claim_request, twice = _claim(url, token)
    p99 = percentile(request.latencies, 99) * 1e3
    return [
        Result("B1 create mission, 64 clients", f"{rate:,.0f}/s, {ms(request.latencies)}",
               f"{stock:,.0f}/s, {ms(stock_request.latencies)}", rate / stock, "≥ 8x, p99 ≤ 25 ms",
               rate / stock >= 8 and p99 <= 25),
        Result("B2 of the endpoint without database", f"{rate:,.0f}/s",
               f"{nothing:,.0f}/s, {ms(nothing_request.latencies)}", rate / nothing, "≥ 0.6x",
               rate / nothing >= 0.6),
        Result("B3 claim next, 16 clients", f"{claims:,.0f}/s, {ms(claim_request.latencies)}, {twice} twice",
               target="≥ 1,700/s, 0 twice", met=claims >= 1700 and not twice),
    ]  # fmt: skip


def _claim(url: str, token: str) -> tuple[float, Request, int]:
    """Return claims per second, and how many missions were given twice."""
    me = {"authorization": f"Bearer {token}"}
    agent = httpx.post(f"{url}/api/agents", json={"name": "bench", "role": "worker"}, headers=me)
    agent.raise_for_status()
    key = httpx.post(f"{url}/api/agents/{agent.json()['id']}/keys", json={}, headers=me)
    key.raise_for_status()
    request = Request(url, "/api/missions/claim", key.json()["key"], b"")
    rate = uvloop.run(request.repeat(CLAIMERS, SECONDS / 2))
    given: list[UUID] = [
        UUID(json.loads(body)["mission"]["id"])
        for body in request.bodies
        if body.startswith(b'{"mission')
    ]
    print("claim answers by status:", request.statuses)
    return (
        rate * request.statuses.get(200, 0) / len(request.latencies),
        request,
        len(given) - len(set(given)),
    )
