"""Founding a workspace: the tenant, its first admin and its first board, in one append."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from commands.bus import Context, Decision, Handler, Tools
from commands.members import credentials
from domain.board import DEFAULT_COLUMNS, Board, default_columns
from domain.user import User
from domain.workspace import Role, Workspace

BOARD_NAME = "Missions"


@dataclass(frozen=True, slots=True)
class FoundWorkspace:
    workspace_id: UUID
    name: str
    admin_id: UUID
    admin_email: str
    admin_name: str
    password_hash: str
    board_name: str = BOARD_NAME


async def found_workspace(command: FoundWorkspace, context: Context, tools: Tools) -> Decision:
    workspace_id, admin_id, vault = command.workspace_id, command.admin_id, tools.vault
    rows = [vault.new_workspace(workspace_id), vault.new_subject(workspace_id, admin_id)]
    user = User.begin(
        admin_id,
        workspace_id=workspace_id,
        name=vault.seal(admin_id, admin_id, "name", command.admin_name),
        email=vault.seal(admin_id, admin_id, "email", command.admin_email),
    )
    board = Board.begin(
        uuid7(),
        workspace_id=workspace_id,
        name=command.board_name,
        columns=default_columns([uuid7() for _ in DEFAULT_COLUMNS]),
    )
    workspace = Workspace.begin(
        workspace_id, workspace_id=workspace_id, name=command.name, default_board_id=board.id
    )
    workspace.add_member(admin_id, Role.ADMIN)
    digest = vault.email_digest(workspace_id, command.admin_email)
    rows.append(credentials(workspace_id, admin_id, digest, command.password_hash))
    return Decision([workspace, user, board], status=201, rows=rows)


HANDLERS: dict[type[Any], Handler] = {FoundWorkspace: found_workspace}
