"""Live updates: one reader of the log per process that feeds the rooms of all its sockets.

A room that somebody follows keeps its newest events as text. A subscription is no queue but a place
in the room: whoever falls behind what the room keeps reads the log again from that place. So the
memory of a slow client is a number, and the way from replay to live has no seam.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import NamedTuple, Protocol, Self
from uuid import UUID

from infra.envelopes import Envelope
from infra.http.principal import Principal
from infra.logging import log
from infra.postgres import Database
from infra.vault import Vault
from streams.follower import Follower
from streams.protocol import CLOSE_RESTART, EventText, event_head, frame, subjects_in
from streams.room_history import RoomHistory
from streams.room_index import keys_of
from streams.rooms import Room

READ_EVENTS_MAX = 500
SOCKETS_MAX = 20_000
KEPT_CHARS_MAX = 32_000_000
RETRY_PAUSE_S = 0.5
DRAIN_SPREAD_S = 2.0

OF_A_MEMBER = ("workspace.role_changed.", "workspace.member_removed.")
OF_THE_STREAM = (
    "user.disabled.", "agent.key_revoked.", "agent.retired.", "agent.activated.", "agent.deactivated.",
)  # fmt: skip


class Identity(Protocol):
    """What live updates ask of the keeper of credentials."""

    async def redeem_ticket(self, ticket: str) -> Principal | None: ...

    async def current(self, principal: Principal) -> Principal | None: ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a socket may take for what, in seconds."""

    connect_s: float = 10.0
    ping_s: float = 25.0
    stalled_s: float = 60.0
    tick_s: float = 1.0


class Kept(NamedTuple):
    """An event of a room that is still in memory, as the very frame that live clients get."""

    position: int
    frame: str


@dataclass(eq=False, slots=True)
class Followed:
    """A room that somebody follows: all its events behind `since` are in `kept`."""

    room: Room
    since: int
    last: int | None = None
    """The position of its newest event, or None while nobody had to know."""
    kept: deque[Kept] = field(default_factory=deque)
    subscriptions: dict["Subscription", None] = field(default_factory=dict)
    head: str = ""

    def __post_init__(self) -> None:
        self.head = event_head(self.room.name)

    def behind(self, position: int) -> list[Kept]:
        """Return the kept events behind a position, oldest first."""
        newest_first = takewhile(lambda kept: kept.position > position, reversed(self.kept))
        return list(newest_first)[::-1]

    def body(self, kept: Kept) -> str:
        """Return an event's body, for a batch."""
        return "{" + kept.frame[len(self.head) :]

    def drop_oldest(self) -> int:
        """Forget one event and return its size; whoever still needs it reads the log."""
        oldest = self.kept.popleft()
        self.since = oldest.position
        return len(oldest.frame)


class Socket(Protocol):
    """What the hub knows of a client."""

    @property
    def principal(self) -> Principal | None: ...

    def wake(self, subscription: "Subscription") -> None:
        """There is something to send."""

    def tell(self, text: str) -> None:
        """Send this, in front of events."""

    def end(self, code: int) -> None:
        """Close with this code."""

    def tick(self, now: float) -> None:
        """Look at the clock (monotonic)."""

    async def ask_again(self) -> None:
        """Rights may have changed."""


@dataclass(eq=False, slots=True)
class Subscription:
    """A client's place in a room: everything up to `position` was sent."""

    socket: Socket
    followed: Followed
    position: int
    prev: int | None = None
    """The room's newest position not beyond `position`, or None while unknown."""
    live: bool = False
    awaiting: int | None = None
    """The position that a replayed batch waits to see acknowledged, since `awaiting_since`."""
    awaiting_since: float = 0.0
    closed: bool = False


class Live:
    """Follows the log for the sockets of this process. `position`: what the rooms have seen."""

    def __init__(
        self,
        database: Database,
        follower: Follower,
        vault: Vault,
        identity: Identity,
        origins: frozenset[str],
        pace: Pace | None = None,
        kept_chars_max: int = KEPT_CHARS_MAX,
    ) -> None:
        self.follower = follower
        self.vault = vault
        self.identity = identity
        self.origins = origins
        self.history = RoomHistory(database, follower)
        self.pace = pace or Pace()
        self.position = 0
        self._kept_chars_max = kept_chars_max
        self._kept_chars = 0
        self._kept_in: deque[Followed] = deque()
        self._rooms: dict[str, Followed] = {}
        self._sockets: dict[Socket, None] = {}
        self._members: dict[UUID, dict[Socket, None]] = {}
        self._draining = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self.position = self.follower.position
        self._tasks = [
            asyncio.create_task(self._run(), name="live hub"),
            asyncio.create_task(self._tick(), name="live clock"),
        ]
        return self

    async def __aexit__(self, *exception: object) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    # Sockets

    @property
    def is_full(self) -> bool:
        """Whether a further socket is one too many, here or now."""
        return self._draining or len(self._sockets) >= SOCKETS_MAX

    @property
    def is_draining(self) -> bool:
        """Whether this process is about to end."""
        return self._draining

    def add(self, socket: Socket) -> None:
        """Watch a socket's clock, from before anybody knows who it is."""
        self._sockets[socket] = None

    def introduce(self, socket: Socket, workspace_id: UUID) -> None:
        """Tell the hub whose socket it is."""
        self._members.setdefault(workspace_id, {})[socket] = None

    def remove(self, socket: Socket) -> None:
        """Forget a socket whose subscriptions have ended."""
        self._sockets.pop(socket, None)
        if socket.principal is not None:
            workspace_id = socket.principal.workspace_id
            members = self._members.get(workspace_id, {})
            members.pop(socket, None)
            if not members:
                self._members.pop(workspace_id, None)

    def subscribe(self, socket: Socket, room: Room, position: int | None) -> Subscription:
        """Follow a room behind a position, or from now."""
        followed = self._rooms.get(room.key)
        if followed is None:
            followed = self._rooms[room.key] = Followed(room, since=self.position)
        start = self.position if position is None else position
        subscription = Subscription(socket, followed, start)
        followed.subscriptions[subscription] = None
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Follow no more; the last one out closes the room."""
        subscription.closed = True
        followed = subscription.followed
        followed.subscriptions.pop(subscription, None)
        if not followed.subscriptions and self._rooms.get(followed.room.key) is followed:
            del self._rooms[followed.room.key]

    async def drain(self, spread_s: float = DRAIN_SPREAD_S) -> None:
        """Ask every client to come back elsewhere, one after the other, and see them off."""
        self._draining = True
        sockets = list(self._sockets)
        pause_s = spread_s / max(1, len(sockets))
        for number, socket in enumerate(sockets):
            socket.tell(frame("drain", after_ms=int(number * pause_s * 1000)))
        for socket in sockets:
            await asyncio.sleep(pause_s)
            socket.end(CLOSE_RESTART)

    # The log

    async def _run(self) -> None:
        while True:
            await self.follower.wait_beyond(self.position)
            if not self._members:
                self.position = self.follower.position
                continue
            try:
                batch = await self.follower.read(self.position, READ_EVENTS_MAX)
            except Exception:  # noqa: BLE001 - the database is away; nothing is lost
                log.exception("the live hub can't read the log")
                await asyncio.sleep(RETRY_PAUSE_S)
                continue
            # From here on a new room starts behind this batch, and replays it from the log.
            self.position = batch[-1].position
            await self._distribute(batch)

    async def _distribute(self, batch: Sequence[Envelope]) -> None:
        plan = self._plan(batch)
        while True:
            try:
                await self._ask_again(batch)
                await self._prepare(plan)
                break
            except Exception:  # noqa: BLE001 - a batch left out would be a gap
                log.exception("the live hub can't prepare events")
                await asyncio.sleep(RETRY_PAUSE_S)
        self._keep(plan)

    def _plan(self, batch: Sequence[Envelope]) -> list[tuple[Envelope, list[Followed]]]:
        plan = []
        for envelope in batch:
            if envelope.workspace_id in self._members:
                keys = keys_of(envelope)
                if found := [self._rooms[key] for key in keys if key in self._rooms]:
                    plan.append((envelope, found))
        return plan

    async def _prepare(self, plan: Sequence[tuple[Envelope, list[Followed]]]) -> None:
        await self.vault.load(subjects_in(envelope for envelope, _ in plan))
        unknown = {f: None for _, found in plan for f in found if f.last is None}
        await asyncio.gather(*(self._find_last(followed) for followed in unknown))

    async def _find_last(self, followed: Followed) -> None:
        followed.last = await self.history.last(followed.room, followed.since)

    def _keep(self, plan: Iterable[tuple[Envelope, list[Followed]]]) -> None:
        touched: dict[Followed, None] = {}
        for envelope, found in plan:
            text = EventText(envelope, self.vault, self.follower.log_id)
            for followed in found:
                assert followed.last is not None
                body = text.body(followed.last, audit=followed.room.is_audit)
                kept = Kept(envelope.position, followed.head + body[1:])
                followed.kept.append(kept)
                followed.last = envelope.position
                self._kept_in.append(followed)
                self._kept_chars += len(kept.frame)
                touched[followed] = None
        while self._kept_chars > self._kept_chars_max:
            self._kept_chars -= self._kept_in.popleft().drop_oldest()
        for followed in touched:
            for subscription in followed.subscriptions:
                subscription.socket.wake(subscription)

    async def _ask_again(self, batch: Iterable[Envelope]) -> None:
        """Ask for the rights of everybody whom an event of the batch may have given or taken some."""
        concerned: dict[UUID, set[UUID]] = {}
        for envelope in batch:
            if envelope.workspace_id in self._members and (person := _whose_rights(envelope)):
                concerned.setdefault(envelope.workspace_id, set()).add(person)
        for workspace_id, ids in concerned.items():
            for socket in list(self._members.get(workspace_id, ())):
                caller = socket.principal
                if caller is not None and ids & {caller.actor.id, caller.on_behalf_of}:
                    await socket.ask_again()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self.pace.tick_s)
            now = time.monotonic()
            for socket in list(self._sockets):
                socket.tick(now)


def _whose_rights(envelope: Envelope) -> UUID | None:
    if envelope.type.startswith(OF_A_MEMBER):
        return UUID(envelope.payload["user_id"])
    return envelope.stream_id if envelope.type.startswith(OF_THE_STREAM) else None
