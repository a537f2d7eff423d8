"""PostgreSQL and Elasticsearch answer alike, over ten thousand documents."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from projections.search import PRIORITIES, SEARCH_MODELS, STAGES
from tests.search.asking import Both, both
from tests.search.conftest import Filled
from tests.search.talk import LABELS

DOCUMENTS = 10_000
QUESTIONS = 60

pytestmark = pytest.mark.timeout(600)


def ask(filled: Filled, asking: Callable[[Both], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with both(filled.dsn, filled.url) as engines:
            return await asking(engines)

    return asyncio.run(run())


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["id"] for item in answer["items"]]


def test_there_are_ten_thousand_documents_in_each(filled: Filled) -> None:
    async def count(engines: Both) -> list[tuple[int, int]]:
        postgres, elastic = engines.engines.values()
        found = []
        for model in SEARCH_MODELS:
            async with postgres._database.system() as connection:
                cursor = await connection.execute(f"SELECT count(*) FROM {model.table}".encode())
                row = await cursor.fetchone()
            kind = model.name.removeprefix("search_").removesuffix("s")
            (index,) = elastic._indices([kind])
            counted = await elastic._cluster.client.count(index=index)
            found.append((int(row[0]), int(counted["count"])))
        return found

    counts = ask(filled, count)
    assert all(one == other for one, other in counts), counts
    assert sum(one for one, _ in counts) >= DOCUMENTS, counts


def asked(filled: Filled, chance: random.Random) -> dict[str, Any]:
    """Return a question as a person might ask it."""
    talk = filled.talk
    word = chance.choice(talk.words)
    question: dict[str, Any] = {
        "q": chance.choice([
            talk.say(1), talk.say(2), word, word[: chance.randrange(1, 4)], f"{talk.say(1)} {word[:2]}",
            word.upper(), f"{word} {talk.say(1)} {talk.say(1)[:3]}",
        ]),
        "limit": chance.choice([1, 5, 50, 200]),
    }  # fmt: skip
    filters = {
        "type_": ",".join(
            chance.sample(("mission", "comment", "activity"), chance.randrange(1, 4))
        ),
        "priority": ",".join(chance.sample(PRIORITIES, 2)),
        "stage": ",".join(chance.sample(STAGES, 2)),
        "label": chance.choice(LABELS),
    }
    chosen = chance.sample(sorted(filters), chance.choice([0, 0, 1, 2]))
    return {**question, **{name: filters[name] for name in chosen}}


@pytest.mark.parametrize("seed", range(4))
def test_questions_of_all_kinds_have_one_answer(filled: Filled, seed: int) -> None:
    chance = random.Random(seed)

    async def asking(engines: Both) -> int:
        found = 0
        for _ in range(QUESTIONS):
            found += bool(ids(await engines.same(filled.workspace_id, **asked(filled, chance))))
        return found

    assert ask(filled, asking) > QUESTIONS / 2


def test_all_pages_hold_every_document_once(filled: Filled) -> None:
    word = filled.talk.words[0]

    async def asking(engines: Both) -> list[dict[str, Any]]:
        return await engines.pages(filled.workspace_id, word, limit=150)

    pages = ask(filled, asking)
    found = [id_ for page in pages for id_ in ids(page)]
    assert len(pages) > 10 and len(set(found)) == len(found)
    assert sum(pages[0]["facets"]["type"].values()) == len(found)
    assert all(page["facets"] == pages[0]["facets"] for page in pages)


def test_misspelt_words_find_the_same(filled: Filled) -> None:
    chance = random.Random(9)
    words = [word for word in filled.talk.words if len(word) >= 4 and word.isascii()]

    def misspelt() -> str:
        word = list(chance.choice(words))
        at = chance.randrange(len(word))
        match chance.choice(["change", "drop", "add", "swap"]):
            case "change":
                word[at] = "x"
            case "drop":
                del word[at]
            case "add":
                word.insert(at, chance.choice("aeioukx"))
            case "swap":
                word[at], word[at - 1] = word[at - 1], word[at]
        # A word behind it: the last one is taken for a beginning, too.
        return f"{''.join(word)} {filled.talk.words[0]}"

    async def asking(engines: Both) -> int:
        return sum(
            [bool(ids(await engines.same(filled.workspace_id, misspelt()))) for _ in range(60)]
        )

    assert ask(filled, asking) > 10


def test_each_filter_finds_the_same_and_no_more_than_it_says(filled: Filled) -> None:
    word = filled.talk.words[0]

    async def asking(engines: Both) -> None:
        everything = (await engines.same(filled.workspace_id, word))["facets"]
        assert all(everything.values())
        for facet, name in (("type", "type_"), ("priority", "priority"), ("stage", "stage"),
                            ("label", "label"), ("board", "board_id")):  # fmt: skip
            for value, count in everything[facet].items():
                answer = await engines.same(filled.workspace_id, word, **{name: value})
                assert sum(answer["facets"]["type"].values()) == count, (name, value)

    ask(filled, asking)


def test_highlights_are_the_same_and_mark_what_was_asked_for(filled: Filled) -> None:
    async def asking(engines: Both) -> list[dict[str, Any]]:
        return [item for word in ("überprüfung", "RESUME", "naïve", "漢字", "full")
                for item in (await engines.same(filled.workspace_id, word))["items"]]  # fmt: skip

    items = ask(filled, asking)
    assert len(items) > 20
    assert all("<mark>" in text for item in items for text in item["highlights"].values())


def test_no_workspace_finds_anything_of_another_nor_learns_its_words(filled: Filled) -> None:
    ours, theirs = set(filled.talk.words), set(filled.elsewhere.words)
    only_theirs = sorted(word for word in theirs - ours if len(word) >= 8)[:20]

    async def asking(engines: Both) -> list[int]:
        found = []
        for word in only_theirs:
            there = await engines.same(filled.elsewhere_id, f"{word} ")
            here = await engines.same(filled.workspace_id, word)
            assert not set(ids(there)) & set(ids(here))
            found.append(len(ids(there)))
        return found

    assert sum(ask(filled, asking)) > 5
