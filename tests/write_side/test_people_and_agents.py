"""Agents, keys, boards, comments and members."""

import asyncio
from typing import Any
from uuid import UUID

import msgspec
import pytest
from uuid_utils.compat import uuid7

from commands import agents, boards, comments, members, missions
from commands.append import Answer
from commands.bus import Context, PreconditionFailed
from commands.signs import Heartbeat, SignsOfLife
from domain.agent import AgentInactive, AgentRetired, KeyNotFound, Presence
from domain.base import InvalidValue, NotFound, Sealed
from domain.board import Board, LastColumnOfStage, Stage
from domain.comment import Comment, CommentRemoved, NotTheAuthor
from domain.guards import AgentMayNotWork, ColumnNotEmpty, NameTaken
from domain.user import User
from domain.workspace import LastAdmin, Role, Workspace
from infra.identity import new_agent_key
from tests.write_side.test_timers import timers


async def issued(world: Any, agent: UUID, **condition: Any) -> tuple[Answer, str]:
    key_id, text, row = new_agent_key(world.workspace_id, agent, ("missions:read",))
    command = agents.IssueKey(agent, key_id, "key", ("missions:read",), row)
    return await world.do(command, **condition), text


async def test_an_agents_name_is_its_own_until_it_retires(world: Any) -> None:
    def register(name: str = "Scribe") -> Any:
        return world.do(agents.RegisterAgent(name, "", (), {}, world.admin_id))

    first = UUID(str((await register()).body["id"]))
    for alike in ("Scribe", " sCRIBE", "Scribe\u200b", "Scri\xadbe", "\uff33cribe"):
        with pytest.raises(NameTaken):
            await register(alike)
    await world.do(agents.RetireAgent(first))
    await register()


async def test_an_owner_has_to_be_a_member(world: Any) -> None:
    with pytest.raises(InvalidValue):
        await world.do(agents.RegisterAgent("Nobody's", "", (), {}, uuid7()))


async def test_a_deactivated_agent_neither_claims_nor_beats(world: Any) -> None:
    agent, mission = await world.agent(), await world.mission()
    await world.do(agents.DeactivateAgent(agent))
    with pytest.raises(AgentMayNotWork):
        await world.do(missions.ClaimMission(mission), agent)
    with pytest.raises(AgentInactive):
        await world.do(agents.ReportPresence(agent, Presence.AVAILABLE))
    await world.do(agents.ActivateAgent(agent))
    await world.do(agents.ReportPresence(agent, Presence.AVAILABLE))
    await world.do(agents.RetireAgent(agent))
    with pytest.raises(AgentRetired):
        await world.do(agents.ReportPresence(agent, Presence.AVAILABLE))


async def test_deactivating_an_agent_makes_it_offline(world: Any) -> None:
    agent, signs = await world.agent(), SignsOfLife(world.bus)
    busy = Heartbeat(Presence.BUSY, None)
    assert await signs.beat(agent, busy, world.context(agent)) == Presence.BUSY
    await world.do(agents.DeactivateAgent(agent))
    state = "SELECT state FROM presence WHERE agent_id = %s"
    assert await world.query(state, [agent]) == [("offline",)]
    assert (await world.types(agent))[-2:] == ["agent.deactivated", "agent.went_offline"]
    with pytest.raises(AgentInactive):
        await signs.beat(agent, busy, world.context(agent))


@pytest.mark.parametrize("end", [agents.DeactivateAgent, agents.RetireAgent])
async def test_what_an_agent_held_that_may_work_no_more_is_given_back(world: Any, end: Any) -> None:
    mission, agent = await world.mission(), await world.agent()
    await world.do(missions.ClaimMission(mission, 86_400), agent)
    await timers(world).tick()
    await world.do(end(agent))
    await timers(world).tick()
    assert (await world.types(mission))[-1] == "mission.lease_expired"
    await world.do(missions.ClaimMission(mission), await world.agent())


async def test_an_agent_is_busy_for_as_long_as_it_holds_a_mission(world: Any) -> None:
    first, second = await world.mission(), await world.mission()
    agent, signs = await world.agent(), SignsOfLife(world.bus)
    context = world.context(agent)
    tokens = []
    for mission in first, second:
        answer = await world.do(missions.ClaimMission(mission), agent)
        await signs.acted(context, holds=True)
        tokens.append(answer.body["lease"]["token"])
    free = Heartbeat(Presence.AVAILABLE, None)
    assert await signs.beat(agent, free, context) == Presence.BUSY
    await world.do(missions.ReleaseMission(first, tokens[0]), agent)
    await signs.acted(context, holds=False)
    assert (await world.types(agent))[1:] == ["agent.came_online", "agent.went_busy"]
    await world.do(missions.DeleteMission(second))  # by somebody else: the agent does nothing
    await timers(world).tick()
    assert (await world.types(agent))[-1] == "agent.became_available"


async def test_a_sign_of_life_that_means_nothing_new_is_no_event(world: Any) -> None:
    agent, signs = await world.agent(), SignsOfLife(world.bus)
    for _ in range(3):
        await signs.acted(world.context(agent))
        await signs.acted(world.context(agent), holds=False)
        await timers(world).tick()
    assert await world.types(agent) == ["agent.registered", "agent.came_online"]
    goodbye = Heartbeat(Presence.OFFLINE, None)
    assert await signs.beat(agent, goodbye, world.context(agent)) == Presence.OFFLINE
    await timers(world).tick()
    assert (await world.types(agent))[-1] == "agent.went_offline"


async def test_an_agent_that_said_goodbye_and_claims_is_back_at_once(world: Any) -> None:
    agent, signs = await world.agent(), SignsOfLife(world.bus)
    for _ in range(2):
        await world.do(missions.ClaimMission(await world.mission()), agent)
        await signs.acted(world.context(agent), holds=True)
        assert (await world.types(agent))[-2:] == ["agent.came_online", "agent.went_busy"]
        await signs.beat(agent, Heartbeat(Presence.OFFLINE, None), world.context(agent))
        assert (await world.types(agent))[-1] == "agent.went_offline"


async def test_only_transitions_of_presence_are_events(world: Any) -> None:
    agent = await world.agent()
    for state in (Presence.AVAILABLE, Presence.AVAILABLE, Presence.BUSY, Presence.BUSY):
        await world.do(agents.ReportPresence(agent, state))
    assert await world.types(agent) == ["agent.registered", "agent.came_online", "agent.went_busy"]


async def test_a_keys_secret_is_stored_nowhere_and_its_revocation_is(world: Any) -> None:
    agent, key = await world.agent(), uuid7()
    answer, text = await issued(world, agent, key=key)
    secret = text.split("_", 2)[-1]  # which may have a "_" of its own
    again, _ = await issued(world, agent, key=key)
    assert (again.repeated, str(again.body["id"])) == (True, str(answer.body["id"]))
    for table in ("commands", "events", "agent_keys"):
        rows = await world.query(f"SELECT t::text FROM {table} t")
        assert not [row for row in rows if secret in row[0]]
    key_id = UUID(str(answer.body["id"]))
    await world.do(agents.RevokeKey(agent, key_id))
    revoked = "SELECT revoked_at IS NOT NULL FROM agent_keys WHERE agent_id = %s"
    assert await world.query(revoked, [agent]) == [(True,)]
    with pytest.raises(KeyNotFound):
        await world.do(agents.RevokeKey(agent, key_id))


async def test_a_column_goes_only_when_empty_and_never_the_last_of_its_stage(world: Any) -> None:
    board = await world.board()
    extra = boards.AddColumn(
        board.id, "Second ready", Stage.READY, None, board.first(Stage.REVIEW).id
    )
    column = UUID(str((await world.do(extra)).body["column_id"]))
    mission = await world.mission()
    await world.do(missions.MoveMission(mission, column))
    with pytest.raises(ColumnNotEmpty):
        await world.do(boards.RemoveColumn(board.id, column))
    await world.do(missions.DeleteMission(mission))
    await world.do(boards.MoveColumn(board.id, column, None))
    await world.do(boards.RenameColumn(board.id, column, "Renamed"))
    assert (await world.get(Board, board.id)).columns[-1].name == "Renamed"
    await world.do(boards.RenameBoard(board.id, "Renamed too"))
    assert (await world.get(Board, board.id)).name == "Renamed too"
    await world.do(boards.RemoveColumn(board.id, column))
    with pytest.raises(LastColumnOfStage):
        await world.do(boards.RemoveColumn(board.id, board.first(Stage.READY).id))


async def test_a_card_and_the_removal_of_its_column_at_once_leave_one(world: Any) -> None:
    board = await world.board()
    added = await world.do(boards.AddColumn(board.id, "Short-lived", Stage.BACKLOG))
    column, mission = UUID(str(added.body["column_id"])), await world.mission()
    await asyncio.gather(
        world.do(missions.MoveMission(mission, column)),
        world.do(boards.RemoveColumn(board.id, column)),
        return_exceptions=True,
    )
    columns = {c.id for c in (await world.get(Board, board.id)).columns}
    stands_in = await world.query(
        "SELECT column_id FROM guard_missions WHERE mission_id = %s", [mission]
    )
    assert stands_in[0][0] in columns


async def test_comments_are_sealed_threaded_and_their_authors_own(world: Any) -> None:
    mission, other, agent = await world.mission(), await world.mission(), await world.agent()

    async def say(text: str, where: UUID, parent: UUID | None = None) -> UUID:
        answer = await world.do(comments.AddComment(where, text, parent, (world.admin_id,)), agent)
        return UUID(str(answer.body["id"]))

    root = await say("a very private remark", mission)
    reply = await say("reply", mission, root)
    nested = await say("reply to the reply", mission, reply)
    assert (await world.get(Comment, nested)).parent_id == root
    with pytest.raises(InvalidValue):
        await say("elsewhere", other, root)
    with pytest.raises(NotFound):
        await say("nowhere", mission, uuid7())
    with pytest.raises(InvalidValue):
        await world.do(comments.AddComment(mission, "hi", None, (uuid7(),)))
    with pytest.raises(NotTheAuthor):
        await world.do(comments.EditComment(root, "not mine", ()))
    await world.do(comments.EditComment(root, "edited remark", ()), agent)
    rows = await world.query("SELECT data::text FROM events WHERE stream_id = %s", [root])
    assert len(rows) == 2
    assert not [row for row in rows if "remark" in row[0]]
    sealed = (await world.get(Comment, root)).body
    assert isinstance(sealed, Sealed)
    assert world.bus.tools.vault.open(sealed, root, "body") == "edited remark"
    with pytest.raises(NotTheAuthor):
        await world.do(comments.RemoveComment(root))
    moderator = Context(world.context().meta, moderator=True)
    await world.bus.execute(comments.RemoveComment(root), moderator)
    with pytest.raises(CommentRemoved):
        await world.do(comments.EditComment(root, "late", ()), agent)


def member(email: str, role: Role = Role.VIEWER) -> members.AddMember:
    return members.AddMember(uuid7(), email, "Kim Example", role, "hash")


async def test_a_member_is_one_append_with_nothing_personal_in_the_clear(world: Any) -> None:
    added = member("kim@example.org")
    await world.do(added)
    assert (await world.get(Workspace, world.workspace_id)).members[added.user_id] == Role.VIEWER
    rows = await world.query(
        "SELECT type, data::text FROM events WHERE workspace_id = %s ORDER BY position DESC LIMIT 2",
        [world.workspace_id],
    )
    assert {row[0] for row in rows} == {"user.registered.v1", "workspace.member_added.v1"}
    assert not [row for row in rows if "kim" in row[1].lower()]
    answers = await world.query("SELECT answer::text FROM commands")
    assert not [row for row in answers if "hash" in row[0]]


async def test_an_address_is_taken_however_it_is_written(world: Any) -> None:
    await world.do(member("kim@example.org"))
    with pytest.raises(members.EmailTaken):
        await world.do(member(" KIM@example.org"))


async def test_the_same_address_at_once_is_taken_once_and_hurts_no_neighbour(world: Any) -> None:
    adding = [world.do(member("same@example.org")) for _ in range(8)]
    neighbours = [
        world.do(agents.RegisterAgent(f"n{n}", "", (), {}, world.admin_id)) for n in range(8)
    ]
    answers = await asyncio.gather(*adding, *neighbours, return_exceptions=True)
    assert [type(a) for a in answers[8:]] == [Answer] * 8
    assert sum(isinstance(a, Answer) for a in answers[:8]) == 1
    assert {type(a) for a in answers[:8]} == {Answer, members.EmailTaken}


async def test_an_address_is_free_again_when_its_member_was_removed(world: Any) -> None:
    first = member("again@example.org")
    await world.do(first)
    await world.do(members.RemoveMember(first.user_id))
    assert (await world.get(User, first.user_id)).disabled
    await world.do(member("again@example.org"))


async def test_the_last_admin_stays(world: Any) -> None:
    for command in (
        members.ChangeRole(world.admin_id, Role.VIEWER),
        members.RemoveMember(world.admin_id),
        members.DisableMember(world.admin_id),
    ):
        with pytest.raises(LastAdmin):
            await world.do(command)


async def test_a_disabled_admin_is_no_other_admin(world: Any) -> None:
    second = member("second@example.org", Role.ADMIN)
    await world.do(second)
    await world.do(members.DisableMember(second.user_id))
    with pytest.raises(LastAdmin):
        await world.do(members.RemoveMember(world.admin_id))


async def test_a_member_is_disabled_at_the_version_that_was_seen(world: Any) -> None:
    person = member("seen@example.org")
    await world.do(person)
    await world.do(members.ChangeProfile(person.user_id, "Another name"))
    with pytest.raises(PreconditionFailed):
        await world.do(members.DisableMember(person.user_id), if_match=1)
    answer = await world.do(members.DisableMember(person.user_id), if_match=2)
    assert answer.body["version"] == 3


async def test_two_admins_that_disable_each_other_at_once_leave_one(world: Any) -> None:
    second = member("second@example.org", Role.ADMIN)
    await world.do(second)
    await asyncio.gather(
        *(world.do(members.DisableMember(key)) for key in (second.user_id, world.admin_id)),
        return_exceptions=True,
    )
    rows = await world.query(
        "SELECT count(*) FROM guard_members WHERE workspace_id = %s AND NOT disabled",
        [world.workspace_id],
    )
    assert rows == [(1,)]


async def test_answers_can_be_told_as_json(world: Any) -> None:
    answer, _ = await issued(world, await world.agent())
    assert {"id", "agent_id", "version", "position"} <= msgspec.json.decode(
        msgspec.json.encode(answer.body)
    ).keys()
