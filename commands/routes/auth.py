"""Signing in and out, and tickets for sockets."""

import hashlib
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Request, Response
from limits import parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter
from pydantic import Field

from domain.guards import name_key
from domain.permissions import Permission
from infra.http.fields import Body
from infra.http.principal import (
    InvalidCredentials,
    Principal,
    RateLimited,
    Unauthenticated,
    public,
    requires,
)
from infra.identity import ACCESS_S, SESSION_S, TICKET_S, Identity
from infra.passwords import Passwords
from infra.postgres import Database
from infra.vault import Vault

router = APIRouter(tags=["auth"])

COOKIE = "mc_session"
# Failures only. By account and address together, so that nobody can lock somebody else out.
PER_ACCOUNT = parse("10/5minutes")
PER_ADDRESS = parse("100/5minutes")

FIND = """
SELECT c.user_id, c.workspace_id, c.password_hash FROM credentials c
JOIN guard_members m ON m.user_id = c.user_id AND NOT m.disabled
WHERE c.workspace_id = %s AND c.email_digest = %s"""


class SignIn(Body):
    email: Annotated[str, Field(min_length=1, max_length=320, examples=["admin@localhost"])]
    password: Annotated[str, Field(min_length=1, max_length=1024)]
    workspace: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class SignInLimits:
    """Counts failures in this process."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def require(self, account: str, address: str) -> None:
        """Raise `RateLimited` when there were too many failures lately."""
        tests = [
            await self._limiter.test(PER_ACCOUNT, account, address),
            await self._limiter.test(PER_ADDRESS, address),
        ]
        if not all(tests):
            raise RateLimited(300)

    async def note_failure(self, account: str, address: str) -> None:
        """Count one failure."""
        await self._limiter.hit(PER_ACCOUNT, account, address)
        await self._limiter.hit(PER_ADDRESS, address)


@router.post("/api/auth/sign-in", dependencies=[public()])
async def sign_in(body: SignIn, request: Request) -> Response:
    """Give an access token for an address and a password, and set the browser session's cookie."""
    state = request.app.state
    identity: Identity = state.identity
    address = request.client.host if request.client else "unknown"
    account = hashlib.sha256(body.email.casefold().encode("utf-8", "replace")).hexdigest()
    limits: SignInLimits = state.sign_in_limits
    await limits.require(account, address)
    found = await _check(body, state.database, state.vault, state.passwords)
    request_id = request.scope["state"].get("request_id")
    if found is None:
        await limits.note_failure(account, address)
        await identity.note("sign_in", "refused", address=address, request_id=request_id)
        raise InvalidCredentials("the e-mail address, the password or the workspace is wrong")
    user_id, workspace_id = found
    await identity.note(
        "sign_in", "granted", actor_id=user_id, workspace_id=workspace_id, address=address,
        request_id=request_id,
    )  # fmt: skip
    answer = _token(identity, user_id, workspace_id)
    session = await identity.new_session(user_id, workspace_id)
    _set_cookie(
        answer, session, secure=state.settings.scheme == "https" or state.settings.behind_proxy
    )
    return answer


@router.post("/api/auth/token", dependencies=[public()])
async def fresh_token(request: Request) -> Response:
    """Give a fresh access token to a browser session; only to pages of our own origin."""
    state = request.app.state
    if request.headers.get("origin") not in state.origins:
        raise Unauthenticated("no browser session of this origin")
    value = request.cookies.get(COOKIE)
    principal = await state.identity.by_session(value) if value else None
    if principal is None:
        raise Unauthenticated("no browser session of this origin")
    return _token(state.identity, principal.actor.id, principal.workspace_id)


@router.post("/api/auth/sign-out", dependencies=[public()], status_code=204)
async def sign_out(request: Request) -> Response:
    """End the browser session."""
    value = request.cookies.get(COOKIE)
    if value:
        await request.app.state.identity.end_session(value)
    answer = Response(status_code=204, headers={"Cache-Control": "no-store"})
    answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return answer


@router.post("/api/ws/ticket")
async def ticket(
    request: Request, principal: Annotated[Principal, requires(Permission.READ)]
) -> Response:
    """Give a ticket that opens one socket, soon."""
    value = await request.app.state.identity.new_ticket(principal)
    return _json({"ticket": value, "expires_in": TICKET_S})


@router.get("/.well-known/jwks.json", dependencies=[public()])
async def jwks(request: Request) -> Response:
    """Return the public key of access tokens."""
    return _json({"keys": [dict(request.app.state.identity.jwk)]})


async def _check(
    body: SignIn, database: Database, vault: Vault, passwords: Passwords
) -> tuple[UUID, UUID] | None:
    """Return user and workspace; the same work is done for an account that does not exist."""
    async with database.system() as connection:
        cursor = await connection.execute(
            "SELECT workspace_id FROM guard_workspaces WHERE name_key = %s OR %s LIMIT 2",
            [name_key(body.workspace or ""), body.workspace is None],
        )
        workspaces = [row[0] for row in await cursor.fetchall()]
        row = None
        if len(workspaces) == 1:
            await vault.load_workspaces(workspaces)
            digest = vault.email_digest(workspaces[0], body.email)
            row = await (await connection.execute(FIND, [workspaces[0], digest])).fetchone()
    verified = await passwords.verify(body.password, row[2] if row else None)
    if verified is None or row is None:
        return None
    user_id, workspace_id, _ = row
    if verified.new_hash is not None:
        async with database.system() as connection:
            await connection.execute(
                "UPDATE credentials SET password_hash = %s WHERE user_id = %s", [verified.new_hash, user_id]
            )
    return user_id, workspace_id


def _token(identity: Identity, user_id: UUID, workspace_id: UUID) -> Response:
    token = identity.access_token(user_id, workspace_id)
    return _json({"access_token": token, "token_type": "Bearer", "expires_in": ACCESS_S})


def _json(body: dict[str, Any]) -> Response:
    headers = {"Cache-Control": "no-store"}
    return Response(msgspec.json.encode(body), 200, headers, "application/json")


def _set_cookie(answer: Response, session: str, *, secure: bool) -> None:
    answer.set_cookie(
        COOKIE,
        session,
        max_age=SESSION_S,
        path="/",
        httponly=True,
        samesite="strict",
        secure=secure,
    )
