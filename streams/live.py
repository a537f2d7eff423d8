"""Live updates: one reader of the log per process that feeds the rooms of all its sockets.

A room that somebody follows keeps its newest events as text. A subscription is no queue but a place
in the room: whoever falls behind what the room keeps reads the log again from that place. So the
memory of a slow client is a number, and the way from replay to live has no seam.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self
from uuid import UUID

from commands.append import Actor
from infra.envelopes import Envelope
from infra.http.principal import Principal
from infra.logging import log
from infra.postgres import Database
from infra.tasks import end
from infra.telemetry import Telemetry
from infra.vault import Vault
from streams.follower import Follower
from streams.open_rooms import Encoder, Followed, Kept, Socket, Subscription
from streams.presence import Neighbours, NoNeighbours, Roll
from streams.protocol import CLOSE_RESTART, EventText, frame, subjects_in
from streams.replays import Replays
from streams.room_history import RoomHistory
from streams.room_index import keys_of
from streams.rooms import Room

READ_EVENTS_MAX = 500
SOCKETS_MAX = 20_000
KEPT_BYTES_MAX = 32_000_000
RETRY_PAUSE_S = 0.5
DRAIN_SPREAD_S = 2.0
DRAIN_PAUSE_S = 0.01

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
    ping_s: float = 15.0
    stalled_s: float = 60.0
    tick_s: float = 1.0
    presence_s: float = 0.1


class Live:
    """Follows the log for the sockets of this process.

    `position`: how far the log was read; a room that is opened now starts behind it. `settled`: up to
    there, every event is in the rooms that are open.
    """

    def __init__(
        self,
        database: Database,
        follower: Follower,
        vault: Vault,
        identity: Identity,
        origins: frozenset[str],
        pace: Pace | None = None,
        kept_bytes_max: int = KEPT_BYTES_MAX,
        telemetry: Telemetry | None = None,
        neighbours: Neighbours | None = None,
    ) -> None:
        self.follower = follower
        self.vault = vault
        self.identity = identity
        self.origins = origins
        self.history = RoomHistory(database, follower)
        self.replays = Replays(self.history, vault)
        self.pace = pace or Pace()
        self.telemetry = telemetry or Telemetry()
        self.encoder = Encoder()
        self.position = self.settled = 0
        self._kept_bytes_max = kept_bytes_max
        self._kept_bytes = 0
        self._kept_in: deque[Followed] = deque()
        self._rooms: dict[str, Followed] = {}
        self._sockets: dict[Socket, None] = {}
        self._members: dict[UUID, dict[Socket, None]] = {}
        self._draining = False
        self._rolls_changed: dict[Followed, None] = {}
        self._rolls_due: asyncio.TimerHandle | None = None
        self._neighbours = neighbours or NoNeighbours()
        self._neighbours.listen(self._elsewhere)
        self._revoked = set[UUID | None]()
        self._rights_due = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self.position = self.settled = self.follower.position
        self._tasks = [
            asyncio.create_task(self._run(), name="live hub"),
            asyncio.create_task(self._tick(), name="live clock"),
            asyncio.create_task(self._look_at_rights(), name="live rights"),
        ]
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._rolls_due is not None:
            self._rolls_due.cancel()
        await end(self._tasks)

    # Sockets

    @property
    def is_full(self) -> bool:
        """Whether a further socket is one too many, here or now."""
        return self._draining or len(self._sockets) >= SOCKETS_MAX

    def open_sockets(self) -> Mapping[UUID, int]:
        """Return by workspace how many sockets are open here."""
        return {workspace_id: len(members) for workspace_id, members in self._members.items()}

    @property
    def is_draining(self) -> bool:
        """Whether this process is about to end."""
        return self._draining

    async def reaches(self, position: int) -> bool:
        """Tell whether the log has such a position."""
        # A client that has just written may know of more than this process has read.
        return position <= self.position or position <= await self.history.head()

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
            followed = Followed(room, since=self.position, roll=Roll(room.name))
            self._rooms[room.key] = followed
        start = self.position if position is None else position
        subscription = Subscription(socket, followed, start)
        followed.subscriptions[subscription] = None
        assert socket.principal is not None, "rights were asked for"
        followed.roll.enter(socket.principal.actor)
        self._roll_changed(followed)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Follow no more; the last one out closes the room."""
        if subscription.closed:
            return
        subscription.closed = True
        followed = subscription.followed
        del followed.subscriptions[subscription]
        assert subscription.socket.principal is not None, "it was there when this began"
        followed.roll.leave(subscription.socket.principal.actor)
        self._roll_changed(followed)
        if not followed.subscriptions and self._rooms.get(followed.room.key) is followed:
            del self._rooms[followed.room.key]
            self._neighbours.closed(followed.room.key)

    def _roll_changed(self, followed: Followed) -> None:
        self._rolls_changed[followed] = None
        if self._rolls_due is None:
            later = asyncio.get_running_loop().call_later
            self._rolls_due = later(self.pace.presence_s, self._tell_rolls)

    def _tell_rolls(self) -> None:
        self._rolls_due = None
        changed, self._rolls_changed = self._rolls_changed, {}
        for followed in changed:
            if followed.subscriptions:
                self._neighbours.here(followed.room.key, followed.roll.here)
            followed.roll.settle()
            for subscription in followed.subscriptions:
                if subscription.seen != followed.roll.version:
                    subscription.socket.wake(subscription)

    def _elsewhere(self, room: str, actors: Iterable[Actor]) -> None:
        followed = self._rooms.get(room)
        if followed is not None and followed.roll.note_elsewhere(actors):
            self._roll_changed(followed)

    async def drain(self, spread_s: float = DRAIN_SPREAD_S) -> None:
        """Ask every client to come back elsewhere, one after the other, and see them off.

        From now on nobody is let in. A few are seen off at once, many within `spread_s`: else all of
        them would be at the next process's door in the same moment.
        """
        self._draining = True
        sockets = list(self._sockets)
        pause_s = min(DRAIN_PAUSE_S, spread_s / max(1, len(sockets)))
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
                self.position = self.settled = self.follower.position
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
            # What was put on the wires leaves with the loop's next turn; a long backlog has none.
            await asyncio.sleep(0)

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
        self.settled = batch[-1].position
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
                tail = text.tail(audit=followed.room.is_audit)
                kept = Kept(envelope.position, followed.last, tail)
                followed.kept.append(kept)
                followed.last = envelope.position
                self._kept_in.append(followed)
                self._kept_bytes += kept.size
                touched[followed] = None
        while self._kept_bytes > self._kept_bytes_max:
            self._kept_bytes -= self._kept_in.popleft().drop_oldest()
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

    def revoked(self, user_id: UUID | None) -> None:
        """Ask again for the rights of a person's sockets, soon; of everybody's, where it is unknown whose."""
        self._revoked.add(user_id)
        self._rights_due.set()

    async def _look_at_rights(self) -> None:
        while True:
            await self._rights_due.wait()
            self._rights_due.clear()
            whose, self._revoked = self._revoked, set()
            try:
                await self._ask_sessions(whose)
            except Exception:  # noqa: BLE001 - the database is away; nobody may stay in for that
                log.exception("the live hub can't look at rights")
                self._revoked |= whose
                self._rights_due.set()
                await asyncio.sleep(RETRY_PAUSE_S)

    async def _ask_sessions(self, whose: set[UUID | None]) -> None:
        for socket in list(self._sockets):
            caller = socket.principal
            # Keys have no session: what is revoked of them is an event of the log.
            if (
                caller is not None
                and caller.session is not None
                and whose & {caller.actor.id, None}
            ):
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
