"""Live updates: rooms, what they held before, and the hub that feeds every socket of this process.

An event is encoded once per room, and the same bytes go to every subscriber. `prev`, the room's previous
position, lets a client see that it missed nothing.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

import msgspec

from domain.permissions import Permission
from infra.envelopes import COLUMNS, Envelope
from infra.http.principal import Principal
from infra.identity import Identity
from infra.logging import log
from infra.postgres import Database
from infra.vault import Vault, subjects
from streams.follower import Follower
from streams.rooms import PRIVATE_FIELDS, message_type, rooms

if TYPE_CHECKING:
    from streams.sockets import Socket, Subscription

BATCH_EVENTS_MAX = 500
BATCH_BYTES_MAX = 262_144
HISTORY = f"""
SELECT {COLUMNS} FROM events WHERE position IN (
    SELECT position FROM room_index
    WHERE room = %(room)s AND position > %(after)s AND position <= %(mark)s
    ORDER BY position LIMIT %(most)s)
ORDER BY position"""
MARK = """
SELECT coalesce((SELECT position FROM checkpoints WHERE name = 'room_index'), 0),
    coalesce((SELECT max(position) FROM room_index WHERE room = %s AND position <= %s), 0)"""
EXISTS = "SELECT type FROM events WHERE stream_id = %s AND workspace_id = %s AND stream_version = 1"

_encode = msgspec.json.Encoder().encode


@dataclass
class Room:
    """A room that somebody of this process is in; `last` is its last position, None while unknown."""

    name: str
    last: int | None = None
    subscriptions: "set[Subscription]" = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Page:
    """A piece of a room's past: encoded events, the room's last position in it, how far it reaches."""

    events: list[tuple[int, bytes]]
    last: int
    reached: int


class Live:
    """Feeds the sockets of this process from the follower."""

    def __init__(
        self, database: Database, follower: Follower, vault: Vault, identity: Identity,
        origins: frozenset[str],
    ) -> None:  # fmt: skip
        self.database = database
        self.follower = follower
        self.identity = identity
        self.origins = origins
        self.sockets: set[Socket] = set()
        self.position = follower.position
        self._vault = vault
        self._rooms: dict[str, Room] = {}
        self._batches: asyncio.Queue[Sequence[Envelope]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.position = self.follower.position
        self.follower.listen(self._batches.put_nowait)
        self._task = asyncio.create_task(self._pump(), name="live")
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    @property
    def log_id(self) -> UUID:
        """The identity of the log that positions belong to."""
        return self.follower.log_id

    # Subscriptions

    def enter(self, subscription: "Subscription") -> None:
        """Take a subscription into its room; it gets nothing before it is live."""
        room = self._rooms.setdefault(subscription.key, Room(subscription.key))
        room.subscriptions.add(subscription)

    def leave(self, subscription: "Subscription") -> None:
        """Take a subscription out of its room."""
        room = self._rooms.get(subscription.key)
        if room is not None:
            room.subscriptions.discard(subscription)
            if not room.subscriptions:
                del self._rooms[subscription.key]

    def go_live(self, subscription: "Subscription", page: Page) -> bool:
        """Switch a subscription over if its replay reached this moment. No event can come between."""
        if page.reached < self.position:
            return False
        room = self._rooms[subscription.key]
        if room.last is None:
            room.last = page.last
        subscription.live = True
        return True

    async def resolve(self, name: str, principal: Principal) -> str | None:
        """Return a room's name in the whole deployment, if this principal may enter it."""
        if Permission.READ not in principal.permissions:
            return None
        if name == "audit":
            allowed = Permission.ADMIN_ACCESS in principal.permissions
            return f"audit:{principal.workspace_id}" if allowed else None
        if name == "workspace":
            return f"workspace:{principal.workspace_id}"
        kind, _, text = name.partition(":")
        try:
            stream_id = UUID(text)
        except ValueError:
            return None
        if kind not in {"board", "mission", "agent"}:
            return None
        parameters = [stream_id, principal.workspace_id]
        found = await self.database.fetch(principal.workspace_id, EXISTS, parameters)
        return f"{kind}:{stream_id}" if found and found[0][0].startswith(f"{kind}.") else None

    async def past(self, key: str, after: int) -> Page:
        """Return the next piece of a room's events behind a position.

        From the index as far as that reaches, from the log itself beyond it.
        """
        until = self.position
        async with self.database.system() as connection:
            row = await (await connection.execute(MARK, [key, after])).fetchone()
            assert row is not None
            mark, last = min(row[0], until), row[1]
            if after < mark:
                cursor = await connection.execute(
                    HISTORY, {"room": key, "after": after, "mark": mark, "most": BATCH_EVENTS_MAX}
                )
                found = [Envelope.of(r, self.follower.codec) for r in await cursor.fetchall()]
                reached = found[-1].position if len(found) == BATCH_EVENTS_MAX else mark
                return await self._page(key, found, last, reached)
        if after > mark:
            last = await self._last_beyond_index(key, mark, after, last)
        batch = [
            e for e in await self.follower.read(after, BATCH_EVENTS_MAX) if e.position <= until
        ]
        mine = [e for e in batch if key in _rooms(e)]
        return await self._page(key, mine, last, batch[-1].position if batch else max(after, until))

    async def _last_beyond_index(self, key: str, mark: int, after: int, last: int) -> int:
        position = mark
        while position < after:
            batch = await self.follower.read(position, BATCH_EVENTS_MAX)
            if not batch:
                break
            for envelope in batch:
                if envelope.position <= after and key in _rooms(envelope):
                    last = envelope.position
            position = batch[-1].position
        return last

    async def _page(self, key: str, found: list[Envelope], last: int, reached: int) -> Page:
        await self._load_keys(found)
        events: list[tuple[int, bytes]] = []
        size = 0
        for envelope in found:
            encoded = self._encoded(key, envelope, last)
            size += len(encoded)
            if events and size > BATCH_BYTES_MAX:
                return Page(events, last, last)
            events.append((envelope.position, encoded))
            last = envelope.position
        return Page(events, last, reached)

    # New events

    async def _pump(self) -> None:
        while True:
            batch = await self._batches.get()
            try:
                await self._feed([e for e in batch if e.position > self.position])
            except Exception:  # noqa: BLE001 - clients see a gap by `prev` and come again
                log.exception("live updates failed")
            self.position = max(self.position, batch[-1].position)

    async def _feed(self, batch: Sequence[Envelope]) -> None:
        if self._rooms:
            await self._load_keys(batch)
        for envelope in batch:
            for key in _rooms(envelope) if self._rooms else ():
                room = self._rooms.get(key)
                if room is not None:
                    self._deliver(room, envelope)
            self.position = envelope.position
        changed = {
            e.workspace_id for e in batch if e.type.startswith(("workspace.", "user.", "agent."))
        }
        for socket in [s for s in self.sockets if s.workspace_id in changed]:
            socket.ask_again()

    def _deliver(self, room: Room, envelope: Envelope) -> None:
        listening = [s for s in room.subscriptions if s.live]
        if listening and room.last is not None:
            encoded = self._encoded(room.name, envelope, room.last)
            for subscription in listening:
                subscription.offer(envelope.position, encoded)
        room.last = envelope.position

    async def _load_keys(self, batch: Sequence[Envelope]) -> None:
        needed = set().union(*(subjects(e.type, e.payload) for e in batch))
        if needed:
            await self._vault.load(needed)

    def _encoded(self, key: str, envelope: Envelope, prev: int) -> bytes:
        data = self._vault.open_event(envelope.type, envelope.payload, envelope.stream_id)
        audit = key.startswith("audit:")
        if not audit:
            hidden = PRIVATE_FIELDS.get(envelope.type, frozenset())
            data = {name: value for name, value in data.items() if name not in hidden}
        body: dict[str, Any] = {
            "pos": envelope.position,
            "prev": prev,
            "v": envelope.stream_version,
            "type": message_type(envelope.type),
            "event": envelope.type,
            "payload": {
                "entityId": envelope.stream_id,
                "data": data,
                "timestamp": envelope.recorded_at,
                "userId": envelope.actor_id,
            },
        }
        if audit:
            body["envelope"] = envelope.to_dict(self.log_id, data)
        return _encode(body)


def _rooms(envelope: Envelope) -> tuple[str, ...]:
    return rooms(envelope.type, envelope.stream_id, envelope.workspace_id, envelope.payload)
