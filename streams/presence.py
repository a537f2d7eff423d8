"""Who is in a room: people and agents, by the sockets of this process and what neighbours say of theirs."""

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Protocol

from commands.append import Actor
from streams.protocol import frame

PRESENT_MAX = 2_000


class Neighbours(Protocol):
    """The other processes, and who is in their rooms."""

    def listen(self, listener: Callable[[str, Iterable[Actor]], None]) -> None:
        """Call a function with the key of a room that is open here and all who are in it elsewhere."""

    def here(self, room: str, actors: Iterable[Actor]) -> None:
        """Say who is in a room here, when it is opened and when that changes; never waits."""

    def closed(self, room: str) -> None:
        """Say that nobody here follows a room any more."""


class NoNeighbours:
    """What is known of the others without a place to meet: nothing."""

    def listen(self, listener: Callable[[str, Iterable[Actor]], None]) -> None:
        """Call nothing."""

    def here(self, room: str, actors: Iterable[Actor]) -> None:
        """Tell nobody."""

    def closed(self, room: str) -> None:
        """Tell nobody."""


class Roll:
    """Counts the sockets of everybody in a room, and tells of the changes in steps.

    A step (`settle`) is a version. A client that has seen the version before is told the difference;
    any other is told everybody. So what a slow client has still to hear is a number, and no queue.
    """

    def __init__(self, room: str) -> None:
        self._room = room
        self._sockets = Counter[Actor]()
        self._elsewhere: dict[Actor, None] = {}
        self._told: dict[Actor, None] = {}
        self._in_doubt: dict[Actor, None] = {}
        self._difference = b""
        self._everybody: bytes | None = None
        self.version = 0

    def enter(self, actor: Actor) -> None:
        """Note one more socket."""
        self._sockets[actor] += 1
        self._in_doubt[actor] = None

    def leave(self, actor: Actor) -> None:
        """Note one socket less."""
        self._sockets[actor] -= 1
        if not self._sockets[actor]:
            del self._sockets[actor]
        self._in_doubt[actor] = None

    @property
    def here(self) -> list[Actor]:
        """Who is there by a socket of this process, at most `PRESENT_MAX`."""
        return list(islice(self._sockets, PRESENT_MAX))

    def note_elsewhere(self, actors: Iterable[Actor]) -> bool:
        """Note everybody who is there by another process; tell whether that is news."""
        before, self._elsewhere = self._elsewhere, dict.fromkeys(actors)
        changed = before.keys() ^ self._elsewhere.keys()
        self._in_doubt.update(dict.fromkeys(changed))
        return bool(changed)

    def settle(self) -> None:
        """Make a version of what has changed, if anything has.

        At most `PRESENT_MAX` are shown; who does not fit is looked at again with the next change.
        """
        left = [a for a in self._in_doubt if a in self._told and not self._has(a)]
        come = [a for a in self._in_doubt if a not in self._told and self._has(a)]
        come, waiting = _split(come, PRESENT_MAX - len(self._told) + len(left))
        self._in_doubt = dict.fromkeys(waiting)
        if not (left or come):
            return
        for actor in left:
            del self._told[actor]
        self._told.update(dict.fromkeys(come))
        self._difference = frame("presence", room=self._room, join=_named(come), leave=_named(left))
        self._everybody = None
        self.version += 1

    def _has(self, actor: Actor) -> bool:
        return actor in self._sockets or actor in self._elsewhere

    def news(self, seen: int | None) -> bytes | None:
        """Return what to tell a client that knows a version, or none yet; None where nothing is new."""
        if seen == self.version or not self.version:
            return None
        if seen is not None and seen == self.version - 1:
            return self._difference
        if self._everybody is None:
            told = _named(list(self._told))
            self._everybody = frame("presence", room=self._room, join=told, leave=[], all=True)
        return self._everybody


def _split(actors: list[Actor], room: int) -> tuple[list[Actor], list[Actor]]:
    return actors[:room], actors[room:]


def _named(actors: list[Actor]) -> list[dict[str, str]]:
    return [{"kind": actor.kind.value, "id": str(actor.id)} for actor in actors]
