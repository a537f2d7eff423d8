"""The fast path: a well-formed request goes to its endpoint without FastAPI's layers.

FastAPI stays the one description of the API: which routes there are, what they take and what they ask
for is read from it here, once. At run time it costs more than all the rest of a command together
(docs/adr/0003). So a request that is plain, in that its path, headers and body are just what the route
says, is dispatched here. Whatever is not goes on to FastAPI before anything was done, so that every
refusal of a malformed request has one source.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, get_type_hints
from uuid import UUID

from fastapi import FastAPI, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from starlette.types import ASGIApp, Receive, Scope, Send

from infra.http.limits import BODY
from infra.http.principal import Principal, Requirement
from infra.http.problems import STATUS_OF, of_error

ID_CHARS = 36
JSON = b"application/json"
KNOWN_ERRORS = tuple(STATUS_OF)

Endpoint = Callable[..., Awaitable[Response]]
Authorise = Callable[[Request], Awaitable[Principal]]


@dataclass(frozen=True, slots=True)
class _Plan:
    """How to call one endpoint: the names of what it takes."""

    endpoint: Endpoint
    ids: tuple[str, ...]
    request: str | None
    principal: str
    authorise: Authorise
    body: str | None
    model: type[BaseModel] | None
    body_required: bool


class FastPath:
    """ASGI middleware in front of the app whose routes it serves."""

    def __init__(self, app: ASGIApp, routes: Iterable[APIRoute]) -> None:
        self._app = app
        self._plans = {
            (method, _shape(route.path)): plan
            for route in routes
            for method in route.methods or ()
            if (plan := _plan(route)) is not None
        }

    def __len__(self) -> int:
        """Return how many routes have a fast path."""
        return len(self._plans)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a plain request, or hand it on."""
        response = None
        if scope["type"] == "http" and not scope["query_string"]:
            response = await self._answer(scope, receive)
        await (response or self._app)(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Response | None:
        shape, ids = _split(scope["path"])
        plan = self._plans.get((scope["method"], shape))
        if plan is None or len(ids) != len(plan.ids):
            return None
        arguments: dict[str, Any] = dict(zip(plan.ids, ids, strict=True))
        if plan.model is not None and not _read_body(plan, scope, arguments):
            return None
        request = Request(scope, receive)
        if plan.request is not None:
            arguments[plan.request] = request
        try:
            arguments[plan.principal] = await plan.authorise(request)
            return await plan.endpoint(**arguments)
        except KNOWN_ERRORS as error:
            return of_error(error)


def install(app: FastAPI, routes: Iterable[APIRoute]) -> ASGIApp:
    """Return the app with the fast path in front of it."""
    path = FastPath(app, routes)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = app
        await path(scope, receive, send)

    return serve


def _plan(route: APIRoute) -> _Plan | None:
    """Return how to call a route's endpoint, or None where it asks for more than is done here."""
    dependant, endpoint = route.dependant, route.endpoint
    fields = [*dependant.header_params, *dependant.cookie_params]
    ids = tuple(field.name for field in dependant.path_params)
    hints = get_type_hints(endpoint)
    parameters = inspect.signature(endpoint).parameters
    answers = hints.get("return")
    if not (
        not fields
        and inspect.iscoroutinefunction(endpoint)
        and isinstance(answers, type)
        and issubclass(answers, Response)
        and all(hints[name] is UUID for name in ids)
        and all(_has_default(parameters[field.name]) for field in dependant.query_params)
        and len(dependant.body_params) <= 1
        and len(dependant.dependencies) == 1
    ):
        return None
    principal = dependant.dependencies[0]
    authorise = _authorise(principal)
    if authorise is None or principal.name is None:
        return None
    body = dependant.body_params[0] if dependant.body_params else None
    model = _model(body.field_info.annotation) if body else None
    if body is not None and model is None:
        return None
    return _Plan(
        endpoint, ids, dependant.request_param_name, principal.name, authorise,
        body.name if body else None, model, bool(body and body.field_info.is_required()),
    )  # fmt: skip


def _authorise(dependant: Dependant) -> Authorise | None:
    """Return what makes the principal: a requirement, or a function of a principal that has passed one."""
    call = dependant.call
    if isinstance(call, Requirement):
        return call
    if len(dependant.dependencies) != 1 or not inspect.isfunction(call):
        return None
    inner = _authorise(dependant.dependencies[0])
    if inner is None or inspect.iscoroutinefunction(call):
        return None
    narrow: Callable[[Principal], Principal] = call

    async def both(request: Request) -> Principal:
        return narrow(await inner(request))

    return both


def _model(annotation: Any) -> type[BaseModel] | None:
    """Return the model of a body that is `Model` or `Model | None`."""
    kinds = [
        kind for kind in getattr(annotation, "__args__", (annotation,)) if kind is not type(None)
    ]
    only = kinds[0] if len(kinds) == 1 else None
    return only if isinstance(only, type) and issubclass(only, BaseModel) else None


def _has_default(parameter: inspect.Parameter) -> bool:
    default = parameter.default
    return default is not inspect.Parameter.empty and not isinstance(default, FieldInfo)


def _shape(template: str) -> str:
    return "/".join("{}" if part.startswith("{") else part for part in template.split("/"))


def shape_of(path: str) -> str:
    """Return a path with `{}` where it has ids, as routes are found by."""
    return _split(path)[0]


def _split(path: str) -> tuple[str, list[UUID]]:
    """Return a path's shape, and the ids that stood in it."""
    ids: list[UUID] = []
    parts = path.split("/")
    for index, part in enumerate(parts):
        if len(part) == ID_CHARS:
            try:
                found = UUID(part)
            except ValueError:
                continue
            if str(found) != part.lower():
                continue  # Python takes more for an id than the API does
            ids.append(found)
            parts[index] = "{}"
    return "/".join(parts), ids


def _read_body(plan: _Plan, scope: Scope, arguments: dict[str, Any]) -> bool:
    """Put the body among the arguments; False where FastAPI has to say what is wrong with it."""
    assert plan.model is not None and plan.body is not None
    content: bytes = scope.get(BODY, b"")
    if not content:
        return not plan.body_required
    kinds = [value for name, value in scope["headers"] if name == b"content-type"]
    if kinds != [JSON]:
        return False
    try:
        arguments[plan.body] = plan.model.__pydantic_validator__.validate_json(content)
    except ValidationError:
        return False
    return True
