"""Partitions in memory, with offsets as Kafka gives them: what comes when is up to the test."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from infra.envelopes import COLUMNS, Envelope
from streams.kafka_messages import Mark
from streams.partitioned import PartitionedTable, StartAgain
from streams.partitions import Delivered, Place
from streams.rebuild import Rebuild
from streams.topics import CATEGORIES, PARTITIONS, PREFIX, partition_of, topic_of
from tests.projections_run.conftest import rows

LOG = f"SELECT {COLUMNS} FROM events WHERE position > %s ORDER BY position"


@dataclass
class Channel:
    """Every message of every partition, and how far the log was published."""

    partitions: dict[Place, list[Delivered]] = field(default_factory=dict)
    position: int = 0

    def append(self, place: Place, said: Any) -> Delivered:
        messages = self.partitions.setdefault(place, [])
        messages.append(Delivered(place, len(messages), said))
        return messages[-1]

    def mark(self, log_id: Any, position: int) -> list[Delivered]:
        return [
            self.append(Place(f"{PREFIX}.{category}", partition), Mark(log_id, position))
            for category in CATEGORIES
            for partition in range(PARTITIONS)
        ]

    async def publish(self, world: Any) -> list[Delivered]:
        """Append what is new in the log, and a mark to every partition; return the messages."""
        ((log_id,),) = await world.query("SELECT log_id FROM log_head")
        events = await log_of(world, self.position)
        made = [self.append(place_of(envelope), envelope) for envelope in events]
        self.position = events[-1].position if events else self.position
        return made + self.mark(log_id, self.position)


def place_of(envelope: Envelope) -> Place:
    return Place(topic_of(envelope.type), partition_of(str(envelope.stream_id).encode()))


async def log_of(world: Any, after: int = 0) -> list[Envelope]:
    return [Envelope.of(row, world.codec) for row in await world.query(LOG, [after])]


def mine(table: PartitionedTable, messages: list[Delivered]) -> list[Delivered]:
    """Return the messages of a read model's topics."""
    return [message for message in messages if message.place.topic in table.topics]


async def opened(world: Any, model: Any) -> PartitionedTable:
    table = PartitionedTable(world.database, world.codec, world.bus.tools.vault, model)
    try:
        await table.open()
    except StartAgain:
        await table.close()
        raise
    return table


async def consume(world: Any, model: Any, messages: list[Delivered], at_once: int = 50) -> None:
    """Hand messages to a worker of its own, in batches."""
    table = await opened(world, model)
    own = mine(table, messages)
    for start in range(0, len(own), at_once):
        await table.take(own[start : start + at_once])
    await table.close()


async def position(world: Any, model: Any) -> int:
    found = await world.query("SELECT position FROM checkpoints WHERE name = %s", [model.name])
    return int(found[0][0])


async def is_done_or_waits(world: Any, task: "asyncio.Task[None]") -> bool:
    """Tell whether a task has ended, or a transaction waits for another one's lock."""
    waiting = (
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND datname = current_database())"
    )
    return task.done() or bool((await world.query(waiting))[0][0])


async def differs_from_log(world: Any, *models: Any) -> list[str]:
    """Return the models whose rows are not what a rebuild from the log makes of it."""
    found = []
    for model in models:
        before = await rows(world, model)
        await Rebuild(world.database, world.codec, world.bus.tools.vault, model).run()
        if await rows(world, model) != before:
            found.append(model.name)
    return found
