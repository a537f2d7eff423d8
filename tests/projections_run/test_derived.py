"""What is derived from read models by triggers says the same as their rows, always."""

from typing import Any

from commands import comments, missions
from projections.comments import COMMENTS
from projections.missions import MISSIONS
from streams.rebuild import Rebuild
from tests.projections_run.conftest import head, projecting, rows


async def facets(world: Any) -> list[tuple[str, str]]:
    return await world.query(  # type: ignore[no-any-return]
        "SELECT facet, mission_id::text FROM read_mission_facets f JOIN read_missions m"
        " ON m.id = f.mission_id AND m.created_at = f.created_at AND m.workspace_id = f.workspace_id"
        " ORDER BY 1, 2"
    )


async def facets_of_rows(world: Any) -> list[tuple[str, str]]:
    found = [row for row in (await rows(world, MISSIONS)).values() if not row["deleted"]]
    return sorted(
        (f"{name} {value}", row["id"])
        for row in found
        for name, values in (
            ("created_by", [row["created_by"]]), ("assignee_id", row["assignees"]),
            ("label", row["labels"]), ("required_capability", row["required_capabilities"]),
        )
        for value in values
    )  # fmt: skip


async def mentions(world: Any) -> list[tuple[str, str, int]]:
    return await world.query(  # type: ignore[no-any-return]
        "SELECT person_id::text, comment_id::text, position FROM read_comment_mentions ORDER BY 1, 2"
    )


async def mentions_of_rows(world: Any) -> list[tuple[str, str, int]]:
    found = (await rows(world, COMMENTS)).values()
    return sorted((who, row["id"], row["position"]) for row in found for who in row["mentions"])


async def steps(world: Any) -> Any:
    """Change what missions and comments are found by, one change at a time."""
    agent = await world.agent("pack")
    one = await world.mission(labels=("a", "b"), required_capabilities=("pack",))
    other = await world.mission(labels=("b",), assignees=(agent,))
    yield
    for command in (
        missions.EditMission(one, {"labels": ("b", "c")}),
        missions.EditMission(one, {"required_capabilities": ()}),
        missions.AssignMission(one, agent),
        missions.UnassignMission(other, agent),
        missions.EditMission(other, {"title": "found by the same"}),
        missions.DeleteMission(other),
    ):
        await world.do(command)
        yield
    said = (await world.do(comments.AddComment(one, "look", None, (agent, world.admin_id)))).body
    yield
    for command in (
        comments.EditComment(said["id"], "look again", (agent,)),
        comments.EditComment(said["id"], "as before", (agent,)),
        comments.RemoveComment(said["id"]),
    ):
        await world.do(command)
        yield
    await world.do(comments.AddComment(one, "and you", None, (agent,)))
    yield


async def test_missions_and_mentions_are_found_by_what_their_rows_say(world: Any) -> None:
    seen = set()
    async with projecting(world, MISSIONS, COMMENTS) as marks:
        async for _ in steps(world):
            await marks.wait(await head(world), MISSIONS.name, COMMENTS.name)
            assert await facets(world) == await facets_of_rows(world)
            assert await mentions(world) == await mentions_of_rows(world)
            seen.add(str([await facets(world), await mentions(world)]))
    assert len(seen) == 9, "two changes are of something else, one takes back another"
    assert (await world.query("SELECT count(*) FROM read_mission_facets"))[0][0] == len(
        await facets(world)
    )


async def test_after_a_rebuild_the_same_is_found_and_changes_are_followed(world: Any) -> None:
    changes = steps(world)
    async with projecting(world, MISSIONS, COMMENTS) as marks:
        async for _ in changes:
            await marks.wait(await head(world), MISSIONS.name, COMMENTS.name)
    before = await facets(world), await mentions(world)
    for model in (MISSIONS, COMMENTS):
        await Rebuild(world.database, world.codec, world.bus.tools.vault, model).run()
    assert await world.query("SELECT mc_derive_missing()") == [(2,)]
    assert (await facets(world), await mentions(world)) == before
    async with projecting(world, MISSIONS, COMMENTS) as marks:
        await world.mission(labels=("new",))
        await marks.wait(await head(world), MISSIONS.name, COMMENTS.name)
    assert len(await facets(world)) == len(before[0]) + 2
    assert await facets(world) == await facets_of_rows(world)
    assert await world.query("SELECT mc_derive_missing()") == [(0,)]
