"""Elasticsearch's documents equal the fold of the log, in whichever way its events come."""

import asyncio
import contextlib
import dataclasses
import random
from typing import Any
from uuid import UUID

import pytest

from commands import comments, missions
from domain.base import Refusal
from domain.mission import Mission, Priority
from infra.elasticsearch import Cluster
from infra.envelopes import COLUMNS, Envelope
from infra.marks import Marks
from infra.settings import Settings
from projections.search import SEARCH_ACTIVITY, SEARCH_COMMENTS, SEARCH_MISSIONS, SEARCH_MODELS
from streams.follower import Follower
from streams.projector import Projector
from streams.search_jobs import SearchJob, search_sink
from streams.search_rebuild import SearchRebuild
from streams.search_sink import SearchSink, SearchWriter
from tests.search.asking import Both, fill_postgres, log_id, sinks
from tests.search.talk import Talk, live
from tests.servers.elasticsearch import Elasticsearch

pytestmark = pytest.mark.timeout(300)

PATIENCE_S = 60.0
POISON = "poison"


@contextlib.asynccontextmanager
async def connected(elasticsearch: Elasticsearch) -> Any:
    async with Cluster(Settings(elasticsearch_url=elasticsearch.url)) as cluster:
        yield cluster


async def events(world: Any) -> list[Envelope]:
    rows = await world.query(f"SELECT {COLUMNS} FROM events ORDER BY position")
    return [Envelope.of(row, world.codec) for row in rows]


async def head(world: Any) -> int:
    return int((await world.query("SELECT position FROM log_head"))[0][0])


async def engines(world: Any, cluster: Cluster) -> Both:
    return Both(world.database, cluster, await log_id(world.database))


async def differ_nowhere(world: Any, cluster: Cluster, talk: Talk) -> int:
    """Build PostgreSQL's tables from the log, ask both about every word; return how much is found."""
    await fill_postgres(world)
    both, found = await engines(world, cluster), 0
    for word in talk.words[:60]:
        answer = await both.same(world.workspace_id, f"{word} ", limit=200)
        found += len(answer["items"])
    return found


@contextlib.asynccontextmanager
async def following(world: Any, cluster: Cluster, models: Any = SEARCH_MODELS) -> Any:
    """Feed the sinks from the log for as long as the block lasts."""
    marks = Marks(world.database)
    one, two, three = sinks(world, cluster, models)
    async with (
        Follower(world.database, world.codec) as follower,
        SearchJob(world.database, follower, marks, one),
        SearchJob(world.database, follower, marks, two),
        SearchJob(world.database, follower, marks, three),
    ):
        yield marks


async def built(world: Any, marks: Marks) -> None:
    """Wait until Elasticsearch keeps the models, and has caught up."""
    kept = "SELECT count(*) FROM checkpoints WHERE name LIKE 'search_%%' AND model_version < 0"
    async with asyncio.timeout(PATIENCE_S):
        while await world.query(kept) != [(len(SEARCH_MODELS),)]:
            await asyncio.sleep(0.05)
    await caught_up(world, marks)


async def caught_up(world: Any, marks: Marks) -> None:
    names = [model.name for model in SEARCH_MODELS]
    await marks.wait(await head(world), *names, patience_s=PATIENCE_S)


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
async def test_events_that_come_twice_and_in_any_order_of_streams_change_nothing(
    world: Any, elasticsearch: Elasticsearch, seed: int
) -> None:
    chance = random.Random(seed)
    talk = Talk(chance, 80)
    async with connected(elasticsearch) as cluster:
        fed = sinks(world, cluster)
        for sink in fed:
            await sink.open()
        await live(world, talk, 40)
        log = await events(world)
        # Of each stream in order, the streams in any; and what came before, again.
        pieces: list[tuple[SearchSink, list[Envelope]]] = []
        for sink in fed:
            streams: dict[UUID, list[Envelope]] = {}
            for envelope in log:
                streams.setdefault(envelope.stream_id, []).append(envelope)
            queues = list(streams.values())
            while queues:
                queue = chance.choice(queues)
                taken, queue[:] = queue[:5], queue[5:]
                pieces.append((sink, taken))
                queues = [queue for queue in queues if queue]
        order = sorted(range(len(pieces)), key=lambda n: (n // 40, chance.random()))
        at = {sink.name: [piece for s, piece in pieces if s is sink] for sink in fed}
        for number in order:
            sink = pieces[number][0]
            batch = at[sink.name].pop(0)
            again = chance.choice(pieces)[1] if chance.random() < 0.2 else []
            await sink.apply([*batch, *(e for e in again if e in batch)])
        for sink in fed:
            await sink.apply(log[: len(log) // 2])
        assert await differ_nowhere(world, cluster, talk) > 50


async def test_a_gap_is_filled_from_the_log(world: Any, elasticsearch: Elasticsearch) -> None:
    talk = Talk(random.Random(5), 40)
    async with connected(elasticsearch) as cluster:
        fed = sinks(world, cluster)
        for sink in fed:
            await sink.open()
        made = await live(world, talk, 12)
        for mission_id in made:
            with contextlib.suppress(Refusal):
                await world.do(missions.BlockMission(mission_id, talk.say(2)))
        last: dict[UUID, Envelope] = {}
        for envelope in await events(world):
            last[envelope.stream_id] = envelope
        for sink in fed:
            await sink.apply(list(last.values()))
        assert await differ_nowhere(world, cluster, talk) > 10


async def test_what_a_mission_is_now_filters_what_was_said_about_it(
    world: Any, elasticsearch: Elasticsearch
) -> None:
    async with connected(elasticsearch) as cluster, following(world, cluster) as marks:
        mission_id = await world.mission("about pears")
        await world.do(comments.AddComment(mission_id, "said of apples", None, ()))
        await caught_up(world, marks)
        both = await engines(world, cluster)

        async def found(**asked: Any) -> list[tuple[str, str]]:
            answer = await both.ask("Elasticsearch", world.workspace_id, "apples", **asked)
            return [(item["type"], item["title"]) for item in answer["items"]]

        assert await found(priority="normal") == [("comment", "about pears")]
        changes = {"title": "plums", "priority": Priority.URGENT, "labels": ("red",)}
        await world.do(missions.EditMission(mission_id, changes))
        await caught_up(world, marks)
        assert await found(priority="normal") == []
        assert await found(priority="urgent", label="red") == [("comment", "plums")]
        await world.do(missions.DeleteMission(mission_id))
        await caught_up(world, marks)
        assert await found() == []


class Struck(Exception):
    """What a kill would have been."""


class FailingWriter(SearchWriter):
    """Dies between writing documents and noting it, every other time."""

    strikes = 0

    async def _write(self, *batch: Any) -> dict[UUID, str]:
        refused = await super()._write(*batch)
        self.strikes += 1
        if self.strikes % 2:
            raise Struck
        return refused

    async def tell_facts(self, *facts: Any) -> None:
        self.strikes += 1
        if self.strikes % 3 == 0:
            raise Struck
        await super().tell_facts(*facts)


async def test_what_was_written_but_not_noted_is_written_again_and_changes_nothing(
    world: Any, elasticsearch: Elasticsearch
) -> None:
    talk, chance = Talk(random.Random(6), 60), random.Random(6)
    async with connected(elasticsearch) as cluster:
        vault = world.bus.tools.vault
        for sink in sinks(world, cluster):
            await sink.open()
        await live(world, talk, 25)
        log = await events(world)
        for model in SEARCH_MODELS:
            sink = SearchSink(
                FailingWriter(cluster, world.codec, vault, model), world.database, _never
            )
            position = 0
            while position < len(log):
                batch = log[position : position + chance.randrange(1, 60)]
                try:
                    await sink.apply(batch)
                except Struck:
                    continue  # the next life begins where the checkpoint was
                position += len(batch)
        assert await differ_nowhere(world, cluster, talk) > 20


async def _never() -> None:
    raise AssertionError("nothing is to be built")


@pytest.mark.long
async def test_a_rebuild_swaps_the_index_and_no_read_fails(
    world: Any, elasticsearch: Elasticsearch
) -> None:
    talk = Talk(random.Random(7), 60)
    async with connected(elasticsearch) as cluster, following(world, cluster) as marks:
        await live(world, talk, 40)
        await caught_up(world, marks)
        both = await engines(world, cluster)
        done, answers = asyncio.Event(), []

        async def read() -> None:
            while not done.is_set():
                asked = talk.words[len(answers) % 10]
                answers.append(await both.ask("Elasticsearch", world.workspace_id, asked))
                await asyncio.sleep(0)

        reading = asyncio.create_task(read())
        before = await _indices(cluster)
        writing = asyncio.create_task(live(world, talk, 30))
        for model in SEARCH_MODELS:
            writer = SearchWriter(cluster, world.codec, world.bus.tools.vault, model)
            await SearchRebuild(world.database, writer).run()
        await writing
        await caught_up(world, marks)
        done.set()
        await reading
        assert len(answers) > 10
        after = await _indices(cluster)
        log = str(await log_id(world.database))
        assert not {n for n in before if log in n} & after
        assert len({n for n in after if log in n}) == len(SEARCH_MODELS)
    async with connected(elasticsearch) as cluster:
        assert await differ_nowhere(world, cluster, talk) > 50


async def _indices(cluster: Cluster) -> set[str]:
    return set(await cluster.client.indices.get(index="mc-*"))


def poisoned(row: Any, event: Any) -> Any:
    if event.content.title == POISON:
        raise ZeroDivisionError("a defect")
    return SEARCH_MISSIONS.on[Mission.Edited](row, event)


async def test_a_poison_event_parks_its_stream_and_a_fixed_function_drains_it(
    world: Any, elasticsearch: Elasticsearch
) -> None:
    failing = dataclasses.replace(
        SEARCH_MISSIONS, on={**SEARCH_MISSIONS.on, Mission.Edited: poisoned}
    )
    models = (failing, SEARCH_COMMENTS, SEARCH_ACTIVITY)
    async with connected(elasticsearch) as cluster:
        async with following(world, cluster, models) as marks:
            sick, well = await world.mission("sick"), await world.mission("well")
            for title in (POISON, "healed"):
                await world.do(missions.EditMission(sick, {"title": title}))
            await world.do(missions.EditMission(well, {"title": "better"}))
            await caught_up(world, marks)
            both = await engines(world, cluster)
            assert await _titles(both, world, "sick") == ["sick"]
            assert await _titles(both, world, "better") == ["better"]
            parked = "SELECT model, stream_id, stream_version FROM parked_events"
            assert await world.query(parked) == [("search_missions", sick, 2)]
        sink = search_sink(
            cluster, world.database, world.codec, world.bus.tools.vault, SEARCH_MISSIONS
        )
        drained = await sink.drain(sick)
        assert drained is not None and (drained.events, drained.poison) == (2, None)
        assert await _titles(both, world, "healed") == ["healed"]
        assert await world.query(parked) == []


async def _titles(both: Both, world: Any, q: str) -> list[str]:
    answer = await both.ask("Elasticsearch", world.workspace_id, q)
    return [item["title"] for item in answer["items"]]


async def test_tables_of_postgresql_are_built_afresh_when_elasticsearch_goes(
    world: Any, elasticsearch: Elasticsearch
) -> None:
    talk = Talk(random.Random(8), 40)
    async with connected(elasticsearch) as cluster:
        for turn in range(2):
            await live(world, talk, 10)
            async with following(world, cluster) as marks:
                await built(world, marks)
            await live(world, talk, 10)
            marks = Marks(world.database)
            async with (
                Follower(world.database, world.codec) as follower,
                Projector(world.database, follower, world.bus, marks, SEARCH_MODELS),
            ):
                await caught_up(world, marks)
                found = await world.query("SELECT count(*) FROM read_search_missions")
                made = await world.query(
                    "SELECT count(*) FROM events WHERE type = 'mission.created.v1'"
                )
                assert found == made, turn
        async with following(world, cluster) as marks:
            await built(world, marks)
        assert await differ_nowhere(world, cluster, talk) > 10


async def test_a_live_sink_builds_its_documents_once_and_then_only_follows(
    world: Any, elasticsearch: Elasticsearch
) -> None:
    async with connected(elasticsearch) as cluster, following(world, cluster) as marks:
        await live(world, Talk(random.Random(3), 40), 20)
        await built(world, marks)
        generations = "SELECT generation FROM checkpoints WHERE name LIKE 'search_%%'"
        before = await world.query(generations)
        said = await world.mission("apples")
        answer = await world.do(comments.AddComment(said, "pears", None, ()))
        await caught_up(world, marks)
        await world.do(comments.EditComment(UUID(str(answer.body["id"])), "plums", ()))
        await caught_up(world, marks)
        assert await world.query(generations) == before
