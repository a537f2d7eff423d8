"""Read models of people, agents and talk say what a naive fold of the log says."""

import random
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from commands import agents, comments, members, missions
from commands.bus import PreconditionFailed
from domain.agent import Presence
from domain.base import Refusal
from domain.board import Stage
from domain.workspace import Role
from infra.identity import new_agent_key
from infra.marks import Marks
from projections.activity import ACTIVITY
from projections.agents import AGENTS
from projections.alerts import ALERTS
from projections.catalogue import READ_MODELS
from projections.comments import COMMENTS
from projections.members import MEMBERS
from projections.people import PEOPLE
from projections.reviews import REVIEWS
from streams.follower import Follower
from streams.projector import Projector

STEPS = 100
Events = list[dict[str, Any]]


async def live_a_life(world: Any, chance: random.Random) -> None:
    """Let people and agents talk, come and go; refusals are part of it."""
    cards = [await world.mission(f"m{n}") for n in range(4)]
    workers = [await world.agent("go") for _ in range(3)]
    people, said = [world.admin_id], []
    tokens: dict[UUID, tuple[UUID, int]] = {}

    async def join() -> None:
        user_id = uuid4()
        await world.do(
            members.AddMember(user_id, f"{user_id}@example.org", f"n {user_id}", Role.VIEWER, "h")
        )
        people.append(user_id)

    async def issue(worker: UUID) -> None:
        key_id, _, row = new_agent_key(world.workspace_id, worker, ())
        await world.do(agents.IssueKey(worker, key_id, "key", ("missions:read",), row))
        if chance.random() < 0.5:
            await world.do(agents.RevokeKey(worker, key_id))

    async def say(card: UUID, worker: UUID) -> None:
        parent = chance.choice([None, *said[-3:]])
        mentions = (chance.choice(people),) if chance.random() < 0.5 else ()
        answer = await world.do(
            comments.AddComment(card, "hello", parent, mentions), chance.choice([None, worker])
        )
        said.append(answer.body["id"])

    async def claim(card: UUID, worker: UUID) -> None:
        answer = await world.do(missions.ClaimMission(card), worker)
        tokens[card] = (worker, answer.body["lease"]["token"])

    for _ in range(STEPS):
        card, worker = chance.choice(cards), chance.choice(workers)
        person, comment = chance.choice(people), chance.choice(said or [uuid4()])
        holder, token = tokens.get(card, (worker, 1))
        step = chance.choice([
            join,
            lambda w=worker: issue(w),
            lambda c=card, w=worker: say(c, w),
            lambda c=card, w=worker: say(c, w),
            lambda c=card, w=worker: claim(c, w),
            lambda c=card, h=holder, t=token: world.do(missions.SubmitMission(c, t, "sum"), h),
            lambda c=card, h=holder, t=token: world.do(missions.FailMission(c, t, "no"), h),
            lambda c=card: world.do(missions.RejectMission(c, "again")),
            lambda c=card: world.do(missions.ApproveMission(c)),
            lambda c=card: world.move(c, chance.choice(list(Stage))),
            lambda c=card: world.do(missions.BlockMission(c, "wait")),
            lambda c=card: world.do(missions.UnblockMission(c)),
            lambda c=card, p=person: world.do(missions.AssignMission(c, p)),
            lambda k=comment: world.do(comments.EditComment(k, "hi", ())),
            lambda k=comment: world.do(comments.RemoveComment(k)),
            lambda w=worker: world.do(agents.ReportPresence(w, chance.choice(list(Presence)))),
            lambda w=worker: world.do(agents.UpdateAgent(w, {"role": f"r{chance.random()}"})),
            lambda w=worker: world.do(agents.DeactivateAgent(w)),
            lambda w=worker: world.do(agents.ActivateAgent(w)),
            lambda p=person: world.do(members.ChangeRole(p, chance.choice(list(Role)))),
            lambda p=person: world.do(members.ChangeProfile(p, "renamed")),
            lambda p=person: world.do(members.DisableMember(p)) if p != world.admin_id else join(),
        ])  # fmt: skip
        try:
            await step()
        except (Refusal, PreconditionFailed):
            continue
    await world.do(agents.RetireAgent(workers[0]))
    await world.do(members.RemoveMember(people[-1]))
    await world.do(missions.DeleteMission(cards[0]))


async def lived(world: Any, seed: int) -> Events:
    """Live, project in two goes, and return the workspace's events with their data opened."""
    chance = random.Random(seed)
    for _ in range(2):
        await live_a_life(world, chance)
        head = int((await world.query("SELECT position FROM log_head"))[0][0])
        marks = Marks(world.database)
        async with AsyncExitStack() as stack:
            follower = await stack.enter_async_context(Follower(world.database, world.codec))
            await stack.enter_async_context(
                Projector(world.database, follower, world.bus, marks, READ_MODELS)
            )
            await marks.wait(head, *(model.name for model in READ_MODELS))
    found = await world.query(
        "SELECT position, event_id, stream_id, type, stream_version, actor_kind, actor_id, data"
        " FROM events WHERE workspace_id = %s ORDER BY position", [world.workspace_id],
    )  # fmt: skip
    names = ("position", "event_id", "stream", "type", "version", "kind", "actor", "data")
    vault = world.bus.tools.vault
    await vault.load([row[6] for row in found] + [row[2] for row in found])
    events = [dict(zip(names, row, strict=True)) for row in found]
    for event in events:
        event["data"] = vault.open_event(event["type"], event["data"], event["stream"])
        event["type"] = event["type"].removesuffix(".v1")
    return events


def of(events: Events, noun: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for event in events:
        kind, _, what = event["type"].partition(".")
        if kind == noun:
            yield str(event["stream"]), what, {**event, **event["data"]}


async def rows(world: Any, model: Any) -> dict[str, Any]:
    found = await world.query(
        f"SELECT coalesce(json_agg(r), '[]')::text FROM {model.table} r WHERE workspace_id = %s",
        [world.workspace_id],
    )
    msgspec.json.decode(found[0][0], type=list[model.row])
    return {row["id"]: row for row in msgspec.json.decode(found[0][0])}


def shown(found: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: {name: row[name] for name in names} for key, row in found.items()}


@pytest.mark.parametrize("seed", [1, 2])
async def test_rows_equal_a_naive_fold_of_the_log(world: Any, seed: int) -> None:
    events = await lived(world, seed)
    assert len(events) > STEPS
    found = await rows(world, AGENTS)
    for row in found.values():
        row["keys"] = [key["id"] for key in row["keys"]]
    assert shown(found, "role", "lifecycle", "presence", "keys", "version") == naive_agents(events)
    names = (
        "author_id",
        "parent_id",
        "body",
        "mentions",
        "edited",
        "removed",
        "position",
        "version",
    )
    assert shown(await rows(world, COMMENTS), *names) == naive_comments(events)
    assert shown(await rows(world, PEOPLE), "name", "email", "disabled") == naive_people(events)
    assert shown(await rows(world, MEMBERS), "role", "removed") == naive_members(events)
    reviews = (await rows(world, REVIEWS)).values()
    asked = {
        r["id"]: (r["position"], r["asked_by"], r["asked_type"], r["submitted_by"])
        for r in reviews if r["asked"]
    }  # fmt: skip
    assert asked == naive_reviews(events)
    troubles = {"failed", "blocked", "lease_expired", "rejected"}
    wrong = {e["position"]: e for e in events if e["type"].split(".")[1] in troubles}
    alerts = {row["position"]: row for row in (await rows(world, ALERTS)).values()}
    assert alerts.keys() == wrong.keys()
    assert all(row["reason"] == wrong[p]["data"].get("reason") for p, row in alerts.items())


async def test_activity_has_a_row_for_each_event_but_reranks(world: Any) -> None:
    events = await lived(world, 3)
    found = await rows(world, ACTIVITY)
    wanted = [e for e in events if e["type"] != "mission.reranked"]
    assert found.keys() == {str(e["event_id"]) for e in wanted}
    for event in wanted:
        row = found[str(event["event_id"])]
        assert (row["position"], row["type"], row["actor_id"]) == (
            event["position"], event["type"] + ".v1", str(event["actor"]),
        )  # fmt: skip
        assert row["admin_only"] == event["type"].startswith(("agent.key", "system."))
        if event["kind"] == "agent" and event["type"].startswith("comment."):
            assert row["agent_id"] == str(event["actor"])


async def test_activity_holds_no_personal_text(world: Any) -> None:
    await lived(world, 4)
    text = str(await rows(world, ACTIVITY))
    assert "example.org" not in text
    assert "hello" not in text
    assert "renamed" not in text


def naive_agents(events: Events) -> dict[str, Any]:
    presence = {
        "came_online": "available", "became_available": "available", "went_busy": "busy",
        "went_offline": "offline", "retired": "offline",
    }  # fmt: skip
    lifecycle = {"activated": "active", "deactivated": "inactive", "retired": "retired"}
    found: dict[str, Any] = {}
    for key, what, event in of(events, "agent"):
        row = found.setdefault(key, {"lifecycle": "active", "presence": "offline", "keys": []})
        row["role"] = event.get("role", row.get("role"))
        row["presence"] = presence.get(what, row["presence"])
        row["lifecycle"] = lifecycle.get(what, row["lifecycle"])
        row["version"] = event["version"]
        if what == "key_issued":
            row["keys"].append(event["key_id"])
        elif what == "key_revoked":
            row["keys"].remove(event["key_id"])
        elif what == "retired":
            row["keys"] = []
    return found


def naive_comments(events: Events) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, what, event in of(events, "comment"):
        row = found.setdefault(key, {"position": event["position"], "edited": False})
        row["author_id"] = event.get("author_id", row.get("author_id"))
        row["parent_id"] = event.get("parent_id", row.get("parent_id"))
        row["removed"] = what == "removed"
        row["body"], row["mentions"] = event.get("body"), event.get("mentions", [])
        row["edited"] |= what == "edited"
        row["version"] = event["version"]
    return found


def naive_people(events: Events) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, what, event in of(events, "user"):
        row = found.setdefault(key, {"email": event.get("email")})
        row["name"] = event.get("name", row.get("name"))
        row["disabled"] = what == "disabled" or row.get("disabled", False)
    return found


def naive_members(events: Events) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _, what, event in of(events, "workspace"):
        if "user_id" in event:
            row = found.setdefault(event["user_id"], {})
            row["role"] = event.get("role", row.get("role"))
            row["removed"] = what == "member_removed"
    return found


def naive_reviews(events: Events) -> dict[str, Any]:
    """Return where, by whom and how each mission in review came into it, and who submitted it."""
    asked: dict[str, tuple[int, str, str]] = {}
    by: dict[str, str | None] = {}
    for key, what, event in of(events, "mission"):
        stage = "gone" if what == "deleted" else event.get("stage")
        if stage == "review":
            asked.setdefault(key, (event["position"], str(event["actor"]), event["type"] + ".v1"))
        elif stage is not None:
            asked.pop(key, None)
        if what == "submitted":
            by[key] = event["agent_id"]
        elif what in {"rejected", "reopened"}:
            by[key] = None
    return {key: (*brought, by.get(key)) for key, brought in asked.items()}
