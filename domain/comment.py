"""Comments: what people and agents say about a mission, in threads one level deep."""

from uuid import UUID

from eventsourcing.domain import event

from domain import base
from domain.base import Personal


class NotTheAuthor(base.Refusal):
    """Only its author edits a comment."""

    code = "not_the_author"


class CommentRemoved(base.Refusal):
    """The comment was removed."""

    code = "comment_removed"


class Comment(base.Aggregate):
    """A comment; the sealed body is about its author. Events name the mission's board at the time."""

    TOPIC = "comment"

    mission_id: UUID
    board_id: UUID
    author_id: UUID
    parent_id: UUID | None
    body: Personal
    mentions: tuple[UUID, ...]
    removed: bool

    class Event(base.Aggregate.Event):
        mission_id: UUID
        board_id: UUID

    class Created(Event, base.Aggregate.Created):
        TOPIC = "comment.added.v1"
        author_id: UUID
        body: Personal
        parent_id: UUID | None
        mentions: tuple[UUID, ...]

    class Edited(Event):
        TOPIC = "comment.edited.v1"
        body: Personal
        mentions: tuple[UUID, ...]

    class Removed(Event):
        TOPIC = "comment.removed.v1"

    @event(Created)
    def __init__(
        self,
        workspace_id: UUID,
        mission_id: UUID,
        board_id: UUID,
        author_id: UUID,
        body: Personal,
        parent_id: UUID | None,
        mentions: tuple[UUID, ...],
    ) -> None:
        self.workspace_id = workspace_id
        self.mission_id = mission_id
        self.board_id = board_id
        self.author_id = author_id
        self.body = body
        self.parent_id = parent_id
        self.mentions = mentions
        self.removed = False

    def edit(
        self, editor_id: UUID, body: Personal, mentions: tuple[UUID, ...], board_id: UUID
    ) -> None:
        """Change the text."""
        self._require_present()
        if editor_id != self.author_id:
            raise NotTheAuthor("only its author edits a comment")
        self._edited(self.mission_id, board_id, body, mentions)

    def remove(self, remover_id: UUID, board_id: UUID, *, moderator: bool) -> None:
        """Take the comment away; its author may, and whoever moderates the workspace."""
        self._require_present()
        if remover_id != self.author_id and not moderator:
            raise NotTheAuthor("only its author or an admin removes a comment")
        self._removed(self.mission_id, board_id)

    def _require_present(self) -> None:
        if self.removed:
            raise CommentRemoved("this comment was removed")

    @event(Edited)
    def _edited(
        self, mission_id: UUID, board_id: UUID, body: Personal, mentions: tuple[UUID, ...]
    ) -> None:
        self.board_id = board_id
        self.body = body
        self.mentions = mentions

    @event(Removed)
    def _removed(self, mission_id: UUID, board_id: UUID) -> None:
        self.board_id = board_id
        self.body = None
        self.removed = True
