"""Who is who: access tokens, agents' keys, browser sessions and socket tickets.

A token says who, never what: rights are asked of write-side rows, cached until an event changes them.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
from uuid_utils.compat import uuid4, uuid7

from commands.append import Actor, ActorKind, RowWrite
from domain.agent import Lifecycle
from domain.permissions import Scope, agent_permissions, role_permissions
from domain.workspace import Role
from infra.counters import Counters, Limit, LocalCounters, Taken
from infra.http.principal import Principal, Unauthenticated, address_of, network_of
from infra.postgres import Database
from infra.vault import Bounded, Vault

ACCESS_S = 600
SESSION_S = 12 * 3600
TICKET_S = 30
KNOWN_S = 60  # should no event arrive any more, lost rights are noticed after this time
ISSUER = AUDIENCE = "mission-control"
ALGORITHM = "EdDSA"
TOKEN_TYPE = "at+jwt"  # noqa: S105 - a media type, RFC 9068
KEY_PREFIX = "mc_"
KEY_FORM = re.compile(r"mc_([0-9a-f]{32})_([A-Za-z0-9_-]{43})")
CREDENTIAL_BYTES_MAX = 4_096
CACHED_MAX = 10_000
TOKEN_HEADERS = {"alg", "kid", "typ"}
ABOUT_SOMEBODY = ("workspace.", "user.", "agent.")
NOT_ABOUT_RIGHTS = ("agent.came", "agent.went", "agent.became", "agent.updated")
CLAIMS = ["exp", "iat", "nbf", "iss", "aud", "sub", "jti", "wid", "sid"]
# Each is a row: a flood of worthless credentials must not become a flood of writes.
REFUSALS_NOTED_PER_ADDRESS = Limit(300, 60)

MEMBER = """
SELECT m.workspace_id, m.role FROM guard_members m
WHERE m.user_id = %(user)s AND NOT m.disabled AND (%(session)s::bytea IS NULL OR EXISTS (
    SELECT FROM sessions s
    WHERE s.session_hash = %(session)s AND s.user_id = m.user_id AND s.ended_at IS NULL))"""
KEY = """
SELECT k.workspace_id, k.agent_id, k.secret_hash, k.scopes, a.lifecycle, a.owner_id, m.role
FROM agent_keys k JOIN guard_agents a USING (agent_id, workspace_id)
JOIN guard_members m ON m.user_id = a.owner_id AND m.workspace_id = a.workspace_id
    AND NOT m.disabled
WHERE k.key_id = %s AND k.revoked_at IS NULL AND a.lifecycle <> 'retired'"""

# With the statement, and so with its transaction, every process hears whose sessions have ended.
NEW_SESSION = """
INSERT INTO sessions (session_hash, workspace_id, user_id, expires_at)
SELECT %(session)s, workspace_id, user_id, %(expires_at)s FROM credentials
WHERE user_id = %(user)s AND changed_at = %(changed_at)s FOR SHARE RETURNING true"""
END_SESSION = """
UPDATE sessions SET ended_at = clock_timestamp() WHERE session_hash = %s AND ended_at IS NULL
RETURNING user_id, pg_notify('mc_revoked', user_id::text)"""
END_SESSIONS = """
UPDATE sessions SET ended_at = clock_timestamp() WHERE user_id = %s AND ended_at IS NULL
RETURNING user_id, pg_notify('mc_revoked', user_id::text)"""
END_OTHER_SESSIONS = """
UPDATE sessions SET ended_at = clock_timestamp()
WHERE user_id = %s AND session_hash <> %s AND ended_at IS NULL
RETURNING user_id, pg_notify('mc_revoked', user_id::text)"""

Announce = Callable[[UUID], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Known:
    """Verified credentials: what they prove, and until when."""

    principal: Principal
    expires_at: datetime


class Identity:
    """Turns credentials into principals."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        counters: Counters | None = None,
        announce: Announce | None = None,
    ) -> None:
        self._database = database
        self._announce = announce
        signing = vault.signing_key()
        self._private, self._kid, self.jwk = signing.private, signing.kid, signing.jwk
        self._public = signing.private.public_key()
        self._known = Bounded[bytes, _Known](CACHED_MAX)
        self._changes = 0
        self._counters = counters or LocalCounters()

    # Credentials of requests

    def recall(self, credential: bytes) -> Principal | None:
        """Return whose credential this is, where it was checked lately."""
        known = self._known.get(hashlib.sha256(credential).digest())
        return known.principal if known and known.expires_at > datetime.now(UTC) else None

    async def authenticate(self, credential: bytes, scope: Any) -> Principal:
        """Check a credential; raises `Unauthenticated`."""
        changes = self._changes
        found = await self.find(credential)
        if found is None:
            if credential:
                await self._note_refusal("credential", scope)
            raise Unauthenticated("sign in, or send a key that is in force")
        if changes == self._changes:  # else these rights may be the ones that were just lost
            until = datetime.now(UTC) + timedelta(seconds=KNOWN_S)
            known = _Known(found, min(found.expires_at or until, until))
            self._known.put(hashlib.sha256(credential).digest(), known)
        return found

    async def find(self, credential: bytes) -> Principal | None:
        """Return whose credential this is now, if it is in force."""
        if len(credential) > CREDENTIAL_BYTES_MAX:
            return None
        text = credential.decode("latin-1")
        if text.startswith(KEY_PREFIX):
            return await self._by_key(text)
        return await self._by_token(text)

    async def note_forbidden(self, principal: Principal, scope: Any) -> None:
        """Write a refusal to the log of authentication."""
        await self._note_refusal("permission", scope, principal)

    async def _note_refusal(
        self, event: str, scope: Any, principal: Principal | None = None
    ) -> None:
        address = address_of(scope)
        limits = {f"refusals:{network_of(address)}": REFUSALS_NOTED_PER_ADDRESS}
        if isinstance(await self._counters.take(limits), Taken):
            await self.note(
                event,
                "refused",
                actor_id=principal.actor.id if principal else None,
                workspace_id=principal.workspace_id if principal else None,
                address=address,
                request_id=scope["state"].get("request_id"),
            )

    def on_event(self, topic: str) -> None:
        """Forget what an event of the log may have changed. Rights change rarely: all are forgotten."""
        if topic.startswith(ABOUT_SOMEBODY) and not topic.startswith(NOT_ABOUT_RIGHTS):
            self.forget()

    def forget(self) -> None:
        """Look every credential up again that comes from now on."""
        self._known = Bounded[bytes, _Known](CACHED_MAX)
        self._changes += 1

    async def current(self, principal: Principal) -> Principal | None:
        """Return the same caller with the rights of now; None if they may not come in any more."""
        if principal.expires_at is not None and principal.expires_at <= datetime.now(UTC):
            return None
        if principal.key_id is not None:
            row = await self._key_row(principal.key_id)
            return None if row is None else _agent(principal.key_id, row, principal.expires_at)
        return await self._person(
            principal.actor.id, principal.workspace_id, principal.expires_at, principal.session
        )

    async def _by_token(self, token: str) -> Principal | None:
        try:
            header = jwt.get_unverified_header(token)
            # Exactly what we write: a header that names a key of its own is never looked at.
            if header.keys() != TOKEN_HEADERS or header["kid"] != self._kid:
                return None
            if header["typ"] != TOKEN_TYPE:
                return None
            claims = jwt.decode(
                token,
                self._public,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                options={"require": CLAIMS},
            )
            user_id, workspace_id = UUID(claims["sub"]), UUID(claims["wid"])
            session = bytes.fromhex(claims["sid"])
        except (jwt.PyJWTError, ValueError, KeyError, TypeError, AttributeError):
            return None
        expires_at = datetime.fromtimestamp(claims["exp"], UTC)
        return await self._person(user_id, workspace_id, expires_at, session)

    async def _person(
        self,
        user_id: UUID,
        workspace_id: UUID,
        expires_at: datetime | None,
        session: bytes | None,
    ) -> Principal | None:
        async with self._database.briefly() as connection:
            cursor = await connection.execute(MEMBER, {"user": user_id, "session": session})
            row = await cursor.fetchone()
        if row is None or row[0] != workspace_id:
            return None
        permissions = role_permissions(Role(row[1]))
        actor = Actor(ActorKind.USER, user_id)
        return Principal(actor, workspace_id, permissions, None, None, expires_at, session)

    async def _by_key(self, credentials: str) -> Principal | None:
        form = KEY_FORM.fullmatch(credentials)
        if form is None:
            return None
        key_id = UUID(hex=form[1])
        row = await self._key_row(key_id)
        if row is None or not hmac.compare_digest(row[2], _hash(form[2])):
            return None
        return _agent(key_id, row, None)

    async def _key_row(self, key_id: UUID) -> tuple[Any, ...] | None:
        async with self._database.briefly() as connection:
            return await (await connection.execute(KEY, [key_id])).fetchone()

    # Making credentials

    def access_token(self, user_id: UUID, workspace_id: UUID, session: str) -> str:
        """Return a token that says who, for `ACCESS_S` seconds and while a session is in force."""
        now = datetime.now(UTC)
        claims = {
            "iss": ISSUER, "aud": AUDIENCE, "sub": str(user_id), "wid": str(workspace_id),
            "iat": now, "nbf": now, "exp": now + timedelta(seconds=ACCESS_S), "jti": uuid4().hex,
            "sid": _hash(session).hex(),
        }  # fmt: skip
        headers = {"kid": self._kid, "typ": TOKEN_TYPE}
        return jwt.encode(claims, self._private, algorithm=ALGORITHM, headers=headers)

    async def new_session(self, user_id: UUID, changed_at: datetime) -> str | None:
        """Return the opaque value of a browser session's cookie; its hash is stored.

        `changed_at` is when the password that was verified had been changed. None where it was changed again
        since: that ends every session, also one that is just about to begin.
        """
        value = secrets.token_urlsafe(32)
        values = {
            "session": _hash(value), "user": user_id, "changed_at": changed_at,
            "expires_at": datetime.now(UTC) + timedelta(seconds=SESSION_S),
        }  # fmt: skip
        async with self._database.briefly() as connection:
            begun = await (await connection.execute(NEW_SESSION, values)).fetchone()
            await connection.execute(
                "DELETE FROM sessions WHERE expires_at < clock_timestamp() - interval '30 days'"
            )
        return None if begun is None else value

    async def by_session(self, value: str) -> Principal | None:
        """Return whose browser session this is, if it is in force and its person still welcome."""
        session = _hash(value)
        async with self._database.briefly() as connection:
            cursor = await connection.execute(
                "SELECT user_id, workspace_id, expires_at FROM sessions"
                " WHERE session_hash = %s AND ended_at IS NULL AND expires_at > clock_timestamp()",
                [session],
            )
            row = await cursor.fetchone()
        if row is None:
            return None
        user_id, workspace_id, expires_at = row
        return await self._person(user_id, workspace_id, expires_at, session)

    async def end_session(self, session: bytes) -> None:
        """End a session, given its hash, and with it its tokens and sockets, in every process."""
        async with self._database.briefly() as connection:
            row = await (await connection.execute(END_SESSION, [session])).fetchone()
        if row is not None:
            await self.revoked(row[0])

    async def end_other_sessions(self, user_id: UUID, session: bytes) -> None:
        """End every session of a person but one, given its hash."""
        async with self._database.briefly() as connection:
            cursor = await connection.execute(END_OTHER_SESSIONS, [user_id, session])
        if cursor.rowcount > 0:
            await self.revoked(user_id)

    async def revoked(self, user_id: UUID) -> None:
        """Tell every process that sessions of a person have ended."""
        self.forget()
        if self._announce is not None:
            await self._announce(user_id)

    async def new_ticket(self, principal: Principal) -> str:
        """Return a ticket that opens one socket within `TICKET_S` seconds."""
        # The hash of the whole is stored, so that the session in it is the one that was put there.
        session = principal.session.hex() if principal.session else ""
        ticket = f"{secrets.token_urlsafe(32)}.{session}"
        values = [
            _hash(ticket), principal.workspace_id, principal.actor.kind, principal.actor.id,
            principal.key_id, datetime.now(UTC) + timedelta(seconds=TICKET_S), principal.expires_at,
        ]  # fmt: skip
        async with self._database.briefly() as connection:
            await connection.execute(
                "INSERT INTO socket_tickets VALUES (%s, %s, %s, %s, %s, %s, %s)", values
            )
            await connection.execute(
                "DELETE FROM socket_tickets WHERE expires_at < clock_timestamp() - interval '1 hour'"
            )
        return ticket

    async def redeem_ticket(self, ticket: str) -> Principal | None:
        """Use a ticket up; return its holder with the rights of now."""
        async with self._database.briefly() as connection:
            cursor = await connection.execute(
                "DELETE FROM socket_tickets WHERE ticket_hash = %s RETURNING workspace_id, actor_kind,"
                " actor_id, key_id, access_expires_at, expires_at > clock_timestamp()",
                [_hash(ticket)],
            )
            row = await cursor.fetchone()
        if row is None or not row[5]:
            return None
        workspace_id, kind, actor_id, key_id, expires_at, _ = row
        actor = Actor(ActorKind(kind), actor_id)
        session = bytes.fromhex(ticket.partition(".")[2]) or None
        holder = Principal(actor, workspace_id, frozenset(), None, key_id, expires_at, session)
        return await self.current(holder)

    async def note(
        self, event: str, outcome: str, *, actor_id: UUID | None = None, workspace_id: UUID | None = None,
        address: str | None = None, request_id: str | None = None,
    ) -> None:  # fmt: skip
        """Write an outcome of authentication to its append-only log; never an address or a secret."""
        async with self._database.briefly() as connection:
            await connection.execute(
                "INSERT INTO auth_log (workspace_id, event, outcome, actor_id, address, request_id)"
                " VALUES (%s, %s, %s, %s, %s, %s)",
                [workspace_id, event, outcome, actor_id, address, request_id],
            )


def new_agent_key(
    workspace_id: UUID, agent_id: UUID, scopes: tuple[str, ...]
) -> tuple[UUID, str, RowWrite]:
    """Return a key's id, its text (shown once) and the row that belongs to its event."""
    key_id, secret = uuid7(), secrets.token_urlsafe(32)
    row = RowWrite(
        "INSERT INTO agent_keys (key_id, workspace_id, agent_id, secret_hash, scopes)"
        " VALUES (%(key_id)s, %(workspace_id)s, %(agent_id)s, %(secret_hash)s, %(scopes)s)",
        {
            "key_id": key_id, "workspace_id": workspace_id, "agent_id": agent_id,
            "secret_hash": _hash(secret), "scopes": list(scopes),
        },
    )  # fmt: skip
    return key_id, f"{KEY_PREFIX}{key_id.hex}_{secret}", row


def _agent(key_id: UUID, row: tuple[Any, ...], expires_at: datetime | None) -> Principal:
    workspace_id, agent_id, _, scopes, lifecycle, owner_id, role = row
    granted, owner = [Scope(scope) for scope in scopes], Role(role)
    permissions = agent_permissions(granted, owner, active=lifecycle == Lifecycle.ACTIVE)
    withheld = agent_permissions(granted, owner, active=True) - permissions
    actor = Actor(ActorKind.AGENT, agent_id)
    return Principal(
        actor, workspace_id, permissions, owner_id, key_id, expires_at, withheld=withheld
    )


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()
