"""Search over missions, comments and what agents said, with facets and highlights."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Request, Response

from domain.base import InvalidValue
from domain.permissions import Permission
from infra.http.principal import Principal, requires
from infra.marks import Marks
from infra.postgres import Database
from projections.search import (
    PRIORITIES,
    SEARCH_ACTIVITY,
    SEARCH_COMMENTS,
    SEARCH_MISSIONS,
    STAGES,
)
from projections.search_text import highlight, typos, within, words
from read_api.lists import decode_cursor, encode_cursor, require_log

router = APIRouter(prefix="/api/search", tags=["search"])

QUERY_CHARS_MAX = 500
WORDS_MAX = 16
EXPANSIONS_MAX = 50
LABELS_MAX = 50
KINDS = ("mission", "comment", "activity")
SCORE_MAX = 2**31 - 1  # of PostgreSQL's integer
LAST_CHAR = "\U0010ffff"

# For each word: whether any text has it (or, for the last one, begins with it).
KNOWN = """
SELECT EXISTS (SELECT FROM read_search_terms t
    WHERE t.workspace_id = %(workspace)s AND t.term >= word COLLATE "C"
    AND t.term <= word || CASE WHEN number = %(last)s THEN %(last_char)s ELSE '' END)
FROM unnest(%(words)s::text[]) WITH ORDINALITY AS u(word, number) ORDER BY number"""
# Of n edits and n + 1 pieces of a word one piece is unharmed, and not far from where it was.
NEAR = """
SELECT DISTINCT term FROM read_search_terms t
WHERE workspace_id = %(workspace)s AND length(term) BETWEEN %(shortest)s AND %(longest)s
    AND EXISTS (SELECT FROM unnest(%(pieces)s::text[], %(starts)s::integer[], %(lengths)s::integer[])
        AS p(piece, start, length) WHERE strpos(substr(t.term, p.start, p.length), p.piece) > 0)"""

DOCUMENTS = {
    "mission": "SELECT 'mission' AS type, m.id, {facts} FROM read_search_missions m WHERE {found} AND {kept}",
    **{
        kind: f"SELECT '{kind}' AS type, d.id, {{facts}} FROM {model.table} d"
        " JOIN read_search_missions m ON m.id = d.mission_id"
        " WHERE d.workspace_id = %(workspace)s AND {found} AND {kept}"
        for kind, model in (("comment", SEARCH_COMMENTS), ("activity", SEARCH_ACTIVITY))
    },
}
FACTS = """m.id AS mission_id, m.board_id, m.stage, m.priority, m.labels, {document}.updated_at,
    ({document}.terms @@ %(a)s::tsquery)::integer * 8 + ({document}.terms @@ %(b)s::tsquery)::integer * 4
    + ({document}.terms @@ %(c)s::tsquery)::integer * 2 + ({document}.terms @@ %(d)s::tsquery)::integer AS score"""
FOUND = "{document}.terms @@ %(query)s::tsquery"
FILTERS = {
    "board_id": "m.board_id = %(board_id)s",
    "label": "m.labels @> ARRAY[%(label)s::text]",
    "priority": "m.priority = ANY (%(priority)s)",
    "stage": "m.stage = ANY (%(stage)s)",
    "agent_id": "%(agent_id)s = ANY ({document}.actors)",
}
SEARCH = """
WITH hits AS MATERIALIZED ({documents}),
page AS (SELECT type, id, mission_id, board_id, updated_at, score FROM hits WHERE {behind}
    ORDER BY score DESC, updated_at DESC, id DESC LIMIT %(limit)s),
items AS (
    SELECT p.*, m.texts->>'title' AS title, coalesce(c.texts, a.texts, m.texts) AS texts
    FROM page p JOIN read_search_missions m ON m.id = p.mission_id
    LEFT JOIN read_search_comments c ON p.type = 'comment' AND c.id = p.id
    LEFT JOIN read_search_activity a ON p.type = 'activity' AND a.id = p.id),
facets AS (
    SELECT CASE grouping(type, priority, stage, board_id)
        WHEN 7 THEN 'type' WHEN 11 THEN 'priority' WHEN 13 THEN 'stage' ELSE 'board' END AS facet,
        coalesce(type, priority, stage, board_id::text) AS value, count(*) AS count
    FROM hits GROUP BY GROUPING SETS ((type), (priority), (stage), (board_id))
    UNION ALL (SELECT 'label', label, count(*) FROM hits, unnest(labels) AS label
        GROUP BY 2 ORDER BY 3 DESC, 2 LIMIT %(labels)s))
SELECT coalesce((SELECT json_agg(i ORDER BY score DESC, updated_at DESC, id DESC) FROM items i), '[]')::text,
    coalesce((SELECT json_agg(f) FROM facets f), '[]')::text, (SELECT log_id FROM log_head)"""
BEHIND = "(score, updated_at, id) < (%(score)s::integer, %(updated_at)s::timestamptz, %(id)s::uuid)"


class Hit(msgspec.Struct):
    type: str
    id: UUID
    mission_id: UUID
    board_id: UUID
    updated_at: datetime
    score: int
    title: str
    texts: dict[str, str]


class Facet(msgspec.Struct):
    facet: str
    value: str
    count: int


class After(NamedTuple):
    """Where the last page ended."""

    score: Annotated[int, msgspec.Meta(ge=0, le=SCORE_MAX)]
    updated_at: datetime
    id: UUID
    log_id: UUID


@dataclass(frozen=True)
class Terms:
    """What is looked for: every group has to match by one of its words, the last also by its beginning."""

    groups: tuple[tuple[str, ...], ...]
    prefix: str | None

    def query(self, weight: str = "", operator: str = "&") -> str:
        """Return a tsquery's text. Words are letters and digits only, so nothing in them is an operator."""
        return operator.join(
            "(" + "|".join(self._lexeme(word, weight) for word in group) + ")"
            for group in self.groups
        )

    def matches(self, word: str) -> bool:
        """Tell whether a folded word is one of those that are looked for."""
        begins = self.prefix is not None and word.startswith(self.prefix)
        return begins or any(word in group for group in self.groups)

    def _lexeme(self, word: str, weight: str) -> str:
        flags = "*" * (word == self.prefix) + weight
        return f"'{word}':{flags}" if flags else f"'{word}'"


@router.get("")
async def search(
    request: Request,
    principal: Annotated[Principal, requires(Permission.READ)],
    q: Annotated[str, Query(min_length=1, max_length=QUERY_CHARS_MAX)],
    type_: Annotated[str | None, Query(alias="type", max_length=100)] = None,
    board_id: UUID | None = None,
    label: Annotated[str | None, Query(max_length=60)] = None,
    priority: Annotated[str | None, Query(max_length=100)] = None,
    stage: Annotated[str | None, Query(max_length=100)] = None,
    agent_id: UUID | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
    min_position: Annotated[int | None, Query(ge=0, le=2**53)] = None,
) -> Response:
    """Find missions, comments and what agents said, by whole words; the last word also by its beginning.

    Every word has to be in the text. A word that no text has is taken for a misspelt one from 4 letters
    on. Highlights are safe HTML: `<mark>` is the only tag in them. `type`, `priority` and `stage` take several
    values, separated by commas. Comments and activity are filtered by what their mission is now.
    """
    database: Database = request.app.state.database
    marks: Marks = request.app.state.marks
    kinds = _several("type", type_, KINDS) or list(KINDS)
    filters: dict[str, Any] = {
        "board_id": board_id, "label": _label(label), "priority": _several("priority", priority, PRIORITIES),
        "stage": _several("stage", stage, STAGES), "agent_id": agent_id,
    }  # fmt: skip
    after = decode_cursor(cursor, After) if cursor is not None else None
    wanted = _wanted(q)
    models = (SEARCH_MISSIONS, SEARCH_COMMENTS, SEARCH_ACTIVITY)
    position = await marks.wait(min_position or 0, *(model.name for model in models))
    terms = await _terms(database, principal.workspace_id, wanted)
    parameters = {
        "workspace": principal.workspace_id, "query": terms.query(), "limit": limit + 1,
        "labels": LABELS_MAX, **{weight.lower(): terms.query(weight, "|") for weight in "ABCD"},
        **filters, **(after._asdict() if after else {}),
    }  # fmt: skip
    statement = _statement(kinds, [name for name, value in filters.items() if value], after)
    found = await database.fetch(principal.workspace_id, statement, parameters)
    log_id: UUID = found[0][2]
    require_log(after, log_id)
    hits = msgspec.json.decode(found[0][0], type=list[Hit])
    body = {
        "items": [_item(hit, terms) for hit in hits[:limit]],
        "facets": _facets(msgspec.json.decode(found[0][1], type=list[Facet])),
        "next_cursor": encode_cursor(_place(hits[limit - 1], log_id))
        if len(hits) > limit
        else None,
        "position": position,
    }
    return Response(msgspec.json.encode(body), media_type="application/json")


def _place(last: Hit, log_id: UUID) -> After:
    return After(last.score, last.updated_at, last.id, log_id)


def _wanted(q: str) -> list[str]:
    wanted = list(dict.fromkeys(words(q)))
    if not wanted:
        raise InvalidValue("a letter or a digit at least", field="q")
    if len(wanted) > WORDS_MAX:
        raise InvalidValue(f"{WORDS_MAX} words at most", field="q")
    return wanted


async def _terms(database: Database, workspace_id: UUID, wanted: list[str]) -> Terms:
    """Look the words up among those that the workspace's texts have."""
    parameters = {
        "workspace": workspace_id, "words": wanted, "last": len(wanted), "last_char": LAST_CHAR,
    }  # fmt: skip
    found = await database.fetch(workspace_id, KNOWN, parameters)
    groups = [
        (word,) if known else (word, *await _meant(database, workspace_id, word))
        for word, (known,) in zip(wanted, found, strict=True)
    ]
    return Terms(tuple(groups), wanted[-1])


async def _meant(database: Database, workspace_id: UUID, word: str) -> list[str]:
    """Return the known words that a misspelt one may stand for."""
    most = typos(word)
    if most == 0:
        return []
    cuts = [len(word) * number // (most + 1) for number in range(most + 2)]
    pieces = [word[begin:end] for begin, end in pairwise(cuts)]
    starts = [max(0, begin - most) for begin in cuts[:-1]]
    parameters = {
        "workspace": workspace_id, "shortest": len(word) - most, "longest": len(word) + most,
        "pieces": pieces, "starts": [start + 1 for start in starts],
        "lengths": [end + most - start for end, start in zip(cuts[1:], starts, strict=True)],
    }  # fmt: skip
    candidates = await database.fetch(workspace_id, NEAR, parameters)
    near = [other for (other,) in candidates if within(word, other, most)]
    return sorted(near)[:EXPANSIONS_MAX]


def _statement(kinds: Iterable[str], filters: list[str], after: After | None) -> str:
    parts = []
    for kind in kinds:
        document = "m" if kind == "mission" else "d"
        kept = ["m.workspace_id = %(workspace)s", "NOT m.deleted", *(FILTERS[f] for f in filters)]
        parts.append(
            DOCUMENTS[kind]
            .format(facts=FACTS, found=FOUND, kept=" AND ".join(kept))
            .format(document=document)
        )
    return SEARCH.format(
        documents=" UNION ALL ".join(parts), behind=BEHIND if after is not None else "true"
    )


def _item(hit: Hit, terms: Terms) -> dict[str, Any]:
    marked = {field: highlight(text, terms.matches) for field, text in hit.texts.items()}
    return {
        "type": hit.type,
        "id": hit.id,
        "mission_id": hit.mission_id,
        "board_id": hit.board_id,
        "title": hit.title,
        "highlights": {field: text for field, text in marked.items() if text is not None},
        "updated_at": hit.updated_at,
    }


def _facets(counted: Iterable[Facet]) -> dict[str, dict[str, int]]:
    facets: dict[str, dict[str, int]] = {
        name: {} for name in ("type", "priority", "stage", "label", "board")
    }
    for facet in sorted(counted, key=lambda one: (-one.count, one.value)):
        facets[facet.facet][facet.value] = facet.count
    return facets


def _several(field: str, text: str | None, known: tuple[str, ...]) -> list[str]:
    values = list(dict.fromkeys(text.split(","))) if text is not None else []
    if not set(values) <= set(known):
        raise InvalidValue(f"one or more of {', '.join(known)}", field=field)
    return values


def _label(label: str | None) -> str | None:
    if label is not None and "\x00" in label:
        raise InvalidValue("must not contain the NUL character", field="label")
    return label
