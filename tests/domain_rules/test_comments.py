"""What may be done to a comment, and by whom."""

from uuid import UUID

import pytest

from domain.base import Sealed
from domain.comment import Comment, CommentRemoved, NotTheAuthor

WORKSPACE, COMMENT, PARENT, MISSION, BOARD, OTHER_BOARD = (UUID(int=n) for n in range(1, 7))
AUTHOR, OTHER = UUID(int=11), UUID(int=12)
BODY, NEW_BODY = Sealed(AUTHOR, "b25l"), Sealed(AUTHOR, "dHdv")


def added():
    return Comment.begin(
        COMMENT,
        workspace_id=WORKSPACE,
        mission_id=MISSION,
        board_id=BOARD,
        author_id=AUTHOR,
        body=BODY,
        parent_id=PARENT,
        mentions=(OTHER,),
    )


def edited(comment):
    comment.edit(AUTHOR, NEW_BODY, (), OTHER_BOARD)


def removed(comment):
    comment.remove(AUTHOR, OTHER_BOARD, moderator=False)


def test_a_comment_says_whose_it_is_and_what_it_answers(given):
    fact = given(added).log[0]
    assert (fact.author_id, fact.parent_id, fact.mission_id) == (AUTHOR, PARENT, MISSION)
    assert (fact.body, fact.mentions, fact.board_id) == (BODY, (OTHER,), BOARD)


def test_the_author_edits_the_text_and_the_mentions(given):
    decision = given(added).when(edited)
    decision.then(Comment.Edited, body=NEW_BODY, mentions=())
    decision.leaving(body=NEW_BODY, mentions=(), author_id=AUTHOR, parent_id=PARENT)


def test_an_edit_names_the_mission_and_the_board_where_it_is_now(given):
    decision = given(added).when(edited)
    decision.then(Comment.Edited, mission_id=MISSION, board_id=OTHER_BOARD)
    decision.leaving(board_id=OTHER_BOARD)


def test_nobody_else_edits_a_comment(given):
    decision = given(added).when(lambda comment: comment.edit(OTHER, NEW_BODY, (), BOARD))
    decision.then_refused(NotTheAuthor)


@pytest.mark.parametrize("moderator", [True, False])
def test_the_author_removes_the_comment_and_its_text(given, moderator):
    decision = given(added).when(lambda c: c.remove(AUTHOR, OTHER_BOARD, moderator=moderator))
    decision.then(Comment.Removed, mission_id=MISSION, board_id=OTHER_BOARD)
    decision.leaving(removed=True, body=None, board_id=OTHER_BOARD)


def test_a_moderator_removes_a_comment_of_somebody_else(given):
    decision = given(added).when(lambda c: c.remove(OTHER, BOARD, moderator=True))
    decision.then(Comment.Removed)


def test_nobody_else_removes_a_comment(given):
    decision = given(added).when(lambda c: c.remove(OTHER, BOARD, moderator=False))
    decision.then_refused(NotTheAuthor)


@pytest.mark.parametrize(
    "command",
    [
        edited,
        removed,
        lambda comment: comment.edit(OTHER, NEW_BODY, (), BOARD),
        lambda comment: comment.remove(OTHER, BOARD, moderator=True),
    ],
    ids=["edited", "removed", "edited by another", "removed by a moderator"],
)
def test_a_removed_comment_stays_as_it_is(given, command):
    given(added, removed).when(command).then_refused(CommentRemoved)
