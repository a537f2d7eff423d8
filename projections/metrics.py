"""How missions flow: points that their events make, each with a time and a duration.

A point is never changed, and a mission's points depend on nothing but its own events: any store may
write them again. Durations are seconds; `change` is what a point adds to the number of cards in a stage.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.board import Stage
from domain.mission import Mission
from projections.read_model import Apply, ReadModel


@dataclass(frozen=True)
class Point:
    """`measurement` is stage, wait, work, review, lead or cycle; see `docs/metrics.md`."""

    measurement: str
    version: int
    at: datetime
    board_id: UUID
    stage: Stage | None = None
    agent_id: UUID | None = None
    outcome: str | None = None
    change: int = 0
    seconds: float | None = None


@dataclass(frozen=True)
class FlowRow:
    """Where a mission stands and since when; `stage` is None once it is deleted."""

    id: UUID
    workspace_id: UUID
    version: int
    board_id: UUID
    stage: Stage | None
    entered_at: datetime
    opened_at: datetime
    started_at: datetime | None
    holder: UUID | None
    claimed_at: datetime | None
    submitted_by: UUID | None
    submitted_at: datetime | None
    points: tuple[Point, ...]


def created(_: FlowRow | None, event: Any) -> FlowRow:
    blank = FlowRow(
        id=event.originator_id,
        workspace_id=event.workspace_id,
        version=event.originator_version,
        board_id=event.board_id,
        stage=None,
        entered_at=event.timestamp,
        opened_at=event.timestamp,
        started_at=None,
        holder=None,
        claimed_at=None,
        submitted_by=None,
        submitted_at=None,
        points=(),
    )
    row = _placed(blank, event)
    return completed(row, event) if event.stage == Stage.DONE else row


def moved(row: FlowRow, event: Any) -> FlowRow:
    if event.column_id != event.from_column_id:
        row = _lease_over(row, event, "taken")
        if event.stage != Stage.REVIEW:
            row = replace(row, submitted_at=None)
    return _placed(row, event)


def claimed(row: FlowRow, event: Any) -> FlowRow:
    waited = _seconds(row.entered_at, event)
    row = _point(row, event, "wait", agent_id=event.agent_id, seconds=waited)
    return replace(_placed(row, event), holder=event.agent_id, claimed_at=event.timestamp)


def submitted(row: FlowRow, event: Any) -> FlowRow:
    row = _placed(_lease_over(row, event, "submitted"), event)
    return replace(row, submitted_by=event.agent_id, submitted_at=event.timestamp)


def approved(row: FlowRow, event: Any) -> FlowRow:
    return _placed(_decided(row, event, "approved"), event)


def rejected(row: FlowRow, event: Any) -> FlowRow:
    row = _placed(_decided(row, event, "rejected"), event)
    return replace(row, submitted_by=None)


def completed(row: FlowRow, event: Any) -> FlowRow:
    row = _placed(row, event)
    agent = row.submitted_by
    row = _point(row, event, "lead", agent_id=agent, seconds=_seconds(row.opened_at, event))
    if row.started_at is not None:
        row = _point(row, event, "cycle", agent_id=agent, seconds=_seconds(row.started_at, event))
    return replace(row, submitted_at=None)


def reopened(row: FlowRow, event: Any) -> FlowRow:
    # `moved` went before: what started with it is kept, what was before it is another round.
    started = event.timestamp if row.stage in {Stage.ACTIVE, Stage.REVIEW} else None
    return replace(
        row,
        opened_at=event.timestamp,
        started_at=started,
        submitted_by=None,
        submitted_at=None,
    )


def deleted(row: FlowRow, event: Any) -> FlowRow:
    row = _lease_over(row, event, "taken")
    return replace(_left(row, event), stage=None, submitted_at=None)


def lease_ended(outcome: str) -> Apply:
    def apply(row: FlowRow, event: Any) -> FlowRow:
        return _placed(_lease_over(row, event, outcome), event)

    return apply


def _placed(row: FlowRow, event: Any) -> FlowRow:
    """Note the card's place; a new stage or board makes a point for each."""
    if (row.board_id, row.stage) == (event.board_id, event.stage):
        return row
    row = replace(
        _left(row, event), board_id=event.board_id, stage=event.stage, entered_at=event.timestamp
    )
    if event.stage == Stage.ACTIVE and row.started_at is None:
        row = replace(row, started_at=event.timestamp)
    return _point(row, event, "stage", stage=event.stage, change=1)


def _left(row: FlowRow, event: Any) -> FlowRow:
    if row.stage is None:
        return row
    spent = _seconds(row.entered_at, event)
    return _point(row, event, "stage", stage=row.stage, change=-1, seconds=spent)


def _lease_over(row: FlowRow, event: Any, outcome: str) -> FlowRow:
    if row.holder is None or row.claimed_at is None:
        return row
    worked = _seconds(row.claimed_at, event)
    row = _point(row, event, "work", agent_id=row.holder, outcome=outcome, seconds=worked)
    return replace(row, holder=None, claimed_at=None)


def _decided(row: FlowRow, event: Any, outcome: str) -> FlowRow:
    if row.submitted_at is None:
        return row  # moved into review by hand: nobody submitted it
    waited = _seconds(row.submitted_at, event)
    row = _point(row, event, "review", agent_id=row.submitted_by, outcome=outcome, seconds=waited)
    return replace(row, submitted_at=None)


def _point(row: FlowRow, event: Any, measurement: str, **fields: Any) -> FlowRow:
    point = Point(measurement, event.originator_version, event.timestamp, row.board_id, **fields)
    return replace(row, points=(*row.points, point))


def _seconds(since: datetime, event: Any) -> float:
    seconds: float = (event.timestamp - since).total_seconds()
    return seconds


MISSION_FLOW = ReadModel(
    "mission_flow",
    table="read_mission_flow",
    row=FlowRow,
    on={
        Mission.Created: created,
        Mission.Moved: moved,
        Mission.Claimed: claimed,
        Mission.LeaseExpired: lease_ended("expired"),
        Mission.Released: lease_ended("released"),
        Mission.Submitted: submitted,
        Mission.Approved: approved,
        Mission.Rejected: rejected,
        Mission.Completed: completed,
        Mission.Reopened: reopened,
        Mission.Failed: lease_ended("failed"),
        Mission.Deleted: deleted,
    },
)
