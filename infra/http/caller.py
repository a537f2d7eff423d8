"""From an HTTP request to a command's context, and from an answer to a response."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Protocol
from uuid import UUID, uuid5

import msgspec
from fastapi import Request, Response
from uuid_utils.compat import uuid7

from commands.append import Answer, CommandMeta
from commands.bus import Bus, Context
from commands.signs import SignsOfLife
from domain.base import InvalidValue, Refusal
from domain.permissions import Permission
from infra.http.limits import BODY
from infra.http.openapi import Responses, answer, refusals
from infra.http.principal import Principal

COMMAND_NAMESPACE = UUID("8f0c1a52-63f3-5d0e-9d4e-3a8f1f4b7c10")
IDEMPOTENCY_KEY_LENGTH_MAX = 200
TRACEPARENT = re.compile(r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")
ETAG = re.compile(r'^"(\d{1,9})"$')
LEASE_TOKEN_MAX = 2**31 - 1
TOKEN = re.compile(r"[0-9]{1,10}")
COMMAND_HEADERS = frozenset({b"idempotency-key", b"if-match", b"traceparent"})

_encoder = msgspec.json.Encoder()


class SecretShownOnce(Refusal):
    """A secret is in the first answer only. The problem says whose it is: so it can be taken back."""

    code = "secret_shown_once"

    def __init__(self, made: Any) -> None:
        super().__init__("this was done before, and its secret was shown then")
        self.members: Mapping[str, Any] = {"id": made}


class Done(msgspec.Struct):
    """What a command did: `position` is where the log tells of it, `version` the thing's own."""

    id: UUID
    version: int
    position: int


class _Services(Protocol):
    bus: Bus
    signs: SignsOfLife


def done(kind: type[Any] = Done, *, status: int = 200, conditional: bool = True) -> Responses:
    """Return what OpenAPI says of a command's answer, and of why it may be refused.

    `conditional`: its handler looks at `If-Match`. One that makes something has nothing to compare, and a
    lease's token is a condition of its own.
    """
    return {
        **answer(kind, "Done", status=status, headers=["ETag"]),
        **refusals(404, 409, *([412] if conditional else [])),
    }


async def context_of(request: Request, principal: Principal) -> Context:
    """Return who asks what on which condition; raises `InvalidValue` that names the header at fault."""
    headers = _headers(request)
    request_id = uuid7()
    command_id, request_hash = request_id, None
    key = headers.get(b"idempotency-key")
    if key is not None:
        if not 0 < len(key) <= IDEMPOTENCY_KEY_LENGTH_MAX:
            raise InvalidValue(
                f"1 to {IDEMPOTENCY_KEY_LENGTH_MAX} characters", field="Idempotency-Key"
            )
        name = f"{principal.workspace_id}:{principal.actor.id}:{key}"
        command_id = uuid5(COMMAND_NAMESPACE, name)
        request_hash = _hash(request)
    traceparent = headers.get(b"traceparent")
    meta = CommandMeta(
        command_id=command_id,
        workspace_id=principal.workspace_id,
        actor=principal.actor,
        on_behalf_of=principal.on_behalf_of,
        correlation_id=request_id,
        traceparent=traceparent if traceparent and TRACEPARENT.match(traceparent) else None,
        request_hash=request_hash,
    )
    moderator = Permission.ADMIN_ACCESS in principal.permissions
    return Context(meta, if_match=_if_match(headers.get(b"if-match")), moderator=moderator)


async def run(
    request: Request, principal: Principal, command: Any, *, holds: bool | None = None
) -> Response:
    """Execute a command and answer with its version as the ETag.

    `holds`: by it an agent holds a mission (more), or one less.
    """
    services: _Services = request.app.state
    context = await context_of(request, principal)
    answer = await services.bus.execute(command, context)
    await services.signs.acted(context, holds=holds)
    return respond(answer)


async def run_with_secret(
    request: Request, principal: Principal, command: Any, **secret: str | None
) -> Response:
    """Execute a command and add a secret to the answer, which is stored nowhere.

    A retry can't be given the secret again: it raises `SecretShownOnce`.
    """
    services: _Services = request.app.state
    answer = await services.bus.execute(command, await context_of(request, principal))
    shown = {name: text for name, text in secret.items() if text is not None}
    if answer.repeated and shown:
        raise SecretShownOnce(answer.body["id"])
    return respond(Answer(answer.status, {**answer.body, **shown}))


def respond(answer: Answer) -> Response:
    """Return an answer as JSON."""
    headers = {"ETag": f'"{answer.body["version"]}"'} if "version" in answer.body else None
    return Response(_encoder.encode(answer.body), answer.status, headers, "application/json")


def lease_token(request: Request, in_body: int | None) -> int | None:
    """Return the fencing token from the body, or from the header `Lease-Token`."""
    if in_body is not None:
        return in_body
    header = request.headers.get("lease-token")
    if header is None:
        return None
    if TOKEN.fullmatch(header) is None or (token := int(header)) > LEASE_TOKEN_MAX:
        raise InvalidValue("a whole number", field="Lease-Token")
    return token


def _headers(request: Request) -> dict[bytes, str]:
    """Return the headers that a command looks at, the first of each."""
    found: dict[bytes, str] = {}
    for name, value in request.scope["headers"]:
        if name in COMMAND_HEADERS:
            found.setdefault(name, value.decode("latin-1"))
    return found


def _hash(request: Request) -> bytes:
    scope = request.scope
    return hashlib.sha256(f"{scope['method']} {scope['path']}\n".encode() + scope[BODY]).digest()


def _if_match(header: str | None) -> int | None:
    if header is None or header == "*":
        return None
    match = ETAG.match(header.removeprefix("W/"))
    if match is None:
        raise InvalidValue('an ETag as it was given, like "7"', field="If-Match")
    return int(match[1])
