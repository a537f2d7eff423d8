"""Workspaces: which board is meant when none is named."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from domain.workspace import Workspace
from projections.read_model import ReadModel


@dataclass(frozen=True)
class WorkspaceRow:
    id: UUID
    workspace_id: UUID
    version: int
    name: str
    default_board_id: UUID


def created(_: WorkspaceRow | None, event: Any) -> WorkspaceRow:
    return WorkspaceRow(
        event.originator_id,
        event.originator_id,
        event.originator_version,
        event.name,
        event.default_board_id,
    )


WORKSPACES = ReadModel(
    "workspaces", table="read_workspaces", row=WorkspaceRow, on={Workspace.Created: created}
)
