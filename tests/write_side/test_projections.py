"""Read models follow the log: after any life, and after being stopped in the middle."""

import asyncio
import random
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import msgspec
import pytest

from commands import boards, missions
from commands.bus import PreconditionFailed
from domain.base import Refusal
from domain.board import Stage
from domain.mission import Mission, Priority
from infra.marks import Marks
from projections.boards import BOARDS
from projections.catalogue import READ_MODELS
from projections.missions import MISSIONS, MissionRow
from streams.follower import Follower
from streams.projector import Projector

STEPS = 160


async def live_a_life(world: Any, chance: random.Random) -> list[UUID]:
    """Do what people and agents do, at random; refusals are part of it."""
    made = [await world.mission(f"m{n}", priority=Priority.HIGH) for n in range(12)]
    workers = [await world.agent() for _ in range(3)]
    tokens: dict[UUID, tuple[UUID, int]] = {}
    for _ in range(STEPS):
        mission_id, worker = chance.choice(made), chance.choice(workers)
        holder, token = tokens.get(mission_id, (worker, 1))
        stage = chance.choice(list(Stage))
        step = chance.choice([
            lambda m=mission_id, w=worker: claim(world, m, w, tokens),
            lambda m=mission_id, h=holder, t=token: world.do(missions.ReportProgress(m, t, 30, "x"), h),
            lambda m=mission_id, h=holder, t=token: world.do(missions.SubmitMission(m, t, "sum"), h),
            lambda m=mission_id, h=holder, t=token: world.do(missions.FailMission(m, t, "no"), h),
            lambda m=mission_id, h=holder, t=token: world.do(missions.ReleaseMission(m, t), h),
            lambda m=mission_id: world.do(missions.ApproveMission(m)),
            lambda m=mission_id: world.do(missions.RejectMission(m, "again")),
            lambda m=mission_id, s=stage: world.move(m, s),
            lambda m=mission_id: world.do(missions.EditMission(m, {"title": "new", "labels": ("a",)})),
            lambda m=mission_id, w=worker: world.do(missions.AssignMission(m, w)),
            lambda m=mission_id, w=worker: world.do(missions.UnassignMission(m, w)),
            lambda m=mission_id: world.do(missions.BlockMission(m, "wait")),
            lambda m=mission_id: world.do(missions.UnblockMission(m)),
            lambda m=mission_id: world.do(missions.AddDependency(m, chance.choice(made))),
            lambda m=mission_id: world.do(missions.RemoveDependency(m, chance.choice(made))),
        ])  # fmt: skip
        try:
            await step()
        except (Refusal, PreconditionFailed):
            continue
    await world.do(missions.DeleteMission(made[0]))
    return made


async def claim(world: Any, mission_id: UUID, worker: UUID, tokens: Any) -> None:
    answer = await world.do(missions.ClaimMission(mission_id), worker)
    tokens[mission_id] = (worker, answer.body["lease"]["token"])


async def project(world: Any, marks: Marks, until: int) -> None:
    async with AsyncExitStack() as stack:
        follower = await stack.enter_async_context(Follower(world.database, world.codec))
        await stack.enter_async_context(
            Projector(world.database, follower, world.bus, marks, READ_MODELS)
        )
        await marks.wait(until, *(model.name for model in READ_MODELS))


async def head(world: Any) -> int:
    return int((await world.query("SELECT position FROM log_head"))[0][0])


async def rows(world: Any, model: Any) -> Any:
    found = await world.query(
        f"SELECT coalesce(json_agg(r), '[]')::text FROM {model.table} r WHERE workspace_id = %s",
        [world.workspace_id],
    )
    return {row.id: row for row in msgspec.json.decode(found[0][0], type=list[model.row])}


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_rows_say_what_the_missions_themselves_say(world: Any, seed: int) -> None:
    chance = random.Random(seed)
    made = await live_a_life(world, chance)
    await project(world, Marks(world.database), await head(world))
    made += await live_a_life(world, chance)
    await project(world, Marks(world.database), await head(world))
    found: dict[UUID, MissionRow] = await rows(world, MISSIONS)
    for key in made:
        row, mission = found[key], await world.get(Mission, key)
        unmet = {other for other, met in mission.dependencies.items() if not met}
        assert (row.version, row.board_id, row.column_id, row.stage, row.rank) == (
            mission.version, *vars(mission.place).values(),
        )  # fmt: skip
        assert (row.holder, row.lease_token, row.deleted) == (
            mission.holder, mission.lease_token, mission.deleted,
        )  # fmt: skip
        assert (row.assignees, row.failures, row.blocked_reason, row.completed) == (
            mission.assignees, mission.failures, mission.blocked_reason, mission.completed,
        )  # fmt: skip
        assert (row.title, row.labels, row.priority) == (
            mission.content.title, mission.content.labels, mission.content.priority,
        )  # fmt: skip
        assert (row.submitted_by, row.summary) == (mission.submitted_by, mission.summary)
        assert (set(row.dependencies), set(row.unmet_dependencies)) == (
            set(mission.dependencies), unmet,
        )  # fmt: skip
        assert row.progress_percent == mission.progress_percent


async def test_a_board_row_has_its_columns_in_order(world: Any) -> None:
    board = await world.board()
    for number in range(4):
        before = board.columns[number].id
        await world.do(boards.AddColumn(board.id, f"c{number}", Stage.READY, 3, before))
    await project(world, Marks(world.database), await head(world))
    row, board = (await rows(world, BOARDS))[board.id], await world.board()
    assert (row.columns, row.version, row.name) == (board.columns, board.version, board.name)


async def test_two_projectors_of_one_model_do_not_double_anything(world: Any) -> None:
    async with Follower(world.database, world.codec) as follower, AsyncExitStack() as stack:
        for _ in range(2):
            marks = Marks(world.database)
            await stack.enter_async_context(
                Projector(world.database, follower, world.bus, marks, [MISSIONS])
            )
        made = await asyncio.gather(*(world.mission(f"m{n}") for n in range(40)))
        await marks.wait(await head(world), MISSIONS.name)
        assert set(await rows(world, MISSIONS)) == set(made)
        gates = await world.query("SELECT count(*) FROM stream_gates WHERE model = 'missions'")
        assert gates[0][0] >= len(made)
