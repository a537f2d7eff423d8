"""Alerts: what went wrong with a mission. Who hears of it (creator, assignees) is joined when read."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.base import replace
from domain.mission import Mission
from projections.read_model import Fact, ReadModel, row_of_event

NOBODY = UUID(int=0)


@dataclass(frozen=True)
class AlertRow:
    """One thing that went wrong; `agent_id` is the agent that had the mission."""

    id: UUID
    workspace_id: UUID
    version: int
    position: int
    type: str
    recorded_at: datetime
    actor_id: UUID
    mission_id: UUID
    board_id: UUID
    agent_id: UUID | None
    reason: str | None


def raised(_: AlertRow | None, event: Any) -> AlertRow:
    return AlertRow(
        id=NOBODY,
        workspace_id=NOBODY,
        version=event.originator_version,
        position=0,
        type=event.TOPIC,
        recorded_at=event.timestamp,
        actor_id=NOBODY,
        mission_id=event.originator_id,
        board_id=event.board_id,
        agent_id=getattr(event, "agent_id", None),
        reason=getattr(event, "reason", None),
    )


def stamp(row: AlertRow, fact: Fact) -> AlertRow:
    """Add what only the envelope knows."""
    return replace(
        row,
        id=fact.event_id,
        workspace_id=fact.workspace_id,
        version=fact.stream_version,
        position=fact.position,
        recorded_at=fact.recorded_at,
        actor_id=fact.actor_id,
    )


ALERTS = ReadModel(
    "alerts",
    table="read_alerts",
    row=AlertRow,
    on=dict.fromkeys(
        (Mission.Failed, Mission.Blocked, Mission.LeaseExpired, Mission.Rejected), raised
    ),
    key=row_of_event,
    stamp=stamp,
)
