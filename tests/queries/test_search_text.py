"""Words are folded alike wherever they come from, and what is marked is safe."""

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.search_text import SNIPPET_CHARS_MAX, fold, highlight, typos, vector, within, words

WORD = st.text("abcd", max_size=9)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Über-Straße, naïve!", ["uber", "strasse", "naive"]),
        ("e\u0301te\u0301 ÉTÉ été", ["ete", "ete", "ete"]),
        ("snake_case a.b@c.de v1.2", ["snake", "case", "a", "b", "c", "de", "v1", "2"]),
        ("ΣΊΣΥΦΟΣ σίσυφος", ["σισυφοσ", "σισυφοσ"]),
        ("a & !b:* | 'c' <-> \\d", ["a", "b", "c", "d"]),
        ("… ½ \u0301 --", ["12"]),
        ("", []),
    ],
)
def test_words_lose_case_accents_and_punctuation(text: str, found: list[str]) -> None:
    assert words(text) == found


@given(st.text())
def test_a_folded_word_folds_to_itself(text: str) -> None:
    assert all(fold(word) == word and word.isalnum() for word in words(text))
    assert [fold(word) for word in words(text)] == words(text)


@given(st.text("ab ÄÖé", max_size=30))
def test_case_makes_no_difference(text: str) -> None:
    assert words(text.upper()) == words(text.lower()) == words(text)


def naive_distance(one: str, other: str) -> int:
    if not one or not other:
        return len(one) + len(other)
    return min(
        naive_distance(one[1:], other) + 1,
        naive_distance(one, other[1:]) + 1,
        naive_distance(one[1:], other[1:]) + (one[0] != other[0]),
    )


@given(st.text("abc", max_size=5), st.text("abc", max_size=5), st.integers(0, 2))
def test_the_distance_is_that_of_the_definition(one: str, other: str, most: int) -> None:
    assert within(one, other, most) == (naive_distance(one, other) <= most)


def test_short_words_and_identifiers_are_not_taken_for_misspelt() -> None:
    assert [typos(word) for word in ("cat", "cats", "sevenln", "eightlng", "mission12")] == [
        0, 1, 1, 2, 0,
    ]  # fmt: skip


@given(st.text("ab<>&\"' é", max_size=400), st.text("ab", min_size=1, max_size=2))
def test_marks_are_the_only_tags_of_a_highlight(text: str, wanted: str) -> None:
    marked = highlight(text, lambda word: word == wanted)
    assert (marked is not None) == (wanted in words(text))
    if marked is not None:
        inner = re.findall("<mark>(.*?)</mark>", marked)
        assert inner and all(words(html.unescape(one)) == [wanted] for one in inner)
        bare = marked.replace("<mark>", "").replace("</mark>", "")
        assert "<" not in bare and html.unescape(bare).strip("…") in text
        assert len(html.unescape(bare)) <= SNIPPET_CHARS_MAX + 2


def test_a_highlight_of_a_long_text_is_cut_around_its_first_match() -> None:
    marked = highlight("x " * 500 + "needle " + "y " * 500, lambda word: word == "needle")
    assert marked and marked.startswith("…x") and marked.endswith("…") and "needle" in marked
    assert len(marked) <= SNIPPET_CHARS_MAX + len("<mark></mark>……")


def test_a_vector_has_each_word_once_with_the_weights_it_has() -> None:
    assert vector([("A", "Deploy it"), ("B", "it"), ("D", "deploy b")]) == (
        "'b':4 'deploy':1A,4 'it':1A,2B"
    )
