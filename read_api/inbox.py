"""What waits for whoever asks: mentions of them, reviews asked of them, alerts about their missions.

- `mention`: a comment that mentions them, by somebody else.
- `review`: a mission in review that they created, and that they did not submit (nobody reviews their
  own work) or move there themselves. It leaves the inbox with the review's end.
- `alert`: a mission that they created or are assigned to failed, was blocked or rejected, or its
  lease expired; not where they did it themselves.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from projections.alerts import ALERTS
from projections.comments import COMMENTS
from projections.missions import MISSIONS
from projections.reviews import REVIEWS
from read_api.lists import Listing, Order, Page, Reader, list_answer, page

router = APIRouter(prefix="/api/inbox", tags=["inbox"])

ID = "0192f0c1-7a3e-7cc1-9b0e-5d1f6a2b3c4d"


class Kind(StrEnum):
    """Why something is in the inbox."""

    MENTION = "mention"
    REVIEW = "review"
    ALERT = "alert"


class InboxItem(msgspec.Struct):
    """One thing that waits. `id` is the comment's, the mission's or the event's, by `kind`."""

    kind: Kind
    id: UUID
    position: int
    at: datetime
    mission_id: UUID
    board_id: UUID
    title: str | None
    comment_id: UUID | None
    actor_id: UUID | None
    type: str
    text: str | None


# Each part is walked by an index in the log's order, or by the missions of whoever asks, if these are few.
ALERT = """
    SELECT 'alert', a.id, a.workspace_id, a.position, a.recorded_at, a.mission_id, m.board_id,
        m.title, NULL, a.actor_id, a.type, a.reason
    FROM read_mission_facets f JOIN read_missions m ON m.id = f.mission_id
    JOIN read_alerts a ON a.mission_id = f.mission_id
    WHERE f.workspace_id = %(workspace)s AND f.facet = {facet} || %(me)s::text
        AND m.workspace_id = %(workspace)s AND NOT m.deleted
        AND a.workspace_id = %(workspace)s AND a.actor_id <> %(me)s"""
SOURCE = f"""(
    SELECT 'mention' AS kind, c.id, c.workspace_id, n.position, c.created_at AS at, c.mission_id,
        m.board_id, m.title, c.id AS comment_id, c.author_id AS actor_id,
        'comment.added.v1' AS type, c.body AS text
    FROM read_comment_mentions n JOIN read_comments c ON c.id = n.comment_id
    JOIN read_missions m ON m.id = c.mission_id AND NOT m.deleted
    WHERE n.workspace_id = %(workspace)s AND n.person_id = %(me)s
        AND c.workspace_id = %(workspace)s AND c.author_id <> %(me)s
    UNION ALL
    SELECT 'review', r.id, r.workspace_id, r.position, r.asked_at, r.id, m.board_id, m.title, NULL,
        coalesce(r.asked_by, r.submitted_by), coalesce(r.asked_type, 'mission.submitted.v1'), r.summary
    FROM read_reviews r JOIN read_missions m ON m.id = r.id AND NOT m.deleted
    WHERE r.asked AND r.created_by = %(me)s AND r.workspace_id = %(workspace)s
        AND r.submitted_by IS DISTINCT FROM %(me)s AND r.asked_by IS DISTINCT FROM %(me)s
    UNION ALL
    {ALERT.format(facet="'created_by '")}
    UNION ALL
    {ALERT.format(facet="'assignee_id '")} AND m.created_by <> %(me)s
) t"""

INBOX = Listing(
    InboxItem,
    source=SOURCE,
    columns="t.*",
    orders={"position": Order("t.position", "bigint", "t.position", "bigint")},
    default="-position",
    models=(COMMENTS.name, REVIEWS.name, ALERTS.name, MISSIONS.name),
    filters={"kind": "t.kind = %(kind)s"},
)


@router.get(
    "",
    responses=list_answer(
        InboxItem,
        {"kind": "alert", "id": ID, "position": 1041, "at": "2026-03-01T09:05:00Z", "mission_id": ID,
         "board_id": ID, "title": "Summarise the incidents", "comment_id": None, "actor_id": ID,
         "type": "mission.failed.v1", "text": "no access to the archive"}
    ),
)  # fmt: skip
async def inbox(
    request: Request,
    principal: Reader,
    page: Annotated[Page, Depends(page)],
    kind: Kind | None = None,
) -> Response:
    """List what waits for the caller, newest first: mentions, reviews and alerts."""
    me = {"me": principal.actor.id}
    return await INBOX.respond(request, principal, page, values=me, kind=kind)
