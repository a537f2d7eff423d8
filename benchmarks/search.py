"""Search and analytics on 100,000 missions (`--missions`) of ten events each, in words by Zipf's law.

Six kinds of questions are asked of PostgreSQL, and where Elasticsearch is installed also of that, about the same
documents: median/p99 of each, side by side. The documents are written as the sinks write them.
"""

import dataclasses
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from statistics import mean
from types import SimpleNamespace
from typing import Any
from uuid import UUID
from zlib import crc32

import msgspec
import uvloop
from fastapi import Request
from uuid_utils.compat import uuid7

from benchmarks.scene import Result, ms, new_database, percentile
from domain import base
from domain.board import Stage
from domain.comment import Comment
from domain.mission import Content, Mission, Place, Priority, Worker
from infra.elasticsearch import Cluster
from infra.embedded_postgres import EmbeddedPostgres
from infra.marks import Marks
from infra.postgres import Database
from infra.search import SearchEngine
from infra.search_documents import (
    MAPPING,
    SETTINGS,
    Documents,
    Facts,
    Merge,
    alias,
    index,
)
from infra.search_elasticsearch import ElasticsearchSearch
from infra.search_postgres import PostgresSearch
from infra.settings import Settings
from infra.timeseries_postgres import PostgresTimeSeries
from projections.metrics import MISSION_FLOW
from projections.read_model import Fact, ReadModel
from projections.search import SEARCH_MISSIONS, SEARCH_MODELS
from read_api import analytics, search
from tests.servers import elasticsearch

BATCH_MISSIONS = 500
MADE_MISSIONS_MAX = 4_000
KNOWN_WORDS = 30_000
QUERIES = 60
WARM_UP = 10
AVERAGE_MS_MAX = 200.0
DAYS = 60
MODELS = (*SEARCH_MODELS, MISSION_FLOW)
SYLLABLES = [a + b for a in "bcdfghklmnprstvz" for b in "aeiou"]
UPSERT = """
INSERT INTO {table} ({columns}) SELECT {columns} FROM json_populate_recordset(NULL::{table}, %(rows)s::json)"""


# What was made once is there many times, under other ids: making text takes longer than storing it.
COPY_ID = "md5({id}::text || n)::uuid"
COPY = """
INSERT INTO {table} ({columns}) SELECT {copied} FROM {table}, generate_series(1, {copies}) AS n"""
WITHOUT_TRIGGERS = """
DROP TRIGGER derive_inserted ON {table}; DROP TRIGGER derive_updated ON {table}"""


PAGE = """
SELECT coalesce(json_agg(r), '[]')::text FROM (
    SELECT * FROM {table} WHERE id > %s ORDER BY id LIMIT 1000) r"""
Questions = dict[str, list[dict[str, Any]]]
"""Of each kind, what is asked."""
Found = dict[str, list[float]]
"""Of each kind, how many seconds the answers took."""


class Talk:
    """Says random things: a few words often, most words rarely."""

    def __init__(self) -> None:
        self.chance = random.Random(7)  # noqa: S311 - words, no secrets
        known = {self._word() for _ in range(KNOWN_WORDS * 2)}
        # In an order of their own, the same in each run.
        self.words = sorted(known, key=lambda word: crc32(word.encode()))[:KNOWN_WORDS]
        self._weights = [0.0]
        for rank in range(1, len(self.words) + 1):
            self._weights.append(self._weights[-1] + 1 / rank)

    def say(self, words: int) -> str:
        cumulated = self._weights[1:]
        return " ".join(self.chance.choices(self.words, cum_weights=cumulated, k=words))

    def _word(self) -> str:
        return "".join(self.chance.choices(SYLLABLES, k=self.chance.choice((2, 3, 3, 4, 5))))


class Life:
    """Makes facts of one workspace, without a log: what is measured are the tables."""

    def __init__(self) -> None:
        self.workspace_id, self.board_id, self.user_id = uuid7(), uuid7(), uuid7()
        self.agents = [uuid7() for _ in range(40)]
        self.places = {stage: Place(self.board_id, uuid7(), stage, "m") for stage in Stage}
        self.talk = Talk()

    def mission(self) -> Iterator[Fact]:
        chance, talk = self.talk.chance, self.talk
        at = datetime.now(UTC) - timedelta(seconds=chance.randrange(DAYS * 86400))
        base.command_time.set(at)
        agent = chance.choice(self.agents)
        content = Content(
            talk.say(5), talk.say(30), chance.choice(list(Priority)), tuple(talk.say(2).split())
        )
        mission = Mission.create(
            uuid7(), self.workspace_id, self.places[Stage.READY], content, (), self.user_id
        )
        token = mission.claim(Worker(agent, frozenset()), 60, self.places[Stage.ACTIVE])
        for percent in (20, 50, 80):
            mission.progress(agent, token, percent, talk.say(8))
        mission.submit(agent, token, talk.say(12), self.places[Stage.REVIEW])
        mission.approve(self.user_id, self.places[Stage.DONE])
        mission.edit(dataclasses.replace(content, title=talk.say(5)))
        comment = Comment.begin(
            uuid7(), workspace_id=self.workspace_id, mission_id=mission.id, board_id=self.board_id,
            author_id=agent, body=talk.say(20), parent_id=None, mentions=(),
        )  # fmt: skip
        pace = timedelta(minutes=chance.randrange(1, 60))
        for step, event in enumerate((*mission.pending_events, *comment.pending_events)):
            event.__dict__["timestamp"] = at + step * pace
            yield SimpleNamespace(
                event=event, event_id=uuid7(), workspace_id=self.workspace_id,
                stream_id=event.originator_id, stream_version=event.originator_version,
            )  # type: ignore[misc]  # fmt: skip


async def fill(database: Database, life: Life, missions: int) -> float:
    """Fold missions' facts into the tables as a rebuild does; return seconds."""
    begin = time.perf_counter()
    async with database.system() as connection:
        for model in MODELS:
            await connection.execute(WITHOUT_TRIGGERS.format(table=model.table).encode())
        made = min(missions, MADE_MISSIONS_MAX)
        for start in range(0, made, BATCH_MISSIONS):
            count = min(BATCH_MISSIONS, made - start)
            facts = [fact for _ in range(count) for fact in life.mission()]
            for model in MODELS:
                await _save(database, model, _folded(model, facts))
        for model in MODELS:
            await connection.execute(_copy(model, missions // made - 1).encode())
        await connection.execute("SELECT mc_derive_missing()")
        await connection.execute("VACUUM ANALYZE")
    return time.perf_counter() - begin


def _copy(model: ReadModel[Any], copies: int) -> str:
    columns = [field.name for field in dataclasses.fields(model.row)]
    copied = [COPY_ID.format(id=name) if name in {"id", "mission_id"} else name for name in columns]
    return COPY.format(
        table=model.table, columns=", ".join(columns), copied=", ".join(copied), copies=copies
    )


def _folded(model: ReadModel[Any], facts: list[Fact]) -> list[Any]:
    rows: dict[UUID, Any] = {}
    for fact in facts:
        if type(fact.event) in model.on:
            key = model.key(fact)
            rows[key] = model.apply(rows.get(key), fact)
    return [row for row in rows.values() if row is not None]


async def _save(database: Database, model: ReadModel[Any], rows: list[Any]) -> None:
    columns = ", ".join(field.name for field in dataclasses.fields(model.row))
    statement = UPSERT.format(table=model.table, columns=columns)
    async with database.system() as connection:
        await connection.execute(statement, {"rows": msgspec.json.encode(rows).decode()})


def measure(postgres: EmbeddedPostgres, missions: int) -> list[Result]:
    """Fill the tables, then ask one question after the other, as a person would."""
    return uvloop.run(_measure(new_database(postgres), missions))


async def _measure(dsn: str, missions: int) -> list[Result]:
    async with Database(dsn) as database:
        life = Life()
        seconds = await fill(database, life, missions)
        documents = f"{missions:,} missions, {missions * 6:,} documents"
        results = [Result(f"search: {documents}", f"tables filled in {seconds:.0f} s")]
        asking = _asking(database, PostgresSearch(database), life)
        questions = _questions(life.talk)
        ours = await _searched(asking, questions)
        analysed = await _analysed(asking)
        theirs: Found = {}
        if (missing := elasticsearch.missing()) is not None:
            results[0].peer = missing
        else:
            with elasticsearch.start() as server:
                copied_s, theirs = await _elsewhere(database, life, questions, server.url)
            results[0].peer = f"copied to Elasticsearch in {copied_s:.0f} s"
        return [*results, *_compared(ours, theirs), *analysed]


async def _analysed(asking: dict[str, Any]) -> list[Result]:
    since = datetime.now(UTC) - timedelta(days=DAYS)
    results = []
    for name in ("flow", "throughput", "cycle_time", "utilisation", "response_time"):
        route = getattr(analytics, name)
        each = [await _timed(route, asking, since=since) for _ in range(10)]
        measured = f"{ms(each)}, p95 {percentile(each, 95) * 1e3:.1f} ms"
        results.append(
            Result(f"analytics, {name}, {DAYS} days", measured, figures=_figures("", each))
        )
    return results


async def _elsewhere(
    database: Database, life: Life, questions: Questions, url: str
) -> tuple[float, Found]:
    """Ask the same of the same documents in Elasticsearch; return how long copying took, too."""
    async with Cluster(Settings(elasticsearch_url=url)) as cluster:
        begin = time.perf_counter()
        log_id = uuid7()
        await copy(database, cluster, log_id)
        seconds = time.perf_counter() - begin
        asking = _asking(database, ElasticsearchSearch(cluster, log_id), life)
        return seconds, await _searched(asking, questions)


async def copy(database: Database, cluster: Cluster, log_id: UUID) -> None:
    """Write the rows of the tables as documents, without the log that they would come from."""
    facts: dict[UUID, Facts] = {}
    for model in SEARCH_MODELS:
        name = index(model, log_id, 1)
        making = cluster.client.indices.create(
            index=name, mappings=MAPPING, settings=SETTINGS, aliases={alias(model.name, log_id): {}}
        )
        await cluster.call(making)
        documents = Documents(cluster, model.name)
        async for rows in _pages(database, model):
            if model is SEARCH_MISSIONS:
                facts |= {row.id: Facts.of(row) for row in rows}
            merges = {(name, row.id): _as_it_is(row, facts[row.mission_id]) for row in rows}
            await documents.merge(merges, dict.fromkeys(merges))
        await documents.refresh(name)


def _as_it_is(row: Any, facts: Facts) -> Merge:
    return lambda _: (row, facts)


async def _pages(database: Database, model: ReadModel[Any]) -> AsyncIterator[list[Any]]:
    after = UUID(int=0)
    while True:
        async with database.system() as connection:
            cursor = await connection.execute(PAGE.format(table=model.table).encode(), [after])
            found = await cursor.fetchone()
        assert found is not None
        rows = msgspec.json.decode(found[0], type=list[model.row])
        if not rows:
            return
        yield rows
        after = rows[-1].id


def _asking(database: Database, engine: SearchEngine, life: Life) -> dict[str, Any]:
    marks = Marks(database)
    for model in MODELS:
        marks.note(model.name, 1)
    series = PostgresTimeSeries(database, DAYS)
    state = SimpleNamespace(database=database, marks=marks, search=engine, timeseries=series)
    return {
        "request": Request({"type": "http", "app": SimpleNamespace(state=state)}),
        "principal": SimpleNamespace(workspace_id=life.workspace_id),
    }


async def _searched(asking: dict[str, Any], questions: Questions) -> Found:
    """Return the latencies of each kind of question, in seconds; the first ones find nothing warm."""
    found: Found = {}
    for name, asked in questions.items():
        each = [await _timed(search.search, asking, **question) for question in asked]
        found[name] = each[WARM_UP:]
    return found


def _compared(ours: Found, theirs: Found) -> list[Result]:
    """PostgreSQL beside Elasticsearch, which may not be there."""
    results: list[Result] = []
    for name, mine in ours.items():
        other = theirs.get(name)
        peer = f"{ms(other)} in Elasticsearch" if other else ""
        ratio = percentile(other, 50) / percentile(mine, 50) if other else None
        figures = _figures("", mine) | (_figures("elasticsearch_", other) if other else {})
        results.append(Result(f"search, {name}", ms(mine), peer, ratio, figures=figures))
    average, others = _average_ms(ours), _average_ms(theirs) if theirs else None
    results.append(
        Result(
            "search, all of these on average", f"{average:.1f} ms",
            f"{others:.1f} ms in Elasticsearch" if others is not None else "",
            others / average if others is not None else None, f"< {AVERAGE_MS_MAX:.0f} ms",
            max(average, others or 0.0) < AVERAGE_MS_MAX, {"average_ms": average},
        )
    )  # fmt: skip
    return results


def _average_ms(found: Found) -> float:
    return mean(one for each in found.values() for one in each) * 1e3


def _figures(of: str, each: list[float]) -> dict[str, float]:
    return {f"{of}p{percent}_ms": percentile(each, percent) * 1e3 for percent in (50, 95, 99)}


def _questions(talk: Talk) -> Questions:
    chance = talk.chance

    def misspelt(word: str) -> str:
        at = chance.randrange(1, len(word))
        return word[:at] + chance.choice("xyqw") + word[at + 1 :]

    rare, long_ = talk.words[2_000:], [word for word in talk.words if len(word) > 5]
    makers: dict[str, Callable[[], dict[str, Any]]] = {
        "one rare word": lambda: {"q": chance.choice(rare)},
        "two words as they are said": lambda: {"q": talk.say(2)},
        "three letters of a word": lambda: {"q": talk.say(1)[:3]},
        "a misspelt word": lambda: {"q": misspelt(chance.choice(long_))},
        "a word with filters": lambda: {
            "q": talk.say(1), "type_": "mission", "priority": "urgent,high", "stage": "done",
        },
        "the most frequent word": lambda: {"q": talk.words[0] + " "},
    }  # fmt: skip
    return {name: [make() for _ in range(WARM_UP + QUERIES)] for name, make in makers.items()}


async def _timed(route: Callable[..., Awaitable[Any]], asking: Any, **question: Any) -> float:
    begin = time.perf_counter()
    await route(**asking, **{"limit": 20, **question} if route is search.search else question)
    return time.perf_counter() - begin
