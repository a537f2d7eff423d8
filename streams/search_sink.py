"""Keeps search documents in Elasticsearch: the same read models, folded by the same functions.

A batch is written, refreshed, and only then noted in PostgreSQL. What is cut off in between comes again
and changes nothing: a document knows the version of its stream that it has seen.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from infra.codec import EventCodec
from infra.elasticsearch import Cluster, IndexMissing
from infra.envelopes import COLUMNS, Envelope
from infra.logging import log
from infra.postgres import Connection, Database
from infra.search import SearchUnavailable
from infra.search_documents import (
    CHILDREN,
    Documents,
    Facts,
    Key,
    Merge,
    Stored,
    alias,
    every_index,
    version_of,
)
from infra.vault import Vault
from projections.read_model import ReadModel, row_of_stream
from projections.search import SEARCH_MISSIONS
from streams.fold import Fold, Poison, key_of, load_keys, prefixes
from streams.parking import (
    FIND,
    READ_EVENTS_MAX,
    UNPARK,
    Drained,
    park,
    tell_drained,
)
from streams.projector import MISSING
from streams.sink import SinkAway

# Whoever writes holds it together with others; a swap of indices, or a drain, waits for all of them.
LOCK = "SELECT pg_advisory_xact_lock{}(hashtextextended('search index ' || %s, 0))"
STANDING = """
SELECT h.log_id, h.position, coalesce(c.generation, 0), c.model_version, c.log_id = h.log_id,
    ARRAY(SELECT stream_id FROM parked_events p WHERE p.model = %(name)s),
    (SELECT coalesce(json_agg(json_build_array(stream_id, stream_version)), '[]')
        FROM projection_discards d WHERE d.model = %(name)s)
FROM log_head h LEFT JOIN checkpoints c ON c.name = %(name)s"""
HELD_BACK = f"""
SELECT {COLUMNS} FROM events WHERE stream_id = %s AND stream_version > %s
ORDER BY stream_version LIMIT %s"""
GATES = """
SELECT stream_id, version FROM stream_gates
WHERE model = %s AND generation = %s AND stream_id = ANY (%s)"""
ADVANCE = """
INSERT INTO stream_gates AS g (model, generation, stream_id, version)
SELECT %s, %s, key::uuid, value::integer FROM json_each_text(%s::json) ORDER BY key
ON CONFLICT (model, generation, stream_id) DO UPDATE SET version = greatest(g.version, excluded.version)"""


class DocumentRefused(Exception):
    """Elasticsearch refuses a document for good."""


def kept_version(model: ReadModel[Any]) -> int:
    """Return what a checkpoint says of a model that is kept here, and not in PostgreSQL's tables.

    Whoever of the two finds the other's number builds its own documents from the log.
    """
    return -model.version


@dataclass(frozen=True)
class Standing:
    """Where a model stands, by PostgreSQL."""

    log_id: UUID
    head: int
    generation: int
    version: int | None
    of_this_log: bool | None
    parked: set[UUID]
    discarded: set[tuple[UUID, int]]

    @classmethod
    async def of(cls, connection: Connection, model: str) -> "Standing":
        """Look it up."""
        cursor = await connection.execute(STANDING, {"name": model})
        row = await cursor.fetchone()
        assert row is not None
        log_id, head, generation, version, of_this_log, parked, discarded = row
        passed = {(UUID(stream), at) for stream, at in discarded}
        return cls(log_id, head, generation, version, of_this_log, set(parked), passed)

    def is_due(self, model: ReadModel[Any]) -> bool:
        """Tell whether the documents have to be built from the log before they go on."""
        return self.version != kept_version(model) or not self.of_this_log


@dataclass
class Place:
    """An index that takes events, and what its model holds back. `is_live`: it is what queries see."""

    index: str
    log_id: UUID
    generation: int
    parked: set[UUID] = field(default_factory=set)
    discarded: set[tuple[UUID, int]] = field(default_factory=set)
    is_live: bool = True

    @classmethod
    def live(cls, model: ReadModel[Any], at: Standing) -> "Place":
        """Return the place that the alias names."""
        where = alias(model.name, at.log_id)
        return cls(where, at.log_id, at.generation, at.parked, at.discarded)


class Loaded(NamedTuple):
    """What there was before a batch. `ahead`: a document has seen more than was noted of its stream."""

    documents: dict[UUID, Stored]
    gates: dict[UUID, int]
    ahead: set[UUID]


class SearchWriter:
    """Folds events into the documents of an index."""

    def __init__(
        self, cluster: Cluster, codec: EventCodec, vault: Vault, model: ReadModel[Any]
    ) -> None:
        self.cluster = cluster
        self.model = model
        self.codec = codec
        self._vault = vault
        self._nouns = prefixes(model)
        self._documents = Documents(cluster, model.name)
        self._missions = Documents(cluster, SEARCH_MISSIONS.name)
        self._children = {name: Documents(cluster, name) for name in CHILDREN}

    def concerned(self, envelopes: Sequence[Envelope]) -> list[Envelope]:
        """Return those of the streams that the model folds, each once, in order."""
        mine = {e.position: e for e in envelopes if e.type.partition(".")[0] in self._nouns}
        return [mine[position] for position in sorted(mine)]

    async def take(
        self, connection: Connection, place: Place, envelopes: Sequence[Envelope]
    ) -> dict[UUID, Poison]:
        """Write a batch, let queries see it, and note how far its streams are; return what is parked."""
        batch = self.concerned(envelopes)
        if not batch:
            return {}
        fold = Fold(self.model, self._vault, place.discarded, place.parked)
        loaded = await self._load(connection, place, batch)
        fold.rows = {key: stored.row for key, stored in loaded.documents.items()}
        fold.gates = dict(loaded.gates)
        batch = await self._whole(connection, fold, batch)
        await load_keys(self._vault, batch)
        moved = _folded(fold, batch) | loaded.ahead
        refused = await self._write(place, fold, loaded, moved)
        _park_refused(fold, refused, batch, loaded)
        gates = msgspec.json.encode(
            {str(key): gate for key, gate in fold.advanced.items()}
        ).decode()
        await connection.execute(ADVANCE, [self.model.name, place.generation, gates])
        return fold.poisons

    async def tell_facts(self, log_id: UUID, facts: Mapping[UUID, Facts]) -> None:
        """Put missions' facts into the documents of their comments and activity, in all their indices.

        Whoever writes such a document looks at its mission afterwards, and we look for them after the
        missions were written: so either of us sees the other.
        """
        where = [every_index(name, log_id) for name in CHILDREN]
        await self._documents.refresh(*where)
        children = await self._documents.children(where, list(facts))
        for name, documents in self._children.items():
            changes: dict[Key, Merge] = {
                child.key: _with_facts(facts[child.mission_id])
                for child in children
                if child.model == name and _is_newer(facts[child.mission_id], child.facts)
            }
            if changes:
                await documents.merge(changes, {})
                await documents.refresh(every_index(name, log_id))

    async def tell_all_facts(self, log_id: UUID, index: str) -> None:
        """Put the facts of all missions of an index into their comments and activity, where they differ."""
        await self._missions.refresh(index)
        async for facts in self._missions.facts(index):
            await self.tell_facts(log_id, facts)

    async def _load(
        self, connection: Connection, place: Place, batch: Sequence[Envelope]
    ) -> Loaded:
        first: dict[UUID, Envelope] = {}
        for envelope in batch:
            first.setdefault(envelope.stream_id, envelope)
        # Before a stream's first event there is nothing; should it come again, versions will tell.
        going_on = {
            stream: envelope
            for stream, envelope in first.items()
            if envelope.stream_version > 1 and stream not in place.parked
        }
        values = [self.model.name, place.generation, list(going_on)]
        cursor = await connection.execute(GATES, values)
        gates = {stream: int(version) for stream, version in await cursor.fetchall()}
        if self.model.key is not row_of_stream or not going_on:
            return Loaded({}, gates, set())
        keys = {key for e in going_on.values() if (key := key_of(self.model, e)) is not None}
        documents = await self._documents.load(place.index, keys)
        ahead = {key for key, d in documents.items() if d.row.version > gates.get(key, 0)}
        gates |= {key: documents[key].row.version for key in ahead}
        return Loaded(documents, gates, ahead)

    async def _whole(
        self, connection: Connection, fold: Fold, batch: list[Envelope]
    ) -> list[Envelope]:
        """Add events that lie between those that a stream has seen and those that came."""
        asked = _gaps(fold, batch)
        if not asked:
            return batch
        cursor = await connection.execute(MISSING, [msgspec.json.encode(asked).decode()])
        found = [Envelope.of(row, self.codec) for row in await cursor.fetchall()]
        return self.concerned([*found, *batch])

    async def _write(
        self, place: Place, fold: Fold, loaded: Loaded, moved: set[UUID]
    ) -> dict[UUID, str]:
        rows = {key: row for key, row in fold.changed.items() if row is not None}
        if _is_of_missions(self.model):
            refused = await self._documents.put(place.index, list(rows.values()))
            if place.is_live and (told := moved & fold.rows.keys()):
                facts = {key: Facts.of(fold.rows[key]) for key in told}
                await self.tell_facts(place.log_id, facts)
        else:
            refused = await self._write_children(place, rows, loaded.documents)
        if place.is_live:
            await self._documents.refresh(place.index)
        return refused

    async def _write_children(
        self, place: Place, rows: Mapping[UUID, Any], documents: Mapping[UUID, Stored]
    ) -> dict[UUID, str]:
        where, missions = place.index, {row.mission_id for row in rows.values()}
        facts = await self._facts(place, missions)
        refused = await self._documents.merge(
            {(where, key): _with_row(row, facts.get(row.mission_id)) for key, row in rows.items()},
            {(where, key): documents.get(key) for key in rows},
        )
        now = await self._facts(place, missions)
        changes: dict[Key, Merge] = {
            (where, key): _with_facts(now[row.mission_id])
            for key, row in rows.items()
            if key not in refused and now.get(row.mission_id) != facts.get(row.mission_id)
        }
        await self._documents.merge(changes, {})
        return refused

    async def _facts(self, place: Place, missions: set[UUID]) -> dict[UUID, Facts]:
        where = alias(SEARCH_MISSIONS.name, place.log_id)
        found = await self._missions.load(where, missions)
        return {key: stored.facts for key, stored in found.items() if stored.facts is not None}


Rebuilding = Callable[[], Awaitable[object]]
"""Builds the documents of a model from the log. Raises `SearchUnavailable`."""


class SearchSink:
    """One of search's read models in Elasticsearch; a `Sink`. It builds what is missing by itself."""

    def __init__(self, writer: SearchWriter, database: Database, rebuild: Rebuilding) -> None:
        self._writer = writer
        self._database = database
        self._rebuild = rebuild
        self._model = writer.model

    @property
    def name(self) -> str:
        """The read model's name."""
        return self._model.name

    async def open(self) -> None:
        """Build the documents if they are not there, and try parked streams again. Raises `SinkAway`."""
        try:
            while not await self.is_built():
                await self._rebuild()
            async with self._database.system() as connection:
                parked = (await Standing.of(connection, self.name)).parked
            for stream_id in parked:
                await self.drain(stream_id)
        except SearchUnavailable as away:
            raise SinkAway(str(away)) from away

    async def apply(self, envelopes: Sequence[Envelope]) -> None:
        """Take events; return when queries see them. Raises `SinkAway`."""
        if not self._writer.concerned(envelopes):
            return
        try:
            while not await self._applied(envelopes):
                await self._rebuild()
        except SearchUnavailable as away:
            raise SinkAway(str(away)) from away

    async def aclose(self) -> None:
        """Close the connection, where it is of this sink alone."""
        await self._writer.cluster.client.close()

    async def drain(self, stream_id: UUID) -> Drained | None:
        """Fold what was held back of a stream; None: it is not parked. Raises `SearchUnavailable`."""
        async with self._database.system() as connection, connection.transaction():
            await connection.execute(LOCK.format("").encode(), [self.name])
            cursor = await connection.execute(FIND, [self.name, stream_id])
            found = await cursor.fetchone()
            if found is None:
                return None
            before = Poison(*found)
            at = await Standing.of(connection, self.name)
            place = Place.live(self._model, at)
            place.parked = set()
            begin = gate = await self._gate(connection, place, stream_id)
            poison: Poison | None = None
            while poison is None:
                values = [stream_id, gate, READ_EVENTS_MAX]
                cursor = await connection.execute(HELD_BACK, values)
                codec = self._writer.codec
                events = [Envelope.of(row, codec) for row in await cursor.fetchall()]
                if not events:
                    break
                poison = (await self._writer.take(connection, place, events)).get(stream_id)
                gate = await self._gate(connection, place, stream_id)
            await connection.execute(UNPARK, [self.name, stream_id])
            if poison is None:
                await tell_drained(connection, [before])
            else:
                is_new = poison.stream_version != before.stream_version
                await park(connection, [poison], tell=is_new)
            return Drained(gate - begin, poison)

    async def _applied(self, envelopes: Sequence[Envelope]) -> bool:
        async with self._database.system() as connection, connection.transaction():
            await connection.execute(LOCK.format("_shared").encode(), [self.name])
            at = await Standing.of(connection, self.name)
            if at.is_due(self._model):
                return False
            try:
                poisons = await self._writer.take(
                    connection, Place.live(self._model, at), envelopes
                )
            except IndexMissing:
                return False
            if poisons:
                await park(connection, list(poisons.values()))
        for poison in poisons.values():
            log.error(
                "a read model parked a stream", model=poison.model, stream=str(poison.stream_id),
                position=poison.position, error=poison.error, place=poison.place,
            )  # fmt: skip
        return True

    async def is_built(self) -> bool:
        """Tell whether the documents are there, as this program knows them. Raises `SearchUnavailable`."""
        async with self._database.system() as connection:
            at = await Standing.of(connection, self.name)
        if at.is_due(self._model):
            return False
        named = self._writer.cluster.client.indices.get_alias(name=alias(self.name, at.log_id))
        try:
            indices = list(await self._writer.cluster.call(named))
        except IndexMissing:
            return False
        return all(index.startswith(version_of(self._model)) for index in indices)

    async def _gate(self, connection: Connection, place: Place, stream_id: UUID) -> int:
        cursor = await connection.execute(GATES, [self.name, place.generation, [stream_id]])
        row = await cursor.fetchone()
        return int(row[1]) if row is not None else 0


def _is_of_missions(model: ReadModel[Any]) -> bool:
    return model.name == SEARCH_MISSIONS.name


def _folded(fold: Fold, batch: Sequence[Envelope]) -> set[UUID]:
    """Fold a batch; return the missions whose facts changed on the way, even if they changed back."""
    changed: set[UUID] = set()
    if not _is_of_missions(fold.model):
        for envelope in batch:
            fold.take(envelope)
        return changed
    for envelope in batch:
        before = fold.rows.get(envelope.stream_id)
        fold.take(envelope)
        after = fold.rows.get(envelope.stream_id)
        if after is None or after is before:
            continue
        if before is None or Facts.of(after).differ(Facts.of(before)):
            changed.add(envelope.stream_id)
    return changed


def _gaps(fold: Fold, batch: Sequence[Envelope]) -> list[dict[str, Any]]:
    missing: list[dict[str, Any]] = []
    ordered = sorted(batch, key=lambda e: (e.stream_id, e.stream_version))
    for stream, events in groupby(ordered, key=lambda e: e.stream_id):
        gate = fold.gates.get(stream, 0)
        versions = [e.stream_version for e in events if e.stream_version > gate]
        if stream not in fold.parked and versions and versions[-1] != gate + len(versions):
            missing.append({"of_stream": stream, "above": gate, "below": versions[-1]})
    return missing


def _park_refused(
    fold: Fold, refused: Mapping[UUID, str], batch: Sequence[Envelope], loaded: Loaded
) -> None:
    for key, why in refused.items():
        stream = fold.streams[key]
        gate = loaded.gates.get(stream, 0)
        first = next(e for e in batch if e.stream_id == stream and e.stream_version > gate)
        fold.park(first, DocumentRefused(why))
        fold.advanced.pop(stream, None)


def _is_newer(facts: Facts, other: Facts | None) -> bool:
    """Tell whether facts are to be told: later ones, or what a changed function says of the same ones."""
    if other is None or facts.version > other.version:
        return True
    return facts.version == other.version and facts.differ(other)


def _with_facts(facts: Facts) -> Merge:
    def merge(stored: Stored | None) -> tuple[Any, Facts | None] | None:
        if stored is None or not _is_newer(facts, stored.facts):
            return None
        return stored.row, facts

    return merge


def _with_row(row: Any, facts: Facts | None) -> Merge:
    def merge(stored: Stored | None) -> tuple[Any, Facts | None] | None:
        if stored is None:
            return row, facts
        has = stored.facts
        newest = facts if facts is not None and _is_newer(facts, has) else has
        if row.version <= stored.row.version:
            return None if newest is has else (stored.row, newest)
        return row, newest

    return merge
