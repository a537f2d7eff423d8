"""Signing in and out, and tickets for sockets."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Request, Response
from pydantic import Field

from domain.permissions import Permission
from infra.http.fields import Body, Line
from infra.http.openapi import answer, refusals
from infra.http.principal import (
    Forbidden,
    InvalidCredentials,
    OriginRefused,
    Principal,
    Unauthenticated,
    address_of,
    bearer_of,
    network_of,
    public,
    requires,
)
from infra.identity import ACCESS_S, SESSION_S, TICKET_S, Identity
from infra.passwords import WeakPassword, require_strong
from infra.sign_in import Accounts, SignInLimits, account_key

router = APIRouter(tags=["auth"])

COOKIE = "mc_session"
MISTAKEN = "the e-mail address or the password is wrong"


class SignIn(Body):
    email: Annotated[str, Field(min_length=1, max_length=320, examples=["admin@localhost"])]
    password: Annotated[str, Field(min_length=1, max_length=1024)]
    workspace: Line | None = None


class NewPassword(Body):
    email: Annotated[str, Field(min_length=1, max_length=320, examples=["admin@localhost"])]
    password: Annotated[str, Field(min_length=1, max_length=1024)]
    new_password: Annotated[str, Field(min_length=1, max_length=1024)]


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
    async with limits.attempt(account_key(body.email), network_of(address_of(request.scope))):
        found = await _accounts(request).find(body.email, body.password, body.workspace)
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
    answer = Response(status_code=204)
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
    return Response(status_code=204)


@router.put("/api/members/me/password", status_code=204, responses=refusals(429))
async def change_password(
    body: NewPassword, request: Request, principal: Annotated[Principal, requires(Permission.READ)]
) -> Response:
    """Change one's own password, by address and the password so far; every session ends."""
    limits: SignInLimits = request.app.state.sign_in_limits
    caller = (principal.actor.id, principal.workspace_id)
    accounts = _accounts(request)
    # The same account as at sign-in: whoever has a stolen token gets no tries of their own.
    async with limits.attempt(account_key(body.email), network_of(address_of(request.scope))):
        named = await accounts.verified([principal.workspace_id], body.email, body.password)
        if [one.user_id for one in named] != [principal.actor.id]:
            await _note(request, "password", "refused", *caller)
            raise InvalidCredentials(MISTAKEN, field="password")
    try:
        require_strong(body.new_password, body.email)
    except WeakPassword as weak:
        raise WeakPassword(weak.detail, field="new_password") from None
    if not await accounts.change_password(named[0], body.new_password):
        # Somebody else who knew it was quicker.
        raise InvalidCredentials(MISTAKEN, field="password")
    await request.app.state.identity.revoked(principal.actor.id)
    await _note(request, "password", "changed", *caller)
    return Response(status_code=204)


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


async def _signed_in(request: Request, identity: Identity) -> Principal | None:
    value, token = request.cookies.get(COOKIE), bearer_of(request.scope)
    found = await identity.by_session(value) if value else None
    return found or (await identity.find(token) if token else None)


def _token(identity: Identity, user_id: UUID, workspace_id: UUID, session: str) -> Response:
    token = identity.access_token(user_id, workspace_id, session)
    return _json({"access_token": token, "token_type": "Bearer", "expires_in": ACCESS_S})


def _json(body: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")


def _accounts(request: Request) -> Accounts:
    state = request.app.state
    return Accounts(state.database, state.vault, state.passwords)


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
