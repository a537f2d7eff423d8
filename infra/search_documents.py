"""Search documents as Elasticsearch holds them.

A document is a row of a read model, the words of its texts by weight, and the facts of its mission that
filters and facets ask for. The facts of a comment's mission are events of another stream, so a comment's
document has two writers. Each puts its part into what is there, and writes if nobody did meanwhile.
"""

import dataclasses
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from infra.elasticsearch import Cluster
from projections.read_model import ReadModel
from projections.search import (
    SEARCH_ACTIVITY,
    SEARCH_COMMENTS,
    SEARCH_MISSIONS,
    WEIGHTS,
    MissionDocument,
)
from projections.search_text import weighted

INDEX_VERSION = 1
"""Count it up with each change of the mapping: the indices are then built afresh."""
CHILDREN_MAX = 5_000
MISSIONS_MAX = 500
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
KIND_OF = {
    SEARCH_MISSIONS.name: "mission",
    SEARCH_COMMENTS.name: "comment",
    SEARCH_ACTIVITY.name: "activity",
}
MODEL_OF = {kind: name for name, kind in KIND_OF.items()}
CHILDREN = (SEARCH_COMMENTS.name, SEARCH_ACTIVITY.name)

KEYWORD = {"type": "keyword"}
KEPT = {"type": "keyword", "index": False, "doc_values": False}
MAPPING: dict[str, Any] = {
    "dynamic": "strict",
    "properties": {
        "kind": KEYWORD,
        "id": KEYWORD,
        "workspace_id": KEYWORD,
        "mission_id": KEYWORD,
        "actors": KEYWORD,
        # Microseconds: dates have but three digits.
        "updated_us": {"type": "long"},
        # Words, folded by us: there is nothing left to analyse, and each engine has the same ones.
        "terms": KEYWORD,
        **{f"terms_{weight}": KEYWORD for weight in "abcd"},
        "mission": {
            "dynamic": "strict",
            "properties": {
                "version": {"type": "long"},
                "title": KEPT,
                "board_id": KEYWORD,
                "stage": KEYWORD,
                "priority": KEYWORD,
                "labels": KEYWORD,
                "deleted": {"type": "boolean"},
            },
        },
        # The row as it was folded: the next event needs it whole.
        "row": {"type": "object", "enabled": False},
    },
}
SETTINGS = {
    # One shard: what is counted is exact.
    "number_of_shards": 1,
    "auto_expand_replicas": "0-1",
    # Whoever writes refreshes, before the checkpoint moves.
    "refresh_interval": "-1",
}


@dataclass(frozen=True)
class Facts:
    """What filters and facets ask of a mission, as of a version of its stream."""

    version: int
    title: str
    board_id: UUID
    stage: str
    priority: str
    labels: tuple[str, ...]
    deleted: bool

    @classmethod
    def of(cls, row: MissionDocument) -> "Facts":
        """Return the facts of a mission."""
        return cls(
            row.version, row.texts.get("title", ""), row.board_id, row.stage.value,
            row.priority.value, row.labels, row.deleted,
        )  # fmt: skip

    def differ(self, other: "Facts | None") -> bool:
        """Tell whether anybody who searches sees a difference."""
        return other is None or dataclasses.replace(other, version=self.version) != self


@dataclass(frozen=True)
class Stored:
    """A document as it is now, and what a write has to name so that nothing is lost between the two."""

    index: str
    row: Any
    facts: Facts | None
    seq_no: int
    primary_term: int


Key = tuple[str, UUID]
"""An index or alias, and an id."""


@dataclass(frozen=True)
class Child:
    """Where a document of a mission's comments or activity is, and the facts that it has."""

    key: Key
    model: str
    mission_id: UUID
    facts: Facts | None

    @classmethod
    def of(cls, hit: Mapping[str, Any]) -> "Child":
        """Read what a search found."""
        source = hit["_source"]
        key = hit["_index"], UUID(hit["_id"])
        return cls(key, MODEL_OF[source["kind"]], UUID(source["mission_id"]), _facts(source))


Merge = Callable[[Stored | None], tuple[Any, Facts | None] | None]
"""From what is there to what shall be there; None where it is already."""


def alias(model: str, log_id: UUID) -> str:
    """Return the name under which a model's documents of a log are read."""
    return f"mc-{model}-{log_id}"


def version_of(model: ReadModel[Any]) -> str:
    """Return how an index begins that holds a model as this program knows it."""
    return f"mc-{model.name}-v{model.version}.{INDEX_VERSION}-"


def index(model: ReadModel[Any], log_id: UUID, generation: int) -> str:
    """Return the name of one index behind the alias."""
    return f"{version_of(model)}{log_id}-{generation}"


def every_index(model: str, log_id: UUID) -> str:
    """Return a pattern of all indices of a model: the live one, and those that are being built."""
    return f"mc-{model}-v*-{log_id}-*"


class Documents:
    """Reads and writes documents of a model in an index of it."""

    def __init__(self, cluster: Cluster, model: str) -> None:
        self._cluster = cluster
        self._kind = KIND_OF[model]
        self._row = _ROWS[model]

    async def load(self, where: str, keys: Collection[UUID]) -> dict[UUID, Stored]:
        """Return documents as they are this moment, refreshed or not."""
        found = await self._get([(where, key) for key in keys])
        return {key: stored for (_, key), stored in found.items()}

    async def put(self, where: str, rows: Sequence[MissionDocument]) -> dict[UUID, str]:
        """Write missions; what is there of this version or a later one stays. Return what is refused."""
        lines: list[bytes] = []
        for row in rows:
            at = _action("index", where, _id=row.id, version=row.version, version_type="external")
            lines += [at, self._encoded(row, Facts.of(row))]
        results = await self._cluster.bulk(lines)
        return _refused((row.id for row in rows), results)

    async def merge(
        self, changes: Mapping[Key, Merge], known: Mapping[Key, Stored | None]
    ) -> dict[UUID, str]:
        """Write parts of documents into what is there, again where somebody else was quicker.

        Of `known` ones that were loaded a moment ago, nothing is asked at first. Return what is refused.
        """
        waiting, refused = dict(changes), dict[UUID, str]()
        current = {key: known[key] for key in waiting if key in known}
        while waiting:
            current |= await self._get([key for key in waiting if key not in current])
            written: dict[Key, list[bytes]] = {}
            for key, merge in waiting.items():
                stored = current.get(key)
                merged = merge(stored)
                if merged is not None:
                    written[key] = [_compare_and_set(key, stored), self._encoded(*merged)]
            results = await self._cluster.bulk([line for pair in written.values() for line in pair])
            refused |= _refused((key for _, key in written), results)
            waiting = {
                key: waiting[key]
                for key, result in zip(written, results, strict=True)
                if result["status"] == 409
            }
            current = {}
        return refused

    async def refresh(self, *names: str) -> None:
        """Let queries see what was written."""
        asked = self._cluster.writer.indices.refresh(index=list(names))
        await self._cluster.call(asked)

    async def children(self, where: Sequence[str], mission_ids: Sequence[UUID]) -> list["Child"]:
        """Return the documents of missions' comments and activity that a refresh has shown."""
        found: list[Child] = []
        behind: list[Any] | None = None
        while True:
            search = self._cluster.writer.search(
                index=list(where), size=CHILDREN_MAX, sort=["id", "_index"], search_after=behind,
                query={"terms": {"mission_id": [str(key) for key in mission_ids]}},
                source={"includes": ["kind", "mission", "mission_id"]},
                allow_partial_search_results=False, track_total_hits=False,
            )  # fmt: skip
            hits = (await self._cluster.call(search))["hits"]["hits"]
            found += map(Child.of, hits)
            if len(hits) < CHILDREN_MAX:
                return found
            behind = hits[-1]["sort"]

    async def facts(self, where: str) -> AsyncIterator[dict[UUID, Facts]]:
        """Yield the facts of all missions of an index that was refreshed, some at a time."""
        behind: list[Any] | None = None
        while True:
            search = self._cluster.writer.search(
                index=where, size=MISSIONS_MAX, sort=["id"], search_after=behind,
                source={"includes": ["mission"]}, allow_partial_search_results=False,
                track_total_hits=False,
            )  # fmt: skip
            hits = (await self._cluster.call(search))["hits"]["hits"]
            if not hits:
                return
            yield {UUID(hit["_id"]): _known(hit["_source"]) for hit in hits}
            behind = hits[-1]["sort"]

    async def _get(self, keys: Sequence[Key]) -> dict[Key, Stored]:
        if not keys:
            return {}
        asked = [
            {"_index": where, "_id": str(key), "_source": ["row", "mission"]} for where, key in keys
        ]
        answer = await self._cluster.call(self._cluster.writer.mget(docs=asked, realtime=True))
        return {
            key: self._stored(document)
            for key, document in zip(keys, answer["docs"], strict=True)
            if document.get("found")
        }

    def _stored(self, document: Mapping[str, Any]) -> Stored:
        source = document["_source"]
        return Stored(
            document["_index"], msgspec.convert(source["row"], self._row), _facts(source),
            document["_seq_no"], document["_primary_term"],
        )  # fmt: skip

    def _encoded(self, row: Any, facts: Facts | None) -> bytes:
        words = weighted((WEIGHTS[field], text) for field, text in row.texts.items())
        body: dict[str, Any] = {
            "kind": self._kind,
            "id": row.id,
            "workspace_id": row.workspace_id,
            "mission_id": row.mission_id,
            "actors": row.actors,
            "updated_us": microseconds(row.updated_at),
            "terms": list(words),
            "row": row,
        }
        for word, weights in words.items():
            for weight in weights:
                body.setdefault(f"terms_{weight.lower()}", []).append(word)
        if facts is not None:
            body["mission"] = facts
        return msgspec.json.encode(body)


def microseconds(at: datetime) -> int:
    """Return a time as microseconds since 1970, exactly."""
    return (at - EPOCH) // MICROSECOND


def moment(us: int) -> datetime:
    """Return the time of `microseconds`."""
    return EPOCH + us * MICROSECOND


_ROWS = {model.name: model.row for model in (SEARCH_MISSIONS, SEARCH_COMMENTS, SEARCH_ACTIVITY)}


def _facts(source: Mapping[str, Any]) -> Facts | None:
    return _known(source) if "mission" in source else None


def _known(source: Mapping[str, Any]) -> Facts:
    return msgspec.convert(source["mission"], Facts)


def _compare_and_set(key: Key, stored: Stored | None) -> bytes:
    where, id_ = key
    if stored is None:
        return _action("create", where, _id=id_)
    return _action(
        "index", stored.index, _id=id_, if_seq_no=stored.seq_no, if_primary_term=stored.primary_term
    )


def _action(name: str, where: str, **more: Any) -> bytes:
    # An alias that is gone must not come back as an index that nobody mapped.
    return msgspec.json.encode(
        {name: {"_index": where, "require_alias": "-v" not in where, **more}}
    )


def _refused(keys: Any, results: Sequence[Mapping[str, Any]]) -> dict[UUID, str]:
    return {
        key: result["error"]["type"]
        for key, result in zip(keys, results, strict=True)
        if 400 <= result["status"] < 500 and result["status"] != 409
    }
