"""Reviews that are asked for: one row a mission, open for as long as it stands in review."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.base import replace
from domain.board import Stage
from domain.mission import Mission
from projections.read_model import Fact, ReadModel


@dataclass(frozen=True)
class ReviewRow:
    """The review of a mission. Whoever created the mission is asked, unless they brought it there."""

    id: UUID
    workspace_id: UUID
    version: int
    board_id: UUID
    created_by: UUID
    submitted_by: UUID | None
    summary: str | None
    asked: bool
    position: int | None
    """Where in the log the mission came into review; None while it is not."""
    asked_at: datetime | None
    asked_by: UUID | None
    asked_type: str | None


def created(_: ReviewRow | None, event: Any) -> ReviewRow:
    return ReviewRow(
        id=event.originator_id,
        workspace_id=event.workspace_id,
        version=event.originator_version,
        board_id=event.board_id,
        created_by=event.created_by,
        submitted_by=None,
        summary=None,
        asked=event.stage == Stage.REVIEW,
        position=None,
        asked_at=None,
        asked_by=None,
        asked_type=None,
    )


def over(row: ReviewRow) -> ReviewRow:
    return replace(row, asked=False, position=None, asked_at=None, asked_by=None, asked_type=None)


def placed(row: ReviewRow, event: Any) -> ReviewRow:
    row = replace(row, board_id=event.board_id)
    return replace(row, asked=True) if event.stage == Stage.REVIEW else over(row)


def submitted(row: ReviewRow, event: Any) -> ReviewRow:
    return replace(placed(row, event), submitted_by=event.agent_id, summary=event.summary)


def rejected(row: ReviewRow, event: Any) -> ReviewRow:
    return replace(placed(row, event), submitted_by=None, summary=None)


def reopened(row: ReviewRow, _: Any) -> ReviewRow:
    return replace(row, submitted_by=None, summary=None)


def deleted(row: ReviewRow, _: Any) -> ReviewRow:
    return over(row)


def stamp(row: ReviewRow, fact: Fact) -> ReviewRow:
    """Note when and by whom the review was asked for, at the event that asked, and the version."""
    if row.asked and row.position is None:
        row = replace(
            row,
            position=fact.position,
            asked_at=fact.recorded_at,
            asked_by=fact.actor_id,
            asked_type=fact.type,
        )
    return replace(row, version=fact.stream_version)


REVIEWS = ReadModel(
    "reviews",
    table="read_reviews",
    row=ReviewRow,
    on={
        Mission.Created: created,
        Mission.Moved: placed,
        Mission.Claimed: placed,
        Mission.LeaseExpired: placed,
        Mission.Released: placed,
        Mission.Submitted: submitted,
        Mission.Approved: placed,
        Mission.Rejected: rejected,
        Mission.Completed: placed,
        Mission.Reopened: reopened,
        Mission.Failed: placed,
        Mission.Deleted: deleted,
    },
    stamp=stamp,
)
