"""D: live updates on the server as `mission-control up` starts it, against a loop over Starlette's sockets."""

import asyncio
import base64
import contextlib
import json
import os
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import cast
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import jwt
import uvloop

from benchmarks.http import Request
from benchmarks.processes import open_files, process, sign_in, up
from benchmarks.scene import (
    Author,
    Result,
    append_all,
    head,
    ms,
    new_database,
    open_log,
    percentile,
)
from infra.embedded_postgres import EmbeddedPostgres

SOCKETS, REPLAYERS, REPLAYED = 1_000, 200, 1_000
SAMPLED_EVERY = 20
SATURATING = 2_000
SATURATED_S, STEADY_S = 6.0, 5.0
WRITERS = 16
RATES = (20, 100)
TICKETS_AT_ONCE = 8
FILES = 2_000
BODY = json.dumps({"title": "Summarise the incidents", "description": "x" * 100}).encode()
MASK = b"\0\0\0\0"  # RFC 6455 asks for a random one; the server does not look


def client_frame(text: str) -> bytes:
    """Return a client's text frame."""
    payload = text.encode()
    size = len(payload)
    head = bytes([0x81, 0x80 | size]) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
    return head + MASK + payload


class Listener(asyncio.Protocol):
    """A WebSocket client that costs as little as it can: it counts events, and times some."""

    def __init__(self, url: str, first: list[str], *, sampled: bool) -> None:
        self._url = urlsplit(url)
        self._first = first
        self._buffer = b""
        self._open = False
        self._sampled = sampled
        self.events = 0
        self.latencies: list[float] = []
        self.connected = self.replayed = False
        self.changed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        key = base64.b64encode(os.urandom(16)).decode()
        self.transport.write(
            f"GET /ws HTTP/1.1\r\nhost: {self._url.netloc}\r\nupgrade: websocket\r\n"
            f"connection: Upgrade\r\nsec-websocket-key: {key}\r\nsec-websocket-version: 13\r\n"
            f"sec-websocket-protocol: mc.v1\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data if self._buffer else data
        if not self._open:
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self._buffer = head
                return
            self._open = True
            for text in self._first:
                self.say(text)
        start, end = 0, len(data)
        while end - start >= 2:
            size, begin = data[start + 1], start + 2
            if size == 126:
                size, begin = int.from_bytes(data[start + 2 : start + 4], "big"), start + 4
            elif size == 127:
                size, begin = int.from_bytes(data[start + 2 : start + 10], "big"), start + 10
            if begin + size > end:
                break
            self._heard(data[begin : begin + size])
            start = begin + size
        self._buffer = data[start:]

    def say(self, text: str) -> None:
        self.transport.write(client_frame(text))

    def _heard(self, text: bytes) -> None:
        count = text.count(b'"pos":')
        if text.startswith((b'{"t":"ev"', b'{"t":"batch"')):
            self.events += count
            if self._sampled:
                self._time(text)
            if text.startswith(b'{"t":"batch"') and b'"live":true' not in text[:120]:
                at = text.rindex(b'{"pos":') + 7
                last = int(text[at : text.index(b",", at)])
                self.say(json.dumps({"t": "ack", "room": "workspace", "pos": last}))
        elif text.startswith(b'{"t":"live"'):
            self.replayed = True
        elif text.startswith(b'{"t":"connected"'):
            self.connected = True
        elif text.startswith(b'{"t":"ping"'):
            self.say('{"t":"pong"}')
        self.changed.set()

    def _time(self, text: bytes) -> None:
        now = time.time()
        for part in text.split(b'"timestamp":"')[1:]:
            at = datetime.fromisoformat(part[: part.index(b'"')].decode())
            self.latencies.append(now - at.timestamp())


class Audience:
    """So many listeners of one room."""

    def __init__(self, listeners: list[Listener]) -> None:
        self.listeners = listeners

    @classmethod
    async def of(
        cls, url: str, firsts: list[list[str]], kind: type[Listener] = Listener
    ) -> "Audience":
        """Connect one listener for each list of first messages."""
        loop, parts = asyncio.get_running_loop(), urlsplit(url)
        listeners = []
        for number, first in enumerate(firsts):
            listener = kind(url, first, sampled=number % SAMPLED_EVERY == 0)
            await loop.create_connection(lambda made=listener: made, parts.hostname, parts.port)
            listeners.append(listener)
        return cls(listeners)

    async def have(self, events: int, within_s: float = 60.0) -> None:
        """Wait until everybody has heard so many events."""
        await self._each(lambda listener: listener.events >= events, within_s)

    async def are_connected(self, within_s: float = 60.0) -> None:
        """Wait until everybody was let in."""
        await self._each(lambda listener: listener.connected, within_s)

    async def are_live(self, within_s: float = 60.0) -> None:
        """Wait until everybody was replayed everything."""
        await self._each(lambda listener: listener.replayed, within_s)

    async def _each(self, done: Callable[[Listener], bool], within_s: float) -> None:
        async with asyncio.timeout(within_s):
            for listener in self.listeners:
                while not done(listener):
                    listener.changed.clear()
                    await listener.changed.wait()

    def forget(self) -> None:
        """Begin to count anew."""
        for listener in self.listeners:
            listener.events = 0
            listener.latencies.clear()

    @property
    def latencies(self) -> list[float]:
        return [one for listener in self.listeners for one in listener.latencies]

    async def leave(self) -> None:
        for listener in self.listeners:
            listener.transport.abort()
        await asyncio.sleep(0.5)


async def _tickets(url: str, token: str, count: int) -> list[str]:
    request = Request(url, "/api/ws/ticket", token, b"")
    while request.statuses.get(200, 0) < count:
        await request.repeat(TICKETS_AT_ONCE, 0.1)
    answers = [json.loads(body) for body in request.bodies]
    return [answer["ticket"] for answer in answers if "ticket" in answer][:count]


async def audience_of(
    url: str, token: str, count: int, kind: type[Listener] = Listener
) -> Audience:
    """Let so many listeners in, to the room of the whole workspace."""
    sub = {"t": "sub", "id": 2, "room": "workspace"}
    audience = Audience([])
    for _ in range(0, count, REPLAYERS):  # a few at a time: tickets last half a minute
        tickets = await _tickets(url, token, min(count, REPLAYERS))
        firsts = [[json.dumps({"t": "connect", "ticket": t}), json.dumps(sub)] for t in tickets]
        audience.listeners += (await Audience.of(url, firsts, kind)).listeners
        await audience.are_connected()
    return audience


async def steadily(send: Callable[[], Awaitable[object]], rate: int, seconds: float) -> int:
    """Send so many times a second; return how many in all."""
    count, begin = int(rate * seconds), time.perf_counter()
    running = set()
    for number in range(count):
        await asyncio.sleep(max(0.0, begin + number / rate - time.perf_counter()))
        running.add(asyncio.ensure_future(send()))
    await asyncio.gather(*running)
    return count


class Measured:
    """What one server reached."""

    deliveries_s: float
    saturated: list[float]
    steady: dict[int, list[float]]
    replay_s: float


async def saturate(dsn: str, token: str, redis_url: str | None = None) -> int:
    """Append to the log as another process would, as fast as it takes them; return the head."""
    claims = jwt.decode(token, options={"verify_signature": False})
    author = Author(UUID(claims["wid"]))
    async with open_log(dsn, redis_url) as (database, log):
        await append_all(log, [author.append(author.board)], 1)
        await append_all(log, [author.mission() for _ in range(SATURATING - 1)], 256)
        return await head(database)


async def _ours(url: str, token: str, dsn: str) -> Measured:
    found = Measured()
    me = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    fill = Request(url, "/api/missions", token, BODY)
    while fill.statuses.get(201, 0) < REPLAYED:
        await fill.repeat(WRITERS, 0.25)
    audience = await audience_of(url, token, SOCKETS)
    await asyncio.sleep(2)  # who is there was told to all
    found.steady = {}
    async with httpx.AsyncClient(base_url=url, headers=me, timeout=30) as client:
        for rate in RATES:
            audience.forget()
            count = await steadily(
                lambda: client.post("/api/missions", content=BODY), rate, STEADY_S
            )
            await audience.have(count)
            found.steady[rate] = audience.latencies
    audience.forget()
    begin = time.perf_counter()
    last = await saturate(dsn, token)
    await audience.have(SATURATING)
    found.deliveries_s = SATURATING * SOCKETS / (time.perf_counter() - begin)
    found.saturated = audience.latencies
    await audience.leave()
    tickets = await _tickets(url, token, REPLAYERS)
    replayed = await Audience.of(
        url, [[json.dumps({"t": "connect", "ticket": t})] for t in tickets]
    )
    await replayed.are_connected()
    sub = json.dumps({"t": "sub", "id": 2, "room": "workspace", "pos": last - REPLAYED})
    begin = time.perf_counter()
    for listener in replayed.listeners:
        listener.say(sub)
    await replayed.are_live()
    found.replay_s = time.perf_counter() - begin
    assert all(listener.events == REPLAYED for listener in replayed.listeners)
    await replayed.leave()
    return found


async def _peers(url: str, size: int) -> Measured:
    found = Measured()
    audience = await Audience.of(url, [["listen"] for _ in range(SOCKETS)])
    feed = (await Audience.of(url, [["feed"]])).listeners[0]
    await asyncio.sleep(0.5)
    sent = 0

    async def send() -> None:
        nonlocal sent
        now = datetime.now().astimezone().isoformat()
        head = f'{{"t":"ev","pos":{sent},"prev":0,"timestamp":"{now}","x":"'
        feed.say(head + "x" * (size - len(head) - 2) + '"}')
        sent += 1

    found.steady = {}
    for rate in RATES:
        audience.forget()
        count = await steadily(send, rate, STEADY_S)
        with contextlib.suppress(TimeoutError):  # a peer that lags is measured as far as it came
            await audience.have(count, 30.0)
        found.steady[rate] = audience.latencies
    audience.forget()
    begin, before = time.perf_counter(), sent
    while time.perf_counter() - begin < SATURATED_S:
        # As fast as it takes them: a few are always on their way.
        await send()
        with contextlib.suppress(TimeoutError):
            await audience.have(sent - before - 4)
    await audience.have(sent - before)
    found.deliveries_s = (sent - before) * SOCKETS / (time.perf_counter() - begin)
    found.saturated = audience.latencies
    await audience.leave()
    begin = time.perf_counter()
    replayed = await Audience.of(
        url, [[f"replay {REPLAYED} {size - 40}"] for _ in range(REPLAYERS)]
    )
    await replayed.have(REPLAYED)
    found.replay_s = time.perf_counter() - begin
    await replayed.leave()
    return found


async def _event_size(url: str, token: str) -> int:
    me = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=url, headers=me) as client:
        params = {"room": "workspace", "pos": "0"}
        async with client.stream("GET", "/api/stream", params=params) as answer:
            sizes = []
            async for line in answer.aiter_lines():
                if '"event":"mission.created' in line:
                    sizes.append(len(line))
                if '"t":"live"' in line:
                    return sum(sizes) // len(sizes)
    raise RuntimeError("the stream ended")


def live(postgres: EmbeddedPostgres, _: int) -> list[Result]:
    """D1, D2, D3."""
    open_files(FILES)
    dsn = new_database(postgres, with_schema=False)
    with up(dsn) as url:
        token = sign_in(url)
        ours = uvloop.run(_ours(url, token, dsn))
        size = uvloop.run(_event_size(url, token))
    with process(["benchmarks.live_peers"]) as url:
        peer = uvloop.run(_peers(url, size))
    return [
        _saturation(ours, peer),
        *(_steady(rate, ours, peer) for rate in RATES),
        _replay(ours, peer),
    ]


def _saturation(ours: Measured, peer: Measured) -> Result:
    ratio = ours.deliveries_s / peer.deliveries_s
    return Result(
        f"D1 one room, {SOCKETS:,} sockets", f"{ours.deliveries_s:,.0f}/s, {ms(ours.saturated)}",
        f"{peer.deliveries_s:,.0f}/s, {ms(peer.saturated)}", ratio, "≥ 8x, p99 ≤ 80 ms",
        ratio >= 8 and percentile(ours.saturated, 99) <= 0.08,
    )  # fmt: skip


def _steady(rate: int, ours: Measured, peer: Measured) -> Result:
    mine, theirs = ours.steady[rate], peer.steady[rate]
    p50, p99 = percentile(mine, 50), percentile(mine, 99)
    return Result(
        f"D2 commit → socket, {rate} events/s", ms(mine), ms(theirs),
        percentile(theirs, 50) / p50, "p50 ≤ 10 ms, p99 ≤ 25 ms", p50 <= 0.01 and p99 <= 0.025,
    )  # fmt: skip


def _replay(ours: Measured, peer: Measured) -> Result:
    ratio = peer.replay_s / ours.replay_s
    return Result(
        f"D3 replay {REPLAYED:,} events, {REPLAYERS} sockets", f"{ours.replay_s:.2f} s",
        f"{peer.replay_s:.2f} s", ratio, "≥ 4x", ratio >= 4,
    )  # fmt: skip
