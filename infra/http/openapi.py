"""What the OpenAPI document says of answers: of which type each is, and which refusals a route may give.

It describes and does no more: answers are made by msgspec or by the database, and nobody looks at them
again on their way. tests/api/test_openapi.py holds real answers to what is said here.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

import msgspec
from fastapi.routing import APIRoute
from msgspec import inspect

from infra.http.principal import access_of
from infra.http.problems import TITLES, Problem

Responses = dict[int | str, dict[str, Any]]
Schema = dict[str, Any]

JSON = "application/json"
FAILED = "5XX"
SCHEMAS = "#/components/schemas/"
TEXT = {"type": "string"}
HEADERS: dict[str, Schema] = {
    "ETag": {"description": "The version: for If-Match or If-None-Match", "schema": TEXT},
    "Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer"}},
    "WWW-Authenticate": {"description": "How to sign in", "schema": TEXT},
}
HEADER_OF_REFUSAL: dict[int | str, str] = {
    401: "WWW-Authenticate",
    429: "Retry-After",
    FAILED: "Retry-After",
}
PARAMETERS: dict[str, Schema] = {
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": (
            "The caller's own name for this command, kept for good with what it was answered. The same request"
            " with the same key does nothing again, and is answered as the first one, whatever happened since;"
            " only a secret is not shown again (409 `secret_shown_once`). The same key with another method, path"
            " or body, byte for byte, is refused (422 `idempotency_key_reused`). A key is one caller's (person"
            " or agent) in one workspace. A refusal is not kept, nor that nothing was there to claim (204): the"
            " same request is then decided afresh."
        ),
        "schema": {**TEXT, "minLength": 1, "maxLength": 200},
    },
    "IfMatch": {
        "name": "If-Match",
        "in": "header",
        "required": False,
        "description": (
            "The ETag of the version that this was decided on. Where the thing has changed since, nothing is done"
            " (412 `precondition_failed`); a card's place that was written anew does not count as a change. The"
            " version is that of the mission, comment, board, agent or disabled member in the path, one's own for"
            " one's profile, and the workspace's for the role and the removal of members."
        ),
        "schema": {**TEXT, "pattern": r'^(\*|(W/)?"[0-9]{1,9}")$'},
    },
}
"""What commands take besides their body. `infra/http/caller.py` reads these headers, not FastAPI."""

_kinds: dict[str, type[Any]] = {}
"""What routes answer with, by its name in the document."""


def answer(
    kind: type[Any],
    description: str = "Found",
    *,
    status: int = 200,
    example: Any = None,
    media_type: str = JSON,
    headers: Iterable[str] = (),
) -> Responses:
    """Return what a route says of an answer: `@router.get(…, responses=answer(Kind))`.

    `kind` is a msgspec struct, or `str` for text; a line of NDJSON or a message of a stream is described as one.
    """
    content: dict[str, Any] = {"schema": _reference(kind)}
    if example is not None:
        content["example"] = example
    told: dict[str, Any] = {"description": description, "content": {media_type: content}}
    if named := {name: HEADERS[name] for name in headers}:
        told["headers"] = named
    return {status: told}


def refusals(*statuses: int) -> Responses:
    """Return what a route says of refusals that its method and parameters do not tell of."""
    return {status: {"description": TITLES[status]} for status in statuses}


def complete(document: dict[str, Any], routes: Iterable[APIRoute]) -> None:
    """Add to FastAPI's document the types of answers, and each route's problems and headers."""
    components = document.setdefault("components", {})
    requests = components.get("schemas", {})
    answers = {Problem}
    given = set[int | str]()
    for route in routes:
        answers |= _kinds_of(route)
        for method in route.methods or ():
            operation = document["paths"][route.path][method.lower()]
            refused = _refusals_of(route, operation["responses"])
            given |= refused
            _complete(operation, route, refused)
    components["responses"] = {
        _title(one): _refusal(one) for one in (*TITLES, FAILED) if one in given
    }
    ours = _components(answers)
    both = {name for name in ours.keys() & requests if "enum" not in ours[name]}
    assert not both, f"an answer is named like a request: {both}"
    components["schemas"] = dict(sorted((ours | requests).items()))
    components["parameters"] = PARAMETERS


def _complete(operation: dict[str, Any], route: APIRoute, refused: set[int | str]) -> None:
    said: dict[str, Any] = operation["responses"]
    said.pop("default", None)
    for status, answered in route.responses.items():
        if "content" in answered:
            said[str(status)] |= answered  # FastAPI leaves out an example's nulls
    for status in refused:
        said[str(status)] = {"$ref": f"#/components/responses/{_title(status)}"}
    operation["responses"] = dict(sorted(said.items()))
    if headers := _headers_of(route):
        operation.setdefault("parameters", []).extend(
            {"$ref": f"#/components/parameters/{name}"} for name in headers
        )


def _headers_of(route: APIRoute) -> list[str]:
    """Return which headers a command takes. It is told by its answer: the version that it made."""
    versioned = any("ETag" in said.get("headers", {}) for said in route.responses.values())
    if route.methods == {"GET"} or not versioned:
        return []
    return ["IdempotencyKey", *(["IfMatch"] if 412 in route.responses else [])]


def _kinds_of(route: APIRoute) -> set[type[Any]]:
    contents = [
        one for said in route.responses.values() for one in said.get("content", {}).values()
    ]
    names = {content["schema"].get("$ref", "").removeprefix(SCHEMAS) for content in contents}
    return {_kinds[name] for name in names if name}


def _refusals_of(route: APIRoute, said: Schema) -> set[int | str]:
    """Return the refusals that are named, and those that come with a route's access, method and parameters."""
    taken = route.dependant
    found: set[int | str] = {FAILED}
    found |= {one for one in TITLES if "content" not in said.get(str(one), {"content": None})}
    if None not in access_of(route):
        found |= {401, 403}
    if route.methods != {"GET"}:
        found |= {408, 413}  # bounds on bodies, also on those that nobody asked for
    if taken.body_params:
        found |= {400, 415}
    if taken.path_params:
        found |= {404}
    return found


def _title(status: int | str) -> str:
    return "Failed" if status == FAILED else TITLES[int(status)].title().replace(" ", "")


def _refusal(status: int | str) -> Schema:
    header = HEADER_OF_REFUSAL.get(status)
    return {
        "description": "Failed on our side" if status == FAILED else TITLES[int(status)],
        "content": {"application/problem+json": {"schema": _reference(Problem)}},
        **({"headers": {header: HEADERS[header]}} if header else {}),
    }


def _reference(kind: type[Any]) -> Schema:
    if kind is str:
        return TEXT
    known = _kinds.setdefault(kind.__name__, kind)
    assert known is kind, f"two answers are named {kind.__name__}"
    return _named(kind)


def _named(kind: type[Any]) -> Schema:
    return {"$ref": f"{SCHEMAS}{kind.__name__}"}


def _components(kinds: Iterable[type[Any]]) -> dict[str, Schema]:
    """Return the schemas of types and of all types in them, by name."""
    found: dict[type[Any], Schema] = {}
    waiting = [inspect.type_info(kind) for kind in kinds]
    while waiting:
        match waiting.pop():
            case inspect.EnumType(cls=cls):
                values = [member.value for member in cls]
                found[cls] = {**_head(cls), "type": "string", "enum": values}
            case (inspect.StructType() | inspect.DataclassType()) as info if info.cls not in found:
                found[info.cls] = _object(info)
                waiting.extend(field.type for field in info.fields)
            case inspect.Metadata(type=inner):
                waiting.append(inner)
            case inspect.UnionType(types=types):
                waiting.extend(types)
            case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
                waiting.append(item)
            case inspect.DictType(value_type=value):
                waiting.append(value)
            case _:
                pass
    named = {cls.__name__: schema for cls, schema in found.items()}
    assert len(named) == len(found), "two types in answers have one name"
    return named


def _object(info: inspect.StructType | inspect.DataclassType) -> Schema:
    omits = isinstance(info, inspect.StructType) and info.cls.__struct_config__.omit_defaults
    there = [field for field in info.fields if field.required or not (omits or _is_unset(field))]
    return {
        **_head(info.cls),
        "type": "object",
        "required": [field.encode_name for field in there],
        "properties": {field.encode_name: _schema(field.type) for field in info.fields},
    }


def _head(cls: type[Any]) -> Schema:
    # A dataclass without a docstring is given its signature as one.
    text = (cls.__doc__ or "").strip()
    shown = text and not (dataclasses.is_dataclass(cls) and text.startswith(f"{cls.__name__}("))
    return {"title": cls.__name__, **({"description": text} if shown else {})}


def _is_unset(field: inspect.Field) -> bool:
    """Tell whether a field's default is `msgspec.UNSET`; other defaults are always written."""
    return field.default is field.default_factory is msgspec.NODEFAULT


def _schema(info: inspect.Type) -> Schema:
    """Return the schema of a type; named ones are referred to."""
    match info:
        case inspect.Metadata(type=inner, extra_json_schema=more):
            return {**_schema(inner), **(more or {})}
        case (
            inspect.StructType(cls=cls) | inspect.DataclassType(cls=cls) | inspect.EnumType(cls=cls)
        ):
            return _named(cls)
        case inspect.UnionType(types=types):
            schemas = [_schema(one) for one in types]
            return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            return {"type": "array", "items": _schema(item)}
        case inspect.DictType(value_type=value):
            return {"type": "object", "additionalProperties": _schema(value)}
        case inspect.LiteralType(values=values):
            return {"enum": list(values)}
        case _:
            return dict(PLAIN[type(info)])


PLAIN: dict[type[inspect.Type], Schema] = {
    inspect.AnyType: {},
    inspect.NoneType: {"type": "null"},
    inspect.BoolType: {"type": "boolean"},
    inspect.IntType: {"type": "integer"},
    inspect.FloatType: {"type": "number"},
    inspect.StrType: TEXT,
    inspect.UUIDType: {**TEXT, "format": "uuid"},
    inspect.DateTimeType: {**TEXT, "format": "date-time"},
}
