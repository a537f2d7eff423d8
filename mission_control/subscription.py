"""One room, followed over however many connections it takes."""

import asyncio
import json
import logging
import random
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from mission_control.events import Event
from mission_control.refusals import Refused, Reset

SUBPROTOCOL = "mc.v1"
PAUSE_S = 0.2
PAUSE_S_MAX = 15.0
OPEN_S = 10.0
CLOSE_S = 1.0
SILENT_PINGS_MAX = 3
REFRESH_BEFORE_S = 30.0
REFRESH_PAUSE_S = 5.0
MESSAGE_BYTES_MAX = 16 * 1024 * 1024
WAITING_MESSAGES_MAX = 4
WARN_AGAIN_S = 300.0

HOPELESS = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)
"""What is wrong on this side, and would be wrong the next time."""

Message = Mapping[str, Any]

log = logging.getLogger("mission_control")


class Lost(Exception):
    """The connection is of no use any more; the next one goes on where this one ended."""


class Server(Protocol):
    """What a subscription asks of the client."""

    @property
    def socket_url(self) -> str: ...

    @property
    def proxies(self) -> bool: ...

    async def ticket(self) -> str: ...


@dataclass
class _Line:
    """A connection that was let in."""

    socket: ClientConnection
    ping_s: float = OPEN_S
    refresh_at: float = float("inf")
    """When (monotonic) to ask for more time."""

    def lasts_until(self, expires_at: str | None) -> None:
        """Note when access ends."""
        if expires_at is not None:
            left_s = (datetime.fromisoformat(expires_at) - datetime.now(UTC)).total_seconds()
            pause_s = max(REFRESH_PAUSE_S, left_s - REFRESH_BEFORE_S)
            self.refresh_at = time.monotonic() + pause_s

    async def say(self, t: str, **members: Any) -> None:
        told = {name: value for name, value in members.items() if value is not None}
        await self.socket.send(json.dumps({"t": t, **told}))

    async def hear(self, within_s: float | None = None) -> Message:
        """Return the next message; a server that shows no sign of life for long is given up."""
        try:
            async with asyncio.timeout(within_s or self.ping_s * SILENT_PINGS_MAX):
                heard: Message = json.loads(await self.socket.recv())
        except TimeoutError:
            raise Lost("the server is silent") from None
        return heard


class Subscription(AsyncIterator[Event]):
    """Gives the events of a room: each once, in order, without a gap.

    `last` is the position up to which everything was given, `log_id` the log that it is of, and `present`
    who is in the room, as (kind, id). A batch of the past is acknowledged when all of it was taken, so a
    program that is slow is sent no more than it takes. `on_connection` is called with True when the room
    is followed, and with False when the connection is lost or can't be made.

    Waiting for the next event may be given up at any time, as by `asyncio.wait_for(anext(s), 3)`: the
    next `anext` goes on from there. `aclose` ends the iteration, also where a task waits in it.
    """

    def __init__(
        self, server: Server, room: str, pos: int | None, log_id: str | None,
        pause_s_max: float = PAUSE_S_MAX, on_connection: Callable[[bool], None] | None = None,
    ) -> None:  # fmt: skip
        self._server = server
        self.room = room
        self.last = pos
        self.log_id = log_id
        self.present: frozenset[tuple[str, str]] = frozenset()
        self._asked = 0
        self._granted = False
        self._pause_s = PAUSE_S
        self._pause_s_max = pause_s_max
        self._on_connection = on_connection or (lambda _: None)
        self._warned_at: float | None = None
        self._ready = deque[Event]()
        self._messages = self._for_ever()
        self._fetching: asyncio.Task[list[Event]] | None = None
        self._closing: asyncio.Task[None] | None = None

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> Event:
        while not self._ready or self._closing:
            await self._fetch()
        event = self._ready.popleft()
        self.last = event.position
        return event

    async def aclose(self) -> None:
        """Leave the room. The iteration ends, as if there were no more events."""
        self._closing = self._closing or asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _fetch(self) -> None:
        """Wait for events. The waiting is a task's, so that to give it up here does not end it there."""
        if self._closing:
            raise StopAsyncIteration
        fetching = self._fetching = self._fetching or asyncio.create_task(self._next_message())
        await asyncio.wait({fetching})
        if self._fetching is fetching and not self._closing:
            self._fetching = None
            self._ready.extend(fetching.result())

    async def _next_message(self) -> list[Event]:
        return await anext(self._messages)

    async def _close(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait({self._fetching})
        await self._messages.aclose()

    async def _for_ever(self) -> AsyncGenerator[list[Event], None]:
        """Yield the new events of each message; who asks for more has taken them."""
        while True:
            try:
                async with self._connected() as line, aclosing(self._one_life(line)) as messages:
                    async for events in messages:
                        self._pause_s = PAUSE_S
                        yield events
            except HOPELESS:
                raise
            except (Lost, WebSocketException, OSError, httpx.HTTPError, EOFError) as error:
                self._warn(error)
            self.present = frozenset()
            self._on_connection(False)
            # With jitter: a thousand clients of one server must not come back in one moment.
            pause_s = min(self._pause_s, self._pause_s_max)
            await asyncio.sleep(random.uniform(0, pause_s))  # noqa: S311 - no secret
            self._pause_s = pause_s * 2

    def _warn(self, error: Exception) -> None:
        """Say why there is no connection: at once, and now and then for as long as there is none."""
        now = time.monotonic()
        if self._warned_at is not None and now < self._warned_at + WARN_AGAIN_S:
            return
        self._warned_at = now
        reason = str(error) or type(error).__name__
        log.warning("%s: no connection, trying again: %s", self.room, reason)

    def _stands(self) -> None:
        """The room is followed."""
        if self._warned_at is not None:
            self._warned_at = None
            log.info("%s: connected again", self.room)
        self._on_connection(True)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[_Line]:
        # Before the socket: that a key is in force no more is learnt here.
        ticket = await self._server.ticket()
        proxy: Literal[True] | None = True if self._server.proxies else None
        async with connect(
            self._server.socket_url, subprotocols=[SUBPROTOCOL], open_timeout=OPEN_S,  # type: ignore[list-item]
            close_timeout=CLOSE_S, max_size=MESSAGE_BYTES_MAX, max_queue=WAITING_MESSAGES_MAX,
            ping_interval=None, compression=None, proxy=proxy,
        ) as socket:  # fmt: skip
            line = _Line(socket)
            await line.say("connect", id=0, ticket=ticket)
            heard = await line.hear(OPEN_S)
            if heard["t"] != "connected":
                raise Lost("the server does not let us in")
            if self.log_id is None:
                self.log_id = heard["log_id"]
            line.ping_s = float(heard["ping_s"])
            line.lasts_until(heard.get("expires_at"))
            yield line

    async def _one_life(self, line: _Line) -> AsyncGenerator[list[Event], None]:
        await self._ask(line)
        while True:
            if time.monotonic() >= line.refresh_at:
                line.refresh_at = time.monotonic() + REFRESH_PAUSE_S
                await line.say("refresh", ticket=await self._server.ticket())
            heard = await line.hear()
            if heard["t"] not in {"batch", "ev"}:
                await self._obey(line, heard)
            elif self._granted:
                if events := self._new_in(heard):
                    yield events
                await self._taken(line, heard)

    async def _ask(self, line: _Line) -> None:
        """Subscribe from where we are; what comes of an older subscription is not looked at."""
        self._granted = False
        self._asked += 1
        await line.say("sub", id=self._asked, room=self.room, pos=self.last, log_id=self.log_id)

    def _new_in(self, heard: Message) -> list[Event]:
        """Return a message's events that we don't have, as far as there is no gap before them."""
        last = self.last or 0
        found: list[Event] = []
        for told in _told(heard):
            if told["pos"] <= last:
                continue
            if told["prev"] > last:
                break
            found.append(Event.of(self.room, told))
            last = told["pos"]
        return found

    async def _taken(self, line: _Line, heard: Message) -> None:
        upto = _told(heard)[-1]["pos"]
        if upto > (self.last or 0):  # there was a gap
            await self._ask(line)
        elif heard["t"] == "batch" and not heard.get("live"):
            await line.say("ack", room=self.room, pos=upto)

    async def _obey(self, line: _Line, heard: Message) -> None:
        match heard["t"]:
            case "ping":
                await line.say("pong")
            case "sub_ok" if heard["id"] == self._asked:
                self._granted = True
                self._stands()
                if self.last is None:
                    self.last = heard["head"]
            case "live" if self._granted:
                self.last = max(self.last or 0, heard["pos"])
            case "presence":
                self._note(heard)
            case "refresh_ok":
                line.lasts_until(heard.get("expires_at"))
            case "drain":
                # The server closes when it is our turn, and the next connection finds another.
                self._pause_s = PAUSE_S
            case "reset":
                raise Reset(self.room, heard["log_id"])
            case "err" if heard.get("room") == self.room or heard["code"] == "bad_message":
                raise Refused(self.room, heard["code"])
            case _:
                pass  # of a later version of the protocol, or of a subscription that we gave up

    def _note(self, heard: Message) -> None:
        joined, left = (
            frozenset((one["kind"], one["id"]) for one in heard[way]) for way in ("join", "leave")
        )
        known = frozenset[tuple[str, str]]() if heard.get("all") else self.present
        self.present = (known | joined) - left


def _told(heard: Message) -> list[Message]:
    return list(heard["events"]) if heard["t"] == "batch" else [heard]
