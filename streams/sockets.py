"""`/ws`: one client's side of `mc.v1`. A task reads what it says, another writes what it is told."""

import asyncio
import time
from collections import deque
from datetime import UTC, datetime
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect

from infra.http.principal import Principal
from infra.http.wire import EXTENSION, Wire, text_frame
from infra.logging import log
from infra.tasks import end
from streams import protocol
from streams.live import Live
from streams.open_rooms import Subscription
from streams.protocol import (
    Ack,
    BadMessage,
    Connect,
    Ping,
    Pong,
    Refresh,
    Sub,
    Unsub,
    frame,
)
from streams.room_history import PAGE_EVENTS_MAX
from streams.rooms import Room, room_of

ROOMS_MAX = 100
FIRST_EVENTS = 50
MESSAGES_PER_S = 50.0
BURST_MESSAGES = 200.0
BAD_MESSAGE_COST = 10.0
OUTBOX_MAX = 1000
PINGS_MISSED_MAX = 2
CLOSE_WAIT_S = 1.0
PING = frame("ping")


async def live_socket(websocket: WebSocket) -> None:
    """Serve `mc.v1` to one client.

    A page of a foreign origin is refused; programs send no origin. Cookies count for nothing: only a
    ticket in the first message says who it is.
    """
    hub: Live = websocket.app.state.live
    origin = websocket.headers.get("origin")
    if origin is not None and origin not in hub.origins:
        await websocket.close()
        return
    offered = websocket.scope.get("subprotocols", [])
    await websocket.accept(protocol.SUBPROTOCOL if protocol.SUBPROTOCOL in offered else None)
    if hub.is_full:
        await websocket.close(protocol.CLOSE_FULL)
        return
    await LiveSocket(websocket, hub).serve()


class LiveSocket:
    """One client: its caller, its rooms, and what it has still to be told."""

    def __init__(self, websocket: WebSocket, hub: Live) -> None:
        self._websocket = websocket
        self._wire: Wire = websocket.scope["extensions"][EXTENSION]
        self._hub = hub
        self._identity = hub.identity
        self._principal: Principal | None = None
        # Rights are asked for and taken by one at a time: else what is older might be taken last.
        self._rights = asyncio.Lock()
        self._rooms: dict[str, Subscription] = {}
        self._outbox: deque[bytes] = deque()
        self._due: dict[Subscription, None] = {}
        self._awake = asyncio.Event()
        self._busy = False
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._opened_at = time.monotonic()
        self._next_ping_at = self._opened_at + hub.pace.ping_s
        self._pings_missed = 0
        self._allowance = BURST_MESSAGES
        self._allowance_at = self._opened_at

    @property
    def principal(self) -> Principal | None:
        """Who it is, once a ticket has told."""
        return self._principal

    async def serve(self) -> None:
        """Serve until one side ends it."""
        self._hub.add(self)
        tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._write())]
        try:
            ends: list[asyncio.Future[Any]] = [*tasks, self._ended]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            try:
                await end(tasks)
            finally:
                # Only now: what was being read may have entered a room until then.
                for subscription in self._rooms.values():
                    self._hub.unsubscribe(subscription)
                self._hub.remove(self)
        for task in tasks:
            error = None if task.cancelled() else task.exception()
            if isinstance(error, Exception) and not isinstance(error, WebSocketDisconnect):
                log.error("a socket failed", exc_info=error)
                self.end(protocol.CLOSE_FAILED)
        code = self._ended.result() if self._ended.done() else None
        if self._principal is not None:
            lived_ms = (time.monotonic() - self._opened_at) * 1000
            self._hub.telemetry.socket_closed(self._principal.workspace_id, code, lived_ms)
        if code is not None:
            await self._close(code)

    async def _close(self, code: int) -> None:
        try:
            async with asyncio.timeout(CLOSE_WAIT_S):
                await self._websocket.close(code)
        except TimeoutError:
            # A client that takes nothing does not take the close either, and what waits for it would
            # stay in memory for as long as it likes.
            self._wire.abort()
        except (WebSocketDisconnect, RuntimeError, OSError):
            return  # it is gone already

    # What the hub says

    def wake(self, subscription: Subscription) -> None:
        """Send what a subscription lacks: now where that is possible, else as soon as it is."""
        if not self._send_at_once(subscription):
            self._due[subscription] = None
            self._awake.set()

    def _send_at_once(self, subscription: Subscription) -> bool:
        """Send new events from the hub's own turn; a thousand tasks that wake cost more than they do."""
        followed = subscription.followed
        if (
            not subscription.live
            or self._wire.full_since is not None
            or self._outbox
            or self._due
            or self._busy
            or subscription.position < followed.since
            or subscription.seen != followed.roll.version
            or self._ended.done()
        ):
            return False
        encoded = self._hub.encoder.behind(followed, subscription.position)
        if encoded is None:
            return True
        subscription.position = encoded.upto
        self._wire.put(encoded.frame)
        return encoded.whole

    def tell(self, message: bytes) -> None:
        """Send a message in front of events."""
        if len(self._outbox) >= OUTBOX_MAX:
            self.end(protocol.CLOSE_SLOW)
            return
        self._outbox.append(message)
        self._awake.set()

    def end(self, code: int) -> None:
        """Close with a code; the first one counts."""
        if not self._ended.done():
            self._ended.set_result(code)

    def tick(self, now: float) -> None:
        """End what has run out, and ask for a sign of life. `now` is monotonic seconds."""
        pace = self._hub.pace
        if self._principal is None:
            if now - self._opened_at > pace.connect_s:
                self.end(protocol.CLOSE_TOKEN)
            return
        expires_at = self._principal.expires_at  # None: until the key is revoked
        if expires_at is not None and expires_at <= datetime.now(UTC):
            self.end(protocol.CLOSE_TOKEN)
        waits = [s.awaiting_since for s in self._rooms.values() if s.awaiting is not None]
        if self._wire.full_since is not None:
            waits.append(self._wire.full_since)
        if waits and now - min(waits) > pace.stalled_s:
            self.end(protocol.CLOSE_SLOW)
        if now >= self._next_ping_at and self._wire.full_since is None:
            self._next_ping_at = now + pace.ping_s
            self._ping()

    def _ping(self) -> None:
        if self._pings_missed >= PINGS_MISSED_MAX:
            self.end(protocol.CLOSE_NO_PONG)
            return
        self._pings_missed += 1
        self.tell(PING)

    async def ask_again(self) -> None:
        """Take the caller's rights of now: a lost room ends, a lost sign-in ends all."""
        if self._principal is None or self._ended.done():
            return
        async with self._rights:
            principal = await self._identity.current(self._principal)
            if principal is None:
                self.end(protocol.CLOSE_REVOKED)
            else:
                self._take_rights(principal)

    def _take_rights(self, principal: Principal) -> None:
        self._principal = principal
        for name, subscription in list(self._rooms.items()):
            if not self._may_enter(subscription.followed.room):
                self._hub.unsubscribe(self._rooms.pop(name))
                self.tell(frame("err", room=name, code="forbidden"))

    def _may_enter(self, room: Room) -> bool:
        return self._principal is not None and room.needs in self._principal.permissions

    # What the client says

    async def _read(self) -> None:
        while True:
            received = await self._websocket.receive()
            if received["type"] == "websocket.disconnect":
                return
            await self._take(received.get("text"))
            if self._allowance < 0:
                self.end(protocol.CLOSE_RATE)
                return

    async def _take(self, text: str | None) -> None:
        self._spend(1)
        try:
            said = protocol.parse(text)
            if isinstance(said, Connect):
                await self._connect(said)
            elif self._principal is None:
                self.end(protocol.CLOSE_TOKEN)
            else:
                await self._obey(said)
        except BadMessage as bad:
            self._spend(BAD_MESSAGE_COST)
            self.tell(frame("err", code="bad_message", field=bad.field))

    def _spend(self, cost: float) -> None:
        now = time.monotonic()
        refilled = self._allowance + (now - self._allowance_at) * MESSAGES_PER_S
        self._allowance = min(BURST_MESSAGES, refilled) - cost
        self._allowance_at = now

    async def _obey(self, said: Refresh | Sub | Unsub | Ack | Ping | Pong) -> None:
        match said:
            case Sub():
                await self._sub(said)
            case Ack():
                self._ack(said)
            case Unsub():
                self._unsub(said)
            case Refresh():
                await self._refresh(said)
            case Ping():
                self.tell(frame("pong", id=said.id))
            case Pong():
                self._pings_missed = 0

    async def _connect(self, said: Connect) -> None:
        if self._principal is not None:
            raise BadMessage("t")
        principal = await self._identity.redeem_ticket(said.ticket)
        if principal is None:
            self.end(protocol.CLOSE_TOKEN)
            return
        self._principal = principal
        self._hub.introduce(self, principal.workspace_id)
        # What was revoked between the ticket and the introduction, the hub told nobody here.
        await self.ask_again()
        self.tell(
            frame(
                "connected",
                id=said.id,
                log_id=self._hub.follower.log_id,
                ping_s=self._hub.pace.ping_s,
                expires_at=principal.expires_at,
            )
        )

    async def _refresh(self, said: Refresh) -> None:
        async with self._rights:
            principal, before = await self._identity.redeem_ticket(said.ticket), self._principal
            if principal is None or before is None:
                self.tell(frame("err", id=said.id, code="bad_ticket"))
            elif (principal.actor, principal.workspace_id) != (before.actor, before.workspace_id):
                self.tell(frame("err", id=said.id, code="forbidden"))
            else:
                self._take_rights(principal)
                self.tell(frame("refresh_ok", id=said.id, expires_at=principal.expires_at))

    async def _sub(self, said: Sub) -> None:
        assert self._principal is not None
        room = room_of(said.room, self._principal.workspace_id)
        if room is None:
            raise BadMessage("room")
        # Rights last: they may be lost while the others are looked up.
        refusal = await self._why_not(said, room)
        if refusal is None and not self._may_enter(room):
            refusal = "forbidden"
        if refusal == "reset":
            log_id = self._hub.follower.log_id
            self.tell(frame("reset", id=said.id, room=said.room, log_id=log_id))
        elif refusal is not None:
            self.tell(frame("err", id=said.id, room=said.room, code=refusal))
        else:
            self._enter(said, room)

    async def _why_not(self, said: Sub, room: Room) -> str | None:
        if said.room not in self._rooms and len(self._rooms) >= ROOMS_MAX:
            return "too_many_rooms"
        if not self._may_enter(room):
            return "forbidden"
        if not await self._hub.history.exists(room):
            return "forbidden"  # and no word on whether others have it
        if said.log_id is not None and said.log_id != self._hub.follower.log_id:
            return "reset"
        if said.pos is not None and not await self._hub.reaches(said.pos):
            return "reset"
        return None

    def _enter(self, said: Sub, room: Room) -> None:
        self._leave(said.room)
        subscription = self._hub.subscribe(self, room, said.pos)
        self._rooms[said.room] = subscription
        # From now: nothing is replayed, so no `live` has to tell when that is over.
        replaying = said.pos is not None
        subscription.live = not replaying
        head = max(self._hub.position, subscription.position)
        self.tell(frame("sub_ok", id=said.id, room=said.room, head=head, replaying=replaying))
        self.wake(subscription)

    def _leave(self, name: str) -> None:
        subscription = self._rooms.pop(name, None)
        if subscription is not None:
            self._hub.unsubscribe(subscription)
            self._due.pop(subscription, None)

    def _unsub(self, said: Unsub) -> None:
        self._leave(said.room)
        self.tell(frame("unsub_ok", id=said.id, room=said.room))

    def _ack(self, said: Ack) -> None:
        subscription = self._rooms.get(said.room)
        if subscription is None or subscription.awaiting is None:
            return  # late, of a room that was left: no harm
        if said.pos >= subscription.awaiting:
            self._spend(-1)  # one for each batch that was sent: these are paced already
            subscription.awaiting = None
            self.wake(subscription)

    # What is written

    async def _write(self) -> None:
        while True:
            await self._awake.wait()
            self._awake.clear()
            self._busy = True  # while one message waits for room, none may overtake it
            while self._outbox or self._due:
                if self._outbox:
                    await self._send(self._outbox.popleft())
                    continue
                subscription = next(iter(self._due))
                del self._due[subscription]
                await self._advance(subscription)
            self._busy = False

    async def _send(self, message: bytes) -> None:
        await self._wire.room()
        self._wire.put(text_frame(message))

    async def _advance(self, subscription: Subscription) -> None:
        followed = subscription.followed
        await self._wire.room()
        if subscription.closed:
            return
        if (news := followed.roll.news(subscription.seen)) is not None:
            subscription.seen = followed.roll.version
            self._wire.put(text_frame(news))
        if subscription.awaiting is not None:
            return
        if subscription.position < followed.since:
            subscription.live = False
            await self._replay(subscription)
            return
        if not subscription.live:
            subscription.live = True
            await self._send(frame("live", room=followed.room.name, pos=subscription.position))
        await self._wire.room()
        # While there was no room on the wire, the room may have let go of what comes next.
        if subscription.position < followed.since:
            self.wake(subscription)
            return
        encoded = self._hub.encoder.behind(followed, subscription.position)
        if encoded is not None and not subscription.closed:
            subscription.position = encoded.upto
            self._wire.put(encoded.frame)
            if not encoded.whole:
                self.wake(subscription)

    async def _replay(self, subscription: Subscription) -> None:
        """Send the next batch of the past, and wait for its ack before there is another."""
        followed, hub = subscription.followed, self._hub
        # A short one at first: the client has something to show while the others are read.
        limit = PAGE_EVENTS_MAX if subscription.awaiting_since else FIRST_EVENTS
        found = await hub.replays.batch(
            followed.room, subscription.position, followed.since, hub.follower.log_id, limit
        )
        await self._wire.room()
        if subscription.closed:
            return
        subscription.position = found.upto
        if found.frame is None:
            self.wake(subscription)
            return
        subscription.awaiting, subscription.awaiting_since = found.last, time.monotonic()
        self._wire.put(found.frame)
