"""What is in the log is in Kafka, in order, and nothing is said to be there before it is."""

import asyncio
import random
from typing import Any
from uuid import UUID

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic

from infra.envelopes import Envelope
from infra.kafka import client_settings
from infra.settings import Settings
from streams.kafka_messages import Mark
from streams.topics import (
    CATEGORIES,
    PARTITIONS,
    TOPIC_SETTINGS,
    create_topics,
    partition_of,
    topic_of,
)
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


def positions(read: Any) -> list[int]:
    return sorted(event.position for events in events_of(read).values() for event in events)


async def test_another_log_is_sent_from_its_beginning(world: Any, kafka_settings: Settings) -> None:
    async with relaying(world, kafka_settings):
        await until(lambda: relayed(world), 60)
    first = await world.query("SELECT log_id FROM log_head")
    # As a restore does: the backup holds where its relay was.
    await world.query("UPDATE log_head SET log_id = gen_random_uuid()")
    async with relaying(world, kafka_settings):
        await until(lambda: sent_anew(world), 60)
    second = await world.query("SELECT log_id FROM log_head")
    found: dict[UUID, list[int]] = {}
    for items in read_topics(kafka_settings).values():
        for log_id, item in items:
            if isinstance(item, Envelope):
                found.setdefault(log_id, []).append(item.position)
    whole = [envelope.position for envelope in await log_of(world)]
    assert {log: sorted(sent) for log, sent in found.items()} == {
        first[0][0]: whole,
        second[0][0]: whole,
    }


async def sent_anew(world: Any) -> bool:
    rows = await world.query(
        "SELECT r.position = h.position FROM relay r JOIN log_head h USING (log_id)"
    )
    return bool(rows == [(True,)])


async def test_topics_that_were_made_anew_are_filled_again(
    world: Any, kafka_settings: Settings
) -> None:
    async with relaying(world, kafka_settings):
        await until(lambda: relayed(world), 60)
    admin = KafkaAdminClient(bootstrap_servers=kafka_settings.kafka_bootstrap)
    admin.delete_topics([topic_of("workspace.created.v1", kafka_settings.kafka_topic_prefix)])
    admin.close()
    log = await log_of(world)
    (began,) = await world.query("SELECT clock_timestamp()")
    async with relaying(world, kafka_settings):
        acked = "SELECT acked_at > %s AND position = (SELECT position FROM log_head) FROM relay"
        await until(lambda: holds(world, acked, *began), 60)
    sent = positions(read_topics(kafka_settings))
    assert set(sent) == {envelope.position for envelope in log}
    assert len(sent) > len(log)


async def holds(world: Any, query: str, *values: Any) -> bool:
    return bool(await world.query(query, values) == [(True,)])


@pytest.mark.parametrize(
    ("partitions", "policy", "told"),
    [(3, "delete", "has 3 partitions, 10 are needed"), (PARTITIONS, "compact", "cleanup.policy=compact")],
)  # fmt: skip
async def test_a_topic_that_is_not_as_it_must_be_gets_nothing(
    world: Any, kafka_settings: Settings, partitions: int, policy: str, told: str
) -> None:
    topic = topic_of("mission.moved.v1", kafka_settings.kafka_topic_prefix)
    admin = KafkaAdminClient(bootstrap_servers=kafka_settings.kafka_bootstrap)
    configs = {"cleanup.policy": policy}
    admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=configs)])
    admin.close()
    async with relaying(world, kafka_settings):
        error = "SELECT last_error FROM relay WHERE last_error IS NOT NULL"
        ((line,),) = await until(lambda: world.query(error), 60)
    assert line.startswith(f"the topic {topic} has ")
    assert told in line
    assert await world.query("SELECT position FROM relay") == [(0,)]


async def test_a_topic_that_gets_more_partitions_is_written_to_no_more(
    world: Any, kafka_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.relay.LOOK_S", 0.2)
    topic = topic_of("mission.moved.v1", kafka_settings.kafka_topic_prefix)
    async with relaying(world, kafka_settings):
        await until(lambda: relayed(world), 60)
        admin = KafkaAdminClient(bootstrap_servers=kafka_settings.kafka_bootstrap)
        admin.create_partitions({topic: PARTITIONS + 2})
        admin.close()
        error = "SELECT last_error FROM relay WHERE last_error_at > acked_at"
        ((line,),) = await until(lambda: world.query(error), 60)
    assert line.startswith(f"the topic {topic} has {PARTITIONS + 2} partitions, ")


async def test_topics_are_made_with_settings_of_our_own(
    kafka_settings: Settings, world: Any
) -> None:
    client = client_settings(kafka_settings)
    ids = await asyncio.to_thread(create_topics, client, kafka_settings.kafka_topic_prefix)
    assert await asyncio.to_thread(create_topics, client, kafka_settings.kafka_topic_prefix) == ids
    admin = KafkaAdminClient(**client)
    try:
        asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in ids]
        found = admin.describe_configs(asked)["topic"]
    finally:
        admin.close()
    assert len(ids) == len(CATEGORIES)
    for configs in found.values():
        made = {name: configs[name]["value"] for name in TOPIC_SETTINGS}
        assert made == TOPIC_SETTINGS
