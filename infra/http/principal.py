"""Who calls, and the permission that a route asks of them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from fastapi import Depends, Request

from commands.append import Actor
from domain.permissions import Permission

MARK = "asks_permission"
PUBLIC = "public"


class Unauthenticated(Exception):
    """Nobody we know: no credentials, or worthless ones."""


class Forbidden(Exception):
    """Somebody we know, who may not do this."""

    def __init__(self, detail: str, permission: Permission | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.permission = permission


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller as of now: a person by an access token, or an agent by a key."""

    actor: Actor
    workspace_id: UUID
    permissions: frozenset[Permission]
    on_behalf_of: UUID | None
    key_id: UUID | None
    expires_at: datetime


class _Identity(Protocol):
    async def principal(self, credentials: str) -> Principal | None: ...


def requires(permission: Permission) -> Any:
    """Return the dependency of a route that asks a permission of its caller."""

    async def authorised(request: Request) -> Principal:
        principal = await caller_of(request)
        if permission not in principal.permissions:
            raise Forbidden(f"this needs the permission {permission}", permission)
        return principal

    return Depends(_marked(authorised, permission))


def public() -> Any:
    """Return the dependency of a route that is for everybody."""

    async def anybody() -> None:
        return None

    return Depends(_marked(anybody, PUBLIC))


async def caller_of(request: Request) -> Principal:
    """Return who calls; raises `Unauthenticated`."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    identity: _Identity = request.app.state.identity
    principal = await identity.principal(credentials) if scheme.lower() == "bearer" else None
    if principal is None:
        raise Unauthenticated
    state = request.scope["state"]
    state["workspace_id"], state["actor"] = principal.workspace_id, principal.actor
    return principal


def permission_of(route: Any) -> Permission | None:
    """Return the permission that a route declares, None for a public one; raises for neither."""
    pending = list(route.dependant.dependencies)
    while pending:
        dependant = pending.pop()
        mark = getattr(dependant.call, MARK, None)
        if mark is not None:
            return None if mark == PUBLIC else Permission(mark)
        pending.extend(dependant.dependencies)
    raise LookupError(f"{route.path} declares no permission")


def _marked(call: Callable[..., Awaitable[Any]], mark: str) -> Callable[..., Awaitable[Any]]:
    setattr(call, MARK, mark)
    return call
