"""What is in the log is in Kafka, in order, and nothing is said to be there before it is."""

import random
from typing import Any

from infra.envelopes import Envelope
from infra.settings import Settings
from streams.kafka_messages import Mark
from streams.topics import partition_of, topic_of
from tests.distributed.conftest import (
    assert_marks_are_true,
    events_of,
    log_of,
    read_topics,
    relayed,
    relaying,
    until,
)
from tests.write_side.test_projections import live_a_life


def place_of(settings: Settings, envelope: Envelope) -> tuple[str, int]:
    topic = topic_of(envelope.type, settings.kafka_topic_prefix)
    return topic, partition_of(str(envelope.stream_id).encode())


def expected(settings: Settings, log: list[Envelope]) -> dict[tuple[str, int], list[Envelope]]:
    places: dict[tuple[str, int], list[Envelope]] = {}
    for envelope in log:
        places.setdefault(place_of(settings, envelope), []).append(envelope)
    return places


async def test_the_log_is_in_kafka_whole_and_in_order(world: Any, kafka_settings: Settings) -> None:
    await live_a_life(world, random.Random(1))
    async with relaying(world, kafka_settings):
        await live_a_life(world, random.Random(2))
        await until(lambda: relayed(world), 60)
    log, read = await log_of(world), read_topics(kafka_settings)
    assert events_of(read) == expected(kafka_settings, log)
    ((log_id,),) = await world.query("SELECT log_id FROM log_head")
    assert {of for items in read.values() for of, _ in items} == {log_id}


async def test_every_partition_is_told_how_far_the_log_is_and_never_too_early(
    world: Any, kafka_settings: Settings
) -> None:
    async with relaying(world, kafka_settings):
        for number in range(3):
            await live_a_life(world, random.Random(number))
        await until(lambda: relayed(world), 60)
        log = await log_of(world)

        async def marked() -> bool:
            read = read_topics(kafka_settings)
            last = [
                [item for _, item in items if isinstance(item, Mark)][-1:]
                for items in read.values()
            ]
            return all(marks and marks[0].position == len(log) for marks in last)

        await until(marked, 60)
    read = read_topics(kafka_settings)
    assert_marks_are_true(read, log, lambda envelope: place_of(kafka_settings, envelope))
