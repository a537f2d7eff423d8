"""The log, its relay and a real Kafka: worlds with topics of their own."""

import gc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from kafka import KafkaConsumer, TopicPartition
from uuid_utils.compat import uuid7

from infra.codec import EventCodec
from infra.envelopes import COLUMNS, Envelope
from infra.settings import Settings
from streams.follower import Follower
from streams.kafka_messages import Mark, log_id_of, of_message
from streams.relay import Relay
from streams.topics import PARTITIONS, topics
from tests.projections_run.conftest import database_url, head, new_database, until
from tests.servers.kafka import Kafka
from tests.write_side.conftest import pytest_pyfunc_call, world

__all__ = ["database_url", "head", "new_database", "pytest_pyfunc_call", "until", "world"]

CODEC = EventCodec()
LEAKS_SOCKETS = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <(ssl|socket):pytest.PytestUnraisableExceptionWarning"
)
"""Of connections that are refused, kafka-python 3.0.12 leaves the sockets to the garbage collector."""
Read = dict[tuple[str, int], list[tuple[UUID, Envelope | Mark]]]


@pytest.fixture
def kafka_settings(kafka: Kafka) -> Settings:
    """How to reach Kafka, with topics that no other test uses."""
    return Settings(kafka_bootstrap=kafka.bootstrap, kafka_topic_prefix=f"t{uuid7().hex}")


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """What a test left to the garbage collector is not found in the next one."""
    yield
    gc.collect()


@asynccontextmanager
async def relaying(world: Any, settings: Settings, relay: Any = Relay) -> AsyncIterator[Relay]:
    async with (
        Follower(world.database, world.codec) as follower,
        relay(world.database, follower, settings) as job,
    ):
        yield job


async def relayed(world: Any) -> bool:
    """Tell whether the checkpoint is where the log is."""
    rows = await world.query("SELECT r.position = h.position FROM relay r, log_head h")
    return rows == [(True,)]


def read_topics(settings: Settings) -> Read:
    """Return all that is in our topics, by partition, with the log that it is of."""
    consumer = KafkaConsumer(bootstrap_servers=settings.kafka_bootstrap)
    try:
        places = [
            TopicPartition(topic, partition)
            for topic in topics(settings.kafka_topic_prefix)
            for partition in range(PARTITIONS)
        ]
        consumer.assign(places)
        ends = consumer.end_offsets(places)
        consumer.seek_to_beginning(*places)
        found: Read = {(place.topic, place.partition): [] for place in places}
        while any(consumer.position(place) < end for place, end in ends.items()):
            for place, records in consumer.poll(timeout_ms=500).items():
                for record in records:
                    headers = dict(record.headers)
                    item = log_id_of(headers), of_message(headers, record.value, CODEC)
                    found[place.topic, place.partition].append(item)
        return found
    finally:
        consumer.close()


def events_of(read: Read) -> dict[tuple[str, int], list[Envelope]]:
    """Leave the marks out, and the partitions that hold nothing else."""
    found = {
        place: [item for _, item in items if isinstance(item, Envelope)]
        for place, items in read.items()
    }
    return {place: events for place, events in found.items() if events}


async def log_of(world: Any) -> list[Envelope]:
    """Return the whole log."""
    rows = await world.query(f"SELECT {COLUMNS} FROM events ORDER BY position")
    return [Envelope.of(row, CODEC) for row in rows]


def assert_marks_are_true(
    read: Read, log: list[Envelope], place_of: Callable[[Envelope], Any]
) -> None:
    """Behind a mark, a partition holds all of its events up to the position; marks of one epoch grow."""
    for place, items in read.items():
        seen: set[int] = set()
        expected = [e.position for e in log if place_of(e) == place]
        for _, item in items:
            if isinstance(item, Envelope):
                seen.add(item.position)
            else:
                assert {p for p in expected if p <= item.position} <= seen, (place, item)
