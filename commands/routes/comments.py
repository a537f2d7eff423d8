"""Comments over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import Field

from commands import comments
from domain.permissions import Permission
from infra.http.caller import done, run
from infra.http.fields import Body, Said
from infra.http.principal import Principal, requires

router = APIRouter(prefix="/api", tags=["comments"])

Commenter = Annotated[Principal, requires(Permission.COMMENT)]
Mentions = Annotated[tuple[UUID, ...], Field(max_length=50)]


class CommentText(Body):
    body: Said
    mentions: Mentions = ()


class NewComment(CommentText):
    parent_id: UUID | None = None


@router.post(
    "/missions/{mission_id}/comments",
    status_code=201,
    responses=done(status=201, conditional=False),
)
async def add_comment(
    mission_id: UUID, body: NewComment, request: Request, principal: Commenter
) -> Response:
    """Say something about a mission."""
    command = comments.AddComment(mission_id, body.body, body.parent_id, body.mentions)
    return await run(request, principal, command)


@router.put("/comments/{comment_id}", responses=done())
async def edit_comment(
    comment_id: UUID, body: CommentText, request: Request, principal: Commenter
) -> Response:
    """Change one's own comment."""
    return await run(request, principal, comments.EditComment(comment_id, body.body, body.mentions))


@router.delete("/comments/{comment_id}", responses=done())
async def remove_comment(comment_id: UUID, request: Request, principal: Commenter) -> Response:
    """Take a comment away."""
    return await run(request, principal, comments.RemoveComment(comment_id))
