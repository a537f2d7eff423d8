"""RFC 9457 problem documents: the one table from error to HTTP status."""

import re
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from msgspec import UNSET, UnsetType
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Scope

from commands import bus, missions
from commands.append import LogUnavailable, OutcomeUnknown
from domain import agent, base, board, comment, guards, mission, user, workspace
from infra.http import bodies, principal
from infra.marks import NotCaughtUp
from infra.search import SearchUnavailable
from infra.timeseries import MetricsUnavailable

STATUS_OF: dict[type[Exception], int] = {
    principal.Unauthenticated: 401,
    principal.Forbidden: 403,
    principal.OriginRefused: 403,
    principal.RateLimited: 429,
    bodies.UnsupportedMediaType: 415,
    base.NotFound: 404,
    base.InvalidValue: 422,
    comment.NotTheAuthor: 403,
    mission.OwnWork: 403,
    user.UserDisabled: 403,
    base.Refusal: 409,
    bus.PreconditionFailed: 412,
    bus.ConflictPersists: 409,
    bus.IdempotencyKeyReused: 422,
    OutcomeUnknown: 503,
    LogUnavailable: 503,
    NotCaughtUp: 503,
    MetricsUnavailable: 503,
    SearchUnavailable: 503,
    psycopg.OperationalError: 503,
}
"""The nearest class in an error's method resolution order counts."""

CODE_OF: dict[type[Exception], tuple[str, str]] = {
    bus.PreconditionFailed: (
        "precondition_failed",
        "the thing has changed since the version in If-Match",
    ),
    bus.ConflictPersists: ("conflict", "others kept changing the same thing; try again"),
    bus.IdempotencyKeyReused: (
        "idempotency_key_reused",
        "this Idempotency-Key came with another request",
    ),
    NotCaughtUp: ("not_caught_up", "the read model has not reached min_position yet"),
    MetricsUnavailable: ("metrics_unavailable", "the time series does not answer; try again"),
    SearchUnavailable: ("search_unavailable", "search does not answer right now; try again"),
    psycopg.OperationalError: ("database_unavailable", "the database does not answer; try again"),
    OutcomeUnknown: (
        "outcome_unknown",
        "the log was lost while this was being recorded: ask again, with the same Idempotency-Key",
    ),
    LogUnavailable: ("log_unavailable", "the log can't be written right now; nothing was recorded"),
}
DOMAIN_MODULES = (agent, base, board, comment, guards, mission, missions, user, workspace)
TITLES = {
    400: "Bad request", 401: "Not signed in", 403: "Not allowed", 404: "Not found",
    405: "Method not allowed", 408: "Too slow", 409: "Conflict", 412: "Precondition failed", 413: "Too large",
    415: "Unsupported media type", 422: "Invalid request", 429: "Too many requests",
    500: "Internal error", 503: "Unavailable",
}  # fmt: skip
FIELD_ERRORS_MAX = 20
JSON_WORDS = {
    "Value error, ": "", "dictionary or object to extract fields from": "object",
    "Dictionary": "Object", "dictionary": "object", "Tuple": "List", "tuple": "list",
}  # fmt: skip
PYTHON_WORD = re.compile("|".join(JSON_WORDS))


class Fault(msgspec.Struct):
    """One field at fault."""

    field: str
    code: str
    detail: str


class Problem(msgspec.Struct):
    """Why a request was refused, or failed (RFC 9457)."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    field: str | UnsetType = UNSET
    errors: list[Fault] | UnsetType = UNSET
    position: int | UnsetType = UNSET
    id: UUID | UnsetType = UNSET


def problem(
    status: int, code: str, detail: str, *, headers: dict[str, str] | None = None, **members: Any
) -> Response:
    """Return a problem document; `members` extend it."""
    body = {
        "type": f"urn:mission-control:problem:{code}",
        "title": TITLES.get(status, "Error"),
        "status": status,
        "code": code,
        "detail": detail,
        **members,
    }
    return Response(msgspec.json.encode(body), status, headers, "application/problem+json")


def of_error(error: Exception) -> Response:
    """Return the problem document of an error that the table knows."""
    known = next(kind for kind in type(error).__mro__ if kind in STATUS_OF)
    status = STATUS_OF[known]
    if isinstance(error, base.Refusal):
        members: dict[str, Any] = {"field": error.field} if error.field else {}
        members |= getattr(error, "members", {})
        headers = dict(getattr(error, "headers", {}))
        return problem(status, error.code, error.detail, headers=headers, **members)
    code, detail = CODE_OF[known]
    retry = {"Retry-After": "1"} if status == 503 else None
    more: dict[str, Any] = {"position": error.position} if isinstance(error, NotCaughtUp) else {}
    return problem(status, code, detail, headers=retry, **more)


def install(app: FastAPI, routes: Sequence[APIRoute]) -> None:
    """Answer every error of an app with a problem document. `routes` are those that there are."""

    async def known(_: Request, error: Exception) -> Response:
        return of_error(error)

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return of_validation(error.errors())

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = TITLES.get(error.status_code, "error").lower().replace(" ", "_")
        if error.status_code == 400:
            return problem(400, "invalid_json", "the body is not valid JSON", field="body")
        headers = dict(error.headers) if error.headers else {}
        if error.status_code == 405:
            headers["Allow"] = _methods(routes, request.scope)
        return problem(error.status_code, code, str(error.detail), headers=headers)

    async def unexpected(_: Request, error: Exception) -> Response:
        return problem(500, "internal_error", "something went wrong on our side; it is in the log")

    for kind in STATUS_OF:
        app.add_exception_handler(kind, known)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, unexpected)


def _methods(routes: Sequence[APIRoute], scope: Scope) -> str:
    """Return the methods of a path. The framework names those of its first route alone."""
    there = [route for route in routes if route.matches(scope)[0] != Match.NONE]
    methods = {method for route in there for method in route.methods or ()}
    return ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))


def of_validation(errors: Sequence[Any]) -> Response:
    """Return one problem that names each field at fault; values are never echoed."""
    # A list whose item is at fault counts as too short as well: what follows from a fault is none.
    outer = {tuple(error["loc"][:end]) for error in errors for end in range(1, len(error["loc"]))}
    own = [error for error in errors if tuple(error["loc"]) not in outer]
    faults = [
        {
            "field": _field(error["loc"]),
            "code": error["type"],
            "detail": _in_json_words(error["msg"]),
        }
        for error in own[:FIELD_ERRORS_MAX]
    ]
    first = faults[0]
    return problem(
        422,
        "invalid_request",
        f"{first['field']}: {first['detail']}",
        field=first["field"],
        errors=faults,
    )


def _in_json_words(message: str) -> str:
    """Return a message of pydantic's without the words of Python."""
    return PYTHON_WORD.sub(lambda found: JSON_WORDS[found[0]], message)


def _field(location: Sequence[Any]) -> str:
    # pydantic gives the offset of broken JSON, which is no field.
    parts = (
        location[1:]
        if location and location[0] in {"body", "query", "path", "header"}
        else location
    )
    inner = [str(part) for part in parts] if any(isinstance(part, str) for part in parts) else []
    # A field's name is the sender's text: shown short, and only what can be printed.
    name = ".".join(inner) or str(location[0] if location else "body")
    return (
        "".join(char for char in name if char.isprintable())[:200]
        .encode("utf-8", "replace")
        .decode()
    )
