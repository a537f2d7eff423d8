"""Who calls, what they may do, and how a route says which permission it needs."""

import hmac
import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.types import Scope as AsgiScope

from commands.append import Actor
from domain.base import Refusal
from domain.permissions import Permission

if TYPE_CHECKING:
    from infra.identity import Identity


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls, with the rights that they have now."""

    actor: Actor
    workspace_id: UUID
    permissions: frozenset[Permission]
    on_behalf_of: UUID | None = None
    """The owner of the agent that acts."""
    key_id: UUID | None = None
    """The agent's key; None for people."""
    expires_at: datetime | None = None
    """When the access token ends; None for keys, which last until they are revoked."""
    session: bytes | None = None
    """The hash of the session that the access token belongs to, and ends with; None for keys."""
    withheld: frozenset[Permission] = frozenset()
    """What an agent could do besides, were it not deactivated."""


class Unauthenticated(Refusal):
    """Nobody that we know (401)."""

    code = "unauthenticated"
    headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": "Bearer"}


class InvalidCredentials(Unauthenticated):
    """Sign-in failed; it is not said why."""

    code = "invalid_credentials"


class Forbidden(Refusal):
    """Someone whom we know, and who may not (403)."""

    code = "forbidden"


class Deactivated(Forbidden):
    """An agent that could do this, were it not deactivated."""

    code = "agent_inactive"


class OriginRefused(Refusal):
    """A page of another origin asks with this browser's session (403)."""

    code = "origin_refused"


class RateLimited(Refusal):
    """Too many attempts (429)."""

    code = "rate_limited"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"too many attempts; try again in {retry_after_s} s")
        self.headers: Mapping[str, str] = {"Retry-After": str(retry_after_s)}


class Requirement(HTTPBearer):
    """A route's dependency: lets those pass who have one of the permissions."""

    def __init__(self, *permissions: Permission) -> None:
        super().__init__(
            scheme_name="bearer",
            description="An access token, or an agent's key.",
            auto_error=False,
        )
        self.permissions = frozenset(permissions)
        self._names = " or ".join(permissions)

    async def __call__(self, request: Request) -> Principal:  # type: ignore[override]
        """Return who calls. Raises `Unauthenticated` or `Forbidden`."""
        identity = identity_of(request)
        scope = request.scope
        state = scope.setdefault("state", {})
        credential = bearer_of(scope)
        principal = identity.recall(credential)
        if principal is None:
            principal = await identity.authenticate(credential, scope)
        state["workspace_id"] = principal.workspace_id
        state["actor"] = principal.actor
        if self.permissions.isdisjoint(principal.permissions):
            await identity.note_forbidden(principal, scope)
            if not self.permissions.isdisjoint(principal.withheld):
                raise Deactivated(
                    "this agent is deactivated; it may read, and release what it holds"
                )
            raise Forbidden(f"this needs the permission {self._names}")
        return principal


class MetricsRequirement(Requirement):
    """A route's dependency: also lets those pass who have the deployment's token for metrics."""

    def __init__(self) -> None:
        super().__init__(Permission.ADMIN_ACCESS)

    async def __call__(self, request: Request) -> Principal | None:  # type: ignore[override]
        """Return who calls; None for who has the token. Raises as `Requirement` does."""
        token: str | None = request.app.state.settings.metrics_token
        sent = bearer_of(request.scope)
        if token is not None and hmac.compare_digest(sent, token.encode()):
            return None
        return await super().__call__(request)


class Public:
    """A route's dependency: says that anyone may call it, on purpose."""

    async def __call__(self) -> None:
        """Let everyone pass."""


def requires(*permissions: Permission) -> Any:
    """Return the dependency of a route: `principal: Annotated[Principal, requires(…)]`.

    Of several permissions one is enough.
    """
    return Depends(Requirement(*permissions))


def reads_metrics() -> Any:
    """Return the dependency of the route of metrics: an admin, or the deployment's token for it."""
    return Depends(MetricsRequirement())


def public() -> Any:
    """Return the dependency of a public route: `@router.get(…, dependencies=[public()])`."""
    return Depends(Public())


def access_of(route: APIRoute) -> frozenset[Permission | None]:
    """Return the permissions that a route declares; None among them says public, empty says nothing."""
    declared = set[Permission | None]()
    for access in _declared(route):
        declared.update(access.permissions if isinstance(access, Requirement) else {None})
    return frozenset(declared)


async def authorise(route: APIRoute, request: Request) -> None:
    """Return if somebody may call a route; raises as its requirement does."""
    for access in _declared(route):
        if isinstance(access, Requirement):
            await access(request)


def _declared(route: APIRoute) -> Iterator[Requirement | Public]:
    waiting = list(route.dependant.dependencies)
    while waiting:
        dependant = waiting.pop()
        waiting.extend(dependant.dependencies)
        if isinstance(dependant.call, Requirement | Public):
            yield dependant.call


def identity_of(request: Request) -> "Identity":
    """Return the application's identity service."""
    identity: Identity = request.app.state.identity
    return identity


def bearer_of(scope: AsgiScope) -> bytes:
    """Return the credential of the Authorization header; empty without one.

    Raises `Unauthenticated` where the header comes twice: which one counts is nobody's to choose.
    """
    found = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(found) > 1:
        raise Unauthenticated("one Authorization header, please")
    if not found or found[0][:7].lower() != b"bearer ":
        return b""
    credential: bytes = found[0][7:].strip()
    return credential


def address_of(scope: AsgiScope) -> str:
    """Return the client's address, for limits and the log of sign-ins.

    It is the connection's; only the server, behind proxies that it was told to trust, puts in its
    place what they forwarded. A header that a client sends counts for nothing here.
    """
    address = scope["client"][0] if scope.get("client") else ""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return "unknown"


def network_of(address: str) -> str:
    """Return what a limit counts as one place: an IPv4 address, or an IPv6 network of 64 bits.

    A single line owns a whole /64, so its addresses are no scarce thing.
    """
    if ":" not in address:
        return address
    parsed = ipaddress.IPv6Address(address)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
