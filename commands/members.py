"""Members of a workspace: people, their roles and profiles."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from commands.append import RowWrite
from commands.bus import Context, Decision, Handler, Tools, require_unchanged
from domain.base import Refusal
from domain.user import User
from domain.workspace import LastAdmin, Role, Workspace


class EmailTaken(Refusal):
    """Somebody in the workspace has this e-mail address."""

    code = "email_taken"


@dataclass(frozen=True, slots=True)
class AddMember:
    user_id: UUID
    email: str
    name: str
    role: Role
    password_hash: str


@dataclass(frozen=True, slots=True)
class ChangeRole:
    user_id: UUID
    role: Role


@dataclass(frozen=True, slots=True)
class RemoveMember:
    user_id: UUID


@dataclass(frozen=True, slots=True)
class DisableMember:
    user_id: UUID


@dataclass(frozen=True, slots=True)
class ChangeProfile:
    user_id: UUID
    name: str


async def add_member(command: AddMember, context: Context, tools: Tools) -> Decision:
    workspace_id, user_id, vault = context.workspace_id, command.user_id, tools.vault
    await vault.load_workspaces([workspace_id])
    digest = vault.email_digest(workspace_id, command.email)
    # Loaded before the address is looked up: whoever takes it in between moves the workspace on, and
    # this is decided afresh.
    workspace = await tools.aggregates.get(Workspace, workspace_id, workspace_id)
    if await tools.write_side.email_taken(workspace_id, digest):
        raise EmailTaken("somebody in the workspace has this e-mail address", field="email")
    key = vault.new_subject(workspace_id, user_id)
    user = User.begin(
        user_id,
        workspace_id=workspace_id,
        name=vault.seal(user_id, user_id, "name", command.name),
        email=vault.seal(user_id, user_id, "email", command.email),
    )
    workspace.add_member(user_id, command.role)
    rows = [key, credentials(workspace_id, user_id, digest, command.password_hash)]
    return Decision([user, workspace], status=201, rows=rows)


async def change_role(command: ChangeRole, context: Context, tools: Tools) -> Decision:
    workspace = await _workspace(context, tools)
    if command.role != Role.ADMIN:
        await _require_another_admin(command.user_id, workspace, tools)
    workspace.change_role(command.user_id, command.role)
    return Decision([workspace])


async def remove_member(command: RemoveMember, context: Context, tools: Tools) -> Decision:
    workspace = await _workspace(context, tools)
    await _require_another_admin(command.user_id, workspace, tools)
    workspace.remove_member(command.user_id)
    user = await tools.aggregates.get(User, command.user_id, context.workspace_id)
    user.disable()
    rows = [remove_credentials(command.user_id), end_sessions(command.user_id)]
    return Decision([workspace, user], rows=rows)


async def disable_member(command: DisableMember, context: Context, tools: Tools) -> Decision:
    user = await tools.aggregates.get(User, command.user_id, context.workspace_id)
    require_unchanged(user, context)
    workspace = await tools.aggregates.get(Workspace, context.workspace_id, context.workspace_id)
    await _require_another_admin(command.user_id, workspace, tools)
    user.disable()
    return Decision([user], rows=[end_sessions(command.user_id)])


async def change_profile(command: ChangeProfile, context: Context, tools: Tools) -> Decision:
    user = await tools.aggregates.get(User, command.user_id, context.workspace_id)
    require_unchanged(user, context)
    await tools.vault.load([user.id])
    user.change_profile(tools.vault.seal(user.id, user.id, "name", command.name))
    return Decision([user])


HANDLERS: dict[type[Any], Handler] = {
    AddMember: add_member,
    ChangeRole: change_role,
    RemoveMember: remove_member,
    DisableMember: disable_member,
    ChangeProfile: change_profile,
}


def credentials(workspace_id: UUID, user_id: UUID, digest: bytes, password_hash: str) -> RowWrite:
    """Return the row that lets a person sign in."""
    return RowWrite(
        "INSERT INTO credentials (user_id, workspace_id, email_digest, password_hash)"
        " VALUES (%(user_id)s, %(workspace_id)s, %(digest)s, %(hash)s)",
        {
            "user_id": user_id,
            "workspace_id": workspace_id,
            "digest": digest,
            "hash": password_hash,
        },
    )


def remove_credentials(user_id: UUID) -> RowWrite:
    """Return the write that frees a person's address, so that somebody may be added with it again."""
    return RowWrite("DELETE FROM credentials WHERE user_id = %(user_id)s", {"user_id": user_id})


def end_sessions(user_id: UUID) -> RowWrite:
    """Return the write that ends every browser session of a person."""
    return RowWrite(
        "UPDATE sessions SET ended_at = clock_timestamp() WHERE user_id = %(user_id)s AND ended_at IS NULL",
        {"user_id": user_id},
    )


async def _require_another_admin(user_id: UUID, workspace: Workspace, tools: Tools) -> None:
    """Raise `LastAdmin` where no other admin may sign in; who is disabled is not in the workspace's stream."""
    if workspace.members.get(user_id) != Role.ADMIN:
        return
    for other_id, role in workspace.members.items():
        if role == Role.ADMIN and other_id != user_id:
            other = await tools.aggregates.get(User, other_id, workspace.id)
            if not other.disabled:
                return
    raise LastAdmin("a workspace keeps at least one admin who may sign in", field="user_id")


async def _workspace(context: Context, tools: Tools) -> Workspace:
    workspace = await tools.aggregates.get(Workspace, context.workspace_id, context.workspace_id)
    require_unchanged(workspace, context)
    return workspace
