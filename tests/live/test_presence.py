"""Who is in a room: told to those who are in it, and to nobody else."""

import asyncio
from typing import Any
from uuid import uuid4

from commands.append import Actor, ActorKind
from domain.workspace import Role
from streams.live import Pace
from streams.presence import PRESENT_MAX, Roll


async def until(client: Any, room: str, present: set[str]) -> None:
    while client.present.get(room) != present:
        await client.hear_all()


def test_a_room_tells_who_comes_and_who_leaves(playing: Any) -> None:
    async def scenario(here: Any) -> None:
        viewer = await here.join(here.workspace, Role.VIEWER)
        me, them = str(here.user_id), str(viewer)
        async with here.client() as first:
            await first.sub("workspace")
            await until(first, "workspace", {me})
            async with here.client(viewer) as second:
                await second.sub("workspace")
                await until(second, "workspace", {me, them})
                await until(first, "workspace", {me, them})
            await until(first, "workspace", {me})

    playing(scenario)


def test_several_sockets_of_one_person_are_one(playing: Any) -> None:
    async def scenario(here: Any) -> None:
        viewer = await here.join(here.workspace, Role.VIEWER)
        me, them = str(here.user_id), str(viewer)
        async with here.client() as watcher:
            await watcher.sub("workspace")
            async with here.client(viewer) as one:
                async with here.client(viewer) as two:
                    for client in (one, two):
                        await client.sub("workspace")
                    await until(watcher, "workspace", {me, them})
                    await until(two, "workspace", {me, them})
                # One of two has left: the next word is of something else.
                await here.mission(await here.board())
                heard = await watcher.hear_all()
                while heard["t"] not in {"ev", "batch"}:
                    assert heard["t"] != "presence"
                    heard = await watcher.hear_all()
            await until(watcher, "workspace", {me})

    playing(scenario)


def test_presence_ends_with_the_right_to_the_room(playing: Any) -> None:
    async def scenario(here: Any) -> None:
        second = await here.join(here.workspace, Role.ADMIN)
        me, them = str(here.user_id), str(second)
        async with here.client() as first, here.client(second) as losing:
            for client in (first, losing):
                await client.sub("audit")
            await until(losing, "audit", {me, them})
            here.workspace.change_role(second, Role.VIEWER)
            await here.record(here.workspace)
            assert (await losing.until("err"))["code"] == "forbidden"
            await until(first, "audit", {me})
            async with here.client() as third:
                await third.sub("audit")
                await asyncio.sleep(2 * Pace().presence_s)
                await losing.say("ping", id=1)
                assert (await losing.hear_all())["t"] == "pong"

    playing(scenario)


def test_a_version_that_is_too_old_is_told_everybody() -> None:
    roll = Roll("workspace")
    actors = [Actor(ActorKind.USER, uuid4()) for _ in range(3)]
    for actor in actors:
        roll.enter(actor)
        roll.settle()
    assert roll.news(3) is None
    difference, everybody, fresh = roll.news(2), roll.news(1), roll.news(None)
    assert difference is not None and everybody is not None
    assert b'"all":true' not in difference
    assert b'"all":true' in everybody
    assert everybody == fresh
    assert all(str(actor.id).encode() in everybody for actor in actors)


def test_who_came_and_went_within_a_step_is_not_spoken_of() -> None:
    roll, actor = Roll("workspace"), Actor(ActorKind.AGENT, uuid4())
    roll.enter(actor)
    roll.leave(actor)
    roll.settle()
    assert roll.version == 0


def test_a_roll_is_bounded_and_who_waits_is_shown_when_there_is_room() -> None:
    roll = Roll("workspace")
    actors = [Actor(ActorKind.USER, uuid4()) for _ in range(PRESENT_MAX + 1)]
    for actor in actors:
        roll.enter(actor)
    roll.settle()
    assert str(actors[-1].id).encode() not in (roll.news(None) or b"")
    roll.leave(actors[0])
    roll.settle()
    assert str(actors[-1].id).encode() in (roll.news(None) or b"")
