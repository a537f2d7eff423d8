"""Rooms that somebody follows: their newest events, ready to be sent, and each follower's place in them."""

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple, Protocol

from infra.http.principal import Principal
from infra.http.wire import text_frame
from streams import protocol
from streams.presence import Roll
from streams.rooms import Room

BATCH_EVENTS_MAX = 500
BATCH_BYTES_MAX = 262_144
ENCODED_MAX = 64


class Kept(NamedTuple):
    """An event of a room that is still in memory. Rooms that share the event share its `tail`."""

    position: int
    prev: int
    tail: bytes

    @property
    def size(self) -> int:
        """How many bytes it counts for."""
        return len(self.tail) + 100


@dataclass(eq=False, slots=True)
class Followed:
    """A room that somebody follows: all its events behind `since` are in `kept`."""

    room: Room
    since: int
    roll: Roll
    last: int | None = None
    """The position of its newest event, or None while nobody had to know."""
    kept: deque[Kept] = field(default_factory=deque)
    subscriptions: dict["Subscription", None] = field(default_factory=dict)

    def behind(self, position: int) -> list[Kept]:
        """Return the oldest kept events behind a position, at most `BATCH_EVENTS_MAX`, in order."""
        newest: list[Kept] = []
        for kept in reversed(self.kept):
            if kept.position <= position:
                return newest[::-1]
            if len(newest) == BATCH_EVENTS_MAX:
                break
            newest.append(kept)
        else:
            return newest[::-1]
        # Far behind: rare, and no reason to walk through all that is kept.
        start = bisect_right(self.kept, position, key=lambda kept: kept.position)
        return list(islice(self.kept, start, start + BATCH_EVENTS_MAX))

    def drop_oldest(self) -> int:
        """Forget one event and return its size; whoever still needs it reads the log."""
        oldest = self.kept.popleft()
        self.since = oldest.position
        return oldest.size


class Socket(Protocol):
    """What the hub knows of a client, whatever it is connected by."""

    @property
    def principal(self) -> Principal | None: ...

    def wake(self, subscription: "Subscription") -> None:
        """There is something to send."""

    def tell(self, message: bytes) -> None:
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
    live: bool = False
    seen: int | None = None
    """The version of the room's roll that the client was told."""
    awaiting: int | None = None
    """The position that a replayed batch waits to see acknowledged, since `awaiting_since`."""
    awaiting_since: float = 0.0
    closed: bool = False


class Encoded(NamedTuple):
    """A WebSocket frame with the events of a room behind some position, as far as `upto`."""

    frame: bytes
    upto: int
    whole: bool
    """Whether the room has no more."""


class Encoder:
    """Encodes what a room has behind a position: once, for all who stand there."""

    def __init__(self) -> None:
        self._encoded: dict[tuple[Followed, int, int], Encoded] = {}

    def behind(self, followed: Followed, position: int) -> Encoded | None:
        """Return the next frame for a live client that stands at a position, or None if it has all."""
        if not followed.kept or followed.kept[-1].position <= position:
            return None
        key = (followed, position, followed.kept[-1].position)
        found = self._encoded.get(key)
        if found is None:
            if len(self._encoded) >= ENCODED_MAX:
                self._encoded.clear()
            found = self._encoded[key] = _encode(followed, position)
        return found


def _encode(followed: Followed, position: int) -> Encoded:
    chosen = _fitting(followed.behind(position))
    bodies = [protocol.body(*one) for one in chosen]
    name = followed.room.name
    one = len(bodies) == 1
    text = protocol.single(name, bodies[0]) if one else protocol.batch(name, bodies, live=True)
    upto = chosen[-1].position
    return Encoded(text_frame(text), upto, upto == followed.kept[-1].position)


def _fitting(kept: Sequence[Kept]) -> Sequence[Kept]:
    """Return as many of the oldest as fit into one message, one at least."""
    size = 0
    for number, one in enumerate(kept):
        size += one.size
        if number and size > BATCH_BYTES_MAX:
            return kept[:number]
    return kept
