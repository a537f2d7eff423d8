"""Who may do what: each role, each scope, and the ceiling that an owner is (security test 17)."""

from itertools import combinations

import pytest

from domain.permissions import (
    DEFAULT_SCOPES,
    Permission,
    Scope,
    agent_permissions,
    may_grant,
    role_permissions,
)
from domain.workspace import Role

P = Permission
WORK = {P.WORK_MISSIONS, P.RELEASE_MISSIONS}
BY_ROLE = {
    Role.VIEWER: {P.READ},
    Role.AGENT_OPERATOR: {P.READ, P.COMMENT, P.MANAGE_AGENTS, P.VIEW_ANALYTICS},
    Role.MISSION_COMMANDER: {P.READ, P.COMMENT, P.CREATE_MISSIONS, P.VIEW_ANALYTICS},
    Role.ADMIN: {
        P.READ, P.COMMENT, P.MANAGE_AGENTS, P.VIEW_ANALYTICS, P.CREATE_MISSIONS, P.ADMIN_ACCESS,
    },
}  # fmt: skip
SCOPE_SETS = [set(some) for size in range(5) for some in combinations(Scope, size)]


@pytest.mark.parametrize("permission", Permission)
@pytest.mark.parametrize("role", Role)
def test_a_role_has_exactly_its_permissions(role: Role, permission: Permission) -> None:
    assert (permission in role_permissions(role)) == (permission in BY_ROLE[role])


@pytest.mark.parametrize("role", Role)
def test_no_person_works_missions(role: Role) -> None:
    assert not WORK & role_permissions(role)


@pytest.mark.parametrize("role", Role)
def test_an_agent_has_nothing_beyond_its_owner_but_work(role: Role) -> None:
    for scopes in SCOPE_SETS:
        excess = agent_permissions(scopes, role, active=True) - role_permissions(role)
        assert excess <= WORK


def test_an_agent_of_a_viewer_looks_and_gives_back_what_it_holds() -> None:
    held = agent_permissions(DEFAULT_SCOPES, Role.VIEWER, active=True)
    assert held == {P.READ, P.RELEASE_MISSIONS}


def test_an_agent_creates_missions_only_for_an_owner_who_may() -> None:
    for role in Role:
        may = P.CREATE_MISSIONS in agent_permissions([Scope.MISSIONS_CREATE], role, active=True)
        assert may == (role in {Role.MISSION_COMMANDER, Role.ADMIN})


def test_no_key_manages_agents_or_administers() -> None:
    allowed = agent_permissions(Scope, Role.ADMIN, active=True)
    assert allowed == {P.READ, *WORK, P.COMMENT, P.CREATE_MISSIONS}


def test_a_scope_that_a_key_lacks_is_not_given() -> None:
    assert agent_permissions([Scope.MISSIONS_READ], Role.ADMIN, active=True) == {P.READ}


@pytest.mark.parametrize("role", Role)
def test_a_deactivated_agent_reads_and_gives_back_and_no_more(role: Role) -> None:
    assert agent_permissions(Scope, role, active=False) == {P.READ, P.RELEASE_MISSIONS}
    assert agent_permissions([Scope.MISSIONS_READ], role, active=False) == {P.READ}


def test_nobody_grants_a_scope_beyond_their_own_rights() -> None:
    operator = role_permissions(Role.AGENT_OPERATOR)
    assert may_grant(operator, DEFAULT_SCOPES)
    assert not may_grant(operator, [Scope.MISSIONS_CREATE])
    assert may_grant(role_permissions(Role.ADMIN), Scope)
