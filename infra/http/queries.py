"""Query parameters: a route takes those that it declares, each as often as it says, and refuses any other.

A name that is ignored gives a list that nobody asked for; of a value that comes twice, one would be chosen.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from itertools import islice
from typing import Any, get_origin

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from infra.http.principal import authorise
from infra.http.problems import FIELD_ERRORS_MAX

Declared = dict[str, bool]
"""The parameters of a route by their name: whether one may come more than once."""


class OnlyDeclared:
    """A router's dependency: refuses what its routes do not declare (422), and names it."""

    def __init__(self, routes: Iterable[APIRoute]) -> None:
        self._declared = {route.endpoint: dict(_parameters(route.dependant)) for route in routes}

    async def __call__(self, request: Request) -> None:
        """Let requests pass that can be understood as a whole; raises `RequestValidationError`."""
        scope = request.scope
        if not scope["query_string"]:
            return
        sent = Counter(name for name, _ in request.query_params.multi_items())
        faults = list(islice(_faults(sent, self._declared[scope["endpoint"]]), FIELD_ERRORS_MAX))
        if faults:
            # As with any other fault, who may not ask at all is told that and no more.
            await authorise(scope["route"], request)
            raise RequestValidationError(faults)


def _parameters(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    for field in dependant.query_params:
        yield field.alias, get_origin(field.field_info.annotation) is list
    for inner in dependant.dependencies:
        yield from _parameters(inner)


def _faults(sent: Counter[str], declared: Declared) -> Iterator[dict[str, Any]]:
    for name, count in sent.items():
        at = ("query", name)
        if name not in declared:
            yield {"loc": at, "type": "extra_forbidden", "msg": _unknown(name, declared)}
        elif count > 1 and not declared[name]:
            yield {"loc": at, "type": "repeated", "msg": "can be given once"}


def _unknown(name: str, declared: Declared) -> str:
    if not declared:
        return "there is no such parameter, nor any other"
    if close := get_close_matches(name, declared, n=1):
        return f"there is no such parameter; {close[0]} is one"
    return f"there is no such parameter, but {', '.join(declared)}"
