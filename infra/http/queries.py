"""Query parameters: a route takes those that it declares, each as often as it says, and refuses any other.

A name that is ignored gives a list that nobody asked for; of a value that comes twice, one would be chosen.
A whole number is digits, here and in a path: Python would read `1_0` as ten.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from itertools import islice
from typing import Any, NamedTuple, get_args, get_origin

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from infra.http.principal import authorise
from infra.http.problems import FIELD_ERRORS_MAX

WHOLE = re.compile(r"-?[0-9]+")
NOT_WHOLE = "must be a whole number, in digits"
Fault = dict[str, Any]


class _Kind(NamedTuple):
    """What a parameter takes."""

    repeats: bool
    is_whole: bool


Declared = Mapping[str, _Kind]
"""The parameters of a route by their name."""


class OnlyDeclared:
    """A router's dependency: refuses what its routes do not declare (422), and names it."""

    def __init__(self, routes: Iterable[APIRoute]) -> None:
        self._declared: dict[Any, Declared] = {}
        self._in_path: dict[Any, Declared] = {}
        for route in routes:
            self._declared[route.endpoint] = dict(_parameters(route.dependant))
            self._in_path[route.endpoint] = {
                field.alias: _kind(field.field_info.annotation)
                for field in route.dependant.path_params
            }

    async def __call__(self, request: Request) -> None:
        """Let requests pass that can be understood as a whole; raises `RequestValidationError`."""
        scope, endpoint = request.scope, request.scope["endpoint"]
        faults = list(_misread_in_path(scope["path_params"], self._in_path[endpoint]))
        if scope["query_string"]:
            sent = _by_name(request.query_params.multi_items())
            faults += islice(_faults(sent, self._declared[endpoint]), FIELD_ERRORS_MAX)
        if faults:
            # As with any other fault, who may not ask at all is told that and no more.
            await authorise(scope["route"], request)
            raise RequestValidationError(faults)


def _parameters(dependant: Dependant) -> Iterator[tuple[str, _Kind]]:
    for field in dependant.query_params:
        yield field.alias, _kind(field.field_info.annotation)
    for inner in dependant.dependencies:
        yield from _parameters(inner)


def _kind(annotation: Any) -> _Kind:
    return _Kind(get_origin(annotation) is list, int in (annotation, *get_args(annotation)))


def _by_name(items: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in items:
        found.setdefault(name, []).append(value)
    return found


def _faults(sent: Mapping[str, list[str]], declared: Declared) -> Iterator[Fault]:
    for name, values in sent.items():
        at = ("query", name)
        if name not in declared:
            yield {"loc": at, "type": "extra_forbidden", "msg": _unknown(name, declared)}
        elif len(values) > 1 and not declared[name].repeats:
            yield {"loc": at, "type": "repeated", "msg": "can be given once"}
        elif declared[name].is_whole and not all(map(WHOLE.fullmatch, values)):
            yield {"loc": at, "type": "int_parsing", "msg": NOT_WHOLE}


def _misread_in_path(sent: Mapping[str, str], declared: Declared) -> Iterator[Fault]:
    for name, kind in declared.items():
        if kind.is_whole and not WHOLE.fullmatch(sent[name]):
            yield {"loc": ("path", name), "type": "int_parsing", "msg": NOT_WHOLE}


def _unknown(name: str, declared: Declared) -> str:
    if not declared:
        return "there is no such parameter, nor any other"
    if close := get_close_matches(name, declared, n=1):
        return f"there is no such parameter; {close[0]} is one"
    return f"there is no such parameter, but {', '.join(declared)}"
