"""A read model is rebuilt beside the live one, from the log, and swapped, with reads never failing."""

import asyncio
import dataclasses
import io
import json
import random
from typing import Any

import psycopg
import pytest

from commands import comments, missions
from domain.base import replace
from domain.mission import Mission, Priority
from infra.logging import Log
from projections.boards import BOARDS
from projections.catalogue import READ_MODELS
from projections.missions import MISSIONS
from projections.search import SEARCH_ACTIVITY, SEARCH_COMMENTS, SEARCH_MISSIONS
from projections.workspaces import WORKSPACES
from read_api.missions import BOARD
from streams import projector, rebuild
from streams.derived import Derived
from streams.rebuild import Rebuild, RebuildFailed, Rebuilt
from tests.projections_run.conftest import head, project, projecting, rows, until
from tests.projections_run.naive import differences
from tests.projections_run.test_parking import poisoned, raising, refusing
from tests.write_side.test_projections import live_a_life

SEARCHED = (SEARCH_MISSIONS, SEARCH_COMMENTS, SEARCH_ACTIVITY)
SHAPE = """
SELECT 'index', indexname || ' ' || indexdef FROM pg_indexes WHERE tablename = %(table)s
UNION ALL SELECT 'constraint', conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
    WHERE conrelid = %(table)s::regclass AND contype <> 'n'
UNION ALL SELECT 'policy', policyname || ' ' || qual FROM pg_policies WHERE tablename = %(table)s
UNION ALL SELECT 'column', attname || ' ' || format_type(atttypid, atttypmod) || attnotnull
    FROM pg_attribute WHERE attrelid = %(table)s::regclass AND attnum > 0 AND NOT attisdropped
UNION ALL SELECT 'security', relrowsecurity::text || relforcerowsecurity FROM pg_class
    WHERE oid = %(table)s::regclass
ORDER BY 1, 2"""
TERMS = "SELECT source, workspace_id, term, documents FROM read_search_terms ORDER BY 1, 2, 3"
TABLES = "SELECT count(*) FROM pg_class WHERE relname LIKE 'read_%%_next'"


def rebuilding(world: Any, model: Any) -> Rebuild:
    return Rebuild(world.database, world.codec, world.bus.tools.vault, model)


async def test_a_rebuilt_table_is_the_live_one_in_shape_and_rows(world: Any) -> None:
    made = await live_a_life(world, random.Random(5))
    await world.do(comments.AddComment(made[1], "well done", None, ()))
    await project(world)
    for model in READ_MODELS:
        before, shape = await rows(world, model), await world.query(SHAPE, {"table": model.table})
        await rebuilding(world, model).run()
        assert await rows(world, model) == before, model.name
        assert await world.query(SHAPE, {"table": model.table}) == shape, model.name
        assert await world.query(TABLES) == [(0,)], model.name
        generations = "SELECT DISTINCT generation FROM stream_gates WHERE model = %s"
        assert await world.query(generations, [model.name]) == [(1,)], model.name


@pytest.mark.parametrize("model", SEARCHED, ids=lambda model: model.name)
async def test_known_words_are_the_same_after_a_rebuild_and_go_on_to_be_counted(
    world: Any, model: Any
) -> None:
    made = await live_a_life(world, random.Random(8))
    await world.do(comments.AddComment(made[1], "well done", None, ()))
    # Words that nobody uses any more.
    first = await world.mission("quasar nebula")
    await world.do(missions.EditMission(first, {"title": "quasar"}))
    await project(world)
    before = await world.query(TERMS)
    assert {"quasar"} <= {term for _, _, term, _ in before} and len(before) > 5
    async with projecting(world) as marks, Derived(world.database):
        await rebuilding(world, model).run()

        async def derived() -> bool:
            counting = (
                "SELECT count(*) FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal"
            )
            return bool(await world.query(counting, [model.table]) == [(2,)])

        await until(derived)
        assert await world.query(TERMS) == before
        # The triggers are the new table's: what is written from now on counts too.
        second = await world.mission("quasar pulsar")
        await world.do(comments.AddComment(second, "pulsar", None, ()))
        await marks.wait(await head(world), *(one.name for one in SEARCHED))
    counted = {(source, term): n for source, _, term, n in await world.query(TERMS)}
    assert counted["read_search_missions", "quasar"] == 2
    assert counted["read_search_missions", "pulsar"] == 1
    assert counted["read_search_comments", "pulsar"] == 1
    assert ("read_search_missions", "nebula") not in counted


async def test_a_stream_that_spans_many_reads_is_rebuilt_whole(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "READ_EVENTS_MAX", 3)
    await live_a_life(world, random.Random(6))
    for model in READ_MODELS:
        await rebuilding(world, model).run()
    assert await differences(world) == []


async def test_the_runner_goes_on_with_the_rebuilt_table(world: Any) -> None:
    async with projecting(world) as marks:
        for number in range(5):
            made = [await world.mission(f"m{number}") for _ in range(5)]
            await asyncio.gather(
                *(rebuilding(world, model).run() for model in (MISSIONS, BOARDS)),
                *(world.do(missions.BlockMission(mission_id, "x")) for mission_id in made),
            )
        await marks.wait(await head(world), "missions", "boards")
    assert await differences(world) == []
    assert len(await rows(world, MISSIONS)) == 25


async def test_whoever_reads_the_board_during_rebuilds_never_fails_and_never_sees_an_older_one(
    world: Any,
) -> None:
    async with projecting(world) as marks:
        mission_id = await world.mission("the card", priority=Priority.HIGH)
        await marks.wait(await head(world), "missions", "boards", "workspaces")
        done = asyncio.Event()
        seen = [0, 0]

        async def read() -> None:
            values: dict[str, Any] = {
                "workspace": world.workspace_id,
                "board": None,
                "known": [],
                "look": False,
            }
            newest = (0, 0)
            while not done.is_set():
                found = await world.database.fetch(world.workspace_id, BOARD, values)
                assert len(found) == 1
                cards = [c for c in json.loads(found[0][3]) if c["id"] == str(mission_id)]
                assert len(cards) == 1
                state = (int(found[0][1]), int(cards[0]["version"]))
                assert state >= newest and state[1] >= newest[1]
                newest = state
                seen[0] += 1

        async def write() -> None:
            while not done.is_set():
                await world.do(missions.EditMission(mission_id, {"title": f"t{seen[1]}"}))
                seen[1] += 1

        async def rebuild_all() -> None:
            for _ in range(4):
                for model in (MISSIONS, BOARDS, WORKSPACES):
                    await rebuilding(world, model).run()
            done.set()

        await asyncio.gather(read(), read(), read(), write(), rebuild_all())
        await marks.wait(await head(world), "missions")
    assert seen[0] > 100
    assert await differences(world) == []


async def test_a_reader_that_holds_the_table_for_long_delays_the_swap_only(world: Any) -> None:
    await world.mission()
    await project(world)
    async with world.database.system() as reader:
        async with reader.transaction():
            await reader.execute("SELECT 1 FROM read_missions")
            swapping = asyncio.create_task(rebuilding(world, MISSIONS).run())
            for _ in range(10):
                assert await world.database.fetch(
                    world.workspace_id, "SELECT count(*) FROM read_missions"
                ) == [(1,)]
                await asyncio.sleep(0.05)
            assert not swapping.done()
        await swapping
    assert await differences(world) == []


async def test_a_poison_of_a_swap_that_was_put_off_is_met_again(world: Any) -> None:
    sick, _ = await poisoned(world)
    await project(world, refusing(raising))

    class PutOff(Rebuild):
        """A second poison comes with the last events, and the swap that folds them is rolled back."""

        tries = 0

        async def _take_the_place(self, connection: Any, indexes: Any) -> None:
            self.tries += 1
            if self.tries == 1:
                self.late, _ = await poisoned(world)
            await super()._take_the_place(connection, indexes)
            if self.tries == 1:
                raise psycopg.errors.LockNotAvailable("somebody reads the revisions")

    put_off = PutOff(world.database, world.codec, world.bus.tools.vault, refusing(raising))
    await put_off.run()
    found = await rows(world, MISSIONS)
    for mission_id in (sick, put_off.late):
        row = found[str(mission_id)]
        assert (row["title"], row["version"], row["stale"]) == ("one", 2, True)


async def test_two_rebuilds_of_one_model_do_not_meet(world: Any) -> None:
    await world.mission()
    await project(world)
    # As long as somebody reads the table, neither can be done before the other has begun.
    async with world.database.system() as reader, reader.transaction():
        await reader.execute("SELECT 1 FROM read_missions")
        both = [asyncio.create_task(rebuilding(world, MISSIONS).run()) for _ in range(2)]
        (refused,), (other,) = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        assert isinstance(refused.exception(), RebuildFailed)
    assert isinstance(await other, Rebuilt)
    assert await differences(world) == []


async def test_a_model_that_somebody_else_was_about_to_rebuild_is_rebuilt_when_that_one_gave_up(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projector, "REFUSED_PAUSE_S", 0.1)
    mission_id = await world.mission("a title")
    await project(world)
    await world.query("UPDATE checkpoints SET model_version = 0 WHERE name = 'missions'")
    await world.query("UPDATE read_missions SET title = 'of another version'")
    told, log = io.StringIO(), Log()
    log.configure(told, "console")
    monkeypatch.setattr(projector, "log", log)
    async with await world.database.connect() as other:
        await other.execute(rebuild.LOCK_REBUILD, ["missions"])
        async with projecting(world, MISSIONS, BOARDS) as marks:

            async def is_refused() -> bool:
                return "not rebuilt" in told.getvalue()

            await until(is_refused)
            assert await _title_is(world, mission_id, "of another version")
            await other.close()
            await until(lambda: _title_is(world, mission_id, "a title"))
            await world.do(missions.EditMission(mission_id, {"title": "another"}))
            await marks.wait(await head(world), "missions")


async def test_a_model_that_folds_hardly_anything_is_not_swapped(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "PARKED_MAX", 3)
    for _ in range(5):
        await world.mission()
    await project(world)

    def broken(_: Any, event: Any) -> Any:
        raise ZeroDivisionError

    model = dataclasses.replace(MISSIONS, on={**MISSIONS.on, Mission.Created: broken})
    with pytest.raises(RebuildFailed):
        await rebuilding(world, model).run()
    assert await differences(world) == []
    assert await world.query(TABLES) == [(0,)]


async def test_a_model_of_another_version_is_rebuilt_at_the_next_start(world: Any) -> None:
    mission_id = await world.mission("a title")
    await project(world)
    await world.do(missions.EditMission(mission_id, {"title": "another"}))

    def louder(row: Any, event: Any) -> Any:
        row = MISSIONS.on[type(event)](row, event)
        return replace(row, title=row.title.upper())

    shouting = dataclasses.replace(MISSIONS, on=dict.fromkeys(MISSIONS.on, louder), version=2)
    async with projecting(world, shouting, BOARDS) as marks:
        await until(lambda: _title_is(world, mission_id, "ANOTHER"))
        await world.do(missions.EditMission(mission_id, {"title": "third"}))
        await marks.wait(await head(world), "missions", "boards")
        assert await _title_is(world, mission_id, "THIRD")
    assert await world.query("SELECT model_version FROM checkpoints WHERE name = 'missions'") == [
        (2,)
    ]


async def test_a_model_of_another_log_is_rebuilt_at_the_next_start(world: Any) -> None:
    await live_a_life(world, random.Random(8))
    await project(world)
    await world.query("UPDATE log_head SET log_id = gen_random_uuid()")
    await world.query("UPDATE read_missions SET title = 'of another log'")
    await project(world)
    assert await differences(world) == []
    same = "SELECT bool_and(c.log_id = h.log_id) FROM checkpoints c, log_head h"
    assert await world.query(same) == [(True,)]


async def test_revisions_of_boards_only_grow_whatever_is_rebuilt_or_restored(world: Any) -> None:
    await world.mission()
    await project(world)
    board = await world.board()
    revision = "SELECT revision FROM board_revisions WHERE board_id = %s"
    before = (await world.query(revision, [board.id]))[0][0]
    await rebuilding(world, MISSIONS).run()
    rebuilt = (await world.query(revision, [board.id]))[0][0]
    await world.query("SELECT mc_after_restore()")
    await project(world)
    restored = (await world.query(revision, [board.id]))[0][0]
    assert before < rebuilt < restored


async def test_a_revision_that_a_crash_took_back_is_not_given_again(world: Any) -> None:
    await world.mission()
    await project(world)
    revision = "SELECT max(revision) FROM board_revisions"
    ((seen,),) = await world.query(revision)
    await world.query("UPDATE board_revisions SET revision = revision - 1")
    await world.mission()
    await project(world)
    ((after,),) = await world.query(revision)
    assert after > seen
    await world.query("UPDATE board_revisions SET revision = %s", [seen - 1])
    await rebuilding(world, MISSIONS).run()
    ((rebuilt,),) = await world.query(revision)
    assert rebuilt > after


async def _title_is(world: Any, mission_id: Any, title: str) -> bool:
    return bool((await rows(world, MISSIONS))[str(mission_id)]["title"] == title)
