"""The directory: who people are, folded from each person's own stream."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.base import replace
from domain.user import User
from projections.read_model import ReadModel


@dataclass(frozen=True)
class PersonRow:
    """One person; name and address are None once their key was destroyed."""

    id: UUID
    workspace_id: UUID
    version: int
    name: str | None
    email: str | None
    disabled: bool
    created_at: datetime
    updated_at: datetime


def registered(_: PersonRow | None, event: Any) -> PersonRow:
    return PersonRow(
        id=event.originator_id,
        workspace_id=event.workspace_id,
        version=event.originator_version,
        name=event.name,
        email=event.email,
        disabled=False,
        created_at=event.timestamp,
        updated_at=event.timestamp,
    )


def profile_changed(row: PersonRow, event: Any) -> PersonRow:
    return replace(row, name=event.name, updated_at=event.timestamp)


def disabled(row: PersonRow, event: Any) -> PersonRow:
    return replace(row, disabled=True, updated_at=event.timestamp)


PEOPLE = ReadModel(
    "people",
    table="read_people",
    row=PersonRow,
    on={
        User.Created: registered,
        User.ProfileChanged: profile_changed,
        User.Disabled: disabled,
    },
)
