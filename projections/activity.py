"""The activity timeline: one row for each event that people would want to read."""

from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from domain.base import Event, replace
from domain.catalogue import EVENTS
from projections.read_model import Fact, ReadModel, row_of_event

NOBODY = UUID(int=0)
NEVER = datetime.min.replace(tzinfo=UTC)
# For admins: keys, and what the program notes about itself.
ADMIN_ONLY = ("agent.key_", "system.")
# Their texts are personal: a row of an event is not written again when a person is erased.
PERSONAL = ("user.", "comment.")


@dataclass(frozen=True)
class Details:
    """What an event says beyond whom it concerns; only what applies is set."""

    title: str | None = None
    name: str | None = None
    role: str | None = None
    stage: str | None = None
    percent: int | None = None
    text: str | None = None
    """A reason, a note or a summary."""
    changed: tuple[str, ...] = ()


@dataclass(frozen=True)
class ActivityRow:
    """One event: who did what, to which mission, board, agent, comment or person."""

    id: UUID
    workspace_id: UUID
    version: int
    position: int
    type: str
    recorded_at: datetime
    actor_kind: str
    actor_id: UUID
    on_behalf_of: UUID | None
    stream_id: UUID
    mission_id: UUID | None
    board_id: UUID | None
    from_board_id: UUID | None
    """The board that a mission left, where it went to another."""
    agent_id: UUID | None
    comment_id: UUID | None
    subject_id: UUID | None
    """The person or agent that it was done to: an assignee, a member."""
    admin_only: bool
    details: Details


def happened(_: ActivityRow | None, event: Any) -> ActivityRow:
    topic, stream_id = event.TOPIC, event.originator_id
    noun = topic.split(".")[0]
    board_id = stream_id if noun == "board" else getattr(event, "board_id", None)
    origin = getattr(event, "from_board_id", None)
    return ActivityRow(
        id=NOBODY,
        workspace_id=NOBODY,
        version=event.originator_version,
        position=0,
        type=topic,
        recorded_at=NEVER,
        actor_kind="",
        actor_id=NOBODY,
        on_behalf_of=None,
        stream_id=stream_id,
        mission_id=stream_id if noun == "mission" else getattr(event, "mission_id", None),
        board_id=board_id,
        from_board_id=origin if origin != board_id else None,
        agent_id=stream_id if noun == "agent" else getattr(event, "agent_id", None),
        comment_id=stream_id if noun == "comment" else None,
        subject_id=getattr(event, "assignee_id", None) or getattr(event, "user_id", None),
        admin_only=topic.startswith(ADMIN_ONLY),
        details=Details() if topic.startswith(PERSONAL) else details(event),
    )


def details(event: Any) -> Details:
    """Return what an event without personal fields says."""
    said = vars(event)
    content = said.get("content")
    return Details(
        title=content.title if content is not None else None,
        name=said.get("name"),
        role=said.get("role"),
        stage=said.get("stage"),
        percent=said.get("percent"),
        text=said.get("reason") or said.get("note") or said.get("summary"),
        changed=said.get("changed", ()),
    )


def stamp(row: ActivityRow, fact: Fact) -> ActivityRow:
    """Add what only the envelope knows."""
    by_agent = fact.actor_id if fact.actor_kind == "agent" else None
    return replace(
        row,
        id=fact.event_id,
        workspace_id=fact.workspace_id,
        version=fact.stream_version,
        position=fact.position,
        recorded_at=fact.recorded_at,
        actor_kind=fact.actor_kind,
        actor_id=fact.actor_id,
        on_behalf_of=fact.on_behalf_of,
        agent_id=row.agent_id or by_agent,
    )


def _readable() -> dict[type[Event], Any]:
    return {kind: happened for kind in EVENTS.values() if not kind.HOUSEKEEPING}


ACTIVITY = ReadModel(
    "activity",
    table="read_activity",
    row=ActivityRow,
    on=MappingProxyType(_readable()),
    key=row_of_event,
    stamp=stamp,
)
