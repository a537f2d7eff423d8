"""Text as search sees it: words, folded by our own code so that every engine gets the same terms."""

import html
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

WORD_CHARS_MAX = 64
SNIPPET_CHARS_MAX = 240
SNIPPET_LEAD_CHARS = 60
FUZZY_FROM_LETTERS = 4
FUZZY_TWICE_FROM_LETTERS = 8
ASCII_WORD = re.compile(r"[A-Za-z0-9]+")


def fold(word: str) -> str:
    """Return a word without case and accents, of letters and digits only."""
    if word.isascii():
        return word.lower()[:WORD_CHARS_MAX]
    return _folded(word)


@lru_cache(maxsize=10_000)
def _folded(word: str) -> str:
    # Folding case may compose and decomposing may bring capitals back: twice is a fixed point.
    for _ in range(2):
        word = unicodedata.normalize("NFKD", word.casefold())
    return "".join(char for char in word if char.isalnum())[:WORD_CHARS_MAX]


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each word of a text begins and ends: runs of letters, digits and their marks."""
    if text.isascii():
        yield from (match.span() for match in ASCII_WORD.finditer(text))
        return
    start: int | None = None
    for at, char in enumerate(text):
        if char.isalnum() or (start is not None and unicodedata.category(char)[0] == "M"):
            start = at if start is None else start
        elif start is not None:
            yield start, at
            start = None
    if start is not None:
        yield start, len(text)


def words(text: str) -> list[str]:
    """Return the folded words of a text in their order."""
    folded = (fold(text[start:end]) for start, end in spans(text))
    return [word for word in folded if word]


def weighted(fields: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    """Return the words of texts, each with the weights (A to D) of the texts that have it."""
    found: dict[str, set[str]] = {}
    for weight, text in fields:
        for word in words(text):
            found.setdefault(word, set()).add(weight)
    return found


def vector(fields: Iterable[tuple[str, str]]) -> str:
    """Return a tsvector's text for texts and their weights A to D, exactly as PostgreSQL shows it.

    A term has one position for each weight that it occurs with: its place in a text does not count.
    """
    found = weighted(fields)
    return " ".join(
        f"'{word}':" + ",".join(_position(weight) for weight in sorted(found[word]))
        for word in sorted(found, key=str.encode)
    )


def _position(weight: str) -> str:
    number = "ABCD".index(weight) + 1
    return f"{number}{weight}" if weight != "D" else str(number)


def typos(word: str) -> int:
    """Return how many edits a word may be away from a known one."""
    if any(char.isdigit() for char in word) or len(word) < FUZZY_FROM_LETTERS:
        return 0
    return 1 if len(word) < FUZZY_TWICE_FROM_LETTERS else 2


class Piece(NamedTuple):
    """A part of a word, and where it may begin in words that are not many edits apart."""

    text: str
    begin: int
    earliest: int
    latest: int


def pieces(word: str, most: int) -> list[Piece]:
    """Cut a word so that of each word within so many edits one piece is unharmed, about where it was."""
    cuts = [len(word) * number // (most + 1) for number in range(most + 2)]
    return [
        Piece(word[begin:end], begin, max(0, begin - most), begin + most)
        for begin, end in pairwise(cuts)
    ]


def within(one: str, other: str, most: int) -> bool:
    """Tell whether two words are at most so many insertions, deletions and substitutions apart."""
    if abs(len(one) - len(other)) > most:
        return False
    above = list(range(len(other) + 1))
    for row, char in enumerate(one, 1):
        line = [row]
        for column, against in enumerate(other, 1):
            changed = above[column - 1] + (char != against)
            line.append(min(changed, above[column] + 1, line[-1] + 1))
        if min(line) > most:
            return False
        above = line
    return above[-1] <= most


def highlight(text: str, matches: Callable[[str], bool]) -> str | None:
    """Return an excerpt as safe HTML with `<mark>` around matching words; None without any.

    Everything else of the text is escaped, so the marks are the only tags in it.
    """
    found = [(start, end) for start, end in spans(text) if matches(fold(text[start:end]))]
    if not found:
        return None
    begin = max(0, found[0][0] - SNIPPET_LEAD_CHARS) if len(text) > SNIPPET_CHARS_MAX else 0
    stop = min(len(text), begin + SNIPPET_CHARS_MAX)
    parts, at = ["…" if begin else ""], begin
    for start, end in found:
        if end > max(stop, found[0][1]):
            break
        parts += [html.escape(text[at:start]), "<mark>", html.escape(text[start:end]), "</mark>"]
        at = end
    parts += [html.escape(text[at:stop]), "…" if stop < len(text) else ""]
    return "".join(parts)
