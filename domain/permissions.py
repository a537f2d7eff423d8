"""Who may do what. Routes name a permission; roles and key scopes are sets of them.

An agent never may do more than the person who owns it, except for what only agents do: work.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType

from domain.workspace import Role


class Permission(StrEnum):
    """What a route may ask of whoever calls it."""

    READ = "read"
    COMMENT = "comment"
    MANAGE_AGENTS = "manage_agents"
    VIEW_ANALYTICS = "view_analytics"
    CREATE_MISSIONS = "create_missions"
    WORK_MISSIONS = "work_missions"
    RELEASE_MISSIONS = "release_missions"
    ADMIN_ACCESS = "admin_access"


class Scope(StrEnum):
    """What an agent's key was made for."""

    MISSIONS_READ = "missions:read"
    MISSIONS_WORK = "missions:work"
    COMMENTS_WRITE = "comments:write"
    MISSIONS_CREATE = "missions:create"


DEFAULT_SCOPES = (Scope.MISSIONS_READ, Scope.MISSIONS_WORK, Scope.COMMENTS_WRITE)

AGENTS_ONLY = frozenset({Permission.WORK_MISSIONS, Permission.RELEASE_MISSIONS})
"""What agents do and people do not: it needs an owner who does more than to look.

People hold no lease, so no role has any of it: a person moves cards by hand.
"""

ROLE_PERMISSIONS: Mapping[Role, frozenset[Permission]] = MappingProxyType(
    {
        Role.VIEWER: frozenset({Permission.READ}),
        Role.AGENT_OPERATOR: frozenset(
            {
                Permission.READ,
                Permission.COMMENT,
                Permission.MANAGE_AGENTS,
                Permission.VIEW_ANALYTICS,
            }
        ),
        Role.MISSION_COMMANDER: frozenset(
            {
                Permission.READ,
                Permission.COMMENT,
                Permission.CREATE_MISSIONS,
                Permission.VIEW_ANALYTICS,
            }
        ),
        Role.ADMIN: frozenset(Permission) - AGENTS_ONLY,
    }
)

SCOPE_PERMISSIONS: Mapping[Scope, frozenset[Permission]] = MappingProxyType(
    {
        Scope.MISSIONS_READ: frozenset({Permission.READ}),
        Scope.MISSIONS_WORK: AGENTS_ONLY,
        Scope.COMMENTS_WRITE: frozenset({Permission.COMMENT}),
        Scope.MISSIONS_CREATE: frozenset({Permission.CREATE_MISSIONS}),
    }
)

DEACTIVATED_CEILING = frozenset({Permission.READ, Permission.RELEASE_MISSIONS})
"""The most that a deactivated agent may do: look, and give back what it holds."""

AGENT_CEILING: Mapping[Role, frozenset[Permission]] = MappingProxyType(
    {role: permissions | AGENTS_ONLY for role, permissions in ROLE_PERMISSIONS.items()}
    | {Role.VIEWER: DEACTIVATED_CEILING}
)
"""The most that an agent may do, by the role of its owner: one who may only look has none that works."""


def role_permissions(role: Role) -> frozenset[Permission]:
    """Say what a member of this role may do."""
    return ROLE_PERMISSIONS[role]


def scope_permissions(scopes: Iterable[Scope]) -> frozenset[Permission]:
    """Say what scopes stand for, before any ceiling."""
    return frozenset().union(*(SCOPE_PERMISSIONS[scope] for scope in scopes))


def agent_permissions(
    scopes: Iterable[Scope], owner_role: Role, *, active: bool
) -> frozenset[Permission]:
    """Say what an agent may do with a key of these scopes, for an owner of this role."""
    allowed = scope_permissions(scopes) & AGENT_CEILING[owner_role]
    return allowed if active else allowed & DEACTIVATED_CEILING


def may_grant(granter: frozenset[Permission], scopes: Iterable[Scope]) -> bool:
    """Say whether someone may make a key of these scopes.

    Nobody grants what they may not do themselves, or an operator could make a key for an admin's
    agent and act through it beyond an operator's rights.
    """
    return scope_permissions(scopes) <= granter | AGENTS_ONLY
