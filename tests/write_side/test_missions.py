"""Claims, limits, dependencies, ranks and repeated requests, where many act at once."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from commands import boards, missions
from commands.append import Answer
from commands.bus import ConflictPersists, IdempotencyKeyReused, PreconditionFailed
from domain import guards
from domain.board import Stage
from domain.mission import Content, LeaseLost, Mission, NotClaimable


async def each(work: Any) -> list[Any]:
    return await asyncio.gather(*work, return_exceptions=True)


async def test_64_agents_at_once_never_share_a_mission(world: Any) -> None:
    wanted = {await world.mission(f"m{n}") for n in range(40)}
    agents = [await world.agent() for _ in range(64)]
    answers = await each(world.claim_next(agent) for agent in agents)
    got = [answer.body["mission"]["id"] for answer in answers if isinstance(answer, Answer)]
    assert not [a for a in answers if isinstance(a, BaseException)]
    assert len(got) == len(set(got)) == 40
    assert set(got) == wanted
    leases = await world.query(
        "SELECT count(*), count(DISTINCT agent_id) FROM leases WHERE workspace_id = %s",
        [world.workspace_id],
    )
    assert leases == [(40, 40)]


async def test_64_agents_at_once_on_one_named_mission_one_wins(world: Any) -> None:
    mission = await world.mission()
    agents = [await world.agent() for _ in range(64)]
    answers = await each(world.do(missions.ClaimMission(mission), agent) for agent in agents)
    assert sum(isinstance(answer, Answer) for answer in answers) == 1
    losers = {type(answer) for answer in answers if not isinstance(answer, Answer)}
    assert losers <= {NotClaimable, ConflictPersists}


async def test_claims_stop_at_the_limit_of_the_active_column(world: Any) -> None:
    board = await world.board()
    await world.do(boards.SetWipLimit(board.id, board.first(Stage.ACTIVE).id, 3))
    for n in range(10):
        await world.mission(str(n))
    agents = [await world.agent() for _ in range(10)]
    answers = await each(world.claim_next(agent) for agent in agents)
    assert sum(isinstance(answer, Answer) for answer in answers) == 3


async def test_a_claim_gives_what_fits_the_agent(world: Any) -> None:
    agent, able = await world.agent(), await world.agent("sql")
    await world.mission("needs sql", required_capabilities=("sql",))
    await world.mission("for another", assignees=(able,))
    assert await world.claim_next(agent) is None
    first, second = await world.claim_next(able), await world.claim_next(able)
    assert {first.body["mission"]["title"], second.body["mission"]["title"]} == {
        "needs sql", "for another",
    }  # fmt: skip


async def test_64_moves_at_once_into_a_column_limited_to_5_leave_5(world: Any) -> None:
    board = await world.board()
    column = board.first(Stage.ACTIVE).id
    await world.do(boards.SetWipLimit(board.id, column, 5))
    made = [await world.mission(str(n)) for n in range(64)]
    answers = await each(world.do(missions.MoveMission(key, column)) for key in made)
    assert sum(isinstance(a, Answer) for a in answers) == 5
    assert {type(a) for a in answers if not isinstance(a, Answer)} == {guards.WipLimitReached}
    assert await world.query("SELECT cards FROM guard_columns WHERE column_id = %s", [column]) == [
        (5,)
    ]


async def test_two_opposite_dependencies_at_once_leave_one(world: Any) -> None:
    one, other = await world.mission(), await world.mission()
    answers = await each(
        world.do(missions.AddDependency(*pair)) for pair in ((one, other), (other, one))
    )
    assert sorted(type(a).__name__ for a in answers) == ["Answer", "DependencyCycle"]


async def test_a_mission_that_waits_is_not_claimed_until_the_other_is_done(world: Any) -> None:
    waiting, first = await world.mission("waiting"), await world.mission("first", Stage.BACKLOG)
    await world.do(missions.AddDependency(waiting, first))
    agent = await world.agent()
    with pytest.raises(guards.DependenciesUnmet):
        await world.do(missions.ClaimMission(waiting), agent)
    assert await world.claim_next(agent) is None
    await world.move(first, Stage.DONE)
    claimed = await world.claim_next(agent)
    assert claimed.body["mission"]["id"] == waiting


async def test_writes_of_a_stale_token_are_refused(world: Any) -> None:
    mission = await world.mission()
    agent, another = await world.agent(), await world.agent()
    stale = (await world.do(missions.ClaimMission(mission), agent)).body["lease"]["token"]
    await world.do(missions.ReleaseMission(mission, stale), agent)
    token = (await world.do(missions.ClaimMission(mission), another)).body["lease"]["token"]
    assert token > stale
    for command in (
        missions.ReleaseMission(mission, stale),
        missions.ReportProgress(mission, stale, 10),
        missions.SubmitMission(mission, stale, "done"),
        missions.FailMission(mission, stale, "no"),
        missions.BlockMission(mission, "no", stale),
    ):
        with pytest.raises(LeaseLost):
            await world.do(command, agent)
    with pytest.raises(LeaseLost):
        await missions.renew_lease(mission, stale, None, world.context(agent), world.bus.tools)


async def test_a_retry_gets_the_first_answer_and_another_body_is_refused(world: Any) -> None:
    key = uuid7()
    command = missions.CreateMission(Content("once"))
    first = await world.do(command, key=key)
    again = await world.do(command, key=key)
    assert (str(again.body["id"]), again.body["position"]) == (
        str(first.body["id"]),
        first.body["position"],
    )
    assert (first.repeated, again.repeated) == (False, True)
    with pytest.raises(IdempotencyKeyReused):
        await world.do(missions.CreateMission(Content("twice")), key=key, body=b"another")


async def test_a_retry_that_would_be_refused_now_gets_the_first_answer(world: Any) -> None:
    mission, key = await world.mission(), uuid7()
    first = await world.do(missions.DeleteMission(mission), key=key)
    again = await world.do(missions.DeleteMission(mission), key=key)
    assert (again.status, again.body["position"]) == (first.status, first.body["position"])


async def test_the_same_request_32_times_at_once_is_done_once(world: Any) -> None:
    key, command = uuid7(), missions.CreateMission(Content("once"))
    answers = await each(world.do(command, key=key) for _ in range(32))
    assert len({str(answer.body["id"]) for answer in answers}) == 1
    assert sum(not answer.repeated for answer in answers) == 1


async def test_a_full_gap_is_rebalanced_and_housekeeping_breaks_no_if_match(world: Any) -> None:
    ready = (await world.board()).first(Stage.READY).id
    first, second, third = [await world.mission(name) for name in "abc"]
    version = (await world.get(Mission, first)).version
    with pytest.raises(missions.RankExhausted):
        await _fill_gap(world, ready, second, third)
    before = await _order(world, ready)
    answer = await world.do(missions.RebalanceColumn(ready))
    assert await _order(world, ready) == before
    assert (await world.types(first))[-1] == "mission.reranked"
    edit = missions.EditMission(first, {"title": "edited"})
    assert (await world.do(edit, if_match=version)).body["position"] > answer.body["position"]
    with pytest.raises(PreconditionFailed):
        await world.do(missions.EditMission(first, {"title": "again"}), if_match=version)
    await world.do(missions.MoveMission(third, ready, before=second))
    assert (await _order(world, ready)).index(third) < (await _order(world, ready)).index(second)


async def _fill_gap(world: Any, column: UUID, second: UUID, third: UUID) -> None:
    for _ in range(200):
        await world.do(missions.MoveMission(third, column, before=second))
        await world.do(missions.MoveMission(second, column, before=third))


async def _order(world: Any, column: UUID) -> list[UUID]:
    return await world.bus.tools.write_side.cards_in_order(world.workspace_id, column)  # type: ignore[no-any-return]
