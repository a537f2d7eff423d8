"""What people do beside missions: they talk, join, leave, and look after their agents."""

import random
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from commands import agents, comments, members
from commands.bus import PreconditionFailed
from domain.base import NotFound, Refusal
from domain.workspace import Role

STEPS = 40


async def live_together(world: Any, chance: random.Random) -> None:
    """Do it at random; refusals are part of it."""
    missions = [await world.mission(f"talk {n}") for n in range(3)]
    workers = [await world.agent("a") for _ in range(3)]
    people = [await join(world) for _ in range(3)]
    said = [await say(world, mission, None) for mission in missions]
    for _ in range(STEPS):
        mission, worker = chance.choice(missions), chance.choice(workers)
        person, about = chance.choice(people), chance.choice(said)
        step = chance.choice([
            lambda m=mission, a=about: say(world, m, a),
            lambda a=about, w=worker: world.do(comments.EditComment(a, "edited", (w,))),
            lambda a=about: world.do(comments.RemoveComment(a)),
            lambda w=worker: world.do(agents.UpdateAgent(w, {"role": "other"})),
            lambda w=worker: world.do(agents.DeactivateAgent(w)),
            lambda w=worker: world.do(agents.ActivateAgent(w)),
            lambda w=worker: world.do(agents.RetireAgent(w)),
            lambda: join(world),
            lambda p=person: world.do(members.ChangeRole(p, chance.choice(list(Role)))),
            lambda p=person: world.do(members.ChangeProfile(p, "another name")),
            lambda p=person: world.do(members.DisableMember(p)),
            lambda p=person: world.do(members.RemoveMember(p)),
        ])  # fmt: skip
        try:
            await step()
        except (Refusal, NotFound, PreconditionFailed):
            continue


async def say(world: Any, mission_id: UUID, parent_id: UUID | None) -> UUID:
    command = comments.AddComment(mission_id, "look", parent_id, (world.admin_id,))
    return UUID(str((await world.do(command)).body["id"]))


async def join(world: Any) -> UUID:
    key = uuid7()
    command = members.AddMember(key, f"{key}@example.org", "Somebody", Role.VIEWER, "hash")
    await world.do(command)
    return key
