"""What was said about a mission, in threads."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from projections.comments import COMMENTS, CommentRow
from projections.missions import MISSIONS
from read_api.lists import (
    ActorKind,
    Listing,
    Order,
    Page,
    Reader,
    columns_of,
    item_of,
    list_answer,
    page,
)

router = APIRouter(prefix="/api/missions", tags=["comments"])

HIDDEN = frozenset({"workspace_id", "position"})
ID = "0192f0c1-7a3e-7cc1-9b0e-5d1f6a2b3c4d"
EXAMPLE: dict[str, Any] = {
    "id": ID, "version": 1, "mission_id": ID, "board_id": ID, "author_id": ID, "author_kind": "user",
    "thread_id": ID, "parent_id": None, "body": "Which week?", "mentions": [], "edited": False,
    "removed": False, "created_at": "2026-03-01T09:00:00Z", "updated_at": "2026-03-01T09:00:00Z",
}  # fmt: skip

THREADS: Listing[Any] = Listing(
    item_of(CommentRow, omit=HIDDEN, author_kind=ActorKind),
    source="read_comments t",
    columns=columns_of(CommentRow, omit=HIDDEN),
    orders={"thread": Order("t.thread_id", "uuid", "t.position", "bigint")},
    default="thread",
    models=(COMMENTS.name, MISSIONS.name),
    filters={"author_id": "t.author_id = %(author_id)s"},
    always="t.mission_id = %(mission)s",
    guard="""EXISTS (SELECT 1 FROM read_missions m
        WHERE m.id = %(mission)s AND m.workspace_id = %(workspace)s AND NOT m.deleted)""",
)


@router.get("/{mission_id}/comments", responses=list_answer(THREADS.item, EXAMPLE))
async def comments(
    mission_id: UUID,
    request: Request,
    principal: Reader,
    page: Annotated[Page, Depends(page)],
    author_id: UUID | None = None,
) -> Response:
    """List a mission's comments: threads by age, a thread's replies behind its first comment.

    A removed comment stays as a tombstone without its text, and `body` is null where it was erased.
    """
    return await THREADS.respond(
        request, principal, page, values={"mission": mission_id}, author_id=author_id
    )
