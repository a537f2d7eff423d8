"""`GET /api/stream`: the rooms of `mc.v1` as Server-Sent Events, for networks that block WebSockets.

A stream is one more client of the hub. All its rooms share one position: what is sent is the log's order,
and an event that is in several of them is sent once, with the position before it in each.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response, StreamingResponse
from msgspec import UNSET, UnsetType
from pydantic import StringConstraints
from starlette.types import Receive, Scope, Send

from commands.append import ActorKind
from domain.base import InvalidValue, NotFound
from domain.permissions import Permission
from infra.http.limits import OpenStreams
from infra.http.openapi import answer, refusals
from infra.http.principal import Forbidden, Principal, requires
from infra.http.problems import problem
from infra.http.wire import EXTENSION
from infra.logging import log
from infra.tasks import end
from streams import protocol
from streams.live import Live
from streams.open_rooms import BATCH_BYTES_MAX, BATCH_EVENTS_MAX, Subscription
from streams.protocol import EventText, frame, subjects_in
from streams.rooms import Room, room_of

ROOMS_MAX = 20
OUTBOX_MAX = 100
HEADERS = {"X-Accel-Buffering": "no"}
CODE_OF_END = {
    protocol.CLOSE_TOKEN: "token",
    protocol.CLOSE_REVOKED: "revoked",
    protocol.CLOSE_FAILED: "failed",
}

router = APIRouter(prefix="/api/stream", tags=["live"])

RoomName = Annotated[str, StringConstraints(max_length=100)]
Position = Annotated[int | None, Query(ge=0, le=protocol.POSITION_MAX)]


class EventPayload(msgspec.Struct):
    """What an event says: `data` has the members of its type, `userId` is who acted."""

    entity_id: UUID = msgspec.field(name="entityId")
    data: dict[str, Any]
    timestamp: datetime
    user_id: UUID = msgspec.field(name="userId")


class PresentActor(msgspec.Struct):
    """Somebody in a room."""

    kind: ActorKind
    id: UUID


class StreamMessage(msgspec.Struct):
    """A message of `mc.v1`: `t` tells its kind, and so what else it has.

    `connected`, the first one: `log_id`, `ping_s`, `head`, `replaying`, and `expires_at` unless access lasts for
    as long as a key does. `ev`: `pos`, `prev`, `v`, `type`, `event`, `payload`, and `envelope` in the audit room.
    `live`, where the past is over: `pos`. `presence`: `room`, `join`, `leave`, and `all` where these are
    everybody. `drain`, when the process ends: `after_ms`. `err`: `code`, and `room` where it is about one that was
    lost; else it is the last message, as is `reset`, with the `log_id` that there is. See docs/live.md.
    """

    t: str
    pos: int | UnsetType = UNSET
    prev: dict[str, int] | UnsetType = UNSET
    v: int | UnsetType = UNSET
    type: str | UnsetType = UNSET
    event: str | UnsetType = UNSET
    payload: EventPayload | UnsetType = UNSET
    envelope: dict[str, Any] | UnsetType = UNSET
    log_id: UUID | UnsetType = UNSET
    ping_s: float | UnsetType = UNSET
    expires_at: datetime | UnsetType = UNSET
    head: int | UnsetType = UNSET
    replaying: bool | UnsetType = UNSET
    room: str | UnsetType = UNSET
    join: list[PresentActor] | UnsetType = UNSET
    leave: list[PresentActor] | UnsetType = UNSET
    all: bool | UnsetType = UNSET
    after_ms: int | UnsetType = UNSET
    code: str | UnsetType = UNSET


@router.get(
    "",
    response_class=StreamingResponse,
    responses={
        **answer(StreamMessage, "Messages, each as `data`", media_type="text/event-stream"),
        **refusals(404, 429),
    },
)
async def stream(
    request: Request,
    principal: Annotated[Principal, requires(Permission.READ)],
    room: Annotated[list[RoomName], Query(min_length=1, max_length=ROOMS_MAX)],
    pos: Position = None,
    log_id: UUID | None = None,
    last_event_id: Annotated[
        int | None, Header(alias="Last-Event-ID", ge=0, le=protocol.POSITION_MAX)
    ] = None,
) -> Response:
    """Follow rooms behind a position, from the beginning (0) or from now (absent).

    `Last-Event-ID` counts before `pos`, so that a client which connects again may repeat its request.
    Each message is the JSON of `mc.v1` (docs/live.md); in an `ev`, `prev` is an object: room → position before
    it. The workspace room leaves out what agents' keys do, and e-mail addresses; the audit room has everything.
    A caller has at most 20 streams open at a time (429).
    """
    hub: Live = request.app.state.live
    if hub.is_full:
        busy = "this process takes no more streams; try again"
        return problem(503, "full", busy, headers={"Retry-After": "1"})
    rooms = [_room(name, principal) for name in dict.fromkeys(room)]
    for one in rooms:
        if not await hub.history.exists(one):
            raise NotFound("no such room in this workspace", field="room")
    position = pos if last_event_id is None else last_event_id
    fresh = log_id is not None and log_id != hub.follower.log_id
    if fresh or (position is not None and not await hub.reaches(position)):
        reset = _message(frame("reset", log_id=hub.follower.log_id))
        return Response(reset, media_type="text/event-stream", headers=HEADERS)
    streams: OpenStreams = request.app.state.open_streams
    return streams.bounded(principal, EventStream(Stream(hub, principal, rooms, position)))


def _room(name: str, principal: Principal) -> Room:
    room = room_of(name, principal.workspace_id)
    if room is None:
        raise InvalidValue("workspace, audit, board:<id>, mission:<id> or agent:<id>", field="room")
    if room.needs not in principal.permissions:
        raise Forbidden(f"this room needs the permission {room.needs}", field="room")
    return room


class EventStream(Response):
    """The answer: runs until the client leaves, its rights end, or the process does."""

    def __init__(self, stream: "Stream") -> None:
        super().__init__(media_type="text/event-stream", headers=HEADERS)
        del self.headers["content-length"]
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the stream."""
        await send(
            {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        )
        self._stream.open()
        writing = asyncio.create_task(self._stream.run(send))
        leaving = asyncio.create_task(_left(receive))
        try:
            ends: list[asyncio.Future[Any]] = [writing, leaving, self._stream.stuck]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._stream.stuck.done():
                scope["extensions"][EXTENSION].abort()
                await leaving
        finally:
            self._stream.close()
            await end([writing, leaving])
        if not writing.cancelled():
            if error := writing.exception():
                log.error("a stream failed", exc_info=error)
            await send({"type": "http.response.body", "body": b""})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class Stream:
    """One client: its rooms, and the one position up to which it was sent everything."""

    def __init__(
        self, hub: Live, principal: Principal, rooms: Sequence[Room], position: int | None
    ) -> None:
        self._hub = hub
        self._principal = principal
        self._outbox: deque[bytes] = deque()
        self._awake = asyncio.Event()
        self._code: int | None = None
        self._sending_since: float | None = None
        self._live = position is None
        self._position = position or 0
        self._wanted = rooms
        self._rooms: list[Subscription] = []
        self.stuck: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the client takes nothing any more."""
        self._beat_at = time.monotonic() + hub.pace.ping_s

    def open(self) -> None:
        """Enter the rooms."""
        hub = self._hub
        hub.add(self)
        hub.introduce(self, self._principal.workspace_id)
        if self._live:
            self._position = hub.position
        self._rooms = [hub.subscribe(self, room, self._position) for room in self._wanted]

    # What the hub says

    @property
    def principal(self) -> Principal:
        """Who it is."""
        return self._principal

    def wake(self, subscription: Subscription) -> None:
        """Look at the rooms as soon as the client takes more."""
        self._awake.set()

    def tell(self, message: bytes) -> None:
        """Send a message in front of events."""
        if len(self._outbox) < OUTBOX_MAX:
            self._outbox.append(message)
            self._awake.set()

    def end(self, code: int) -> None:
        """Finish the answer; the first code counts."""
        if self._code is None:
            self._code = code
            self._awake.set()

    def tick(self, now: float) -> None:
        """End what has run out, and show a sign of life. `now` is monotonic seconds."""
        expires_at = self._principal.expires_at
        if expires_at is not None and expires_at <= datetime.now(UTC):
            self.end(protocol.CLOSE_TOKEN)
        since = self._sending_since
        if since is not None and now - since > self._hub.pace.stalled_s and not self.stuck.done():
            self.stuck.set_result(None)
        if now >= self._beat_at and since is None:
            self._awake.set()

    async def ask_again(self) -> None:
        """Take the caller's rights of now: a lost room ends; with the last one, or the sign-in, all."""
        principal = await self._hub.identity.current(self._principal)
        if principal is None:
            self.end(protocol.CLOSE_REVOKED)
            return
        for subscription in list(self._rooms):
            room = subscription.followed.room
            if room.needs not in principal.permissions:
                self._rooms.remove(subscription)
                self._hub.unsubscribe(subscription)
                self.tell(frame("err", room=room.name, code="forbidden"))
        self._principal = principal
        if not self._rooms:
            self.end(protocol.CLOSE_REVOKED)

    def close(self) -> None:
        """Leave the rooms."""
        for subscription in self._rooms:
            self._hub.unsubscribe(subscription)
        self._hub.remove(self)

    # What is written

    async def run(self, send: Send) -> None:
        """Send messages until the stream ends."""
        hub = self._hub
        # What was revoked between the request's own check and the introduction, the hub told nobody.
        await self.ask_again()
        await self._send(send, self._greeting())
        while self._code is None:
            await self._awake.wait()
            self._awake.clear()
            if time.monotonic() >= self._beat_at:
                self._beat_at = time.monotonic() + hub.pace.ping_s
                await self._send(send, b": ping\nid: %d\n\n" % self._position)
            await self._tell_all(send)
        await self._tell_outbox(send)
        if code := CODE_OF_END.get(self._code):
            await self._send(send, _message(frame("err", code=code)))

    def _greeting(self) -> bytes:
        hub = self._hub
        self._awake.set()
        return _message(
            frame(
                "connected",
                log_id=hub.follower.log_id,
                ping_s=hub.pace.ping_s,
                expires_at=self._principal.expires_at,
                head=max(hub.position, self._position),
                replaying=not self._live,
            )
        )

    async def _tell_all(self, send: Send) -> None:
        more = True
        while more and self._code is None:
            await self._tell_outbox(send)
            for subscription in list(self._rooms):
                roll = subscription.followed.roll
                if (news := roll.news(subscription.seen)) is not None:
                    subscription.seen = roll.version
                    await self._send(send, _message(news))
            more = await self._advance(send)

    async def _tell_outbox(self, send: Send) -> None:
        while self._outbox:
            await self._send(send, _message(self._outbox.popleft()))

    async def _send(self, send: Send, chunk: bytes) -> None:
        self._sending_since = time.monotonic()
        with contextlib.suppress(OSError):  # the client is gone, as `receive` tells
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        self._sending_since = None

    async def _advance(self, send: Send) -> bool:
        """Send the next events; tell whether there may be more."""
        behind = [s.followed.since for s in self._rooms if self._position < s.followed.since]
        if behind:
            self._live = False
            await self._replay(send, max(behind))
            return True
        if not self._live:
            self._live = True
            live = frame("live", pos=self._position)
            await self._send(send, _message(live, self._position))
            return True
        found, reach = self._kept()
        if found:
            chunk, last = _fitting(found)
            self._position = reach if last == found[-1][0] else last
            await self._send(send, chunk)
            return True
        self._position = max(self._position, reach)
        return False

    def _kept(self) -> tuple[list[tuple[int, bytes]], int]:
        """Return the next events that are in memory, and up to where there are no others."""
        reach = self._hub.settled
        pages = []
        for subscription in self._rooms:
            kept = subscription.followed.behind(self._position)
            if len(kept) == BATCH_EVENTS_MAX:
                reach = min(reach, kept[-1].position)
            pages.append((subscription.followed.room, kept))
        tails: dict[int, bytes] = {}
        prevs: dict[int, dict[str, int]] = {}
        for room, kept in pages:
            for one in kept:
                prevs.setdefault(one.position, {})[room.name] = one.prev
                # Auditors see more of an event than the other rooms.
                if room.is_audit or one.position not in tails:
                    tails[one.position] = one.tail
        bodies = (
            (position, protocol.of_several(position, prevs[position], tails[position]))
            for position in sorted(prevs)
            if position <= reach
        )
        return [(position, _message(body, position)) for position, body in bodies], reach

    async def _replay(self, send: Send, upto: int) -> None:
        """Send the oldest events that the log holds of the rooms, none beyond `upto`."""
        hub, rooms = self._hub, [s.followed.room for s in self._rooms]
        pages = [await hub.history.page(room, self._position, upto) for room in rooms]
        # Further than the shortest page it is not known what the rooms hold.
        reach = min(page.upto for page in pages)
        found = {e.position: e for page in pages for e in page.events if e.position <= reach}
        prevs: dict[int, dict[str, int]] = {position: {} for position in found}
        for room, page in zip(rooms, pages, strict=True):
            positions = [e.position for e in page.events if e.position <= reach]
            before = await hub.history.last(room, self._position) if positions else 0
            for position in positions:
                prevs[position][room.name] = before
                before = position
        audited = {
            e.position
            for room, page in zip(rooms, pages, strict=True)
            if room.is_audit
            for e in page.events
        }
        await hub.vault.load(subjects_in(found.values()))
        messages = []
        for position in sorted(found):
            text = EventText(found[position], hub.vault, hub.follower.log_id)
            tail = text.tail(audit=position in audited)
            body = protocol.of_several(position, prevs[position], tail)
            messages.append((position, _message(body, position)))
        while messages and self._code is None and len(rooms) == len(self._rooms):
            chunk, last = _fitting(messages)
            messages = [one for one in messages if one[0] > last]
            self._position = last
            await self._send(send, chunk)
        if not messages:
            self._position = max(self._position, reach)


def _fitting(messages: Iterable[tuple[int, bytes]]) -> tuple[bytes, int]:
    """Return as many of the first messages as one chunk may hold, and the position of the last."""
    chosen: list[bytes] = []
    size = last = 0
    for position, message in messages:
        size += len(message)
        if chosen and (size > BATCH_BYTES_MAX or len(chosen) >= BATCH_EVENTS_MAX):
            break
        chosen.append(message)
        last = position
    return b"".join(chosen), last


def _message(text: bytes, position: int | None = None) -> bytes:
    """Return a message in the form of Server-Sent Events; JSON has no line breaks."""
    head = b"" if position is None else b"id: %d\n" % position
    return b"%bdata: %b\n\n" % (head, text)
