"""What time and other events bring about: lapsed leases, silent agents, dependencies met and unmet."""

import asyncio
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import msgspec
import pytest

from commands import missions
from commands.signs import Heartbeat, SignsOfLife
from domain.agent import Agent, Presence
from domain.board import Stage
from domain.mission import LeaseLost, Mission
from streams.dependencies import DependencyManager
from streams.follower import Follower
from streams.timers import Timers

SOON_S = 10
# As by timers that never stopped: however slow this machine is, they forgive nobody.
NO_OUTAGE = "UPDATE timer_beats SET beat_at = clock_timestamp()"


def timers(world: Any) -> Timers:
    return Timers(world.database, world.bus, 30)


async def claimed(world: Any) -> tuple[UUID, UUID, int]:
    mission, agent = await world.mission(), await world.agent()
    answer = await world.do(missions.ClaimMission(mission), agent)
    return mission, agent, answer.body["lease"]["token"]


async def run_out(world: Any, mission: UUID) -> None:
    await world.query(
        "UPDATE leases SET expires_at = clock_timestamp() - interval '1 s' WHERE mission_id = %s",
        [mission],
    )
    await world.query(NO_OUTAGE)


async def test_a_lease_that_ran_out_ends_and_its_token_with_it(world: Any) -> None:
    mission, agent, token = await claimed(world)
    await timers(world).tick()
    await run_out(world, mission)
    await timers(world).tick()
    assert (await world.types(mission))[-1] == "mission.lease_expired"
    assert await world.stage(mission) == Stage.READY
    with pytest.raises(LeaseLost):
        await world.do(missions.ReportProgress(mission, token, 50), agent)
    await timers(world).tick()
    assert (await world.types(mission)).count("mission.lease_expired") == 1


async def test_a_lease_that_cannot_be_ended_keeps_no_other_from_its_end(world: Any) -> None:
    (broken, _, _), (mission, _, _) = await claimed(world), await claimed(world)
    silent = await world.agent()
    await SignsOfLife(world.bus).acted(world.context(silent))
    await timers(world).tick()
    await world.query("UPDATE presence SET seen_at = clock_timestamp() - interval '1 hour'")
    await world.query(
        "UPDATE guard_missions SET due = '10000-01-02' WHERE mission_id = %s", [broken]
    )
    for each in broken, mission:
        await run_out(world, each)
    with pytest.raises(msgspec.ValidationError):
        await timers(world).tick()
    assert (await world.types(mission))[-1] == "mission.lease_expired"
    assert (await world.types(silent))[-1] == "agent.went_offline"
    await world.query("UPDATE guard_missions SET due = now() WHERE mission_id = %s", [broken])
    await timers(world).tick()
    assert (await world.types(broken))[-1] == "mission.lease_expired"


async def test_two_timers_at_once_end_a_lease_once(world: Any) -> None:
    mission, _, _ = await claimed(world)
    await timers(world).tick()
    await run_out(world, mission)
    await asyncio.gather(*(timers(world).tick() for _ in range(4)))
    assert (await world.types(mission)).count("mission.lease_expired") == 1


async def test_a_renewal_beats_an_expiry_that_is_under_way(world: Any) -> None:
    mission, agent, token = await claimed(world)
    await run_out(world, mission)
    context = world.context(agent)
    await missions.renew_lease(mission, token, 60, context, world.bus.tools)

    async def decide() -> Any:
        return await missions.expired_lease(mission, token, context, world.bus.tools)

    assert await world.bus.expire_lease(mission, token, context, decide) is False
    assert (await world.get(Mission, mission)).lease_token == token


async def test_after_an_outage_of_the_timers_every_lease_gets_one_more_ttl(world: Any) -> None:
    mission, _, token = await claimed(world)
    await timers(world).tick()
    await run_out(world, mission)
    await world.query("UPDATE timer_beats SET beat_at = beat_at - interval '6 s'")
    await timers(world).tick()
    assert (await world.get(Mission, mission)).lease_token == token
    rows = await world.query(
        "SELECT expires_at > clock_timestamp() + interval '50 s' FROM leases WHERE mission_id = %s",
        [mission],
    )
    assert rows == [(True,)]


async def beaten(world: Any, said: Presence) -> UUID:
    agent: UUID = await world.agent()
    await SignsOfLife(world.bus).beat(agent, Heartbeat(said, None), world.context(agent))
    return agent


async def silent_for(world: Any, agent: UUID, ago: str) -> Any:
    """Let an agent's last sign of life be so long ago; return when it was."""
    earlier = "UPDATE presence SET seen_at = seen_at - %s::interval WHERE agent_id = %s"
    await world.query(earlier, [ago, agent])
    await world.query(NO_OUTAGE)
    return await world.query("SELECT seen_at FROM presence WHERE agent_id = %s", [agent])


async def test_an_agent_that_falls_silent_goes_offline_once(world: Any) -> None:
    agent = await beaten(world, Presence.BUSY)
    await timers(world).tick()
    assert (await world.get(Agent, agent)).presence == Presence.BUSY
    await silent_for(world, agent, "1 min")
    await timers(world).tick()
    await timers(world).tick()
    assert await world.types(agent) == [
        "agent.registered", "agent.came_online", "agent.went_busy", "agent.went_offline",
    ]  # fmt: skip
    state = "SELECT state FROM presence WHERE agent_id = %s"
    assert await world.query(state, [agent]) == [("offline",)]


async def test_after_an_outage_of_the_timers_silence_counts_anew_and_nobody_was_seen(
    world: Any,
) -> None:
    agent = await beaten(world, Presence.AVAILABLE)
    await timers(world).tick()
    seen = await silent_for(world, agent, "1 min")
    await world.query("UPDATE timer_beats SET beat_at = beat_at - interval '6 s'")
    await timers(world).tick()
    assert (await world.get(Agent, agent)).presence == Presence.AVAILABLE
    await world.query("UPDATE presence SET counted_from = counted_from - interval '1 min'")
    await world.query(NO_OUTAGE)
    await timers(world).tick()
    assert (await world.get(Agent, agent)).presence == Presence.OFFLINE
    assert await silent_for(world, agent, "0 s") == seen


@asynccontextmanager
async def manager(world: Any) -> Any:
    async with (
        Follower(world.database, world.codec) as follower,
        DependencyManager(world.database, follower, world.bus),
    ):
        yield follower


async def caught_up(world: Any, position: int) -> None:
    async with asyncio.timeout(SOON_S):
        while True:
            rows = await world.query("SELECT position FROM checkpoints WHERE name = 'dependencies'")
            if rows and rows[0][0] >= position:
                return
            await asyncio.sleep(0.02)


async def test_dependants_hear_of_done_reopened_and_deleted(world: Any) -> None:
    waiting, first = await world.mission(), await world.mission()
    await world.do(missions.AddDependency(waiting, first))
    async with manager(world):
        for stage in (Stage.DONE, Stage.READY):
            await caught_up(world, (await world.move(first, stage)).body["position"])
        gone = await world.do(missions.DeleteMission(first))
        await caught_up(world, gone.body["position"])
    assert await world.types(waiting) == [
        "mission.created", "mission.dependency_added", "mission.dependency_met",
        "mission.dependency_unmet", "mission.dependency_met",
    ]  # fmt: skip


async def test_a_cause_that_is_seen_again_changes_nothing(world: Any) -> None:
    waiting, first = await world.mission(), await world.mission()
    await world.do(missions.AddDependency(waiting, first))
    async with manager(world):
        done = (await world.move(first, Stage.DONE)).body["position"]
        back = (await world.move(first, Stage.READY)).body["position"]
        await caught_up(world, max(done, back))
    before = await world.types(waiting)
    await world.query("UPDATE checkpoints SET position = 0 WHERE name = 'dependencies'")
    async with manager(world):
        await caught_up(world, back)
    assert await world.types(waiting) == before
