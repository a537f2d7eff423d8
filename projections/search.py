"""Search documents: missions, comments, and what agents said while they worked."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.base import Event
from domain.board import Stage
from domain.comment import Comment
from domain.mission import Mission, Priority
from projections.read_model import Apply, Fact, ReadModel, row_of_event, stamp_version
from projections.search_text import vector

SAID = "C"
"""The weight of all that comments and agents say."""
WEIGHTS = {
    "title": "A", "labels": "B", "description": "C", "body": SAID, "note": SAID,
    "reason": SAID, "summary": SAID, "result": "D", "blocked_reason": "D",
}  # fmt: skip
"""How much a field counts, from A to D."""
PRIORITIES = tuple(priority.value for priority in Priority)
STAGES = tuple(stage.value for stage in Stage)


@dataclass(frozen=True)
class MissionDocument:
    """A mission's words, and what it is filtered by. A deleted one has no words."""

    id: UUID
    workspace_id: UUID
    version: int
    mission_id: UUID
    board_id: UUID
    stage: Stage
    priority: Priority
    labels: tuple[str, ...]
    actors: tuple[UUID, ...]
    texts: dict[str, str]
    terms: str
    deleted: bool
    updated_at: datetime


@dataclass(frozen=True)
class Document:
    """The words of a comment or of one event of an agent. What else is asked of it, its mission says."""

    id: UUID
    workspace_id: UUID
    version: int
    mission_id: UUID
    actors: tuple[UUID, ...]
    texts: dict[str, str]
    terms: str
    updated_at: datetime


def _terms(texts: dict[str, str]) -> str:
    return vector((WEIGHTS[field], text) for field, text in texts.items())


def _told(row: MissionDocument, **texts: str | None) -> MissionDocument:
    """Return a document with some of its texts changed; None takes one away."""
    merged = {name: text for name, text in {**row.texts, **texts}.items() if text}
    return row if merged == row.texts else replace(row, texts=merged, terms=_terms(merged))


def _content(event: Any) -> dict[str, str | None]:
    content = event.content
    return {
        "title": content.title,
        "labels": ", ".join(content.labels),
        "description": content.description,
    }


def mission_created(_: MissionDocument | None, event: Any) -> MissionDocument:
    blank = MissionDocument(
        id=event.originator_id,
        workspace_id=event.workspace_id,
        version=event.originator_version,
        mission_id=event.originator_id,
        board_id=event.board_id,
        stage=event.stage,
        priority=event.content.priority,
        labels=event.content.labels,
        actors=event.assignees,
        texts={},
        terms="",
        deleted=False,
        updated_at=event.timestamp,
    )
    return _told(blank, **_content(event))


def mission_edited(row: MissionDocument, event: Any) -> MissionDocument:
    row = replace(row, priority=event.content.priority, labels=event.content.labels)
    return _told(row, **_content(event))


def mission_placed(row: MissionDocument, event: Any) -> MissionDocument:
    return replace(row, board_id=event.board_id, stage=event.stage)


def mission_claimed(row: MissionDocument, event: Any) -> MissionDocument:
    return replace(mission_placed(row, event), actors=_with(row.actors, event.agent_id))


def mission_assigned(row: MissionDocument, event: Any) -> MissionDocument:
    return replace(row, actors=_with(row.actors, event.assignee_id))


def mission_submitted(row: MissionDocument, event: Any) -> MissionDocument:
    return _told(mission_placed(row, event), result=event.summary)


def mission_rejected(row: MissionDocument, event: Any) -> MissionDocument:
    return _told(mission_placed(row, event), result=None)


def mission_reopened(row: MissionDocument, _: Any) -> MissionDocument:
    return _told(row, result=None)


def mission_blocked(row: MissionDocument, event: Any) -> MissionDocument:
    return _told(row, blocked_reason=event.reason)


def mission_unblocked(row: MissionDocument, _: Any) -> MissionDocument:
    return _told(row, blocked_reason=None)


def mission_deleted(row: MissionDocument, _: Any) -> MissionDocument:
    return replace(row, texts={}, terms="", deleted=True)


def _with(actors: tuple[UUID, ...], actor_id: UUID) -> tuple[UUID, ...]:
    return actors if actor_id in actors else (*actors, actor_id)


def _dated(function: Apply) -> Apply:
    def apply(row: MissionDocument | None, event: Event) -> MissionDocument:
        changed: MissionDocument = function(row, event)
        return replace(changed, updated_at=event.timestamp)

    return apply


ON: dict[Any, Apply] = {
    Mission.Created: mission_created,
    Mission.Edited: mission_edited,
    Mission.Moved: mission_placed,
    Mission.Claimed: mission_claimed,
    Mission.Assigned: mission_assigned,
    Mission.LeaseExpired: mission_placed,
    Mission.Released: mission_placed,
    Mission.Submitted: mission_submitted,
    Mission.Approved: mission_placed,
    Mission.Rejected: mission_rejected,
    Mission.Completed: mission_placed,
    Mission.Reopened: mission_reopened,
    Mission.Failed: mission_placed,
    Mission.Blocked: mission_blocked,
    Mission.Unblocked: mission_unblocked,
    Mission.Deleted: mission_deleted,
}

SEARCH_MISSIONS = ReadModel(
    "search_missions",
    table="read_search_missions",
    row=MissionDocument,
    on={
        Mission.Reranked: mission_placed,
        **{kind: _dated(function) for kind, function in ON.items()},
    },
)


def comment_added(_: Document | None, event: Any) -> Document:
    blank = Document(
        id=event.originator_id,
        workspace_id=event.workspace_id,
        version=event.originator_version,
        mission_id=event.mission_id,
        actors=(event.author_id,),
        texts={},
        terms="",
        updated_at=event.timestamp,
    )
    return comment_edited(blank, event)


def comment_edited(row: Document, event: Any) -> Document:
    # What is still sealed, or can't be opened any more, has no words.
    texts = {"body": event.body} if isinstance(event.body, str) and event.body else {}
    return replace(row, texts=texts, terms=_terms(texts), updated_at=event.timestamp)


def comment_removed(row: Document, event: Any) -> Document:
    return replace(row, texts={}, terms="", updated_at=event.timestamp)


SEARCH_COMMENTS = ReadModel(
    "search_comments",
    table="read_search_comments",
    row=Document,
    on={
        Comment.Created: comment_added,
        Comment.Edited: comment_edited,
        Comment.Removed: comment_removed,
    },
)


def _said(field: str) -> Apply:
    def apply(_: Document | None, event: Any) -> Document | None:
        text = getattr(event, field)
        if not text:
            return None
        texts = {field: text}
        return Document(
            id=UUID(int=0),  # the envelope names the event and its workspace: stamped below
            workspace_id=UUID(int=0),
            version=event.originator_version,
            mission_id=event.originator_id,
            actors=(event.agent_id,),
            texts=texts,
            terms=_terms(texts),
            updated_at=event.timestamp,
        )

    return apply


def _stamped(row: Document, fact: Fact) -> Document:
    stamped: Document = stamp_version(row, fact)
    return replace(stamped, id=fact.event_id, workspace_id=fact.workspace_id)


SEARCH_ACTIVITY = ReadModel(
    "search_activity",
    table="read_search_activity",
    row=Document,
    on={
        Mission.Progressed: _said("note"),
        Mission.Submitted: _said("summary"),
        Mission.Failed: _said("reason"),
    },
    key=row_of_event,
    stamp=_stamped,
)

SEARCH_MODELS = (SEARCH_MISSIONS, SEARCH_COMMENTS, SEARCH_ACTIVITY)
