"""What a search engine is asked and answers; two of them give the same answers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import msgspec

LABELS_MAX = 50
"""How many labels are counted: the most frequent ones."""
KINDS = ("mission", "comment", "activity")
WEIGHTS = {"A": 8, "B": 4, "C": 2, "D": 1}
"""What a field of each weight adds to the score of a document that matches in it."""


class SearchUnavailable(Exception):
    """The search engine does not answer right now."""


@dataclass(frozen=True)
class Terms:
    """What is looked for: every group has to match by one of its words, the last also by its beginning."""

    groups: tuple[tuple[str, ...], ...]
    prefix: str | None

    def matches(self, word: str) -> bool:
        """Tell whether a folded word is one of those that are looked for."""
        begins = self.prefix is not None and word.startswith(self.prefix)
        return begins or any(word in group for group in self.groups)


class Place(NamedTuple):
    """Where a document stands in the order: by score, last change and id, from the highest down."""

    score: int
    updated_at: datetime
    id: UUID


@dataclass(frozen=True)
class Question:
    """What to find; a filter that is empty leaves nothing out."""

    workspace_id: UUID
    terms: Terms
    limit: int
    kinds: Sequence[str] = KINDS
    board_id: UUID | None = None
    label: str | None = None
    priority: Sequence[str] = ()
    stage: Sequence[str] = ()
    agent_id: UUID | None = None
    after: Place | None = None

    @property
    def filters(self) -> dict[str, Any]:
        """The filters that leave something out."""
        names = ("board_id", "label", "priority", "stage", "agent_id")
        return {name: value for name in names if (value := getattr(self, name))}


class Hit(msgspec.Struct):
    """A document that was found. Its title is its mission's."""

    type: str
    id: UUID
    mission_id: UUID
    board_id: UUID
    updated_at: datetime
    score: int
    title: str
    texts: dict[str, str]

    @property
    def place(self) -> Place:
        """Where it stands in the order."""
        return Place(self.score, self.updated_at, self.id)


class Facet(msgspec.Struct):
    """How many of all documents that match have a value."""

    facet: str
    value: str
    count: int


@dataclass(frozen=True)
class Found:
    """At most `limit` documents behind the place that was asked for, and the facets of all of them."""

    hits: list[Hit]
    log_id: UUID
    facets: list[Facet] = field(default_factory=list)


class SearchEngine(Protocol):
    """Finds documents of one workspace. Everything raises `SearchUnavailable`."""

    async def known(self, workspace_id: UUID, words: Sequence[str]) -> list[bool]:
        """Tell of each word whether any text has it; of the last one, whether one begins with it."""
        ...

    async def near(self, workspace_id: UUID, word: str, most: int) -> Iterable[str]:
        """Return all known words that are at most so many edits apart, and maybe others."""
        ...

    async def find(self, question: Question) -> Found:
        """Return a page of documents, in their order, and the facets."""
        ...
