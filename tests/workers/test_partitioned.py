"""A read model that is fed by partitions equals the fold of the log, whatever order and how often they come."""

import asyncio
import dataclasses
import random
from typing import Any

import pytest

from commands import comments, missions
from infra.marks import Marks
from projections.boards import BOARDS
from projections.catalogue import READ_MODELS
from projections.missions import MISSIONS
from streams import claims, partitioned
from streams.claims import Source
from streams.kafka_messages import Mark
from streams.partitioned import PartitionedSink, PartitionedTable, StartAgain, topics_of
from streams.partitions import Delivered
from streams.rebuild import Rebuild
from tests.projections_run import naive_people
from tests.projections_run.conftest import head, project, rows, until
from tests.projections_run.naive import differences
from tests.projections_run.people import live_together
from tests.workers.channel import (
    Channel,
    consume,
    differs_from_log,
    is_done_or_waits,
    log_of,
    mine,
    opened,
    position,
)
from tests.write_side.test_projections import live_a_life

BOTH = (MISSIONS, BOARDS)


async def lived(world: Any, seed: int) -> list[Delivered]:
    await live_a_life(world, random.Random(seed))
    await world.do(comments.AddComment(await world.mission(), "well done", None, ()))
    return await Channel().publish(world)


async def test_all_read_models_equal_the_fold_of_the_log_and_say_how_far_they_are(
    world: Any,
) -> None:
    await live_together(world, random.Random(1))
    messages = await lived(world, 1)
    for model in READ_MODELS:
        await consume(world, model, messages)
    assert await differences(world) == []
    assert await naive_people.differences(world) == []
    for model in READ_MODELS:
        assert await position(world, model) == await head(world), model.name
    assert await differs_from_log(world, *READ_MODELS) == []


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_messages_that_come_again_late_or_in_any_order_give_the_same_rows(
    world: Any, seed: int
) -> None:
    chance = random.Random(seed)
    messages = await lived(world, seed)
    again = [*messages, *chance.sample(messages, len(messages) // 2)]
    chance.shuffle(again)
    for model in BOTH:
        await consume(world, model, again, at_once=7)
        await consume(world, model, messages, at_once=31)
    assert await differences(world) == []
    assert await position(world, MISSIONS) == await head(world)


@pytest.mark.parametrize("seed", [4, 5])
async def test_messages_that_never_come_are_read_from_the_log(
    world: Any, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitioned, "FILL_EVENTS_MAX", 3)
    chance = random.Random(seed)
    channel = Channel()
    for _ in range(2):
        await live_a_life(world, chance)
        messages = await channel.publish(world)
        kept = [m for m in messages if isinstance(m.said, Mark) or chance.random() < 0.5]
        for model in BOTH:
            await consume(world, model, kept, at_once=11)
        assert await differences(world) == []
        assert await position(world, MISSIONS) == await head(world)


async def test_before_the_mark_comes_the_model_says_that_it_is_not_there_yet(world: Any) -> None:
    channel = Channel()
    await consume(world, MISSIONS, await channel.publish(world))
    before = await head(world)
    mission_id = await world.mission("ahead")
    messages = await channel.publish(world)
    events = [m for m in messages if not isinstance(m.said, Mark)]
    await consume(world, MISSIONS, events)
    assert (await rows(world, MISSIONS))[str(mission_id)]["title"] == "ahead"
    assert await position(world, MISSIONS) == before
    marks = [m for m in messages if isinstance(m.said, Mark)]
    own = [mark for mark in marks if mark.place.topic in topics_of(MISSIONS)]
    await consume(world, MISSIONS, own[1:])
    assert await position(world, MISSIONS) == before
    await consume(world, MISSIONS, own[:1])
    assert await Marks(world.database).wait(await head(world), "missions") == await head(world)


class PausedTable(PartitionedTable):
    """Waits in its transaction, with rows loaded and nothing written."""

    def __init__(self, *rest: Any) -> None:
        super().__init__(*rest)
        self.has_loaded, self.may_write = asyncio.Event(), asyncio.Event()

    async def _write(self, connection: Any, found: Any, fold: Any) -> None:
        self.has_loaded.set()
        await self.may_write.wait()
        await super()._write(connection, found, fold)


async def test_a_worker_that_lost_its_partition_in_the_middle_overwrites_nothing(
    world: Any,
) -> None:
    channel = Channel()
    for model in BOTH:
        await consume(world, model, await channel.publish(world))
    paused = PausedTable(world.database, world.codec, world.bus.tools.vault, MISSIONS)
    await paused.open()
    mission_id = await world.mission("old")
    first = mine(paused, await channel.publish(world))
    taking = asyncio.create_task(paused.take(first))
    await paused.has_loaded.wait()
    await world.do(missions.EditMission(mission_id, {"title": "new"}))
    second = mine(paused, await channel.publish(world))
    other = asyncio.create_task(consume(world, MISSIONS, [*first, *second]))
    await until(lambda: is_done_or_waits(world, other))
    paused.may_write.set()
    await asyncio.gather(taking, other)
    await paused.close()
    assert (await rows(world, MISSIONS))[str(mission_id)]["title"] == "new"
    assert await differences(world) == []


async def test_two_workers_that_both_think_a_partition_theirs_lose_and_double_nothing(
    world: Any,
) -> None:
    channel, chance = Channel(), random.Random(9)
    tables = [await opened(world, model) for model in BOTH for _ in range(2)]

    async def deliver(table: Any, messages: list[Delivered], size: int) -> None:
        own = mine(table, messages)
        for start in range(0, len(own), size):
            await table.take(own[start : start + size])

    for _ in range(3):
        await live_a_life(world, chance)
        messages = await channel.publish(world)
        sizes = [chance.randint(1, 60) for _ in tables]
        await asyncio.gather(*(deliver(t, messages, s) for t, s in zip(tables, sizes, strict=True)))
    for table in tables:
        await table.close()
    assert await differences(world) == []
    assert await position(world, MISSIONS) == await head(world)


async def test_a_rebuild_and_streams_that_are_tried_again_go_well_with_workers(world: Any) -> None:
    channel, chance = Channel(), random.Random(10)
    done = asyncio.Event()

    async def work(model: Any) -> None:
        table = await opened(world, model)
        while not done.is_set():
            await live_a_life(world, chance)
            for start in range(0, len(own := mine(table, await channel.publish(world))), 40):
                await table.take(own[start : start + 40])
        await table.close()

    async def rebuild() -> None:
        for _ in range(4):
            for model in BOTH:
                await Rebuild(world.database, world.codec, world.bus.tools.vault, model).run()
        done.set()

    await asyncio.gather(work(MISSIONS), rebuild())
    everything = [m for messages in channel.partitions.values() for m in messages]
    for model in BOTH:
        await consume(world, model, everything)
    assert await differences(world) == []


async def test_a_rebuild_does_not_lose_what_workers_fold_just_before_the_swap(world: Any) -> None:
    channel = Channel()
    mission_id = await world.mission("early")
    await consume(world, MISSIONS, await channel.publish(world))

    async def fold_ahead_of_the_mark() -> None:
        await world.do(missions.EditMission(mission_id, {"title": "late"}))
        messages = await channel.publish(world)
        await consume(world, MISSIONS, [m for m in messages if not isinstance(m.said, Mark)])

    class LateRebuild(Rebuild):
        async def _take_the_place(self, connection: Any, indexes: Any) -> None:
            await fold_ahead_of_the_mark()
            await super()._take_the_place(connection, indexes)

    await LateRebuild(world.database, world.codec, world.bus.tools.vault, MISSIONS).run()
    assert (await rows(world, MISSIONS))[str(mission_id)]["title"] == "late"


async def test_board_revisions_grow_with_what_a_board_shows(world: Any) -> None:
    channel = Channel()
    await world.mission()
    await consume(world, MISSIONS, await channel.publish(world))
    revision = "SELECT revision FROM board_revisions WHERE board_id = %s"
    board = await world.board()
    ((before,),) = await world.query(revision, [board.id])
    await world.mission()
    await consume(world, MISSIONS, await channel.publish(world))
    ((after,),) = await world.query(revision, [board.id])
    assert after > before


async def test_a_worker_goes_on_where_the_projector_was_and_the_projector_where_workers_were(
    world: Any,
) -> None:
    channel, chance = Channel(), random.Random(11)
    for _ in range(2):
        await live_a_life(world, chance)
        await project(world, *BOTH)
        assert await differences(world) == []
        await live_a_life(world, chance)
        messages = await channel.publish(world)
        for model in BOTH:
            await consume(world, model, messages)
        assert await differences(world) == []


async def test_of_another_log_everything_is_folded_afresh(world: Any) -> None:
    await consume(world, MISSIONS, await lived(world, 12))
    running = await opened(world, MISSIONS)
    old = mine(running, await Channel().publish(world))
    await world.query("UPDATE log_head SET log_id = gen_random_uuid()")
    await world.query("UPDATE read_missions SET title = 'of another log'")
    with pytest.raises(StartAgain):
        await running.take(old)
    await running.close()
    for model in BOTH:
        await consume(world, model, await Channel().publish(world))
    assert await differences(world) == []
    same = "SELECT count(DISTINCT log_id) FROM partition_marks WHERE model = 'missions'"
    assert await world.query(same) == [(1,)]


async def test_an_older_program_stops_where_a_newer_one_has_rebuilt(world: Any) -> None:
    messages = await lived(world, 13)
    old = await opened(world, MISSIONS)
    newer = dataclasses.replace(MISSIONS, version=MISSIONS.version + 1)
    await consume(world, newer, messages)
    with pytest.raises(StartAgain):
        await old.take(mine(old, messages))
    with pytest.raises(StartAgain):
        await opened(world, MISSIONS)
    version = "SELECT model_version FROM checkpoints WHERE name = 'missions'"
    assert await world.query(version) == [(newer.version,)]


class Shelf:
    """A sink that remembers what it was given."""

    name = "missions"

    def __init__(self) -> None:
        self.seen: set[int] = set()

    async def apply(self, envelopes: Any) -> None:
        self.seen |= {envelope.position for envelope in envelopes}


async def test_a_sink_elsewhere_gets_every_event_before_its_mark_says_so(world: Any) -> None:
    channel, shelf = Channel(), Shelf()
    await live_a_life(world, random.Random(14))
    messages = await channel.publish(world)
    chance = random.Random(15)
    feed = PartitionedSink(world.database, world.codec, MISSIONS, shelf)
    await feed.open()
    own = [m for m in messages if m.place.topic in feed.topics]
    kept = [m for m in own if isinstance(m.said, Mark) or chance.random() < 0.7]
    for start in range(0, len(kept), 20):
        await feed.take(kept[start : start + 20])
    await feed.close()
    expected = {e.position for e in await log_of(world) if e.type.startswith("mission.")}
    assert shelf.seen == expected
    assert await position(world, MISSIONS) == await head(world)


async def test_who_feeds_a_sink_is_seen_until_it_ends(world: Any) -> None:
    async def is_free() -> bool:
        state = await claims.state(world.database, Source.LOG, [MISSIONS.name])
        return bool(state["status"] != "taken")

    feed = PartitionedSink(world.database, world.codec, MISSIONS, Shelf())
    await feed.open()
    assert not await is_free()
    await feed.close()
    await until(
        is_free
    )  # PostgreSQL ends a session by itself, when it notices that the client is gone


async def test_a_sink_that_was_set_back_gets_everything_again(world: Any) -> None:
    channel = Channel()
    await live_a_life(world, random.Random(16))
    messages = await channel.publish(world)

    async def fed(shelf: Shelf, batch: list[Delivered]) -> set[int]:
        feed = PartitionedSink(world.database, world.codec, MISSIONS, shelf)
        await feed.open()
        await feed.take([m for m in batch if m.place.topic in feed.topics])
        await feed.close()
        return shelf.seen

    first = await fed(Shelf(), messages)
    await world.query("UPDATE checkpoints SET position = 0 WHERE name = 'missions'")
    # Kafka has nothing of the past any more.
    assert await fed(Shelf(), await channel.publish(world)) == first
    assert await position(world, MISSIONS) == await head(world)


async def test_an_event_that_is_ahead_of_its_stream_is_folded_with_what_is_before_it(
    world: Any,
) -> None:
    mission_id = await world.mission("first")
    await world.do(missions.EditMission(mission_id, {"title": "second"}))
    messages = await Channel().publish(world)
    last = [m for m in messages if getattr(m.said, "stream_id", None) == mission_id][-1]
    await consume(world, MISSIONS, [last])
    row = (await rows(world, MISSIONS))[str(mission_id)]
    assert (row["title"], row["version"]) == ("second", 2)
