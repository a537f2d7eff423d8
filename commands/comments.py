"""Comments on missions."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from commands.bus import Context, Decision, Handler, Tools, require_unchanged
from domain.base import InvalidValue, NotFound
from domain.comment import Comment
from domain.mission import Mission, MissionDeleted


@dataclass(frozen=True, slots=True)
class AddComment:
    mission_id: UUID
    body: str
    parent_id: UUID | None
    mentions: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class EditComment:
    comment_id: UUID
    body: str
    mentions: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class RemoveComment:
    comment_id: UUID


async def add_comment(command: AddComment, context: Context, tools: Tools) -> Decision:
    mission = await tools.aggregates.get(Mission, command.mission_id, context.workspace_id)
    if mission.deleted:
        raise MissionDeleted("this mission was deleted")
    await _require_mentioned(command.mentions, context, tools)
    author_id, comment_id = context.actor.id, uuid7()
    await tools.vault.load([author_id])
    comment = Comment.begin(
        comment_id,
        workspace_id=context.workspace_id,
        mission_id=mission.id,
        board_id=mission.place.board_id,
        author_id=author_id,
        body=tools.vault.seal(author_id, comment_id, "body", command.body),
        parent_id=await _thread(command, context, tools),
        mentions=command.mentions,
    )
    return Decision([comment], status=201)


async def edit_comment(command: EditComment, context: Context, tools: Tools) -> Decision:
    comment = await tools.aggregates.get(Comment, command.comment_id, context.workspace_id)
    require_unchanged(comment, context)
    await _require_mentioned(command.mentions, context, tools)
    await tools.vault.load([comment.author_id])
    body = tools.vault.seal(comment.author_id, comment.id, "body", command.body)
    board_id = await _board_of(comment, context, tools)
    comment.edit(context.actor.id, body, command.mentions, board_id)
    return Decision([comment])


async def remove_comment(command: RemoveComment, context: Context, tools: Tools) -> Decision:
    comment = await tools.aggregates.get(Comment, command.comment_id, context.workspace_id)
    require_unchanged(comment, context)
    board_id = await _board_of(comment, context, tools)
    comment.remove(context.actor.id, board_id, moderator=context.moderator)
    return Decision([comment])


HANDLERS: dict[type[Any], Handler] = {
    AddComment: add_comment,
    EditComment: edit_comment,
    RemoveComment: remove_comment,
}


async def _thread(command: AddComment, context: Context, tools: Tools) -> UUID | None:
    """Return the root of the thread that a reply belongs to: threads are one level deep."""
    if command.parent_id is None:
        return None
    try:
        parent = await tools.aggregates.get(Comment, command.parent_id, context.workspace_id)
    except NotFound as missing:
        raise NotFound("no such comment to reply to", field="parent_id") from missing
    if parent.mission_id != command.mission_id:
        raise InvalidValue("that comment is on another mission", field="parent_id")
    return parent.parent_id or parent.id


async def _board_of(comment: Comment, context: Context, tools: Tools) -> UUID:
    mission = await tools.aggregates.get(Mission, comment.mission_id, context.workspace_id)
    return mission.place.board_id


async def _require_mentioned(ids: tuple[UUID, ...], context: Context, tools: Tools) -> None:
    for actor_id in ids:
        if not await tools.write_side.is_actor(context.workspace_id, actor_id):
            raise InvalidValue("nobody of this id in the workspace", field="mentions")
