"""Real topics for a test, and a log that is published to them as the relay would, or worse, or by itself."""

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from kafka import KafkaProducer

from streams.kafka_messages import Mark, to_mark_message, to_message
from streams.partitions import Place
from streams.topics import CATEGORIES, PARTITIONS, create_topics, partition_of
from tests.workers.channel import log_of


async def relay_runs() -> str:
    """Say of a relay what a worker that hears nothing is told of one that runs."""
    return "the relay is at 1 of 1"


class Topics:
    """The topics of one test; `publish` sends what is new in its log."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.prefix = f"t{uuid4().hex[:8]}"
        self.position = 0
        create_topics({"bootstrap_servers": bootstrap}, self.prefix)
        self._producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=5)

    def close(self) -> None:
        self._producer.close()

    def fill(self, place: Place, messages: int) -> None:
        """Leave messages in a partition that are of no log here."""
        mark = to_mark_message(Mark(uuid4(), 0), place.topic)
        for _ in range(messages):
            self._producer.send(
                place.topic, mark.value, headers=mark.headers, partition=place.partition
            )
        self._producer.flush()

    async def publish(self, world: Any, *, again_from: int | None = None) -> None:
        """Send the log from where it was left, or once more from before that; then marks."""
        await asyncio.to_thread(self.send, *await self.unsent(world, again_from))

    async def unsent(self, world: Any, again_from: int | None = None) -> tuple[Any, list[Any]]:
        """Return what `send` takes."""
        ((log_id,),) = await world.query("SELECT log_id FROM log_head")
        return log_id, await log_of(world, self.position if again_from is None else again_from)

    def send(self, log_id: Any, events: list[Any]) -> None:
        for envelope in events:
            message = to_message(envelope, log_id, self.prefix)
            assert message.key is not None
            self._producer.send(
                message.topic, message.value, key=message.key, headers=message.headers,
                partition=partition_of(message.key),
            )  # fmt: skip
        self._producer.flush()
        self.position = max(self.position, events[-1].position if events else 0)
        for category in CATEGORIES:
            topic = f"{self.prefix}.{category}"
            mark = to_mark_message(Mark(log_id, self.position), topic)
            for partition in range(PARTITIONS):
                self._producer.send(topic, mark.value, headers=mark.headers, partition=partition)
        self._producer.flush()


@dataclass(frozen=True)
class Relayed:
    """Topics that a relay fills: whatever is in the log comes by itself."""

    bootstrap: str
    prefix: str

    async def publish(self, _: Any) -> None:
        """Leave it to the relay."""
