"""Search by Elasticsearch: the words are ours, so it matches terms and prefixes as PostgreSQL does."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from infra.elasticsearch import Cluster, ElasticsearchAway, IndexMissing
from infra.search import KINDS, LABELS_MAX, WEIGHTS, Facet, Found, Hit, Place, Question, Terms
from infra.search_documents import MODEL_OF, alias, microseconds, moment
from projections.search_text import Piece, pieces

VALUES_MAX = 10_000
"""How many different values of a facet are looked at; up to here, counts are exact."""
FILTERS = {
    "board_id": "mission.board_id",
    "label": "mission.labels",
    "priority": "mission.priority",
    "stage": "mission.stage",
    "agent_id": "actors",
}
FACETS = {
    "type": "kind",
    "priority": "mission.priority",
    "stage": "mission.stage",
    "board": "mission.board_id",
    "label": "mission.labels",
}
ORDER = [{"_score": "desc"}, {"updated_us": "desc"}, {"id": "desc"}]
SHOWN = ["kind", "mission_id", "mission.title", "mission.board_id", "updated_us", "row.texts"]


class ElasticsearchSearch:
    """The search engine of a deployment that has an Elasticsearch."""

    def __init__(self, cluster: Cluster, log_id: UUID) -> None:
        self._cluster = cluster
        self._log_id = log_id

    async def known(self, workspace_id: UUID, words: Sequence[str]) -> list[bool]:
        """Look for one document with each word."""
        searches: list[dict[str, Any]] = []
        for number, word in enumerate(words, 1):
            begins = word if number == len(words) else None
            query = _filtered(workspace_id, [_any("terms", [word], begins)])
            searches += [
                {"index": self._indices(KINDS)},
                {"query": query, "size": 1, "_source": False, "terminate_after": 1},
            ]
        answer = await self._cluster.call(self._cluster.client.msearch(searches=searches))
        return [bool(_whole(one)["hits"]["hits"]) for one in answer["responses"]]

    async def near(self, workspace_id: UUID, word: str, most: int) -> list[str]:
        """Return the words, close to one as its pieces say, of the documents that have a close one."""
        fuzzy = {
            "value": word, "fuzziness": most, "transpositions": False, "prefix_length": 0,
            "rewrite": "constant_score",
        }  # fmt: skip
        include = "|".join(_around(piece, len(word), most) for piece in pieces(word, most))
        answer = await self._search(
            KINDS, query=_filtered(workspace_id, [{"fuzzy": {"terms": fuzzy}}]), size=0,
            aggs={"terms": _counted("terms", VALUES_MAX, include=include)},
        )  # fmt: skip
        return [bucket["key"] for bucket in answer["aggregations"]["terms"]["buckets"]]

    async def find(self, question: Question) -> Found:
        """Return a page and the facets, by one request."""
        after = question.after
        place = [after.score, microseconds(after.updated_at), str(after.id)] if after else None
        sizes = dict.fromkeys(FACETS, VALUES_MAX) | {"label": LABELS_MAX}
        answer = await self._search(
            question.kinds, query=_query(question), size=question.limit, sort=ORDER, source=SHOWN,
            search_after=place,
            aggs={name: _counted(field, sizes[name]) for name, field in FACETS.items()},
        )  # fmt: skip
        facets = [
            Facet(name, bucket["key"], bucket["doc_count"])
            for name, counted in answer["aggregations"].items()
            for bucket in counted["buckets"]
        ]
        return Found([_hit(hit) for hit in answer["hits"]["hits"]], self._log_id, facets)

    async def _search(self, kinds: Sequence[str], **asked: Any) -> Mapping[str, Any]:
        # All of a page and its facets, or nothing: an answer without some shard would be a wrong one.
        search = self._cluster.client.search(
            index=self._indices(kinds), allow_partial_search_results=False, track_total_hits=False,
            **asked,
        )  # fmt: skip
        answer: Mapping[str, Any] = (await self._cluster.call(search)).body
        return answer

    def _indices(self, kinds: Sequence[str]) -> list[str]:
        return [alias(MODEL_OF[kind], self._log_id) for kind in kinds]


def _filtered(workspace_id: UUID, conditions: Sequence[Any], should: Sequence[Any] = ()) -> Any:
    of_workspace = {"term": {"workspace_id": str(workspace_id)}}
    return {"bool": {"filter": [of_workspace, *conditions], "should": list(should)}}


def _query(question: Question) -> Any:
    terms = question.terms
    conditions: list[Any] = [_group("terms", group, terms) for group in terms.groups]
    conditions.append({"term": {"mission.deleted": False}})
    for name, value in question.filters.items():
        values = [str(one) for one in value] if isinstance(value, list) else [str(value)]
        conditions.append({"terms": {FILTERS[name]: values}})
    words = [word for group in terms.groups for word in group]
    fields = [
        {"constant_score": {"filter": _group(f"terms_{w.lower()}", words, terms), "boost": score}}
        for w, score in WEIGHTS.items()
    ]
    return _filtered(question.workspace_id, conditions, fields)


def _group(field: str, words: Sequence[str], terms: Terms) -> Any:
    return _any(field, words, terms.prefix if terms.prefix in words else None)


def _any(field: str, words: Sequence[str], begins: str | None) -> Any:
    exact = {"terms": {field: list(words)}}
    if begins is None:
        return exact
    return {"bool": {"should": [exact, {"prefix": {field: begins}}]}}


def _counted(field: str, size: int, **more: Any) -> Any:
    return {"terms": {"field": field, "size": size, "shard_size": VALUES_MAX, **more}}


def _around(piece: Piece, letters: int, most: int) -> str:
    """Return a regular expression for words that have a piece about where it was, and about its length."""
    rest = letters - piece.begin - len(piece.text)
    before = f".{{{piece.earliest},{piece.latest}}}"
    return f"{before}{piece.text}.{{{max(0, rest - most)},{rest + most}}}"


def _hit(hit: Mapping[str, Any]) -> Hit:
    source = hit["_source"]
    place = Place(int(hit["_score"]), moment(source["updated_us"]), UUID(hit["_id"]))
    return Hit(
        source["kind"], place.id, UUID(source["mission_id"]), UUID(source["mission"]["board_id"]),
        place.updated_at, place.score, source["mission"]["title"], source["row"]["texts"],
    )  # fmt: skip


def _whole(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return one answer of several; raises where it is none, or one of some shards only."""
    if answer.get("status") == 404:
        raise IndexMissing("an index is not there")
    if "error" in answer or answer["_shards"]["failed"]:
        raise ElasticsearchAway("Elasticsearch can't look at everything right now")
    return answer
