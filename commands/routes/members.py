"""Members and roles over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request, Response
from msgspec import UNSET, UnsetType
from pydantic import Field
from uuid_utils.compat import uuid7

from commands import members
from commands.append import ActorKind
from domain.permissions import Permission
from domain.workspace import Role
from infra.http.caller import Done, done, run, run_with_secret
from infra.http.fields import Body, Email, ShortLine
from infra.http.principal import Forbidden, Principal, requires
from infra.passwords import generate, require_strong

router = APIRouter(prefix="/api/members", tags=["members"])

Admin = Annotated[Principal, requires(Permission.ADMIN_ACCESS)]


class NewMember(Body):
    """Without a password one is made up, and answered once as `secret`."""

    email: Email
    name: ShortLine
    role: Role
    password: Annotated[str, Field(min_length=8, max_length=256)] | None = None


class NewRole(Body):
    role: Role


class Profile(Body):
    name: ShortLine


class MemberAdded(Done):
    """A new member, with the password that was made up."""

    secret: str | UnsetType = UNSET


@router.post("", status_code=201, responses=done(MemberAdded, status=201, conditional=False))
async def add_member(body: NewMember, request: Request, principal: Admin) -> Response:
    """Make a person a member; answers a sign-in secret once."""
    made_up = None if body.password else generate()
    if body.password:
        require_strong(body.password, body.email)
    password_hash = await request.app.state.passwords.hash(body.password or made_up)
    command = members.AddMember(uuid7(), body.email, body.name, body.role, password_hash)
    return await run_with_secret(request, principal, command, secret=made_up)


@router.put("/me", responses=done())
async def change_profile(
    body: Profile, request: Request, principal: Annotated[Principal, requires(Permission.READ)]
) -> Response:
    """Change one's own name."""
    if principal.actor.kind != ActorKind.USER:
        raise Forbidden("only people have a profile")
    return await run(request, principal, members.ChangeProfile(principal.actor.id, body.name))


@router.put("/{user_id}/role", responses=done())
async def change_role(user_id: UUID, body: NewRole, request: Request, principal: Admin) -> Response:
    """Give a member another role."""
    return await run(request, principal, members.ChangeRole(user_id, body.role))


@router.post("/{user_id}/disable", responses=done())
async def disable_member(user_id: UUID, request: Request, principal: Admin) -> Response:
    """Bar a member from signing in; sessions and sockets end."""
    return await run(request, principal, members.DisableMember(user_id))


@router.delete("/{user_id}", responses=done())
async def remove_member(user_id: UUID, request: Request, principal: Admin) -> Response:
    """Take a person out of the workspace; sessions and sockets end."""
    return await run(request, principal, members.RemoveMember(user_id))
