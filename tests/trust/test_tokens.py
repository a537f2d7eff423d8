"""Access tokens: what is refused (security tests 3 and 4), and that they say who, never what."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from domain.workspace import Role

Run = Callable[[Any], Any]
SESSION = "a session's cookie"


async def add_person(site: Any, email: str = "a@example.org") -> Any:
    """Add a person with a session, which the tokens here are of."""
    user_id = await site.add_person(email)
    await site.write("DELETE FROM sessions")
    await site.write(
        "INSERT INTO sessions (session_hash, workspace_id, user_id, expires_at)"
        " VALUES (%s, %s, %s, now() + interval '1 hour')",
        *(hashlib.sha256(SESSION.encode()).digest(), site.workspace_id, user_id),
    )
    return user_id


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(site: Any, user_id: Any, **changes: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    base = {
        "iss": "mission-control", "aud": "mission-control", "sub": str(user_id),
        "wid": str(site.workspace_id), "iat": now, "nbf": now, "exp": now + timedelta(minutes=5),
        "jti": uuid4().hex, "sid": hashlib.sha256(SESSION.encode()).hexdigest(),
    }  # fmt: skip
    return {name: value for name, value in (base | changes).items() if value is not None}


def signed(site: Any, user_id: Any, header: dict[str, Any] | None = None, **changes: Any) -> str:
    """Return a token that our own key has signed; `header` changes its header."""
    signing = site.vault.signing_key()
    head = {"kid": signing.kid, "typ": "at+jwt", **(header or {})}
    return jwt.encode(claims(site, user_id, **changes), signing.private, "EdDSA", headers=head)


def forged(site: Any, user_id: Any, alg: str, key: bytes | None) -> str:
    """Return a token of an algorithm that we never use."""
    kid = site.vault.signing_key().kid
    body = {
        name: int(value.timestamp()) if isinstance(value, datetime) else value
        for name, value in claims(site, user_id).items()
    }
    head = {"alg": alg, "kid": kid, "typ": "at+jwt"}
    text = ".".join(b64(json.dumps(part).encode()) for part in (head, body))
    signature = hmac.digest(key, text.encode(), hashlib.sha256) if key else b""
    return f"{text}.{b64(signature)}"


async def attacks(site: Any, user_id: Any) -> dict[str, str]:
    signing = site.vault.signing_key()
    public = signing.private.public_key()
    thief = Ed25519PrivateKey.generate()
    thief_jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64(thief.public_key().public_bytes_raw())}
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    by_thief = {
        name: jwt.encode(
            claims(site, user_id), thief, "EdDSA",
            headers={"kid": signing.kid, "typ": "at+jwt", **extra},
        )
        for name, extra in {
            "another key": {},
            "jwk": {"jwk": thief_jwk},
            "jku": {"jku": "https://evil.example/jwks.json"},
            "x5u": {"x5u": "https://evil.example/cert.pem"},
        }.items()
    }  # fmt: skip
    good = signed(site, user_id)
    now = datetime.now(UTC)
    return {
        **by_thief,
        "none": forged(site, user_id, "none", None),
        "None": forged(site, user_id, "None", None),
        "HS256 with the public key": forged(site, user_id, "HS256", public.public_bytes_raw()),
        "HS256 with the public key in PEM": forged(site, user_id, "HS256", pem),
        "our signature with jwk": signed(site, user_id, {"jwk": dict(signing.jwk)}),
        "our signature with crit": signed(site, user_id, {"crit": ["exp"]}),
        "unknown kid": signed(site, user_id, {"kid": "unknown"}),
        "typ JWT": signed(site, user_id, {"typ": "JWT"}),
        "no signature": good.rpartition(".")[0] + ".",
        "cut": good[:-4],
        "another issuer": signed(site, user_id, iss="https://elsewhere.example"),
        "an ID token": signed(site, user_id, {"typ": "JWT"}, aud="web-client"),
        "another audience": signed(site, user_id, aud="another-api"),
        "expired": signed(site, user_id, exp=now - timedelta(seconds=1)),
        "not yet": signed(site, user_id, nbf=now + timedelta(minutes=1)),
        "another workspace": signed(site, user_id, wid=str(uuid4())),
        "nobody": signed(site, uuid4()),
        "another session": signed(site, user_id, sid=hashlib.sha256(b"other").hexdigest()),
        "sid is no hash": signed(site, user_id, sid="\u00e4"),
        "sub is no id": signed(site, "admin"),
        "garbage": "a.b.c",
        "empty": "",
        "long": "a" * 5_000,
        **{
            f"without {name}": signed(site, user_id, **{name: None})
            for name in ("iss", "aud", "sub", "wid", "iat", "nbf", "exp", "jti", "sid")
        },
    }


def test_every_forged_token_is_refused_and_a_good_one_is_not(at_site: Run) -> None:
    async def scenario(site: Any) -> dict[str, int]:
        user_id = await add_person(site)
        assert await site.status(signed(site, user_id)) == 200
        attempts = await attacks(site, user_id)
        return {name: await site.status(token) for name, token in attempts.items()}

    assert {name: status for name, status in at_site(scenario).items() if status != 401} == {}


def test_a_401_says_how_to_come_in_and_shows_no_token(at_site: Run) -> None:
    async def scenario(site: Any) -> Any:
        return await site.client.get("/read", headers={"authorization": "Bearer sesame"})

    answer = at_site(scenario)
    assert answer.json()["code"] == "unauthenticated"
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert "sesame" not in answer.text


def test_two_authorization_headers_are_one_too_many(at_site: Run) -> None:
    async def scenario(site: Any) -> int:
        token = signed(site, await add_person(site))
        headers = [("authorization", f"Bearer {token}")] * 2
        status: int = (await site.client.get("/read", headers=headers)).status_code
        return status

    assert at_site(scenario) == 401


def test_a_token_is_signed_by_the_key_that_is_published(at_site: Run) -> None:
    async def scenario(site: Any) -> tuple[Any, str]:
        user_id = await add_person(site)
        published = (await site.client.get("/.well-known/jwks.json")).json()
        return published, site.identity.access_token(user_id, site.workspace_id, SESSION)

    published, token = at_site(scenario)
    (key,) = published["keys"]
    assert "d" not in key
    assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "kid": key["kid"], "typ": "at+jwt"}
    read = jwt.decode(token, jwt.PyJWK(key), ["EdDSA"], audience="mission-control")
    assert read["exp"] - read["iat"] == 600
    assert set(read) == {"iss", "aud", "sub", "wid", "iat", "nbf", "exp", "jti", "sid"}
    assert hashlib.sha256(
        json.dumps({n: key[n] for n in ("crv", "kty", "x")}, separators=(",", ":")).encode()
    ).digest() == base64.urlsafe_b64decode(key["kid"] + "=")


def test_a_changed_role_counts_with_the_same_token(at_site: Run) -> None:
    async def scenario(site: Any) -> tuple[int, int, int]:
        user_id = await add_person(site)
        token = signed(site, user_id)
        before = await site.status(token, "/administer")
        await site.write(
            "UPDATE guard_members SET role = %s WHERE user_id = %s", Role.VIEWER, user_id
        )
        site.identity.on_event("workspace.role_changed.v1")
        return before, await site.status(token, "/administer"), await site.status(token)

    assert at_site(scenario) == (200, 403, 200)


@pytest.mark.parametrize(
    ("change", "event"),
    [
        ("UPDATE guard_members SET disabled = true WHERE user_id = %s", "user.disabled.v1"),
        ("DELETE FROM guard_members WHERE user_id = %s", "workspace.member_removed.v1"),
    ],
)
def test_who_was_shut_out_is_nobody_with_the_same_token(
    at_site: Run, change: str, event: str
) -> None:
    async def scenario(site: Any) -> tuple[int, int, Any]:
        user_id = await add_person(site)
        token = signed(site, user_id)
        before = await site.status(token)
        principal = site.identity.recall(token.encode())
        await site.write(change, user_id)
        site.identity.on_event(event)
        return before, await site.status(token), await site.identity.current(principal)

    assert at_site(scenario) == (200, 401, None)


def test_rights_lost_while_they_were_being_read_are_not_remembered(at_site: Run) -> None:
    async def scenario(site: Any) -> tuple[bool, bool]:
        token = signed(site, await add_person(site)).encode()
        scope = {"client": ("198.51.100.7", 1), "state": {}}
        async with site.database.system() as other, other.transaction():
            # The reader waits here for the lock, as it would for a slow database.
            await other.execute("LOCK TABLE guard_members")
            reading = asyncio.create_task(site.identity.authenticate(token, scope))
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            while await site.rows(waiting) == [(0,)]:
                await asyncio.sleep(0.01)
            site.identity.on_event("workspace.role_changed.v1")
        await reading
        forgotten = site.identity.recall(token) is None
        await site.identity.authenticate(token, scope)
        return forgotten, site.identity.recall(token) is not None

    assert at_site(scenario) == (True, True)
