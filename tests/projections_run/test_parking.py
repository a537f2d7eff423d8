"""A poison event parks its stream, visibly; the others go on; a fixed function drains it."""

import dataclasses
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from commands import missions
from commands.append import CommandMeta
from commands.bus import Context
from commands.comments import AddComment
from commands.projections import DiscardParked
from domain.base import replace
from domain.comment import Comment
from domain.mission import Mission
from domain.system import NotParked, Projection
from domain.user import User
from infra.codec import EventCodec
from infra.marks import Marks
from projections.boards import BOARDS
from projections.missions import MISSIONS
from projections.read_model import ReadModel
from streams.parking import RUNNER, drain, tell_news
from streams.read_tables import ReadTable
from streams.rebuild import Rebuild
from tests.projections_run.conftest import head, project, projecting, rows, until
from tests.projections_run.naive import differences

POISON = "poison"


def refusing(function: Any) -> ReadModel[Any]:
    """The missions, with another function for edits."""
    return dataclasses.replace(MISSIONS, on={**MISSIONS.on, Mission.Edited: function})


def raising(row: Any, event: Any) -> Any:
    if event.content.title == POISON:
        raise ZeroDivisionError("a defect")
    return MISSIONS.on[Mission.Edited](row, event)


def out_of_range(row: Any, event: Any) -> Any:
    """Return a row that PostgreSQL refuses, whenever it is asked."""
    is_bad = event.content.title == POISON or row.progress_percent > 100
    changed = MISSIONS.on[Mission.Edited](row, event)
    return replace(changed, progress_percent=2**40) if is_bad else changed


async def edit(world: Any, mission_id: UUID, title: str) -> None:
    await world.do(missions.EditMission(mission_id, {"title": title}))


async def poisoned(world: Any) -> tuple[UUID, UUID]:
    """Return a mission with a poisonous event in the middle of its life, and a healthy one."""
    sick, well = await world.mission("sick"), await world.mission("well")
    for mission_id, titles in ((sick, ("one", POISON, "three")), (well, ("one", "two"))):
        for title in titles:
            await edit(world, mission_id, title)
    return sick, well


async def parked(world: Any) -> list[tuple[Any, ...]]:
    return await world.query(
        "SELECT model, stream_id, stream_version, error FROM parked_events WHERE workspace_id = %s",
        [world.workspace_id],
    )


async def told(world: Any) -> list[str]:
    found = await world.query(
        "SELECT type FROM events WHERE workspace_id = %s AND type LIKE 'system.%%' ORDER BY position",
        [world.workspace_id],
    )
    return [row[0].split(".")[1].removeprefix("projection_") for row in found]


async def discard(world: Any, mission_id: UUID) -> None:
    meta = CommandMeta(uuid7(), world.workspace_id, RUNNER, uuid7())
    await world.bus.execute(DiscardParked("missions", mission_id), Context(meta))


@pytest.mark.parametrize("function", [raising, out_of_range])
async def test_a_poison_event_holds_back_its_own_stream_only(world: Any, function: Any) -> None:
    sick, well = await poisoned(world)
    async with projecting(world, refusing(function)) as marks:
        await marks.wait(await head(world), "missions")
        found = await rows(world, MISSIONS)
        assert (found[str(sick)]["title"], found[str(sick)]["version"]) == ("one", 2)
        assert (found[str(well)]["title"], found[str(well)]["version"]) == ("two", 3)
        assert [row[:3] for row in await parked(world)] == [("missions", sick, 3)]
        later = await world.mission("later")
        await edit(world, sick, "four")
        await marks.wait(await head(world), "missions")
        found = await rows(world, MISSIONS)
        assert (found[str(sick)]["version"], found[str(later)]["title"]) == (2, "later")
        await until(lambda: told(world))
    assert await told(world) == ["noticed", "parked"]


async def test_a_fixed_function_drains_what_was_held_back_at_the_next_start(world: Any) -> None:
    sick, _ = await poisoned(world)
    await project(world, refusing(raising))
    await edit(world, sick, "four")
    await project(world, refusing(raising))
    assert [row[:3] for row in await parked(world)] == [("missions", sick, 3)]
    async with projecting(world) as marks:
        await until(lambda: _none_parked(world))
        # Boards are projected for the first time here, and `missions` is where the log is already.
        await marks.wait(await head(world), "missions", "boards")
        await until(lambda: _is_told(world, "drained"))
    assert await differences(world) == []
    assert await told(world) == ["noticed", "parked", "drained"]


async def test_a_stream_is_drained_beside_a_running_projector_that_then_goes_on(world: Any) -> None:
    sick, _ = await poisoned(world)
    async with projecting(world, BOARDS, refusing(raising)) as marks:
        await marks.wait(await head(world), "missions")
        table = ReadTable(MISSIONS)
        done = await drain(world.database, world.codec, world.bus.tools.vault, table, sick)
        assert done is not None
        assert (done.events, done.poison) == (2, None)
        await edit(world, sick, "four")
        await marks.wait(await head(world), "missions")
        assert (await rows(world, MISSIONS))[str(sick)]["title"] == "four"
    assert await differences(world) == []


async def test_a_try_that_fails_again_changes_nothing(world: Any) -> None:
    sick, _ = await poisoned(world)
    await project(world, refusing(raising))
    before, table = await rows(world, MISSIONS), ReadTable(refusing(raising))
    done = await drain(world.database, world.codec, world.bus.tools.vault, table, sick)
    assert done is not None and done.poison is not None
    assert (done.events, done.poison.stream_version, done.poison.error) == (
        0,
        3,
        "ZeroDivisionError",
    )
    assert await rows(world, MISSIONS) == before
    await tell_news(world.database, world.bus)
    assert await told(world) == ["noticed", "parked"]


async def test_a_discarded_event_is_passed_over_for_good(world: Any) -> None:
    sick, _ = await poisoned(world)
    model = refusing(raising)
    await project(world, model)
    await tell_news(world.database, world.bus)
    await discard(world, sick)
    await drain(world.database, world.codec, world.bus.tools.vault, ReadTable(model), sick)
    await tell_news(world.database, world.bus)
    row = (await rows(world, MISSIONS))[str(sick)]
    assert (row["title"], row["version"]) == ("three", 4)
    assert await told(world) == ["noticed", "parked", "discarded", "drained"]
    done = await Rebuild(world.database, world.codec, world.bus.tools.vault, model).run()
    assert (done.parked, await parked(world)) == (0, [])
    assert (await rows(world, MISSIONS))[str(sick)]["title"] == "three"


async def test_what_is_not_parked_can_not_be_discarded(world: Any) -> None:
    mission_id = await world.mission("well")
    with pytest.raises(NotParked):
        await discard(world, mission_id)


@pytest.mark.parametrize("function", [raising, out_of_range])
async def test_a_rebuild_parks_what_it_can_not_fold_and_drains_what_it_can(
    world: Any, function: Any
) -> None:
    sick, well = await poisoned(world)
    vault = world.bus.tools.vault
    await project(world)
    done = await Rebuild(world.database, world.codec, vault, refusing(function)).run()
    found = await rows(world, MISSIONS)
    assert done.parked == 1
    assert [row[:3] for row in await parked(world)] == [("missions", sick, 3)]
    assert (found[str(sick)]["version"], found[str(well)]["version"]) == (2, 3)
    assert (found[str(sick)]["stale"], found[str(well)]["stale"]) == (True, False)
    done = await Rebuild(world.database, world.codec, vault, MISSIONS).run()
    assert (done.parked, await parked(world), await differences(world)) == (0, [], [])
    await tell_news(world.database, world.bus)
    assert await told(world) == ["noticed", "parked", "drained"]


async def test_parking_an_event_about_parking_appends_nothing(world: Any) -> None:
    await world.query(
        "CREATE TABLE IF NOT EXISTS read_alerts (id uuid PRIMARY KEY, workspace_id uuid, version int)"
    )

    def refuse(_: Any, event: Any) -> Any:
        raise ZeroDivisionError

    alerts = ReadModel("alerts", table="read_alerts", row=Alert, on={Projection.Parked: refuse})
    await poisoned(world)
    await project(world, refusing(raising))
    async with projecting(world, refusing(raising), alerts):
        await until(lambda: _is_told(world, "parked"))
        await until(lambda: _parked_by(world, "alerts"))
        await tell_news(world.database, world.bus)
    assert await told(world) == ["noticed", "parked"]


@pytest.mark.parametrize("function", [raising, out_of_range])
async def test_a_stale_row_is_seen_by_whoever_reads_and_moves_its_boards_revision(
    world: Any, function: Any
) -> None:
    mission_id = await world.mission("sick")
    model = refusing(function)
    await project(world, model)
    before = await world.query("SELECT board_id, revision FROM board_revisions")
    await edit(world, mission_id, POISON)
    await project(world, model)
    after = dict(await world.query("SELECT board_id, revision FROM board_revisions"))
    board = await world.board()
    assert after[board.id] > dict(before)[board.id]
    assert (await rows(world, MISSIONS))[str(mission_id)]["stale"]
    stale = "SELECT stream_id FROM parked_events WHERE model = 'missions'"
    assert await world.database.fetch(world.workspace_id, stale) == [(mission_id,)]
    assert await world.database.fetch(uuid7(), stale) == []
    await project(world)
    assert not (await rows(world, MISSIONS))[str(mission_id)]["stale"]


async def test_personal_fields_are_folded_as_text(world: Any) -> None:
    await world.query(
        "CREATE TABLE IF NOT EXISTS read_texts"
        " (id uuid PRIMARY KEY, workspace_id uuid, version int, body text)"
    )

    def noted(_: Any, event: Any) -> Text:
        text = event.body if isinstance(event, Comment.Created) else event.email
        return Text(event.originator_id, event.workspace_id, 1, text)

    texts = ReadModel(
        "texts", table="read_texts", row=Text, on={User.Created: noted, Comment.Created: noted}
    )
    mission_id = await world.mission()
    await world.do(AddComment(mission_id, "well said", None, ()))
    await project(world, texts)
    live = {row["body"] for row in (await rows(world, texts)).values()}
    await Rebuild(world.database, EventCodec(), world.bus.tools.vault, texts).run()
    rebuilt = {row["body"] for row in (await rows(world, texts)).values()}
    assert {"well said", "admin@example.org"} <= live
    assert rebuilt == live


async def test_events_that_a_model_never_saw_are_filled_from_the_log(world: Any) -> None:
    mission_id = await world.mission("old")
    await edit(world, mission_id, "older")
    await project(world)
    for table, key in (("read_missions", "id"), ("stream_gates", "stream_id")):
        await world.query(f"DELETE FROM {table} WHERE {key} = %s", [mission_id])
    await edit(world, mission_id, "new")
    await world.do(missions.BlockMission(mission_id, "why"))
    await project(world)
    assert await differences(world) == []


async def test_a_projector_that_stops_tells_no_marks_any_more(world: Any) -> None:
    async with projecting(world) as marks:
        await marks.wait(await head(world), "missions")
        assert marks.noted["missions"] >= 1
    assert isinstance(marks, Marks)
    assert marks.noted == {}


@dataclasses.dataclass(frozen=True)
class Alert:
    id: UUID
    workspace_id: UUID
    version: int


@dataclasses.dataclass(frozen=True)
class Text:
    id: UUID
    workspace_id: UUID
    version: int
    body: str | None


async def _none_parked(world: Any) -> bool:
    return not await parked(world)


async def _is_told(world: Any, what: str) -> bool:
    return what in await told(world)


async def _parked_by(world: Any, model: str) -> bool:
    return any(row[0] == model for row in await parked(world))
