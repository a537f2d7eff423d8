"""Only the order within a stream counts: neither how streams meet in the log nor where batches end."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import psycopg
import pytest

from infra.envelopes import Envelope
from infra.postgres import SYSTEM_OPTIONS, Database
from projections.catalogue import READ_MODELS
from streams.follower import Follower
from tests.projections_run.conftest import project, rows
from tests.write_side.test_projections import live_a_life


def interleaved(events: Sequence[dict[str, Any]], chance: random.Random) -> list[dict[str, Any]]:
    """Return the same streams, each in its order, met at random."""
    streams: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        streams.setdefault(event["stream_id"], []).append(event)
    left, mixed = list(streams.values()), list[dict[str, Any]]()
    while left:
        stream = chance.choice(left)
        mixed.append({**stream.pop(0), "position": len(mixed) + 1, "prev": len(mixed)})
        left = [stream for stream in left if stream]
    return mixed


async def placeless(world: Any, model: Any) -> dict[str, Any]:
    """Return a model's rows without their positions in the log, which is another one in the copy."""
    found = await rows(world, model)
    return {key: {**row, "position": None} for key, row in found.items()}


class UnevenFollower(Follower):
    """Reads as much as it likes each time."""

    chance = random.Random(0)

    async def read(self, after: int, limit: int = 0) -> list[Envelope]:
        return await super().read(after, self.chance.choice([1, 2, 3, 7, 40, limit or 100]))


def copied(dsn: str, events: list[dict[str, Any]], tables: Sequence[str], source: Any) -> None:
    with psycopg.connect(dsn, options=SYSTEM_OPTIONS) as connection:
        connection.execute(
            "INSERT INTO events SELECT * FROM json_populate_recordset(NULL::events, %s)",
            [msgspec.json.encode(events).decode()],
        )
        connection.execute("UPDATE log_head SET position = %s, recorded_at = now()", [len(events)])
        for table in tables:
            connection.execute(
                f"INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, %s)",
                [msgspec.json.encode(source[table]).decode()],
            )


@pytest.mark.parametrize("seed", [1, 2])
async def test_streams_met_at_random_and_batches_of_any_size_give_the_same_rows(
    world: Any, new_database: Callable[[], str], seed: int
) -> None:
    chance = random.Random(seed)
    await live_a_life(world, chance)
    await project(world)
    expected = [await placeless(world, model) for model in READ_MODELS]
    events = [
        row for (row,) in await world.query("SELECT row_to_json(e) FROM events e ORDER BY position")
    ]
    keys = ("workspace_keys", "subject_keys")
    source = {
        t: [r for (r,) in await world.query(f"SELECT row_to_json(k) FROM {t} k")] for t in keys
    }
    dsn = new_database()
    copied(dsn, interleaved(events, chance), keys, source)
    original = world.database
    async with Database(dsn) as database:
        world.database = world.bus.tools.vault._database = database
        UnevenFollower.chance = chance
        await project(world, follower=UnevenFollower)
        assert [await placeless(world, model) for model in READ_MODELS] == expected
    world.database = original
