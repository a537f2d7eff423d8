"""Known words are those that some text has: not one more, not one less, through any life."""

import random
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from commands import missions
from domain import base
from domain.comment import Comment
from infra.marks import Marks
from projections.search import SEARCH_COMMENTS, SEARCH_MISSIONS, WEIGHTS
from projections.search_text import vector, words
from streams.follower import Follower
from streams.projector import Projector

SYLLABLES = ("ba", "co", "di", "fu", "gé")


async def test_terms_are_counted_exactly(world: Any) -> None:
    chance = random.Random(3)

    def say() -> str:
        return " ".join("".join(chance.choices(SYLLABLES, k=2)) for _ in range(4))

    async with Follower(world.database, world.codec) as follower, AsyncExitStack() as stack:
        marks = Marks(world.database)
        projector = Projector(world.database, follower, world.bus, marks, [SEARCH_MISSIONS])
        await stack.enter_async_context(projector)
        made = [await world.mission(say()) for _ in range(12)]
        for _ in range(60):
            edit = missions.EditMission(chance.choice(made), {"title": say(), "description": say()})
            await world.do(edit)
        for key in made[:6]:
            await world.do(missions.DeleteMission(key))
        head = (await world.query("SELECT position FROM log_head"))[0][0]
        await marks.wait(head, SEARCH_MISSIONS.name)
    texts = await world.query("SELECT texts FROM read_search_missions WHERE NOT deleted")
    expected: Counter[str] = Counter()
    for (fields,) in texts:
        expected.update({word for text in fields.values() for word in words(text)})
    counted = await world.query("SELECT term, documents FROM read_search_terms")
    assert dict(counted) == expected and len(expected) > 10
    stored = await world.query("SELECT terms::text FROM read_search_missions WHERE deleted")
    assert stored == [("",)] * 6


async def test_a_row_comes_back_from_the_table_as_it_was_folded(world: Any) -> None:
    texts = {"title": "Überprüfung a1 漢字 ½", "labels": "z, y", "result": "überprüfung"}
    folded = vector((WEIGHTS[name], text) for name, text in texts.items())
    assert await world.query("SELECT %s::tsvector::text", [folded]) == [(folded,)]


def test_a_comment_has_no_words_once_it_is_sealed_removed_or_erased() -> None:
    base.command_time.set(datetime.now(UTC))
    comment = Comment.begin(
        uuid7(), workspace_id=uuid7(), mission_id=uuid7(), board_id=uuid7(), author_id=uuid7(),
        body="Tell nobody", parent_id=None, mentions=(),
    )  # fmt: skip
    comment.edit(comment.author_id, None, (), comment.board_id)
    comment.edit(comment.author_id, base.Sealed(comment.author_id, "box"), (), comment.board_id)
    comment.edit(comment.author_id, "Something else", (), comment.board_id)
    comment.remove(comment.author_id, comment.board_id, moderator=False)
    row, terms = None, []
    for event in comment.pending_events:
        row = SEARCH_COMMENTS.on[type(event)](row, event)
        assert isinstance(row.id, UUID)
        terms.append(row.terms)
    assert terms == ["'nobody':3C 'tell':3C", "", "", "'else':3C 'something':3C", ""]
