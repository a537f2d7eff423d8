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
    """The review of a mission. Whoever created the mission is asked, unless they submitted it."""

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
    )


def placed(row: ReviewRow, event: Any) -> ReviewRow:
    if event.stage == Stage.REVIEW:
        return replace(row, board_id=event.board_id, asked=True)
    return replace(row, board_id=event.board_id, asked=False, position=None, asked_at=None)


def submitted(row: ReviewRow, event: Any) -> ReviewRow:
    return replace(placed(row, event), submitted_by=event.agent_id, summary=event.summary)


def rejected(row: ReviewRow, event: Any) -> ReviewRow:
    return replace(placed(row, event), submitted_by=None, summary=None)


def reopened(row: ReviewRow, _: Any) -> ReviewRow:
    return replace(row, submitted_by=None, summary=None)


def deleted(row: ReviewRow, _: Any) -> ReviewRow:
    return replace(row, asked=False, position=None, asked_at=None)


def stamp(row: ReviewRow, fact: Fact) -> ReviewRow:
    """Note when the review was asked for, at the event that asked, and the version."""
    if row.asked and row.position is None:
        row = replace(row, position=fact.position, asked_at=fact.recorded_at)
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
