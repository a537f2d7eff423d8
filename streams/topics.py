"""The topics of Kafka that hold the log: one per aggregate category, made with settings of our own."""

import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from domain.catalogue import AGGREGATES
from infra.codec import UnknownEventType

PREFIX = "mc"
PARTITIONS = 10
"""Fixed: with another count, an event's stream would be in another partition than its past."""
CATEGORIES = tuple(AGGREGATES)
MESSAGE_BYTES_MAX = 4 * 1024 * 1024
"""A command may have a body of 1 MiB, and sealed text is longer than what it says."""
REPLICAS_MAX = 3
MAKE_S_MAX = 5.0
MAKE_POLL_S = 0.1
REQUEST_MS_MAX = 5_000
RETENTION_MS = 7 * 24 * 3600 * 1000
"""What is older is read from the log."""
TOPIC_SETTINGS = {
    "cleanup.policy": "delete",
    "retention.ms": str(RETENTION_MS),
    "retention.bytes": "-1",
    "message.timestamp.type": "LogAppendTime",
    "compression.type": "producer",
    "max.message.bytes": str(MESSAGE_BYTES_MAX),
    "unclean.leader.election.enable": "false",
}

_SEED = 0x9747B28C
_MULTIPLIER = 0x5BD1E995
_WORD = 0xFFFFFFFF


class _Topic(NamedTuple):
    name: str
    id: str
    partitions: int
    policy: str


class TopicRefused(Exception):
    """A topic is there, and is not as we need it; one line that says what to do."""


def topics(prefix: str = PREFIX) -> list[str]:
    """Return the names of all topics."""
    return [f"{prefix}.{category}" for category in CATEGORIES]


def topic_of(event_type: str, prefix: str = PREFIX) -> str:
    """Return the topic of an event type: `mc.mission` for `mission.moved.v1`."""
    category = event_type.partition(".")[0]
    if category not in AGGREGATES:
        raise UnknownEventType(event_type)
    return f"{prefix}.{category}"


@lru_cache(maxsize=65_536)
def partition_of(key: bytes) -> int:
    """Return the partition of a stream, as every standard client of Kafka chooses it."""
    return (murmur2(key) & 0x7FFFFFFF) % PARTITIONS


def murmur2(data: bytes) -> int:
    """Return MurmurHash2 (32 bits, Kafka's seed) of some bytes: public domain, by Austin Appleby."""
    digest = _SEED ^ len(data)
    whole = len(data) & ~3
    for start in range(0, whole, 4):
        word = int.from_bytes(data[start : start + 4], "little") * _MULTIPLIER & _WORD
        word = (word ^ word >> 24) * _MULTIPLIER & _WORD
        digest = digest * _MULTIPLIER & _WORD ^ word
    if whole < len(data):
        digest = (digest ^ int.from_bytes(data[whole:], "little")) * _MULTIPLIER & _WORD
    digest = (digest ^ digest >> 13) * _MULTIPLIER & _WORD
    return digest ^ digest >> 15


def create_topics(client: Mapping[str, Any], prefix: str = PREFIX) -> dict[str, str]:
    """Make the topics that are missing; return all of them with the ids that Kafka gave them. Blocks.

    `client` are settings of kafka-python. Raises `TopicRefused`, and kafka-python's errors.
    """
    from kafka import KafkaAdminClient  # noqa: PLC0415 - only where Kafka is

    admin = KafkaAdminClient(**client, request_timeout_ms=REQUEST_MS_MAX)
    try:
        names = topics(prefix)
        _create_missing(admin, names)
        found = _made(admin, names)
        for topic in found:
            _check(topic)
        return {topic.name: topic.id for topic in found}
    finally:
        admin.close()


def _create_missing(admin: Any, names: Sequence[str]) -> None:
    from kafka.admin import NewTopic  # noqa: PLC0415
    from kafka.errors import TopicAlreadyExistsError  # noqa: PLC0415

    there = set(admin.list_topics())
    missing = [name for name in names if name not in there]
    if not missing:
        return
    replicas = min(REPLICAS_MAX, len(admin.describe_cluster()["brokers"]))
    # What was acknowledged survives the loss of any one broker, where there are enough of them.
    settings = {**TOPIC_SETTINGS, "min.insync.replicas": "2" if replicas == REPLICAS_MAX else "1"}
    for name in missing:
        try:
            admin.create_topics([NewTopic(name, PARTITIONS, replicas, topic_configs=settings)])
        except TopicAlreadyExistsError:
            continue  # by another process that starts right now


def _made(admin: Any, names: Sequence[str]) -> list[_Topic]:
    """Return the topics when the broker knows them all: it hears of new ones a little later."""
    give_up = time.monotonic() + MAKE_S_MAX
    while len(found := _known(admin, names)) < len(names):
        if time.monotonic() > give_up:
            raise TopicRefused(f"Kafka does not know its new topics after {MAKE_S_MAX} s")
        time.sleep(MAKE_POLL_S)
    return found


def _known(admin: Any, names: Sequence[str]) -> list[_Topic]:
    from kafka.admin import ConfigResource, ConfigResourceType  # noqa: PLC0415

    asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    configs = admin.describe_configs(asked)["topic"]
    return [
        _Topic(
            topic["name"],
            str(topic["topic_id"]),
            len(topic["partitions"]),
            configs[topic["name"]]["cleanup.policy"]["value"],
        )
        for topic in admin.describe_topics(list(names))
        if topic["error_code"] == 0 and configs.get(topic["name"])
    ]


def _check(topic: _Topic) -> None:
    name, partitions, policy = topic.name, topic.partitions, topic.policy
    if partitions != PARTITIONS:
        raise TopicRefused(
            f"the topic {name} has {partitions} partitions, {PARTITIONS} are needed: delete it, or set"
            " MC_KAFKA_TOPIC_PREFIX"
        )
    if policy != "delete":
        raise TopicRefused(
            f"the topic {name} has cleanup.policy={policy}, which drops events: set it to delete"
        )
