"""Missions as people see them: the cards of a board, and one mission in full."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.base import Event, replace
from domain.board import Stage
from domain.mission import Mission, Priority
from projections.read_model import Apply, ReadModel

__all__ = ["MISSIONS", "MissionRow", "Priority", "Stage"]


@dataclass(frozen=True)
class MissionRow:
    """One mission. A deleted one stays as a tombstone, so that its version is not forgotten."""

    id: UUID
    workspace_id: UUID
    version: int
    board_id: UUID
    column_id: UUID
    stage: Stage
    rank: str
    title: str
    description: str
    priority: Priority
    labels: tuple[str, ...]
    due: datetime | None
    required_capabilities: tuple[str, ...]
    assignees: tuple[UUID, ...]
    holder: UUID | None
    lease_token: int | None
    progress_percent: int
    progress_note: str | None
    dependencies: tuple[UUID, ...]
    unmet_dependencies: tuple[UUID, ...]
    blocked_reason: str | None
    failures: int
    submitted_by: UUID | None
    summary: str | None
    sent_back_reason: str | None
    completed: bool
    deleted: bool
    created_by: UUID
    created_at: datetime
    updated_at: datetime
    stale: bool = False


def created(_: MissionRow | None, event: Any) -> MissionRow:
    return MissionRow(
        id=event.originator_id,
        workspace_id=event.workspace_id,
        version=event.originator_version,
        board_id=event.board_id,
        column_id=event.column_id,
        stage=event.stage,
        rank=event.rank,
        **vars(event.content),
        assignees=event.assignees,
        holder=None,
        lease_token=None,
        progress_percent=0,
        progress_note=None,
        dependencies=(),
        unmet_dependencies=(),
        blocked_reason=None,
        failures=0,
        submitted_by=None,
        summary=None,
        sent_back_reason=None,
        completed=event.stage == Stage.DONE,
        deleted=False,
        created_by=event.created_by,
        created_at=event.timestamp,
        updated_at=event.timestamp,
    )


def edited(row: MissionRow, event: Any) -> MissionRow:
    return replace(row, **vars(event.content))


def moved(row: MissionRow, event: Any) -> MissionRow:
    row = _placed(row, event)
    if event.column_id != event.from_column_id:
        row = replace(row, holder=None, lease_token=None)
    return row


def reranked(row: MissionRow, event: Any) -> MissionRow:
    return _placed(row, event)


def assigned(row: MissionRow, event: Any) -> MissionRow:
    return replace(row, assignees=(*row.assignees, event.assignee_id))


def unassigned(row: MissionRow, event: Any) -> MissionRow:
    return replace(row, assignees=_without(row.assignees, event.assignee_id))


def claimed(row: MissionRow, event: Any) -> MissionRow:
    return replace(
        _placed(row, event),
        holder=event.agent_id,
        lease_token=event.originator_version,
        progress_percent=0,
        progress_note=None,
    )


def lease_ended(row: MissionRow, event: Any) -> MissionRow:
    return replace(_placed(row, event), holder=None, lease_token=None)


def progressed(row: MissionRow, event: Any) -> MissionRow:
    return replace(row, progress_percent=event.percent, progress_note=event.note)


def submitted(row: MissionRow, event: Any) -> MissionRow:
    return replace(
        lease_ended(row, event),
        submitted_by=event.agent_id,
        summary=event.summary,
        sent_back_reason=None,
    )


def approved(row: MissionRow, event: Any) -> MissionRow:
    return _placed(row, event)


def rejected(row: MissionRow, event: Any) -> MissionRow:
    return replace(
        _placed(row, event), submitted_by=None, summary=None, sent_back_reason=event.reason
    )


def completed(row: MissionRow, event: Any) -> MissionRow:
    return replace(_placed(row, event), progress_percent=100, sent_back_reason=None, completed=True)


def reopened(row: MissionRow, _: Any) -> MissionRow:
    return replace(row, completed=False, submitted_by=None, summary=None)


def failed(row: MissionRow, event: Any) -> MissionRow:
    return replace(lease_ended(row, event), failures=row.failures + 1)


def blocked(row: MissionRow, event: Any) -> MissionRow:
    return replace(row, blocked_reason=event.reason)


def unblocked(row: MissionRow, _: Any) -> MissionRow:
    return replace(row, blocked_reason=None, failures=0)


def dependency_added(row: MissionRow, event: Any) -> MissionRow:
    unmet = row.unmet_dependencies if event.met else (*row.unmet_dependencies, event.depends_on_id)
    return replace(
        row, dependencies=(*row.dependencies, event.depends_on_id), unmet_dependencies=unmet
    )


def dependency_removed(row: MissionRow, event: Any) -> MissionRow:
    return replace(
        row,
        dependencies=_without(row.dependencies, event.depends_on_id),
        unmet_dependencies=_without(row.unmet_dependencies, event.depends_on_id),
    )


def dependency_met(row: MissionRow, event: Any) -> MissionRow:
    return replace(row, unmet_dependencies=_without(row.unmet_dependencies, event.depends_on_id))


def dependency_unmet(row: MissionRow, event: Any) -> MissionRow:
    return replace(row, unmet_dependencies=(*row.unmet_dependencies, event.depends_on_id))


def deleted(row: MissionRow, _: Any) -> MissionRow:
    return replace(row, holder=None, lease_token=None, deleted=True)


def _placed(row: MissionRow, event: Any) -> MissionRow:
    return replace(
        row,
        board_id=event.board_id,
        column_id=event.column_id,
        stage=event.stage,
        rank=event.rank,
    )


def _without(ids: tuple[UUID, ...], gone: UUID) -> tuple[UUID, ...]:
    return tuple(other for other in ids if other != gone)


def _dated(function: Apply) -> Apply:
    def apply(row: MissionRow | None, event: Event) -> MissionRow:
        changed: MissionRow = function(row, event)
        return replace(changed, updated_at=event.timestamp)

    return apply


ON: dict[Any, Apply] = {
    Mission.Created: created,
    Mission.Edited: edited,
    Mission.Moved: moved,
    Mission.Reranked: reranked,
    Mission.Assigned: assigned,
    Mission.Unassigned: unassigned,
    Mission.Claimed: claimed,
    Mission.LeaseExpired: lease_ended,
    Mission.Released: lease_ended,
    Mission.Progressed: progressed,
    Mission.Submitted: submitted,
    Mission.Approved: approved,
    Mission.Rejected: rejected,
    Mission.Completed: completed,
    Mission.Reopened: reopened,
    Mission.Failed: failed,
    Mission.Blocked: blocked,
    Mission.Unblocked: unblocked,
    Mission.DependencyAdded: dependency_added,
    Mission.DependencyRemoved: dependency_removed,
    Mission.DependencyMet: dependency_met,
    Mission.DependencyUnmet: dependency_unmet,
    Mission.Deleted: deleted,
}

MISSIONS = ReadModel(
    "missions",
    table="read_missions",
    row=MissionRow,
    version=2,
    on={kind: _dated(function) for kind, function in ON.items()},
    boards=lambda row: frozenset([row.board_id]),
)

CLAIM_ENDS = [
    event.TOPIC
    for event in (
        Mission.Claimed, Mission.LeaseExpired, Mission.Released, Mission.Submitted, Mission.Failed,
        Mission.Deleted,
    )
]  # fmt: skip
"""What ends a claim for certain; whether a move does, only a mission's fold knows."""
