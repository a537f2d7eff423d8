"""K: from the log to Kafka's acknowledgement, in bulk and at a steady rate, on a real broker."""

import time
from typing import Any

import uvloop
from kafka import KafkaProducer
from uuid_utils.compat import uuid7

from benchmarks.projections import filled
from benchmarks.scene import (
    CODEC,
    Author,
    Reached,
    Result,
    append_steadily,
    ms,
    new_database,
    open_log,
)
from infra.embedded_postgres import EmbeddedPostgres
from infra.kafka import client_settings
from infra.postgres import Database
from infra.settings import Settings
from streams.follower import Follower
from streams.kafka_messages import to_message
from streams.relay import Relay
from streams.topics import create_topics, partition_of
from tests.servers import kafka as kafka_server

PEER_EVENTS = 500
EVENTS_MAX = 60_000
STEADY_PER_S = 200
STEADY_S = 10


def relay(postgres: EmbeddedPostgres, events: int) -> list[Result]:
    """K1, K2; nothing where Kafka is not installed."""
    if (missing := kafka_server.missing()) is not None:
        return [Result("K log → Kafka", missing)]
    events = min(events, EVENTS_MAX)
    with kafka_server.start() as kafka:
        dsn = filled(postgres, events)
        peer = uvloop.run(_one_by_one(dsn, _settings(kafka.bootstrap)))
        rate = uvloop.run(_in_bulk(dsn, _settings(kafka.bootstrap), events))
        lags = uvloop.run(_steadily(new_database(postgres), _settings(kafka.bootstrap)))
    ratio = rate / peer
    return [
        Result(f"K1 relay of {events:,} events", f"{rate:,.0f} events/s",
               f"{peer:,.0f}/s one by one", ratio, "≥ 5x", ratio >= 5),
        Result(f"K2 commit → Kafka at {STEADY_PER_S}/s", ms(lags)),
    ]  # fmt: skip


class Timed(Relay):
    """Notes when each position was acknowledged."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.reached = Reached()

    async def _advance(self, position: int, events: int) -> None:
        await super()._advance(position, events)
        self.reached.note(position)


def _settings(bootstrap: str) -> Settings:
    return Settings(kafka_bootstrap=bootstrap, kafka_topic_prefix=f"b{uuid7().hex}")


async def _one_by_one(dsn: str, settings: Settings) -> float:
    """The plain way: send an event, wait for its acknowledgement, send the next."""
    client = client_settings(settings)
    create_topics(client, settings.kafka_topic_prefix)
    async with Database(dsn) as database, Follower(database, CODEC) as follower:
        events = await follower.read(0, PEER_EVENTS)
        producer = KafkaProducer(**client, acks="all")
        try:
            begin = time.perf_counter()
            for envelope in events:
                message = to_message(envelope, follower.log_id, settings.kafka_topic_prefix)
                assert message.key is not None
                where = partition_of(message.key)
                producer.send(**message._asdict(), partition=where).get(timeout=30)
            return len(events) / (time.perf_counter() - begin)
        finally:
            producer.close()


async def _in_bulk(dsn: str, settings: Settings, events: int) -> float:
    create_topics(client_settings(settings), settings.kafka_topic_prefix)
    async with Database(dsn) as database, Follower(database, CODEC) as follower:
        begin = time.perf_counter()
        async with Timed(database, follower, settings) as job:
            return events / (await job.reached.at(events) - begin)


async def _steadily(dsn: str, settings: Settings) -> list[float]:
    async with open_log(dsn) as (database, log), Follower(database, CODEC) as follower:
        author = Author()
        await log.append(author.append(author.board))
        async with Timed(database, follower, settings) as job:
            await job.reached.at(1)
            committed = await append_steadily(log, author, STEADY_PER_S, STEADY_S)
            return [await job.reached.at(position) - at for position, at in committed.items()]
