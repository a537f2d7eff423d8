"""The form of a read model: which events it follows, and a pure function from row to row for each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar
from uuid import UUID

from domain.base import Event

R = TypeVar("R", bound=Any)
Apply = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class ReadModel(Generic[R]):
    """A table of rows, each folded from the events of one stream.

    `on` maps an event type to `apply(row | None, event) -> row | None`: no SQL, no clock, no I/O, so that
    the same function serves the running projection, rebuilds, history and tests. The row of a stream
    has the stream's id; its `version` is that of the last event applied.
    """

    name: str
    table: str
    row: type[R]
    on: Mapping[type[Event], Apply]
    boards: Callable[[R], frozenset[UUID]] = lambda _: frozenset()
    """The boards that show a row: their revisions grow with it."""

    def apply(self, row: R | None, event: Event) -> R | None:
        """Return the row after one more event; types that are not listed only move its version."""
        function = self.on.get(type(event))
        if function is not None:
            row = function(row, event)
        if row is None:
            return None
        return replace(row, version=event.originator_version)
