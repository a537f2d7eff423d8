"""What may be done to an agent, and what its heartbeats mean."""

from uuid import UUID

import pytest

from domain.agent import (
    KEYS_MAX,
    Agent,
    AgentInactive,
    AgentRetired,
    KeyNotFound,
    Lifecycle,
    Presence,
    TooManyKeys,
)

WORKSPACE, AGENT, OWNER, KEY, OTHER_KEY = (UUID(int=n) for n in range(1, 6))
CONFIG = {"model": "small", "limits": {"steps": 10}}


def untouched(_):
    pass


def registered():
    return Agent.begin(
        AGENT,
        workspace_id=WORKSPACE,
        name="Painter",
        role="worker",
        capabilities=("painting",),
        config=CONFIG,
        owner_id=OWNER,
    )


def activated(agent):
    agent.activate()


def deactivated(agent):
    agent.deactivate()


def retired(agent):
    agent.retire()


def keyed(agent):
    agent.issue_key(KEY, "laptop", ("claim",))


def reported(presence):
    return lambda agent: agent.report(presence)


# Described


def test_a_registered_agent_is_active_offline_and_without_keys(given):
    decision = given(registered).when(untouched).then_nothing()
    decision.leaving(
        lifecycle=Lifecycle.ACTIVE, presence=Presence.OFFLINE, key_ids=(), owner_id=OWNER
    )


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Sander"},
        {"role": "lead"},
        {"capabilities": ("painting", "sanding")},
        {"config": {}},
        {"name": "Sander", "config": {"model": "large"}},
    ],
    ids=" and ".join,
)
def test_an_update_names_what_it_changed(given, change):
    description = {
        "name": "Painter",
        "role": "worker",
        "capabilities": ("painting",),
        "config": CONFIG,
    }
    decision = given(registered).when(lambda agent: agent.update(**{**description, **change}))
    decision.then(Agent.Updated, changed=tuple(change), **change)
    decision.leaving(**{**description, **change})


def same(agent):
    agent.update("Painter", "worker", ("painting",), {"limits": {"steps": 10}, "model": "small"})


def test_an_update_that_changes_nothing_is_silent(given):
    given(registered).when(same).then_nothing()


# Lifecycle


def test_an_agent_is_deactivated_and_activated(given):
    decision = given(registered).when(deactivated)
    decision.then(Agent.Deactivated).leaving(lifecycle=Lifecycle.INACTIVE)
    decision = given(registered, deactivated).when(activated)
    decision.then(Agent.Activated).leaving(lifecycle=Lifecycle.ACTIVE)


def test_activating_an_active_agent_is_silent(given):
    given(registered).when(activated).then_nothing()


def test_deactivating_an_inactive_agent_is_silent(given):
    given(registered, deactivated).when(deactivated).then_nothing()


@pytest.mark.parametrize("steps", [(), (deactivated,)], ids=["active", "inactive"])
def test_a_retired_agent_is_offline_and_has_no_keys(given, steps):
    decision = given(registered, keyed, reported(Presence.BUSY), *steps).when(retired)
    decision.then(Agent.Retired)
    decision.leaving(lifecycle=Lifecycle.RETIRED, presence=Presence.OFFLINE, key_ids=())


def test_retiring_a_retired_agent_is_silent(given):
    given(registered, retired).when(retired).then_nothing()


@pytest.mark.parametrize(
    "command",
    [same, activated, deactivated, keyed, *map(reported, (Presence.AVAILABLE, Presence.BUSY))],
    ids=["update", "activate", "deactivate", "issue a key", "come online", "be busy"],
)
def test_a_retired_agent_stays_as_it_is(given, command):
    given(registered, retired).when(command).then_refused(AgentRetired)


# Keys


def test_a_key_is_issued_with_a_name_and_scopes(given):
    decision = given(registered, keyed).when(
        lambda agent: agent.issue_key(OTHER_KEY, "server", ("claim", "read"))
    )
    decision.then(Agent.KeyIssued, key_id=OTHER_KEY, name="server", scopes=("claim", "read"))
    decision.leaving(key_ids=(KEY, OTHER_KEY))


def test_an_inactive_agent_is_issued_a_key(given):
    given(registered, deactivated).when(keyed).then(Agent.KeyIssued)


def many_keys(agent):
    for number in range(KEYS_MAX):
        agent.issue_key(UUID(int=100 + number), "spare", ())


def test_one_key_too_many_is_refused(given):
    given(registered, many_keys).when(keyed).then_refused(TooManyKeys)


def test_a_revoked_key_makes_room_for_another(given):
    history = given(registered, many_keys, lambda agent: agent.revoke_key(UUID(int=100)))
    history.when(keyed).then(Agent.KeyIssued)


def test_a_key_is_revoked(given):
    decision = given(registered, keyed).when(lambda agent: agent.revoke_key(KEY))
    decision.then(Agent.KeyRevoked, key_id=KEY).leaving(key_ids=())


@pytest.mark.parametrize(
    "steps",
    [(), (keyed, lambda agent: agent.revoke_key(KEY)), (keyed, retired)],
    ids=["never issued", "revoked", "retired"],
)
def test_a_key_that_is_not_there_is_not_revoked(given, steps):
    decision = given(registered, *steps).when(lambda agent: agent.revoke_key(KEY))
    decision.then_refused(KeyNotFound, field="key_id")


# Presence

TRANSITIONS = {
    (Presence.OFFLINE, Presence.OFFLINE): (),
    (Presence.OFFLINE, Presence.AVAILABLE): (Agent.CameOnline,),
    (Presence.OFFLINE, Presence.BUSY): (Agent.CameOnline, Agent.WentBusy),
    (Presence.AVAILABLE, Presence.OFFLINE): (Agent.WentOffline,),
    (Presence.AVAILABLE, Presence.AVAILABLE): (),
    (Presence.AVAILABLE, Presence.BUSY): (Agent.WentBusy,),
    (Presence.BUSY, Presence.OFFLINE): (Agent.WentOffline,),
    (Presence.BUSY, Presence.AVAILABLE): (Agent.BecameAvailable,),
    (Presence.BUSY, Presence.BUSY): (),
}


@pytest.mark.parametrize(("origin", "target"), TRANSITIONS, ids=str)
def test_only_a_change_of_presence_is_a_fact(given, origin, target):
    decision = given(registered, reported(origin)).when(reported(target))
    decision.then(*TRANSITIONS[origin, target]).leaving(presence=target)


@pytest.mark.parametrize("presence", [Presence.AVAILABLE, Presence.BUSY])
def test_an_inactive_agent_does_not_come_online(given, presence):
    given(registered, deactivated).when(reported(presence)).then_refused(AgentInactive)


def test_an_inactive_agent_does_not_start_new_work(given):
    history = given(registered, reported(Presence.AVAILABLE), deactivated)
    history.when(reported(Presence.BUSY)).then_refused(AgentInactive)


def test_an_inactive_agent_goes_offline(given):
    history = given(registered, reported(Presence.BUSY), deactivated)
    decision = history.when(reported(Presence.OFFLINE))
    decision.then(Agent.WentOffline).leaving(presence=Presence.OFFLINE)


def test_the_silence_of_a_retired_agent_is_no_fact(given):
    given(registered, retired).when(reported(Presence.OFFLINE)).then_nothing()
