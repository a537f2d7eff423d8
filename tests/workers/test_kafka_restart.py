"""Kafka dies under relay and workers, and comes back: read models equal the fold of the log."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

from infra.settings import Settings
from projections.boards import BOARDS
from projections.missions import MISSIONS
from streams.kafka_messages import Mark, to_mark_message
from streams.partitioned import topics_of
from streams.processor import group_of
from streams.topics import PARTITIONS
from tests.distributed.conftest import LEAKS_SOCKETS, relaying
from tests.distributed.test_relay_faults import living, log_grew
from tests.projections_run.conftest import head, until
from tests.servers.kafka import Kafka
from tests.workers.channel import differs_from_log
from tests.workers.test_faults import CONVERGE_S, Workers, ending
from tests.workers.topics import Relayed

PREFIX = "mc"
MODELS = (MISSIONS, BOARDS)
TOPICS = sorted({topic for model in MODELS for topic in topics_of(model, PREFIX)})
GROWS_EVENTS = 100
LEFT_MESSAGES = 400

pytestmark = LEAKS_SOCKETS


@asynccontextmanager
async def relayed_workers(world: Any, kafka: Kafka, *words: str) -> AsyncIterator[Workers]:
    """A relay in this process, and a worker of each model."""
    settings = Settings(kafka_bootstrap=kafka.bootstrap, kafka_topic_prefix=PREFIX)
    async with (
        relaying(world, settings),
        ending(Workers(world, Relayed(kafka.bootstrap, PREFIX))) as made,
    ):
        for model in MODELS:
            await made.ready(await made.start(model.name, *words))
        yield made


async def restart_kafka(world: Any, kafka: Kafka, times: int, *words: str) -> None:
    """Kill it while commands go on, at a moment that chance chooses, and start it again."""
    chance = random.Random(9)
    async with relayed_workers(world, kafka, *words) as made:
        running = list(made.running)
        for _ in range(times):
            async with living(world):
                await asyncio.sleep(chance.random())
                kafka.kill()
                away_at = await head(world)
                await until(lambda at=away_at: log_grew(world, at + GROWS_EVENTS), CONVERGE_S)
                await asyncio.to_thread(kafka.start)
            await made.converge()
        assert await differs_from_log(world, *MODELS) == []
        for process in running:
            assert await made.end(process, signal.SIGTERM) == 0


def leave_messages(kafka: Kafka) -> dict[TopicPartition, int]:
    """Leave messages in each partition that are of no log here; return where the partitions end."""
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, acks="all", linger_ms=5)
    consumer = KafkaConsumer(bootstrap_servers=kafka.bootstrap)
    places = [TopicPartition(t, n) for t in TOPICS for n in range(PARTITIONS)]
    try:
        for place in places:
            mark = to_mark_message(Mark(uuid4(), 0), place.topic)
            for _ in range(LEFT_MESSAGES):
                producer.send(
                    place.topic, mark.value, headers=mark.headers, partition=place.partition
                )
        producer.flush()
        return dict(consumer.end_offsets(places))
    finally:
        producer.close()
        consumer.close()


def are_committed(kafka: Kafka, ends: dict[TopicPartition, int]) -> bool:
    """Tell whether each model's group has committed these offsets."""
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    try:
        for model in MODELS:
            group = group_of(model.name, model.version, PREFIX)
            found = admin.list_group_offsets({group: None})[group]
            of_model = [place for place in ends if place.topic in topics_of(model, PREFIX)]
            if any(place not in found or found[place].offset < ends[place] for place in of_model):
                return False
        return True
    finally:
        admin.close()


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_kafka_killed_under_running_workers_loses_and_doubles_nothing(
    world: Any, own_kafka: Kafka, capfd: pytest.CaptureFixture[str]
) -> None:
    await restart_kafka(world, own_kafka, 1, "--quiet", "1")
    told = [line for line in capfd.readouterr().err.splitlines() if "comes from Kafka" in line]
    assert any("MC_KAFKA_BOOTSTRAP: nobody answers at" in line for line in told)
    assert not any("Errno" in line for line in told)


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_kafka_killed_twenty_times_loses_and_doubles_nothing(
    world: Any, own_kafka: Kafka
) -> None:
    await restart_kafka(world, own_kafka, 20)


@pytest.mark.timeout(300)
async def test_a_kafka_that_comes_back_empty_is_filled_and_read_by_those_who_knew_the_old_one(
    world: Any, own_kafka: Kafka
) -> None:
    async with relayed_workers(world, own_kafka) as made:
        running = list(made.running)
        # Offsets of the old topics are to lie far beyond the new ones' end.
        ends = await asyncio.to_thread(leave_messages, own_kafka)
        await until(lambda: asyncio.to_thread(are_committed, own_kafka, ends), CONVERGE_S)
        async with living(world):
            grown_to = await head(world) + GROWS_EVENTS
            await until(lambda: log_grew(world, grown_to), CONVERGE_S)
            # Of what came last, the offsets are still to be committed.
            own_kafka.kill()
            away_at = await head(world)
            await until(lambda: log_grew(world, away_at + GROWS_EVENTS), CONVERGE_S)
        own_kafka.empty()
        await asyncio.to_thread(own_kafka.start)
        await made.converge(patience_s=2 * CONVERGE_S)
        assert await differs_from_log(world, *MODELS) == []
        # Who is started now goes on from what was committed.
        for process in running:
            assert await made.end(process, signal.SIGTERM) == 0
        await world.mission("made afterwards")
        for model in MODELS:
            await made.ready(await made.start(model.name))
        await made.converge()
        assert await differs_from_log(world, *MODELS) == []
