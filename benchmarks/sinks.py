"""W: from the log through Kafka into each store: relay and worker as processes, real servers.

For PostgreSQL (`missions`), Elasticsearch (`search_missions`) and InfluxDB (`mission_flow`) it is measured

- W1, how many events a second arrive when relay and worker have many to catch up on: from the commit of all of
  them until the read model's checkpoint has the last one. The peer is the same store, fed one event at a time by
  this process, without Kafka;
- W2, the lag at a steady rate: from an event's commit until the checkpoint has it, so until a query with
  `min_position` is answered. The peer is the same store fed straight from the log, without Kafka. Marks come
  through Kafka at most ten times a second, which is a part of the lag; the row itself is there before;
- W3, how many events a second a rebuild of the store from the log takes (PostgreSQL's is F2), against W1's peer.
"""

import asyncio
import base64
import os
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import uvloop
from uuid_utils.compat import uuid7

from benchmarks.processes import child, folder, process
from benchmarks.projections import fill, filled, one_by_one, tools
from benchmarks.scene import (
    CODEC,
    Author,
    Reached,
    Result,
    append_steadily,
    head,
    ms,
    new_database,
    open_log,
    percentile,
)
from commands.bus import Bus
from commands.handlers import HANDLERS
from infra.embedded_postgres import EmbeddedPostgres
from infra.event_log import EventLog
from infra.marks import Marks
from infra.postgres import Database
from infra.settings import PREFIX, Settings
from infra.timeseries_influxdb import store_name
from infra.workers import sink_of
from projections.metrics import MISSION_FLOW
from projections.missions import MISSIONS
from projections.read_model import ReadModel
from projections.search import SEARCH_MISSIONS
from streams.follower import Follower
from streams.mission_points import MissionPoints, write_again
from streams.partitioned import Closes, Opens
from streams.projector import Projector
from streams.search_jobs import SearchJob, rebuild_search
from streams.search_sink import SearchSink
from streams.sink import Sink, SinkJob
from tests.servers import elasticsearch, influxdb
from tests.servers import kafka as kafka_server

EVENTS_MAX = 20_000
PEER_EVENTS = 100
RATE, STEADY_S = 100, 10.0
START_S_MAX = 120.0
CAUGHT_UP_S_MAX = 600.0
POLL_S = 0.005

Named = dict[str, str]
"""Settings by their names."""


@dataclass(frozen=True)
class Store:
    """Where a read model is kept, and under which name its checkpoint is."""

    title: str
    model: ReadModel[Any]
    checkpoint: str
    settings: Named

    def marks(self, database: Database) -> Marks:
        """Return marks that look where this store's are."""
        is_elasticsearch = self.model is SEARCH_MISSIONS
        return Marks(database, in_elasticsearch=[self.checkpoint] if is_elasticsearch else [])


def sinks(postgres: EmbeddedPostgres, events: int) -> list[Result]:
    """W1, W2 for each store that is installed; nothing where Kafka is not."""
    if (missing := kafka_server.missing()) is not None:
        return [Result("W log → Kafka → stores", missing)]
    results: list[Result] = []
    with kafka_server.start() as kafka:
        for start in (_postgres, _elasticsearch, _influxdb):
            with start() as store:
                if isinstance(store, str):
                    results.append(Result("W log → Kafka → store", store))
                else:
                    results += _measured(postgres, store, kafka.bootstrap, min(events, EVENTS_MAX))
    return results


@contextmanager
def _postgres() -> Iterator[Store]:
    yield Store("PostgreSQL", MISSIONS, MISSIONS.name, {})


@contextmanager
def _elasticsearch() -> Iterator[Store | str]:
    """Give the store, or why there is none."""
    if (missing := elasticsearch.missing()) is not None:
        yield missing
        return
    with elasticsearch.start() as server:
        named = {"elasticsearch_url": server.url}
        yield Store("Elasticsearch", SEARCH_MISSIONS, SEARCH_MISSIONS.name, named)


@contextmanager
def _influxdb() -> Iterator[Store | str]:
    """Give the store, or why there is none."""
    if (missing := influxdb.missing()) is not None:
        yield missing
        return
    with influxdb.start() as server:
        named = {
            "influxdb_url": server.url, "influxdb_token": server.token, "influxdb_org": server.org,
        }  # fmt: skip
        yield Store("InfluxDB", MISSION_FLOW, store_name(MISSION_FLOW), named)


def _measured(
    postgres: EmbeddedPostgres, store: Store, bootstrap: str, events: int
) -> list[Result]:
    alone = (
        one_by_one(filled(postgres, PEER_EVENTS))
        if store.model is MISSIONS
        else uvloop.run(_one_by_one(new_database(postgres), store))
    )
    straight = uvloop.run(_straight_from_log(new_database(postgres), store))
    rate, lags = _through_kafka(new_database(postgres), store, bootstrap, events)
    name, path = store.title, f"log → Kafka → {store.title}"
    results = [
        Result(f"W1 {path}, {events:,} events", f"{rate:,.0f} events/s",
               f"{alone:,.0f}/s into {name} one by one", rate / alone,
               figures={"events_s": rate, "peer_events_s": alone}),
        Result(f"W2 {path} at {RATE}/s", ms(lags), f"{ms(straight)} straight from the log",
               percentile(lags, 50) / percentile(straight, 50),
               figures={"p50_s": percentile(lags, 50), "p99_s": percentile(lags, 99)}),
    ]  # fmt: skip
    if store.model is not MISSIONS:
        again = uvloop.run(_rebuilt(filled(postgres, events), store, events))
        results.append(
            Result(f"W3 rebuild {name}, {events:,} events", f"{again:,.0f} events/s",
                   f"{alone:,.0f}/s one by one", again / alone, figures={"events_s": again})
        )  # fmt: skip
    return results


def _through_kafka(
    dsn: str, store: Store, bootstrap: str, events: int
) -> tuple[float, list[float]]:
    """Return events per second, and lags in seconds."""
    with folder() as data_dir:
        where = ["--data-dir", str(data_dir)]
        named = store.settings | {
            "database_url": dsn, "kafka_bootstrap": bootstrap,
            "kafka_topic_prefix": f"b{uuid7().hex}",
            "root_key": base64.b64encode(os.urandom(32)).decode(),
        }  # fmt: skip
        settings = {f"{PREFIX}{name}".upper(): value for name, value in named.items()}
        relay = process(["infra", "serve", "--only", "relay", "--port", "0", *where], **settings)
        with relay, child(["infra", "worker", store.model.name, *where], **settings):
            return uvloop.run(_caught_up_and_steady(dsn, store, events))


async def _caught_up_and_steady(dsn: str, store: Store, events: int) -> tuple[float, list[float]]:
    async with open_log(dsn) as (database, log):
        author, marks = await _begun(log, database, store)
        await asyncio.to_thread(fill, dsn, events, author)
        begin = time.perf_counter()
        await marks.wait(await head(database), store.checkpoint, patience_s=CAUGHT_UP_S_MAX)
        rate = events / (time.perf_counter() - begin)
        return rate, await _lags(log, author, marks, store)


async def _begun(log: EventLog, database: Database, store: Store) -> tuple[Author, Marks]:
    """Append a first event, and wait until the store has it: then all that feeds it is there."""
    author, marks = Author(), store.marks(database)
    await log.append(author.append(author.board))
    await marks.wait(1, store.checkpoint, patience_s=START_S_MAX)
    return author, marks


async def _lags(log: EventLog, author: Author, marks: Marks, store: Store) -> list[float]:
    reached = Reached()

    async def watch() -> None:
        while True:
            reached.note(await marks.position(store.checkpoint))
            await asyncio.sleep(POLL_S)

    watching = asyncio.create_task(watch())
    try:
        committed = await append_steadily(log, author, RATE, STEADY_S)
        return [await reached.at(position) - at for position, at in committed.items()]
    finally:
        watching.cancel()


async def _straight_from_log(dsn: str, store: Store) -> list[float]:
    """Return lags without Kafka; what feeds the store runs in this process."""
    async with (
        open_log(dsn) as (database, log),
        Follower(database, CODEC) as follower,
        AsyncExitStack() as stack,
    ):
        job = await _job(stack, database, log, follower, store)
        await stack.enter_async_context(job)
        author, marks = await _begun(log, database, store)
        return await _lags(log, author, marks, store)


async def _job(
    stack: AsyncExitStack, database: Database, log: EventLog, follower: Follower, store: Store
) -> AbstractAsyncContextManager[Any]:
    # With marks of its own: what it notes before others can see it does not count.
    marks = Marks(database)
    if store.model is MISSIONS:
        return Projector(database, follower, Bus(log, tools(database), HANDLERS), marks, [MISSIONS])
    sink = _sink(stack, database, store)
    if isinstance(sink, SearchSink):
        return SearchJob(database, follower, marks, sink)
    return SinkJob(database, follower, marks, sink)


async def _one_by_one(dsn: str, store: Store) -> float:
    """Return events per second of the plain way: an event, the store's acknowledgement, the next event."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(dsn))
        sink = _sink(stack, database, store)
        if isinstance(sink, Opens):
            await sink.open()  # on an empty log: it would build all that there is in one go
        await asyncio.to_thread(fill, dsn, PEER_EVENTS, Author())
        follower = await stack.enter_async_context(Follower(database, CODEC))
        events = await follower.read(0, PEER_EVENTS)
        begin = time.perf_counter()
        for envelope in events:
            await sink.apply([envelope])
        return len(events) / (time.perf_counter() - begin)


async def _rebuilt(dsn: str, store: Store, events: int) -> float:
    """Return events per second of a rebuild from the log, beside nothing that was there."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(dsn))
        begin = time.perf_counter()
        if store.model is SEARCH_MISSIONS:
            settings, vault = Settings.load(**store.settings), tools(database).vault
            done = await rebuild_search(
                settings, database, CODEC, vault, store.model, lambda _done, _all: None
            )
            assert (done.events, done.parked) == (events, 0)
        else:
            sink = _sink(stack, database, store)
            assert isinstance(sink, MissionPoints)
            await write_again(sink, database, CODEC, store.model, lambda _done, _all: None)
            assert sink.points > 0
            assert sink.parked == 0
        return events / (time.perf_counter() - begin)


def _sink(stack: AsyncExitStack, database: Database, store: Store) -> Sink:
    settings = Settings.load(**store.settings)
    sink = sink_of(settings, store.model, database, CODEC, tools(database).vault)
    assert sink is not None
    if isinstance(sink, Closes):
        stack.push_async_callback(sink.aclose)
    return sink
