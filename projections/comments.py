"""Comments with their opened text, in threads one level deep. A removed one stays as a tombstone."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.base import replace
from domain.comment import Comment
from projections.read_model import Fact, ReadModel


@dataclass(frozen=True)
class CommentRow:
    """One comment; `position` is where it was added. `body` is None once it is removed or erased."""

    id: UUID
    workspace_id: UUID
    version: int
    position: int
    mission_id: UUID
    board_id: UUID
    author_id: UUID
    author_kind: str
    thread_id: UUID
    parent_id: UUID | None
    body: str | None
    mentions: tuple[UUID, ...]
    edited: bool
    removed: bool
    created_at: datetime
    updated_at: datetime


def added(_: CommentRow | None, event: Any) -> CommentRow:
    return CommentRow(
        id=event.originator_id,
        workspace_id=event.workspace_id,
        version=event.originator_version,
        position=0,
        mission_id=event.mission_id,
        board_id=event.board_id,
        author_id=event.author_id,
        author_kind="",
        thread_id=event.parent_id or event.originator_id,
        parent_id=event.parent_id,
        body=event.body,
        mentions=event.mentions,
        edited=False,
        removed=False,
        created_at=event.timestamp,
        updated_at=event.timestamp,
    )


def edited(row: CommentRow, event: Any) -> CommentRow:
    return replace(
        row,
        board_id=event.board_id,
        body=event.body,
        mentions=event.mentions,
        edited=True,
        updated_at=event.timestamp,
    )


def removed(row: CommentRow, event: Any) -> CommentRow:
    return replace(
        row,
        board_id=event.board_id,
        body=None,
        mentions=(),
        removed=True,
        updated_at=event.timestamp,
    )


def stamp(row: CommentRow, fact: Fact) -> CommentRow:
    """Note where and by what kind of actor a comment was added, and the version."""
    if fact.stream_version == 1:
        row = replace(row, position=fact.position, author_kind=fact.actor_kind)
    return replace(row, version=fact.stream_version)


COMMENTS = ReadModel(
    "comments",
    table="read_comments",
    row=CommentRow,
    on={Comment.Created: added, Comment.Edited: edited, Comment.Removed: removed},
    stamp=stamp,
)
