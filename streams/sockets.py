"""One WebSocket client: the protocol `mc.v1`, replay, and bounded buffers."""

import asyncio
import contextlib
import math
import time
from collections import deque
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from infra.http.principal import Principal
from infra.logging import log
from streams.live import Live

SUBPROTOCOL = "mc.v1"
CONNECT_S = 10
PING_S = 25
PINGS_UNANSWERED_MAX = 2
ACK_S = 60
ROOMS_MAX = 100
MESSAGE_BYTES_MAX = 16_384
MESSAGES_PER_S = 50
SOCKET_QUEUE_EVENTS_MAX = 1_000
TOKEN, REVOKED, SLOW, NO_PONG, RATE = 4001, 4003, 4008, 4012, 4029

_encode = msgspec.json.Encoder().encode


class Connect(msgspec.Struct, tag_field="t", tag="connect", forbid_unknown_fields=True):
    ticket: str
    id: int | None = None


class Refresh(msgspec.Struct, tag_field="t", tag="refresh", forbid_unknown_fields=True):
    ticket: str
    id: int | None = None


class Sub(msgspec.Struct, tag_field="t", tag="sub", forbid_unknown_fields=True):
    room: str
    id: int | None = None
    pos: int | None = None
    log_id: str | None = None


class Unsub(msgspec.Struct, tag_field="t", tag="unsub", forbid_unknown_fields=True):
    room: str
    id: int | None = None


class Ack(msgspec.Struct, tag_field="t", tag="ack", forbid_unknown_fields=True):
    room: str
    pos: int


class Pong(msgspec.Struct, tag_field="t", tag="pong", forbid_unknown_fields=True):
    pass


_decoder = msgspec.json.Decoder(Connect | Refresh | Sub | Unsub | Ack | Pong)


class Closed(Exception):
    """The socket has to end, with this close code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Subscription:
    """One room of one socket. `sent` is the highest position that the client was sent or asked from."""

    def __init__(self, socket: "Socket", room: str, key: str, sent: int) -> None:
        self.socket = socket
        self.room = room
        self.key = key
        self.sent = sent
        self.live = False
        self.acked = asyncio.Event()
        self.acked_position = 0
        self.task: asyncio.Task[None] | None = None

    def offer(self, position: int, encoded: bytes) -> None:
        """Queue a live event; a client that can't keep up goes back to replay."""
        self.socket.queue(self, position, encoded)


class Socket:
    """A connected client."""

    def __init__(self, websocket: WebSocket, live: Live, principal: Principal) -> None:
        self._websocket = websocket
        self._live = live
        self._principal = principal
        self._subscriptions: dict[str, Subscription] = {}
        self._queue: deque[tuple[Subscription, int, bytes]] = deque()
        self._queued = asyncio.Event()
        self._sending = asyncio.Lock()
        self._unanswered = 0
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._asking: asyncio.Task[None] | None = None

    @property
    def workspace_id(self) -> UUID:
        """The workspace that this client is in."""
        return self._principal.workspace_id

    async def run(self) -> None:
        """Serve the client until it goes, or has to."""
        self._live.sockets.add(self)
        tasks = [asyncio.create_task(work) for work in (self._read(), self._write(), self._ping())]
        try:
            ending: list[asyncio.Future[Any]] = [*tasks, self._ended]
            await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done() and isinstance(error := task.exception(), Closed):
                    self.end(error.code)
        finally:
            self._live.sockets.discard(self)
            for subscription in list(self._subscriptions.values()):
                self._drop(subscription)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._close()

    def end(self, code: int) -> None:
        """Close the socket with a code, soon."""
        if not self._ended.done():
            self._ended.set_result(code)

    def queue(self, subscription: Subscription, position: int, encoded: bytes) -> None:
        """Take a live event for the writer; bounded: beyond it, the client is served by replay."""
        if len(self._queue) >= SOCKET_QUEUE_EVENTS_MAX:
            self._queue.clear()
            for other in self._subscriptions.values():
                if other.live:
                    other.live = False
                    self._start(self._replay(other), other)
            return
        self._queue.append((subscription, position, encoded))
        self._queued.set()

    def ask_again(self) -> None:
        """Check what this client may still see, since roles or keys changed."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_again())

    async def _ask_again(self) -> None:
        current = await self._live.identity.current(self._principal)
        if current is None:
            self.end(REVOKED)
            return
        self._principal = current
        for subscription in list(self._subscriptions.values()):
            if await self._live.resolve(subscription.room, current) is None:
                self._drop(subscription)
                await self._send({"t": "err", "room": subscription.room, "code": "forbidden"})

    # What the client says

    async def _read(self) -> None:
        allowance, last = float(MESSAGES_PER_S), time.monotonic()
        while True:
            text = await self._receive()
            now = time.monotonic()
            allowance = min(MESSAGES_PER_S, allowance + (now - last) * MESSAGES_PER_S) - 1
            last = now
            if allowance < 0:
                raise Closed(RATE)
            message = await self._decode(text)
            if message is not None:
                await self._handle(message)

    async def _receive(self) -> str:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise Closed(1000)
        return message.get("text") or ""

    async def _decode(self, text: str) -> Any:
        if len(text) > MESSAGE_BYTES_MAX:
            await self._send(
                {"t": "err", "code": "too_large", "detail": f"at most {MESSAGE_BYTES_MAX} bytes"}
            )
            return None
        try:
            return _decoder.decode(text)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
            await self._send({"t": "err", "code": "bad_message", "detail": str(error)[:200]})
            return None

    async def _handle(self, message: Any) -> None:
        match message:
            case Sub():
                await self._subscribe(message)
            case Unsub(room=room):
                if room in self._subscriptions:
                    self._drop(self._subscriptions[room])
            case Ack(room=room, pos=pos):
                subscription = self._subscriptions.get(room)
                if subscription is not None:
                    subscription.acked_position = pos
                    subscription.acked.set()
            case Refresh():
                await self._refresh(message)
            case Pong():
                self._unanswered = 0
            case _:
                await self._send(
                    {
                        "t": "err",
                        "id": message.id,
                        "code": "bad_message",
                        "detail": "connected already",
                    }
                )

    async def _refresh(self, message: Refresh) -> None:
        principal = await self._live.identity.redeem_ticket(message.ticket)
        if principal is None or principal.actor != self._principal.actor:
            raise Closed(TOKEN)
        self._principal = principal
        await self._send(connected(self._live, principal, message.id))

    async def _subscribe(self, message: Sub) -> None:
        old = self._subscriptions.get(message.room)
        if old is not None:
            self._drop(old)
        if len(self._subscriptions) >= ROOMS_MAX:
            await self._send({"t": "err", "id": message.id, "code": "too_many_rooms"})
            return
        key = await self._live.resolve(message.room, self._principal)
        if key is None:
            await self._send(
                {"t": "err", "id": message.id, "room": message.room, "code": "forbidden"}
            )
            return
        head = self._live.position
        position = message.pos if message.pos is not None else head
        foreign = message.log_id is not None and message.log_id != str(self._live.log_id)
        if foreign or not 0 <= position <= head:
            await self._send(
                {"t": "reset", "id": message.id, "room": message.room, "log_id": self._live.log_id}
            )
            return
        subscription = Subscription(self, message.room, key, position)
        self._subscriptions[message.room] = subscription
        self._live.enter(subscription)
        replaying = message.pos is not None
        await self._send({
            "t": "sub_ok", "id": message.id, "room": message.room, "head": head, "replaying": replaying,
            "log_id": self._live.log_id,
        })  # fmt: skip
        self._start(self._replay(subscription, announce=replaying), subscription)

    def _drop(self, subscription: Subscription) -> None:
        subscription.live = False
        self._live.leave(subscription)
        if subscription.task is not None:
            subscription.task.cancel()
        if self._subscriptions.get(subscription.room) is subscription:
            del self._subscriptions[subscription.room]

    # What the client is told

    def _start(self, work: Any, subscription: Subscription) -> None:
        subscription.task = asyncio.create_task(work)
        subscription.task.add_done_callback(self._replay_ended)

    def _replay_ended(self, task: "asyncio.Task[None]") -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        if not isinstance(error, Closed):
            log.error("replay failed", error=type(error).__name__)
        self.end(error.code if isinstance(error, Closed) else 1011)

    async def _replay(self, subscription: Subscription, *, announce: bool = True) -> None:
        """Send a room's past in batches, each acknowledged, until there is none left; then go live."""
        reached = subscription.sent
        while True:
            page = await self._live.past(subscription.key, reached)
            if page.events:
                subscription.acked.clear()
                events = b",".join(encoded for _, encoded in page.events)
                await self._send_bytes(_frame(subscription.room, events))
                subscription.sent = page.events[-1][0]
                await self._await_ack(subscription)
            reached = page.reached
            if self._live.go_live(subscription, page):
                subscription.sent = max(subscription.sent, reached)
                if announce:
                    await self._send({"t": "live", "room": subscription.room, "pos": reached})
                return

    async def _await_ack(self, subscription: Subscription) -> None:
        try:
            async with asyncio.timeout(ACK_S):
                while subscription.acked_position < subscription.sent:
                    subscription.acked.clear()
                    await subscription.acked.wait()
        except TimeoutError:
            raise Closed(SLOW) from None

    async def _write(self) -> None:
        while True:
            await self._queued.wait()
            self._queued.clear()
            while self._queue:
                await self._write_queued()

    async def _write_queued(self) -> None:
        """Send what piled up: one event as it is, more of the same room as one batch."""
        subscription = self._queue[0][0]
        room = subscription.room
        events: list[bytes] = []
        while (
            self._queue
            and self._queue[0][0] is subscription
            and len(events) < SOCKET_QUEUE_EVENTS_MAX
        ):
            _, position, encoded = self._queue.popleft()
            events.append(encoded)
            subscription.sent = position
        if not subscription.live:
            return  # left the room, or is served by replay, which starts behind what was sent before
        if len(events) == 1:
            head = b'{"t":"ev","room":' + _encode(room) + b","
            await self._send_bytes(head + events[0][1:])
        else:
            await self._send_bytes(_frame(room, b",".join(events), live=True))

    async def _ping(self) -> None:
        while True:
            left_s = self._left_s()
            if left_s <= 0:
                raise Closed(TOKEN)
            if left_s < PING_S:
                await asyncio.sleep(left_s)
                continue
            await asyncio.sleep(PING_S)
            if self._unanswered >= PINGS_UNANSWERED_MAX:
                raise Closed(NO_PONG)
            self._unanswered += 1
            await self._send({"t": "ping"})

    def _left_s(self) -> float:
        """Return how long this client's access lasts; a key's lasts until it is revoked."""
        expires_at = self._principal.expires_at
        return math.inf if expires_at is None else (expires_at - datetime.now(UTC)).total_seconds()

    async def _send(self, message: dict[str, Any]) -> None:
        await self._send_bytes(_encode({k: v for k, v in message.items() if v is not None}))

    async def _send_bytes(self, encoded: bytes) -> None:
        try:
            async with asyncio.timeout(ACK_S), self._sending:
                await self._websocket.send({"type": "websocket.send", "text": encoded.decode()})
        except TimeoutError:
            raise Closed(SLOW) from None
        except (RuntimeError, OSError, WebSocketDisconnect):
            raise Closed(1000) from None

    async def _close(self) -> None:
        code = self._ended.result() if self._ended.done() else 1000
        if self._websocket.client_state == WebSocketState.CONNECTED:
            with contextlib.suppress(RuntimeError, OSError, WebSocketDisconnect):
                await self._websocket.close(code)


async def live_socket(websocket: WebSocket) -> None:
    """Serve `/ws`: the first message brings a ticket; an origin of our own, or none, is let in."""
    live: Live = websocket.app.state.live
    origin = websocket.headers.get("origin")
    if origin is not None and origin not in live.origins:
        await websocket.close(1008)
        return
    offered = websocket.scope.get("subprotocols", [])
    await websocket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
    try:
        async with asyncio.timeout(CONNECT_S):
            first = _decoder.decode(await websocket.receive_text())
        principal = (
            await live.identity.redeem_ticket(first.ticket) if isinstance(first, Connect) else None
        )
    except (TimeoutError, msgspec.DecodeError, UnicodeEncodeError, KeyError, RecursionError):
        principal = None
    except WebSocketDisconnect:
        return
    if principal is None:
        await websocket.close(TOKEN)
        return
    await websocket.send(
        {"type": "websocket.send", "text": _encode(connected(live, principal, first.id)).decode()}
    )
    await Socket(websocket, live, principal).run()


def connected(live: Live, principal: Principal, message_id: int | None) -> dict[str, Any]:
    """Return the answer to `connect`."""
    return {
        "t": "connected", "id": message_id, "log_id": live.log_id, "ping_s": PING_S,
        "expires_at": principal.expires_at,
    }  # fmt: skip


def _frame(room: str, events: bytes, *, live: bool = False) -> bytes:
    flag = b'"live":true,' if live else b""
    return b'{"t":"batch","room":' + _encode(room) + b"," + flag + b'"events":[' + events + b"]}"
