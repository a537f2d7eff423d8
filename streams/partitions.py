"""How far the partitions of Kafka's topics are folded into a read model, and what of the log is missing.

A partition's offsets have no gaps: nobody writes in transactions, and nothing is compacted. So whoever has
taken every message below an offset and gets that one has missed nothing, and a mark that comes then holds:
all events of the partition up to its position are folded. Where messages are missing (they are older than
the topic keeps, or were lost on the way here, or were in a topic that was made anew since, whose offsets begin
afresh), the log is read up to the next mark instead.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import NamedTuple
from uuid import UUID

from infra.envelopes import Envelope
from infra.postgres import Connection
from streams.kafka_messages import Mark

OPEN = """
INSERT INTO partition_marks (model, log_id, topic, partition)
SELECT %(model)s, log_id, topic, partition
FROM log_head, unnest(%(topics)s::text[]) AS topic, generate_series(0, %(partitions)s - 1) AS partition
ON CONFLICT DO NOTHING"""
# A checkpoint below all marks was set back, by whoever begins anew: the marks mean nothing any more.
OUTDATED = """
DELETE FROM partition_marks WHERE model = %(model)s AND (log_id <> (SELECT log_id FROM log_head)
    OR (SELECT position FROM checkpoints WHERE name = %(model)s) < (SELECT min(position) FROM partition_marks
        WHERE model = %(model)s AND log_id = %(log_id)s AND topic = ANY (%(topics)s)))"""
# In one order for all, so that two who want the same wait for each other instead of for ever.
LOCKED = """
SELECT m.topic, m.partition, m.position, m.next_offset, m.topic_id FROM partition_marks m
WHERE model = %(model)s AND log_id = %(log_id)s
    AND (topic, partition) IN (SELECT * FROM unnest(%(topics)s::text[], %(partitions)s::integer[]))
ORDER BY topic, partition FOR UPDATE"""
SAVE = """
UPDATE partition_marks m SET position = s.position, next_offset = s.next_offset, topic_id = s.topic_id,
    updated_at = now()
FROM unnest(%(topics)s::text[], %(partitions)s::integer[], %(positions)s::bigint[], %(offsets)s::bigint[],
    %(topic_ids)s::text[]) AS s(topic, partition, position, next_offset, topic_id)
WHERE m.model = %(model)s AND m.log_id = %(log_id)s AND m.topic = s.topic AND m.partition = s.partition"""
LOCK_CHECKPOINT = "SELECT FROM checkpoints WHERE name = %(model)s FOR UPDATE"
RAISE = """
UPDATE checkpoints SET position = lowest, updated_at = now()
FROM (SELECT min(position) AS lowest FROM partition_marks
    WHERE model = %(model)s AND log_id = %(log_id)s AND topic = ANY (%(topics)s)) AS marks
WHERE name = %(model)s AND log_id = %(log_id)s AND position < lowest
RETURNING position"""


class Place(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """A message as it came; `said` is None where it is of another log, or not from the relay at all."""

    place: Place
    offset: int
    said: Envelope | Mark | None


@dataclass(frozen=True, slots=True)
class PartitionMark:
    """Up to `position`, and below `next_offset` of this topic, everything of a partition is folded."""

    position: int
    next_offset: int
    topic_id: str | None = None
    """None until a mark has told."""

    def is_of_another(self, mark: Mark) -> bool:
        """Tell whether a mark is of another topic, that has taken this one's place."""
        return None not in (mark.topic_id, self.topic_id) and mark.topic_id != self.topic_id


@dataclass(frozen=True, slots=True)
class Reading:
    """What a batch makes of a partition's mark, and up to where the log has to be read for that."""

    mark: PartitionMark
    missing_up_to: int | None = None


def read_on(before: PartitionMark, messages: Iterable[Delivered]) -> Reading:
    """Return where a partition stands behind these messages of it, in the order of their offsets.

    A message that comes again moves nothing. Behind missing ones the offset stays until a mark tells how far
    the log has to be read in their place. A mark of a topic that was made anew makes offsets begin afresh.
    """
    mark, offset, missing = before, before.next_offset, False
    missing_up_to: int | None = None
    for message in messages:
        missing |= message.offset > offset
        is_new = message.offset >= offset
        if is_new:
            offset = message.offset + 1
        if isinstance(message.said, Mark):
            said, is_anew = message.said, mark.is_of_another(message.said)
            # News at an offset that is none tells the same, where nobody has told of which topic it is.
            if said.position > mark.position and (missing or is_anew or not is_new):
                missing_up_to, missing, offset = said.position, False, message.offset + 1
            elif is_anew:
                offset = message.offset + 1
            mark = replace(
                mark,
                position=max(mark.position, said.position),
                topic_id=said.topic_id or mark.topic_id,
            )
        if not missing:
            mark = replace(mark, next_offset=offset)
    return Reading(mark, missing_up_to)


def by_place(messages: Sequence[Delivered]) -> dict[Place, list[Delivered]]:
    """Return the messages of each partition in the order of their offsets."""
    found: dict[Place, list[Delivered]] = {}
    for message in sorted(messages, key=attrgetter("place", "offset")):
        found.setdefault(message.place, []).append(message)
    return found


@dataclass(frozen=True, slots=True)
class PartitionMarks:
    """The marks of one read model in the database."""

    model: str
    log_id: UUID
    topics: Sequence[str]
    partitions: int

    async def open(self, connection: Connection) -> None:
        """Make the marks that are not there yet: a model stands at the lowest of all."""
        values = {
            "model": self.model, "log_id": self.log_id,
            "topics": list(self.topics), "partitions": self.partitions,
        }  # fmt: skip
        await connection.execute(OUTDATED, values)
        await connection.execute(OPEN, values)

    async def locked(
        self, connection: Connection, places: Iterable[Place]
    ) -> dict[Place, PartitionMark]:
        """Return the marks of some partitions, which are this transaction's until its end."""
        topics, partitions = zip(*places, strict=True)
        values = {
            "model": self.model, "log_id": self.log_id,
            "topics": list(topics), "partitions": list(partitions),
        }  # fmt: skip
        cursor = await connection.execute(LOCKED, values)
        return {
            Place(topic, partition): PartitionMark(position, offset, topic_id)
            for topic, partition, position, offset, topic_id in await cursor.fetchall()
        }

    async def save(self, connection: Connection, marks: Mapping[Place, PartitionMark]) -> None:
        """Write marks; where the lowest of all has grown, so does the model's checkpoint."""
        values = {
            "model": self.model,
            "log_id": self.log_id,
            "topics": [place.topic for place in marks],
            "partitions": [place.partition for place in marks],
            "positions": [mark.position for mark in marks.values()],
            "offsets": [mark.next_offset for mark in marks.values()],
            "topic_ids": [mark.topic_id for mark in marks.values()],
        }
        await connection.execute(SAVE, values)
        # Apart from the next statement, which then sees the marks of whoever held it.
        await connection.execute(LOCK_CHECKPOINT, values)
        await connection.execute(RAISE, {**values, "topics": list(self.topics)})
