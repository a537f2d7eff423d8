"""Who belongs to a workspace in which role: one row a member, folded from the workspace's stream."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.base import replace
from domain.workspace import Role, Workspace
from projections.read_model import Fact, ReadModel

__all__ = ["MEMBERS", "MemberRow", "Role"]


@dataclass(frozen=True)
class MemberRow:
    """One member, by the person's id; who was removed stays, so that history can name them."""

    id: UUID
    workspace_id: UUID
    version: int
    role: Role
    removed: bool
    joined_at: datetime


def added(_: MemberRow | None, event: Any) -> MemberRow:
    return MemberRow(
        id=event.user_id,
        workspace_id=event.originator_id,
        version=event.originator_version,
        role=event.role,
        removed=False,
        joined_at=event.timestamp,
    )


def role_changed(row: MemberRow, event: Any) -> MemberRow:
    return replace(row, role=event.role)


def removed(row: MemberRow, _: Any) -> MemberRow:
    return replace(row, removed=True)


def member_of(fact: Fact) -> UUID:
    """Return whose row an event touches; an event about nobody touches none, and its key is free."""
    event: Any = fact.event
    user_id: UUID = getattr(event, "user_id", fact.stream_id)
    return user_id


MEMBERS = ReadModel(
    "members",
    table="read_members",
    row=MemberRow,
    on={
        Workspace.MemberAdded: added,
        Workspace.RoleChanged: role_changed,
        Workspace.MemberRemoved: removed,
    },
    key=member_of,
)
