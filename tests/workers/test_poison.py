"""Workers park what they can't fold exactly as the projector does, and what is mended is drained."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from projections.boards import BOARDS
from projections.missions import MISSIONS
from streams import parking
from streams.parking import drain, tell_news
from streams.read_tables import ReadTable
from streams.rebuild import Rebuild
from tests.projections_run.conftest import head, rows, until
from tests.projections_run.naive import differences
from tests.projections_run.test_parking import (
    discard,
    edit,
    out_of_range,
    parked,
    poisoned,
    raising,
    refusing,
    told,
)
from tests.workers.channel import Channel, consume, is_done_or_waits, mine, opened, position


@pytest.mark.parametrize("function", [raising, out_of_range])
@pytest.mark.parametrize("at_once", [1, 5, 500])
async def test_a_poison_event_holds_back_its_own_stream_only(
    world: Any, function: Any, at_once: int
) -> None:
    sick, well = await poisoned(world)
    channel = Channel()
    await consume(world, refusing(function), await channel.publish(world), at_once)
    found = await rows(world, MISSIONS)
    row = found[str(sick)]
    assert (row["title"], row["version"], row["stale"]) == ("one", 2, True)
    assert (found[str(well)]["title"], found[str(well)]["version"]) == ("two", 3)
    assert [row[:3] for row in await parked(world)] == [("missions", sick, 3)]
    assert await position(world, MISSIONS) == await head(world)
    await tell_news(world.database, world.bus)
    assert await told(world) == ["noticed", "parked"]
    # It is held back, and the next worker tries it again first.
    await edit(world, sick, "four")
    await consume(world, refusing(function), await channel.publish(world))
    assert (await rows(world, MISSIONS))[str(sick)]["version"] == 2
    for model in (MISSIONS, BOARDS):
        await consume(world, model, await channel.publish(world))
    await consume(world, BOARDS, [m for found in channel.partitions.values() for m in found])
    assert await parked(world) == []
    assert await differences(world) == []


async def test_a_discarded_event_is_passed_over_for_good(world: Any) -> None:
    sick, _ = await poisoned(world)
    model, channel = refusing(raising), Channel()
    await consume(world, model, await channel.publish(world))
    await tell_news(world.database, world.bus)
    await discard(world, sick)
    vault = world.bus.tools.vault
    done = await drain(world.database, world.codec, vault, ReadTable(model), sick)
    assert done is not None and done.poison is None
    await edit(world, sick, "four")
    await consume(world, model, await channel.publish(world))
    row = (await rows(world, MISSIONS))[str(sick)]
    assert (row["title"], row["version"], row["stale"]) == ("four", 5, False)
    before = await rows(world, MISSIONS)
    await Rebuild(world.database, world.codec, vault, model).run()
    assert await rows(world, MISSIONS) == before


async def test_what_comes_while_a_stream_is_drained_is_not_lost(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that still knows the stream as parked would hold back an event that nobody sends again."""
    sick, _ = await poisoned(world)
    channel = Channel()
    messages = await channel.publish(world)
    await consume(world, BOARDS, messages)
    await consume(world, refusing(raising), messages)
    table = await opened(world, refusing(raising))
    has_read, may_commit = asyncio.Event(), asyncio.Event()
    tell = parking.tell_drained

    async def tell_later(*values: Any) -> None:
        has_read.set()
        await may_commit.wait()
        await tell(*values)

    monkeypatch.setattr(parking, "tell_drained", tell_later)
    draining = asyncio.create_task(drained(world, sick))
    await has_read.wait()
    await edit(world, sick, "late")
    taking = asyncio.create_task(table.take(mine(table, await channel.publish(world))))
    await until(lambda: is_done_or_waits(world, taking))
    may_commit.set()
    await asyncio.gather(draining, taking)
    await table.close()
    assert (await rows(world, MISSIONS))[str(sick)]["title"] == "late"
    assert await parked(world) == []


async def drained(world: Any, stream_id: UUID) -> None:
    vault = world.bus.tools.vault
    done = await drain(world.database, world.codec, vault, ReadTable(MISSIONS), stream_id)
    assert done is not None and done.poison is None
