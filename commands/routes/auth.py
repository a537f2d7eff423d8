"""Signing in and out, and tickets for sockets."""

import hashlib
import math
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import repeat
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import msgspec
from fastapi import APIRouter, Request, Response
from pydantic import Field

from domain.base import InvalidValue
from domain.guards import name_key
from domain.permissions import Permission
from infra.counters import Counters, Full, Limit
from infra.http.fields import Body, Line
from infra.http.openapi import answer, refusals
from infra.http.principal import (
    Forbidden,
    InvalidCredentials,
    OriginRefused,
    Principal,
    RateLimited,
    Unauthenticated,
    address_of,
    bearer_of,
    network_of,
    public,
    requires,
)
from infra.identity import ACCESS_S, END_SESSIONS, SESSION_S, TICKET_S, Identity
from infra.passwords import Passwords, WeakPassword, require_strong
from infra.postgres import Database
from infra.vault import Vault, normal_email

router = APIRouter(tags=["auth"])

COOKIE = "mc_session"
# Failures only. By account and address together, so that nobody can lock somebody else out.
PER_ACCOUNT = Limit(10, 300)
PER_ADDRESS = Limit(100, 300)
# Passwords are verified two at a time: whoever asks for many at once would have all others wait behind.
AT_ONCE_MAX = 10
# A sign-in that names no workspace is looked for in each, and each costs a digest, a password a core.
WORKSPACES_SEARCHED_MAX = 200
ACCOUNTS_TRIED_MAX = 4

FIND = """
SELECT c.user_id, c.workspace_id, c.password_hash, c.changed_at
FROM unnest(%s::uuid[], %s::bytea[]) AS asked (workspace_id, email_digest)
JOIN credentials c USING (workspace_id, email_digest)
JOIN guard_members m ON m.user_id = c.user_id AND NOT m.disabled
ORDER BY c.workspace_id LIMIT %s"""
MISTAKEN = "the e-mail address or the password is wrong"
STORE_HASH = """
UPDATE credentials SET password_hash = %s, changed_at = clock_timestamp()
WHERE user_id = %s AND changed_at = %s RETURNING true"""


class WorkspaceNeeded(InvalidValue):
    """Sign-in can't tell which workspace is meant.

    Either address and password are right in several, of which only who knows them hears; or there are
    too many to look in, whoever asks.
    """

    code = "workspace_needed"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, field="workspace")


class SignIn(Body):
    email: Annotated[str, Field(min_length=1, max_length=320, examples=["admin@localhost"])]
    password: Annotated[str, Field(min_length=1, max_length=1024)]
    workspace: Line | None = None


class NewPassword(Body):
    email: Annotated[str, Field(min_length=1, max_length=320, examples=["admin@localhost"])]
    password: Annotated[str, Field(min_length=1, max_length=1024)]
    new_password: Annotated[str, Field(min_length=1, max_length=1024)]


class _Found(NamedTuple):
    """Whose password was right, and the better hash of it where its own is outdated."""

    user_id: UUID
    workspace_id: UUID
    stored: str
    changed_at: datetime
    new_hash: str | None


class AccessToken(msgspec.Struct):
    """A token for the Authorization header; `expires_in` is in seconds."""

    access_token: str
    token_type: str
    expires_in: int


class SocketTicket(msgspec.Struct):
    """What a socket is opened with; `expires_in` is in seconds."""

    ticket: str
    expires_in: int


class KeySet(msgspec.Struct):
    """Public keys, as JSON Web Keys (RFC 7517)."""

    keys: list[dict[str, str]]


class SignInLimits:
    """Counts failures, in as many processes as the counters do, and what runs in this one."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._running = Counter[str]()

    @asynccontextmanager
    async def attempt(self, account: str, address: str) -> AsyncIterator[None]:
        """Let one attempt run, and count it as a failure if it ends in `InvalidCredentials`.

        Raises `RateLimited` after too many failures, or while too many attempts run. Attempts that still run
        count with failures, or a hundred at once would all begin before the first has failed.
        """
        if self._running[address] >= AT_ONCE_MAX:
            raise RateLimited(1)
        self._running[address] += 1
        try:
            async with self._counted(account, address):
                yield
        finally:
            self._running[address] -= 1
            if self._running[address] == 0:
                del self._running[address]

    @asynccontextmanager
    async def _counted(self, account: str, address: str) -> AsyncIterator[None]:
        limits = {
            f"sign-in:{account}:{address}": PER_ACCOUNT,
            f"sign-in:{address}": PER_ADDRESS,
        }
        taken = await self._counters.take(limits)
        if isinstance(taken, Full):
            raise RateLimited(max(1, math.ceil(taken.retry_after_s)))
        failed = False
        try:
            yield
        except InvalidCredentials:
            failed = True
            raise
        finally:
            if not failed:
                await self._counters.give_back(taken)


@router.post(
    "/api/auth/sign-in",
    dependencies=[public()],
    responses={**answer(AccessToken, "Signed in"), **refusals(401, 403, 429)},
)
async def sign_in(body: SignIn, request: Request) -> Response:
    """Give an access token for an address and a password, and set the browser session's cookie.

    The workspace has to be named only where they are right in several (`workspace_needed`).
    """
    _refuse_foreign_page(request)
    state = request.app.state
    identity: Identity = state.identity
    limits: SignInLimits = state.sign_in_limits
    async with limits.attempt(_account(body), network_of(address_of(request.scope))):
        found = await _check(body, state.database, state.vault, state.passwords)
        session = found and await identity.new_session(found.user_id, found.changed_at)
        if found is None or session is None:
            await _note(request, "sign_in", "refused")
            raise InvalidCredentials("the e-mail address, the password or the workspace is wrong")
    user_id, workspace_id = found.user_id, found.workspace_id
    await _note(request, "sign_in", "granted", user_id, workspace_id)
    answer = _token(identity, user_id, workspace_id, session)
    _set_cookie(request, answer, session)
    return answer


@router.post(
    "/api/auth/token",
    dependencies=[public()],
    responses={**answer(AccessToken, "Signed in"), **refusals(401, 403)},
)
async def fresh_token(request: Request) -> Response:
    """Give a fresh access token to a browser session; only to pages of our own origin."""
    if "origin" not in request.headers:
        raise OriginRefused("a browser session is for pages; sign in for a token")
    _refuse_foreign_page(request)
    identity: Identity = request.app.state.identity
    value = request.cookies.get(COOKIE)
    principal = await identity.by_session(value) if value else None
    if value is None or principal is None:
        raise Unauthenticated("no browser session is in force; sign in")
    user_id, workspace_id = principal.actor.id, principal.workspace_id
    await _note(request, "token", "granted", user_id, workspace_id)
    return _token(identity, user_id, workspace_id, value)


@router.post(
    "/api/auth/sign-out", dependencies=[public()], status_code=204, responses=refusals(403)
)
async def sign_out(request: Request) -> Response:
    """End the session of the cookie, or else of the access token: its tokens and sockets end with it."""
    _refuse_foreign_page(request)
    identity: Identity = request.app.state.identity
    principal = await _signed_in(request, identity)
    if principal is not None and principal.session is not None:
        await identity.end_session(principal.session)
        await _note(request, "sign_out", "granted", principal.actor.id, principal.workspace_id)
    answer = Response(status_code=204, headers={"Cache-Control": "no-store"})
    secure = _is_secure(request)
    answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict", secure=secure)
    return answer


@router.post("/api/auth/sign-out-elsewhere", status_code=204)
async def sign_out_elsewhere(
    request: Request, principal: Annotated[Principal, requires(Permission.READ)]
) -> Response:
    """End every other session of the person who asks, with its tokens and sockets; this one goes on."""
    if principal.session is None:
        raise Forbidden("only people have sessions")
    identity: Identity = request.app.state.identity
    await identity.end_other_sessions(principal.actor.id, principal.session)
    await _note(
        request, "sign_out_elsewhere", "granted", principal.actor.id, principal.workspace_id
    )
    return Response(status_code=204, headers={"Cache-Control": "no-store"})


@router.put("/api/members/me/password", status_code=204, responses=refusals(429))
async def change_password(
    body: NewPassword, request: Request, principal: Annotated[Principal, requires(Permission.READ)]
) -> Response:
    """Change one's own password, by address and the password so far; every session ends."""
    state = request.app.state
    limits: SignInLimits = state.sign_in_limits
    caller = (principal.actor.id, principal.workspace_id)
    # The same account as at sign-in: whoever has a stolen token gets no tries of their own.
    signed_in = SignIn(email=body.email, password=body.password)
    async with limits.attempt(_account(signed_in), network_of(address_of(request.scope))):
        named = await _verified(
            [principal.workspace_id], signed_in, state.database, state.vault, state.passwords
        )
        if [one.user_id for one in named] != [principal.actor.id]:
            await _note(request, "password", "refused", *caller)
            raise InvalidCredentials(MISTAKEN, field="password")
    try:
        require_strong(body.new_password, body.email)
    except WeakPassword as weak:
        raise WeakPassword(weak.detail, field="new_password") from None
    new_hash = await state.passwords.hash(body.new_password)
    async with state.database.briefly() as connection, connection.transaction():
        values = [new_hash, principal.actor.id, named[0].changed_at]
        if await (await connection.execute(STORE_HASH, values)).fetchone() is None:
            # Changed meanwhile by somebody else who knew it.
            raise InvalidCredentials(MISTAKEN, field="password")
        await connection.execute(END_SESSIONS, [principal.actor.id])
    await state.identity.revoked(principal.actor.id)
    await _note(request, "password", "changed", *caller)
    return Response(status_code=204, headers={"Cache-Control": "no-store"})


@router.post("/api/ws/ticket", responses=answer(SocketTicket, "Made"))
async def ticket(
    request: Request, principal: Annotated[Principal, requires(Permission.READ)]
) -> Response:
    """Give a ticket that opens one socket, soon."""
    value = await request.app.state.identity.new_ticket(principal)
    return _json({"ticket": value, "expires_in": TICKET_S})


@router.get("/.well-known/jwks.json", dependencies=[public()], responses=answer(KeySet))
async def jwks(request: Request) -> Response:
    """Return the public key of access tokens."""
    return _json({"keys": [dict(request.app.state.identity.jwk)]})


async def _check(
    body: SignIn, database: Database, vault: Vault, passwords: Passwords
) -> _Found | None:
    """Return whose address and password these are. Raises `WorkspaceNeeded` where they are several's."""
    async with database.briefly() as connection:
        cursor = await connection.execute(
            "SELECT workspace_id, name FROM guard_workspaces WHERE name_key = %s OR %s"
            " ORDER BY workspace_id LIMIT %s",
            [name_key(body.workspace or ""), body.workspace is None, WORKSPACES_SEARCHED_MAX + 1],
        )
        names = dict(await cursor.fetchall())
    if len(names) > WORKSPACES_SEARCHED_MAX:
        raise WorkspaceNeeded("there are many workspaces here: name the one that is meant")
    found = await _verified(list(names), body, database, vault, passwords)
    if len(found) > 1:
        fitting = ", ".join(f'"{names[one.workspace_id]}"' for one in found)
        raise WorkspaceNeeded(
            f"this fits in several workspaces, {fitting}: name the one that is meant"
        )
    for one in found:
        await _renew_hash(one, database)
    return found[0] if found else None


async def _verified(
    workspace_ids: Sequence[UUID], body: SignIn, database: Database, vault: Vault, passwords: Passwords
) -> list[_Found]:  # fmt: skip
    """Return the accounts whose address and password are right, at most one in each workspace.

    As many passwords are verified as there are workspaces, up to `ACCOUNTS_TRIED_MAX`, however many
    of them have an account of this address: how long it takes says nothing about that.
    """
    # Its connection is asked for while none is held: else sign-ins could wait for each other.
    await vault.load_workspaces(workspace_ids)
    digests = [vault.email_digest(one, body.email) for one in workspace_ids]
    tries = min(max(1, len(workspace_ids)), ACCOUNTS_TRIED_MAX)
    async with database.briefly() as connection:
        rows = await (await connection.execute(FIND, [workspace_ids, digests, tries])).fetchall()
    found = []
    for row in (*rows, *repeat(None, tries - len(rows))):
        verified = await passwords.verify(body.password, row[2] if row else None)
        if verified and row:
            found.append(_Found(row[0], row[1], row[2], row[3], verified.new_hash))
    return found


async def _renew_hash(found: _Found, database: Database) -> None:
    if found.new_hash is None:
        return
    async with database.briefly() as connection:
        await connection.execute(
            "UPDATE credentials SET password_hash = %s WHERE user_id = %s AND password_hash = %s",
            [found.new_hash, found.user_id, found.stored],
        )


async def _signed_in(request: Request, identity: Identity) -> Principal | None:
    value, token = request.cookies.get(COOKIE), bearer_of(request.scope)
    found = await identity.by_session(value) if value else None
    return found or (await identity.find(token) if token else None)


def _token(identity: Identity, user_id: UUID, workspace_id: UUID, session: str) -> Response:
    token = identity.access_token(user_id, workspace_id, session)
    return _json({"access_token": token, "token_type": "Bearer", "expires_in": ACCESS_S})


def _json(body: dict[str, Any]) -> Response:
    headers = {"Cache-Control": "no-store"}
    return Response(msgspec.json.encode(body), 200, headers, "application/json")


def _account(body: SignIn) -> str:
    """Return what failures are counted by; the address itself is kept nowhere.

    Whichever workspace is named: else each would be worth as many tries again.
    """
    return hashlib.sha256(normal_email(body.email).encode()).hexdigest()


def _refuse_foreign_page(request: Request) -> None:
    """Refuse a page of another origin; clients that are no browsers send none."""
    origin = request.headers.get("origin")
    if origin is not None and origin not in request.app.state.origins:
        raise OriginRefused("this origin is not allowed")


async def _note(
    request: Request,
    event: str,
    outcome: str,
    user_id: UUID | None = None,
    workspace_id: UUID | None = None,
) -> None:
    identity: Identity = request.app.state.identity
    await identity.note(
        event,
        outcome,
        actor_id=user_id,
        workspace_id=workspace_id,
        address=address_of(request.scope),
        request_id=request.scope["state"].get("request_id"),
    )


def _is_secure(request: Request) -> bool:
    settings = request.app.state.settings
    return bool(settings.scheme == "https" or settings.behind_proxy)


def _set_cookie(request: Request, answer: Response, session: str) -> None:
    answer.set_cookie(
        COOKIE,
        session,
        max_age=SESSION_S,
        path="/",
        httponly=True,
        samesite="strict",
        secure=_is_secure(request),
    )
