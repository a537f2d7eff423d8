"""Agents' keys and socket tickets: hashed, scoped, revocable; tickets work once (14, 17)."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from domain.permissions import Permission, Scope
from domain.workspace import Role

Run = Callable[[Any], Any]
P = Permission
KEY_CHANGES = {
    "revoked": (
        "UPDATE agent_keys SET revoked_at = now() WHERE agent_id = %s",
        "agent.key_revoked.v1",
    ),
    "retired": (
        "UPDATE guard_agents SET lifecycle = 'retired' WHERE agent_id = %s",
        "agent.retired.v1",
    ),
    "owner removed": (
        "DELETE FROM guard_members USING guard_agents WHERE user_id = owner_id AND agent_id = %s",
        "workspace.member_removed.v1",
    ),
    "owner disabled": (
        """UPDATE guard_members SET disabled = true FROM guard_agents
        WHERE user_id = owner_id AND agent_id = %s""",
        "user.disabled.v1",
    ),
}


def test_a_key_says_which_agent_acts_and_for_whom(at_site: Run) -> None:
    async def scenario(site: Any) -> tuple[Any, ...]:
        owner_id = await site.add_person("a@example.org")
        agent_id, key = await site.add_agent(owner_id)
        return owner_id, agent_id, key, await site.identity.authenticate(key.encode(), {})

    owner_id, agent_id, key, principal = at_site(scenario)
    assert (principal.actor.id, principal.on_behalf_of) == (agent_id, owner_id)
    assert key.startswith(f"mc_{principal.key_id.hex}_")
    assert principal.expires_at is None
    assert principal.permissions == {P.READ, P.WORK_MISSIONS, P.RELEASE_MISSIONS, P.COMMENT}


def test_a_key_of_another_secret_form_or_id_opens_nothing(at_site: Run) -> None:
    async def scenario(site: Any) -> dict[str, int]:
        owner_id = await site.add_person("a@example.org")
        _, key = await site.add_agent(owner_id)
        _, other = await site.add_agent(owner_id)
        prefix, secret = key[:36], key[36:]
        attempts = {
            "another secret": prefix + other[36:],
            "cut": key[:-1],
            "longer": key + "A",
            "no secret": prefix,
            "upper case id": prefix.upper().replace("MC_", "mc_") + secret,
            "unknown id": "mc_" + "0" * 32 + "_" + secret,
            "changed": key[:-2] + ("AA" if key[-2:] != "AA" else "BB"),
            "not ASCII": "mc_\xe9",
        }
        assert await site.status(key) == 200
        if prefix == prefix.upper().replace("MC_", "mc_"):
            del attempts["upper case id"]
        statuses = {}
        for name, text in attempts.items():
            headers = {"authorization": f"Bearer {text}".encode("latin-1")}
            statuses[name] = (await site.client.get("/read", headers=headers)).status_code
        return statuses

    assert {name: status for name, status in at_site(scenario).items() if status != 401} == {}


@pytest.mark.parametrize("change", KEY_CHANGES)
def test_a_key_stops_working_when_it_should(at_site: Run, change: str) -> None:
    statement, event = KEY_CHANGES[change]

    async def scenario(site: Any) -> tuple[int, int, Any]:
        agent_id, key = await site.add_agent(await site.add_person("a@example.org"))
        before = await site.status(key)
        principal = site.identity.recall(key.encode())
        await site.write(statement, agent_id)
        site.identity.on_event(event)
        return before, await site.status(key), await site.identity.current(principal)

    assert at_site(scenario) == (200, 401, None)


def test_a_deactivated_agent_reads_and_gives_back_and_no_more(at_site: Run) -> None:
    async def scenario(site: Any) -> Any:
        agent_id, key = await site.add_agent(await site.add_person("a@example.org"))
        await site.status(key)
        await site.write(
            "UPDATE guard_agents SET lifecycle = 'inactive' WHERE agent_id = %s", agent_id
        )
        site.identity.on_event("agent.deactivated.v1")
        return (await site.identity.authenticate(key.encode(), {})).permissions

    assert at_site(scenario) == {P.READ, P.RELEASE_MISSIONS}


def test_an_agent_loses_what_its_owner_loses(at_site: Run) -> None:
    async def scenario(site: Any) -> tuple[Any, Any]:
        owner_id = await site.add_person("a@example.org", Role.MISSION_COMMANDER)
        _, key = await site.add_agent(owner_id, tuple(Scope))
        before = (await site.identity.authenticate(key.encode(), {})).permissions
        await site.write(
            "UPDATE guard_members SET role = 'agent_operator' WHERE user_id = %s", owner_id
        )
        site.identity.on_event("workspace.role_changed.v1")
        return before, (await site.identity.authenticate(key.encode(), {})).permissions

    before, after = at_site(scenario)
    assert before - after == {P.CREATE_MISSIONS}


def test_a_ticket_works_once(at_site: Run) -> None:
    async def scenario(site: Any) -> tuple[Any, Any, Any]:
        user_id = await site.add_person("a@example.org")
        token = await site.token(user_id)
        headers = {"authorization": f"Bearer {token}"}
        answer = await site.client.post("/api/ws/ticket", headers=headers)
        uses = [site.identity.redeem_ticket(answer.json()["ticket"]) for _ in range(8)]
        return user_id, answer, await asyncio.gather(*uses)

    user_id, answer, holders = at_site(scenario)
    assert answer.json()["expires_in"] == 30
    assert answer.headers["cache-control"] == "no-store"
    (holder,) = (principal for principal in holders if principal is not None)
    assert holder.actor.id == user_id
    assert holder.expires_at is not None
    assert P.ADMIN_ACCESS in holder.permissions


def test_a_ticket_needs_someone_who_may_read(at_site: Run) -> None:
    async def scenario(site: Any) -> tuple[int, int]:
        owner_id = await site.add_person("a@example.org")
        _, key = await site.add_agent(owner_id, (Scope.COMMENTS_WRITE,))
        headers = {"authorization": f"Bearer {key}"}
        without = await site.client.post("/api/ws/ticket", headers=headers)
        return without.status_code, (await site.client.post("/api/ws/ticket")).status_code

    assert at_site(scenario) == (403, 401)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE socket_tickets SET expires_at = now() - interval '1 ms' WHERE actor_id = %s",
        "UPDATE socket_tickets SET access_expires_at = now() - interval '1 ms' WHERE actor_id = %s",
        "UPDATE guard_members SET disabled = true WHERE user_id = %s",
        "DELETE FROM guard_members WHERE user_id = %s",
    ],
)
def test_a_ticket_is_worth_nothing_once_its_holder_is_not(at_site: Run, change: str) -> None:
    async def scenario(site: Any) -> Any:
        user_id = await site.add_person("a@example.org")
        token = (await site.token(user_id)).encode()
        ticket = await site.identity.new_ticket(await site.identity.authenticate(token, {}))
        await site.write(change, user_id)
        return await site.identity.redeem_ticket(ticket)

    assert at_site(scenario) is None


def test_a_ticket_carries_the_rights_of_now(at_site: Run) -> None:
    async def scenario(site: Any) -> Any:
        agent_id, key = await site.add_agent(await site.add_person("a@example.org"))
        ticket = await site.identity.new_ticket(await site.identity.authenticate(key.encode(), {}))
        await site.write(
            "UPDATE guard_agents SET lifecycle = 'inactive' WHERE agent_id = %s", agent_id
        )
        return await site.identity.redeem_ticket(ticket)

    principal = at_site(scenario)
    assert principal.permissions == {P.READ, P.RELEASE_MISSIONS}
    assert principal.expires_at is None


@pytest.mark.parametrize("ticket", ["", "made up", "a" * 10_000, "\x00", "\ud800"])
def test_a_made_up_ticket_is_nobodys(at_site: Run, ticket: str) -> None:
    async def scenario(site: Any) -> Any:
        return await site.identity.redeem_ticket(ticket)

    assert at_site(scenario) is None
