"""Who folds into a read model's table: a projector from the log, or workers from Kafka, never both.

A projector keeps in memory what it wrote last, as only its like writes there: over a worker's rows it would
write older ones. So each holds a lock of its kind, shared with its like, on the very connection by which it
writes. It has the table for as long as it can write to it, and whoever ends, however, lets go of it.
"""

from collections.abc import Collection
from enum import IntEnum
from typing import Any

from infra.postgres import Connection, Database
from infra.settings import Settings

CLAIM_RETRY_S = 5.0


class Source(IntEnum):
    """Where events come from; the number is the class of its advisory locks."""

    LOG = 7_301_211
    KAFKA = 7_301_212

    @property
    def other(self) -> "Source":
        """The one that must not fold meanwhile."""
        return Source.KAFKA if self is Source.LOG else Source.LOG


REFUSED = {
    Source.LOG: "workers fold it from Kafka: stop them, or set MC_KAFKA_BOOTSTRAP here",
    Source.KAFKA: "a process without MC_KAFKA_BOOTSTRAP folds it from the log: set it there, or stop that",
}
"""Why a source does not get a table, and what to do."""
ASKED_THERE = (
    "Elasticsearch keeps them, and this process asks PostgreSQL: set MC_ELASTICSEARCH_URL here"
)

NAMES = "FROM unnest(%(names)s::text[]) AS name"
LOCK = f"SELECT pg_advisory_lock_shared(%(source)s, hashtext(name)) {NAMES}"
UNLOCK = f"SELECT pg_advisory_unlock_shared(%(source)s, hashtext(name)) {NAMES}"
# An advisory lock of two numbers is shown with the second one unsigned, and 2 in the place of a third.
HELD = f"""
SELECT name {NAMES} WHERE EXISTS (
    SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND classid = %(source)s::oid AND objid = (hashtext(name)::bigint & 4294967295)::oid)
ORDER BY name"""
ELSEWHERE = (
    f"SELECT name {NAMES} JOIN checkpoints USING (name) WHERE model_version < 0 ORDER BY name"
)


def source_of(settings: Settings) -> Source:
    """Return from where read models are folded under these settings."""
    return Source.LOG if settings.kafka_bootstrap is None else Source.KAFKA


async def show(connection: Connection, source: Source, names: Collection[str]) -> None:
    """Let it be seen for as long as the connection lives that these are folded, where nobody has to keep off."""
    await connection.execute(LOCK, {"names": list(names), "source": source.value})


async def claim(connection: Connection, source: Source, names: Collection[str]) -> list[str]:
    """Take tables for as long as the connection lives; return the names of those that the other has.

    Each takes its own lock before it looks for the other's: of two who come at once, one sees the other.
    """
    await show(connection, source, names)
    refused = await _held(connection, source.other, names)
    if refused:
        await connection.execute(UNLOCK, {"names": refused, "source": source.value})
    return refused


async def state(database: Database, source: Source, names: Collection[str]) -> dict[str, Any]:
    """Return for health whether the other source has tables that should be this one's, or Elasticsearch."""
    async with database.system() as connection:
        taken = await _held(connection, source.other, names)
        cursor = await connection.execute(ELSEWHERE, {"names": list(names)})
        elsewhere = [str(name) for (name,) in await cursor.fetchall()]
    if taken:
        return {"status": "taken", "reason": REFUSED[source], "models": taken}
    if elsewhere:
        return {"status": "elsewhere", "reason": ASKED_THERE, "models": elsewhere}
    return {"status": "ok"}


async def _held(connection: Connection, source: Source, names: Collection[str]) -> list[str]:
    cursor = await connection.execute(HELD, {"names": list(names), "source": source.value})
    return [str(name) for (name,) in await cursor.fetchall()]
