"""Every aggregate and every event type of the log, and how old types are read."""

from collections.abc import Callable, Mapping
from typing import Any

from domain.agent import Agent
from domain.base import Aggregate, Event
from domain.board import Board
from domain.comment import Comment
from domain.mission import Mission
from domain.system import Projection
from domain.user import User
from domain.workspace import Workspace

AGGREGATES: dict[str, type[Aggregate]] = {
    aggregate.TOPIC: aggregate
    for aggregate in (Workspace, User, Agent, Board, Mission, Comment, Projection)
}

Upcaster = Callable[[dict[str, Any]], tuple[str, dict[str, Any]]]
UPCASTERS: Mapping[str, Upcaster] = {}
"""Old event type → function from its data to the type and data that replaced it.

An event type is never changed: `…v2` is added, and an upcaster from `…v1` is put here.
"""


def events_of(aggregate: type[Aggregate]) -> dict[str, type[Event]]:
    """Return an aggregate's event types by their stable names."""
    nested = (getattr(aggregate, name) for name in vars(aggregate))
    return {
        kind.TOPIC: kind
        for kind in nested
        if isinstance(kind, type) and issubclass(kind, Event) and hasattr(kind, "TOPIC")
    }


EVENTS: dict[str, type[Event]] = {
    topic: kind for aggregate in AGGREGATES.values() for topic, kind in events_of(aggregate).items()
}
