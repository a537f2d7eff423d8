"""The form of a read model: which events it follows, and a pure function from row to row for each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from domain.base import Event, replace

R = TypeVar("R", bound=Any)
Apply = Callable[[Any, Any], Any]


class Fact(Protocol):
    """An event with its envelope: where it stands in the log, and who caused it."""

    @property
    def position(self) -> int: ...
    @property
    def event_id(self) -> UUID: ...
    @property
    def workspace_id(self) -> UUID: ...
    @property
    def stream_id(self) -> UUID: ...
    @property
    def stream_version(self) -> int: ...
    @property
    def type(self) -> str: ...
    @property
    def recorded_at(self) -> datetime: ...
    @property
    def actor_kind(self) -> str: ...
    @property
    def actor_id(self) -> UUID: ...
    @property
    def on_behalf_of(self) -> UUID | None: ...
    @property
    def event(self) -> Event: ...


def row_of_stream(fact: Fact) -> UUID:
    """Return the key of a model that has one row for each stream."""
    return fact.stream_id


def row_of_event(fact: Fact) -> UUID:
    """Return the key of a model that has one row for each event."""
    return fact.event_id


def stamp_version(row: Any, fact: Fact) -> Any:
    """Note which event of its stream a row has seen last."""
    return replace(row, version=fact.stream_version)


def no_boards(_: Any) -> frozenset[UUID]:
    """Return nothing: no board shows the row."""
    return frozenset()


@dataclass(frozen=True)
class ReadModel(Generic[R]):
    """A table of rows, each folded from the events of one stream.

    `on` maps an event type to `apply(row | None, event) -> row | None`: no SQL, no clock, no I/O, so that
    the same function serves the running projection, rebuilds, history and tests. `key` says which row
    an event touches; `stamp` adds to a row what only the envelope knows, and at least its `version`.
    A row of a stream may have a field `stale`: the runner sets it while the stream is parked.
    """

    name: str
    table: str
    row: type[R]
    on: Mapping[type[Event], Apply]
    boards: Callable[[R], frozenset[UUID]] = no_boards
    """The boards that show a row: their revisions grow with it."""
    key: Callable[[Fact], UUID] = row_of_stream
    stamp: Callable[[Any, Fact], Any] = stamp_version
    version: int = 1
    """Count it up with each change of what the functions or the table say: the rows are then rebuilt."""

    def apply(self, row: R | None, fact: Fact) -> R | None:
        """Return the row after one more event; types that are not listed only stamp it."""
        event = fact.event
        function = self.on.get(type(event))
        if function is not None:
            row = function(row, event)
        if row is None:
            return None
        stamped: R = self.stamp(row, fact)
        return stamped
