"""Search by PostgreSQL: documents as tsvectors, known words in a table that triggers keep."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec

from infra.postgres import Database
from infra.search import LABELS_MAX, WEIGHTS, Facet, Found, Hit, Question, Terms
from projections.search import SAID, SEARCH_ACTIVITY, SEARCH_COMMENTS
from projections.search_text import pieces

LAST_CHAR = "\U0010ffff"
# Where a word is in most documents, several processes look through them; at the server's own figure it would
# think that to hand on what they find takes longer than to look.
PARALLEL = {"parallel_tuple_cost": "0.005"}

# For each word: whether any text has it (or, for the last one, begins with it).
KNOWN = """
SELECT EXISTS (SELECT FROM read_search_terms t
    WHERE t.workspace_id = %(workspace)s AND t.term >= word COLLATE "C"
    AND t.term <= word || CASE WHEN number = %(last)s THEN %(last_char)s ELSE '' END)
FROM unnest(%(words)s::text[]) WITH ORDINALITY AS u(word, number) ORDER BY number"""
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
SCORE = " + ".join(
    f"({{document}}.terms @@ %({weight})s::tsquery)::integer * {score}"
    for weight, score in WEIGHTS.items()
)
# What others said has texts of one weight: whichever matches, the score is the same.
SCORES = {"mission": SCORE, "comment": str(WEIGHTS[SAID]), "activity": str(WEIGHTS[SAID])}
FACTS = """m.id AS mission_id, m.board_id, m.stage, m.priority, m.labels, {{document}}.updated_at,
    {score} AS score"""
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
alike AS MATERIALIZED (
    SELECT type, priority, stage, board_id, labels, count(*) AS count FROM hits GROUP BY 1, 2, 3, 4, 5),
facets AS (
    SELECT CASE grouping(type, priority, stage, board_id)
        WHEN 7 THEN 'type' WHEN 11 THEN 'priority' WHEN 13 THEN 'stage' ELSE 'board' END AS facet,
        coalesce(type, priority, stage, board_id::text) AS value, sum(count)::bigint AS count
    FROM alike GROUP BY GROUPING SETS ((type), (priority), (stage), (board_id))
    UNION ALL (SELECT 'label', label, sum(count)::bigint FROM alike, unnest(labels) AS label
        GROUP BY 2 ORDER BY 3 DESC, 2 LIMIT %(labels)s))
SELECT coalesce((SELECT json_agg(i ORDER BY score DESC, updated_at DESC, id DESC) FROM items i), '[]')::text,
    coalesce((SELECT json_agg(f) FROM facets f), '[]')::text, (SELECT log_id FROM log_head)"""
BEHIND = "(score, updated_at, id) < (%(score)s::integer, %(updated_at)s::timestamptz, %(id)s::uuid)"


class PostgresSearch:
    """The search engine of a deployment that has no other. What it raises is the database's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def known(self, workspace_id: UUID, words: Sequence[str]) -> list[bool]:
        """Look the words up among those that the workspace's texts have."""
        parameters = {
            "workspace": workspace_id, "words": list(words), "last": len(words), "last_char": LAST_CHAR,
        }  # fmt: skip
        found = await self._database.fetch(workspace_id, KNOWN, parameters)
        return [bool(known) for (known,) in found]

    async def near(self, workspace_id: UUID, word: str, most: int) -> list[str]:
        """Return the known words that a misspelt one may stand for."""
        parts = pieces(word, most)
        parameters = {
            "workspace": workspace_id, "shortest": len(word) - most, "longest": len(word) + most,
            "pieces": [part.text for part in parts],
            "starts": [part.earliest + 1 for part in parts],
            "lengths": [part.latest + len(part.text) - part.earliest for part in parts],
        }  # fmt: skip
        found = await self._database.fetch(workspace_id, NEAR, parameters)
        return [term for (term,) in found]

    async def find(self, question: Question) -> Found:
        """Return a page and the facets, by one statement."""
        terms = question.terms
        parameters = {
            "workspace": question.workspace_id, "query": query(terms), "limit": question.limit,
            "labels": LABELS_MAX, **{weight: query(terms, weight, "|") for weight in WEIGHTS},
            **question.filters, **(question.after._asdict() if question.after else {}),
        }  # fmt: skip
        statement = _statement(question)
        # How many documents a word is in decides how they are best found.
        found = await self._database.fetch(
            question.workspace_id, statement, parameters, prepare=False, planner=PARALLEL
        )
        hits, facets, log_id = found[0]
        return Found(
            msgspec.json.decode(hits, type=list[Hit]), log_id,
            msgspec.json.decode(facets, type=list[Facet]),
        )  # fmt: skip


def query(terms: Terms, weight: str = "", operator: str = "&") -> str:
    """Return a tsquery's text. Words are letters and digits only, so nothing in them is an operator."""
    return operator.join(
        "(" + "|".join(_lexeme(word, weight, terms.prefix) for word in group) + ")"
        for group in terms.groups
    )


def _lexeme(word: str, weight: str, prefix: str | None) -> str:
    flags = "*" * (word == prefix) + weight
    return f"'{word}':{flags}" if flags else f"'{word}'"


def _statement(question: Question) -> str:
    parts = []
    for kind in question.kinds:
        document = "m" if kind == "mission" else "d"
        conditions = [FILTERS[name] for name in question.filters]
        kept = ["m.workspace_id = %(workspace)s", "NOT m.deleted", *conditions]
        facts = FACTS.format(score=SCORES[kind])
        values: dict[str, Any] = {"facts": facts, "found": FOUND, "kept": " AND ".join(kept)}
        parts.append(DOCUMENTS[kind].format(**values).format(document=document))
    behind = BEHIND if question.after is not None else "true"
    return SEARCH.format(documents=" UNION ALL ".join(parts), behind=behind)
