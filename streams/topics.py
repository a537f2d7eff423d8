"""The topics of Kafka that hold the log: one per aggregate category, made with settings of our own."""

from domain.catalogue import AGGREGATES
from infra.codec import UnknownEventType

PREFIX = "mc"
PARTITIONS = 10
"""Fixed: with another count, an event's stream would be in another partition than its past."""
CATEGORIES = tuple(AGGREGATES)
RETENTION_MS = 7 * 24 * 3600 * 1000
"""What is older is read from the log."""
TOPIC_SETTINGS = {
    "cleanup.policy": "delete",
    "retention.ms": str(RETENTION_MS),
    "retention.bytes": "-1",
    "message.timestamp.type": "LogAppendTime",
    "compression.type": "producer",
}

_SEED = 0x9747B28C
_MULTIPLIER = 0x5BD1E995
_WORD = 0xFFFFFFFF


def topics(prefix: str = PREFIX) -> list[str]:
    """Return the names of all topics."""
    return [f"{prefix}.{category}" for category in CATEGORIES]


def topic_of(event_type: str, prefix: str = PREFIX) -> str:
    """Return the topic of an event type: `mc.mission` for `mission.moved.v1`."""
    category = event_type.partition(".")[0]
    if category not in AGGREGATES:
        raise UnknownEventType(event_type)
    return f"{prefix}.{category}"


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
