"""The directory of a workspace: who is meant by an id."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from msgspec import UNSET, UnsetType

from domain.base import NotFound
from domain.permissions import Permission
from infra.http.openapi import answer, refusals
from projections.members import MEMBERS, Role
from projections.people import PEOPLE
from projections.workspaces import WORKSPACES
from read_api.lists import (
    Listing,
    MinPosition,
    Order,
    Page,
    Reader,
    list_answer,
    one,
    page,
)

router = APIRouter(prefix="/api/members", tags=["members"])

ID = "0192f0c1-7a3e-7cc1-9b0e-5d1f6a2b3c4d"


class Member(msgspec.Struct):
    """A person and their role; `name` is None where it was erased."""

    id: UUID
    name: str | None
    role: Role
    disabled: bool
    removed: bool
    joined_at: datetime


class MemberWithEmail(Member):
    """What admins see."""

    email: str | None


class ListedMember(Member):
    """A person and their role, with their address where an admin asks."""

    email: str | UnsetType | None = UNSET


class HomeWorkspace(msgspec.Struct):
    """Where somebody is a member."""

    id: UUID
    name: str


class Me(msgspec.Struct):
    """Who asks, and what they may do."""

    id: UUID
    name: str | None
    email: str | None
    role: Role
    permissions: list[Permission]
    workspace: HomeWorkspace
    position: int


SOURCE = "read_members t LEFT JOIN read_people p ON p.id = t.id AND p.workspace_id = t.workspace_id"
COLUMNS = "t.id, p.name, t.role, coalesce(p.disabled, false) AS disabled, t.removed, t.joined_at"
ORDERS = {
    "joined_at": Order("t.joined_at", "timestamptz"),
    "name": Order("""lower(coalesce(p.name, '')) COLLATE "C\"""", "text"),
}
FILTERS = {
    "role": "t.role = %(role)s",
    "disabled": "coalesce(p.disabled, false) = %(disabled)s",
    "removed": "t.removed = %(removed)s",
}
MODELS = (MEMBERS.name, PEOPLE.name)
DIRECTORY = Listing(Member, SOURCE, COLUMNS, ORDERS, "joined_at", MODELS, FILTERS)
ADDRESSES = Listing(
    MemberWithEmail, SOURCE, f"{COLUMNS}, p.email", ORDERS, "joined_at", MODELS, FILTERS
)
ME = """
SELECT p.name, p.email, t.role, w.name FROM read_members t
LEFT JOIN read_people p ON p.id = t.id AND p.workspace_id = t.workspace_id
JOIN read_workspaces w ON w.id = t.workspace_id
WHERE t.id = %(id)s AND t.workspace_id = %(workspace)s AND NOT t.removed"""


@router.get(
    "/me",
    responses=answer(
        Me,
        example={"id": ID, "name": "Ada", "email": "ada@example.org", "role": "viewer",
                 "permissions": ["read"], "workspace": {"id": ID, "name": "Freight"}, "position": 1041},
    ) | refusals(404),
)  # fmt: skip
async def me(request: Request, principal: Reader, min_position: MinPosition = None) -> Response:
    """Return the person who asks: their profile, what they may do, and their workspace."""
    if principal.key_id is not None:
        raise NotFound("only people are members")
    found, position = await one(
        request, principal, ME, {"id": principal.actor.id},
        min_position=min_position, models=(*MODELS, WORKSPACES.name),
    )  # fmt: skip
    name, email, role, workspace = found
    body = {
        "id": principal.actor.id, "name": name, "email": email, "role": role,
        "permissions": sorted(principal.permissions),
        "workspace": {"id": principal.workspace_id, "name": workspace},
        "position": position,
    }  # fmt: skip
    return Response(msgspec.json.encode(body), media_type="application/json")


@router.get(
    "",
    responses=list_answer(
        ListedMember,
        {"id": ID, "name": "Ada", "role": "admin", "disabled": False, "removed": False,
         "joined_at": "2026-03-01T09:00:00Z", "email": "ada@example.org"}
    ),
)  # fmt: skip
async def members(
    request: Request,
    principal: Reader,
    page: Annotated[Page, Depends(page)],
    role: Role | None = None,
    disabled: bool | None = None,
    removed: bool = False,
) -> Response:
    """List the people of the workspace; their addresses only for admins."""
    listing = ADDRESSES if Permission.ADMIN_ACCESS in principal.permissions else DIRECTORY
    return await listing.respond(
        request, principal, page, role=role, disabled=disabled, removed=removed
    )
