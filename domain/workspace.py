"""Workspaces: a tenant, its members and their roles."""

from enum import StrEnum
from uuid import UUID

from eventsourcing.domain import event

from domain import base


class Role(StrEnum):
    """What a member may do; `domain.permissions` says what each role means."""

    VIEWER = "viewer"
    AGENT_OPERATOR = "agent_operator"
    MISSION_COMMANDER = "mission_commander"
    ADMIN = "admin"


class MemberNotFound(base.NotFound):
    """The workspace has no such member."""

    code = "member_not_found"


class AlreadyMember(base.Refusal):
    """The person is a member already."""

    code = "already_member"


class LastAdmin(base.Refusal):
    """A workspace keeps at least one admin."""

    code = "last_admin"


class Workspace(base.Aggregate):
    """A tenant. Every event of the log belongs to exactly one."""

    TOPIC = "workspace"

    name: str
    default_board_id: UUID
    members: dict[UUID, Role]

    class Event(base.Aggregate.Event):
        pass

    class Created(Event, base.Aggregate.Created):
        TOPIC = "workspace.created.v1"
        name: str
        default_board_id: UUID

    class MemberAdded(Event):
        TOPIC = "workspace.member_added.v1"
        user_id: UUID
        role: Role

    class RoleChanged(Event):
        TOPIC = "workspace.role_changed.v1"
        user_id: UUID
        role: Role

    class MemberRemoved(Event):
        TOPIC = "workspace.member_removed.v1"
        user_id: UUID

    @event(Created)
    def __init__(self, workspace_id: UUID, name: str, default_board_id: UUID) -> None:
        self.workspace_id = workspace_id
        self.name = name
        self.default_board_id = default_board_id
        self.members = {}

    def add_member(self, user_id: UUID, role: Role) -> None:
        """Make a person a member."""
        if user_id in self.members:
            raise AlreadyMember("this person is a member already", field="user_id")
        self._member_added(user_id, role)

    def change_role(self, user_id: UUID, role: Role) -> None:
        """Give a member another role; silent when it is the same."""
        if self._role_of(user_id) == role:
            return
        self.require_another_admin(user_id)
        self._role_changed(user_id, role)

    def remove_member(self, user_id: UUID) -> None:
        """Take a person out of the workspace."""
        self._role_of(user_id)
        self.require_another_admin(user_id)
        self._member_removed(user_id)

    def _role_of(self, user_id: UUID) -> Role:
        if user_id not in self.members:
            raise MemberNotFound("the workspace has no such member", field="user_id")
        return self.members[user_id]

    def require_another_admin(self, user_id: UUID) -> None:
        """Raise `LastAdmin` if nobody else is an admin."""
        admins = {member for member, role in self.members.items() if role == Role.ADMIN}
        if admins == {user_id}:
            raise LastAdmin("a workspace keeps at least one admin", field="user_id")

    @event(MemberAdded)
    def _member_added(self, user_id: UUID, role: Role) -> None:
        self.members = {**self.members, user_id: role}

    @event(RoleChanged)
    def _role_changed(self, user_id: UUID, role: Role) -> None:
        self.members = {**self.members, user_id: role}

    @event(MemberRemoved)
    def _member_removed(self, user_id: UUID) -> None:
        self.members = {member: role for member, role in self.members.items() if member != user_id}
