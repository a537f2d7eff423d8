"""Lists: a page of a read model in one statement, with filters, an order and a cursor.

A page begins behind the last row of the one before, by that row's place in the order. So a list whose
order does not change (by creation, by position) shows every row exactly once, whatever is added or
changed meanwhile; in an order that changes, a row that moves may be seen where it was and where it is.
"""

import base64
import binascii
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Generic, Protocol, TypeVar, get_args, get_type_hints
from uuid import UUID

import msgspec
import psycopg
from fastapi import Query, Request, Response
from msgspec import UNSET, UnsetType

from domain.base import InvalidValue, NotFound
from domain.permissions import Permission
from infra.http.etags import is_known
from infra.http.openapi import Responses, answer
from infra.http.principal import Principal, requires
from infra.marks import Marks
from infra.postgres import Database

LIMIT_DEFAULT, LIMIT_MAX = 50, 200
CURSOR_CHARS_MAX = 2_000

T = TypeVar("T")
Point = TypeVar("Point", int, datetime)

Reader = Annotated[Principal, requires(Permission.READ)]
MinPosition = Annotated[
    int | None,
    Query(ge=0, le=2**53, description="wait until the read model has reached this position"),
]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="rows of a page")]
CursorText = Annotated[
    str | None,
    Query(max_length=CURSOR_CHARS_MAX, description="`next_cursor` of the page before"),
]
SortText = Annotated[
    str | None, Query(max_length=40, description="a field; with a leading `-` the other way round")
]


ActorKind = Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["user", "agent", "system"]})]
"""As the log has it; which kinds there are is said in the API's document only."""

# `limit` is one more than the page, which tells whether there is another.
PAGE = """
SELECT h.log_id, {guard}, row_to_json(p)::text, p.sort_key::text, p.sort_tie::text
FROM log_head h LEFT JOIN LATERAL (
    SELECT {columns}, {key} AS sort_key, {tie} AS sort_tie FROM {source}
    WHERE {where} ORDER BY {key} {way}, {tie} {way} LIMIT %(limit)s
) p ON true ORDER BY p.sort_key {way}, p.sort_tie {way}"""
# Each value is a subquery of its own, which hides it from the planner: of values that it knows it compares
# the first alone, so it takes the rows behind one key of many (no due date, a priority) for none at all and
# walks them for a rare filter's few. Of what it doesn't know it expects a third.
BEHIND = """({key}, {tie}) {compare}
    ((SELECT %(cursor_key)s::{key_type}), (SELECT %(cursor_tie)s::{tie_type}))"""


@dataclass(frozen=True, slots=True)
class Order:
    """An expression that rows are ordered by, and its SQL type; ties are broken by `tie`."""

    key: str
    key_type: str
    tie: str = "t.id"
    tie_type: str = "uuid"


@dataclass(frozen=True, slots=True)
class Join:
    """A table of the rows that a filter finds, and its own keys in the orders that it is kept in."""

    source: str
    orders: Mapping[str, Order] = field(default_factory=dict)


class Cursor(msgspec.Struct, forbid_unknown_fields=True):
    """The last row of a page: its place in the order, of which items in which order, of which log."""

    of: str
    sort: str
    key: str
    tie: str
    log_id: UUID


class OfALog(Protocol):
    """A cursor, of whatever kind."""

    @property
    def log_id(self) -> UUID: ...


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for."""

    limit: int = LIMIT_DEFAULT
    cursor: str | None = None
    sort: str | None = None
    min_position: int | None = None


def page(
    limit: Limit = LIMIT_DEFAULT,
    cursor: CursorText = None,
    sort: SortText = None,
    min_position: MinPosition = None,
) -> Page:
    """Read the parameters that every list has."""
    return Page(limit, cursor, sort, min_position)


@dataclass(frozen=True)
class Listing(Generic[T]):
    """A list: constants of SQL, in which only values are bound.

    `source` calls its main table `t`; `filters` maps a parameter's name to the condition that holds
    where it was given, `joins` to a table of the rows that it finds; `item` is what a row is told as.
    `guard` is a condition without which there is no such list (404).
    """

    item: type[T]
    source: str
    columns: str
    orders: Mapping[str, Order]
    default: str
    models: tuple[str, ...]
    filters: Mapping[str, str] = field(default_factory=dict)
    joins: Mapping[str, Join] = field(default_factory=dict)
    always: str = "true"
    guard: str = "true"

    async def respond(
        self,
        request: Request,
        principal: Principal,
        page: Page,
        *,
        values: Mapping[str, Any] | None = None,
        **filters: Any,
    ) -> Response:
        """Answer with a page. `values` are bound always, `filters` only where they are not None."""
        sort = self._sort(page.sort)
        marks: Marks = request.app.state.marks
        cursor = self._cursor(page.cursor, sort) if page.cursor is not None else None
        position = await marks.wait(page.min_position or 0, *self.models)
        given = {name: value for name, value in filters.items() if value is not None}
        bound = {
            "workspace": principal.workspace_id, "limit": page.limit + 1, **(values or {}), **given,
        }  # fmt: skip
        if cursor is not None:
            bound |= {"cursor_key": cursor.key, "cursor_tie": cursor.tie}
        database: Database = request.app.state.database
        statement = self.statement(sort, list(given), behind=cursor is not None)
        try:
            # A plan kept for all values would walk everything for a rare one, or collect all of a frequent one.
            rows = await database.fetch(principal.workspace_id, statement, bound, prepare=False)
        except psycopg.DataError:
            if cursor is None:
                raise
            # Made by hand: its key is no value of the field that the list is ordered by.
            raise InvalidValue("not a cursor of this list", field="cursor") from None
        return self._answer(rows, page, sort, cursor, position)

    def _answer(
        self,
        rows: list[tuple[Any, ...]],
        page: Page,
        sort: str,
        cursor: Cursor | None,
        position: int,
    ) -> Response:
        log_id = rows[0][0]
        if not rows[0][1]:
            raise NotFound("no such thing in this workspace")
        require_log(cursor, log_id)
        found = [row[2:] for row in rows if row[2] is not None]
        shown = found[: page.limit]
        next_cursor = None
        if len(found) > page.limit:
            next_cursor = encode_cursor(
                Cursor(self.item.__name__, sort, shown[-1][1], shown[-1][2], log_id)
            )
        text = f"[{','.join(row[0] for row in shown)}]"
        items = msgspec.json.decode(text, type=list[self.item])  # type: ignore[name-defined]
        body = {"items": items, "next_cursor": next_cursor, "position": position}
        return Response(msgspec.json.encode(body), media_type="application/json")

    def _cursor(self, text: str, sort: str) -> Cursor:
        cursor = decode_cursor(text, Cursor)
        if cursor.of != self.item.__name__:
            raise InvalidValue("the cursor is of another list", field="cursor")
        if cursor.sort != sort or "\x00" in cursor.key + cursor.tie:
            raise InvalidValue("the cursor is of a list in another order", field="cursor")
        return cursor

    def _sort(self, wanted: str | None) -> str:
        sort = wanted if wanted is not None else self.default
        if sort.removeprefix("-") not in self.orders:
            raise InvalidValue(
                f"one of {', '.join(self.orders)}; with a leading - the other way round",
                field="sort",
            )
        return sort

    def statement(self, sort: str, given: list[str], *, behind: bool) -> str:
        """Return the statement of a page in an order, with the filters given."""
        by = sort.removeprefix("-")
        order, way = self.orders[by], "DESC" if sort.startswith("-") else "ASC"
        joins = [self.joins[name] for name in given if name in self.joins]
        # Walked in its own order, a table that is joined gives a page without a look at the other rows.
        order = next((join.orders[by] for join in joins if by in join.orders), order)
        conditions = ["t.workspace_id = %(workspace)s", self.always]
        conditions += [f"({self.filters[name]})" for name in given if name in self.filters]
        if behind:
            compare = "<" if way == "DESC" else ">"
            conditions.append(BEHIND.format(**dataclasses.asdict(order), compare=compare))
        return PAGE.format(
            guard=self.guard, columns=self.columns, key=order.key, tie=order.tie,
            source=" ".join([self.source, *(join.source for join in joins)]),
            where=" AND ".join(conditions), way=way,
        )  # fmt: skip


def item_of(
    row: type[Any], *, omit: frozenset[str], named: str | None = None, **more: Any
) -> type[Any]:
    """Return the type of what a list tells of a row: its fields without some, and some more or other ones.

    It is named like the row; what may be `UNSET` may be absent.
    """
    hints = get_type_hints(row)
    shown = {f.name: hints[f.name] for f in dataclasses.fields(row) if f.name not in omit}
    name = named or row.__name__.removesuffix("Row")
    fields = map(_field, (shown | more).items())
    return msgspec.defstruct(name, fields, namespace={"__doc__": row.__doc__})


def document_of(item: type[Any], **more: Any) -> type[Any]:
    """Return the type of one thing alone: what a list tells of it, some more, and the position."""
    fields = map(_field, {"position": int, **more}.items())
    namespace = {"__doc__": item.__doc__}
    return msgspec.defstruct(f"{item.__name__}Document", fields, bases=(item,), namespace=namespace)


def page_of(item: type[Any], **more: Any) -> type[Any]:
    """Return the type of a list's answer."""
    fields = {"items": list[item], "next_cursor": str | None, "position": int, **more}  # type: ignore[valid-type]
    namespace = {"__doc__": "A page of a list; without a cursor it is the last one."}
    return msgspec.defstruct(
        f"{item.__name__}Page", map(_field, fields.items()), namespace=namespace
    )


def _field(named: tuple[str, Any]) -> tuple[str, Any] | tuple[str, Any, Any]:
    return (*named, UNSET) if UnsetType in get_args(named[1]) else named


def columns_of(row: type[Any], *, omit: frozenset[str]) -> str:
    """Return the columns that `item_of` shows, for a statement."""
    return ", ".join(f"t.{f.name}" for f in dataclasses.fields(row) if f.name not in omit)


def encode_cursor(cursor: object) -> str:
    """Return a cursor as clients carry it."""
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def decode_cursor(text: str, kind: type[T]) -> T:
    """Read a cursor of this kind; raises `InvalidValue` that names it."""
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        return msgspec.json.decode(base64.b64decode(padded, b"-_", validate=True), type=kind)
    except (ValueError, binascii.Error, msgspec.DecodeError):
        raise InvalidValue("not a cursor of this list", field="cursor") from None


def require_in_order(**range_: Point | None) -> None:
    """Refuse a range that ends before it begins: `require_in_order(since=since, until=until)`."""
    (begin, first), (end, last) = range_.items()
    if first is not None and last is not None and last < first:
        raise InvalidValue(f"must not be before {begin}", field=end)


def require_log(cursor: OfALog | None, log_id: UUID) -> None:
    """Refuse a cursor of another log, in which its place means nothing."""
    if cursor is not None and cursor.log_id != log_id:
        raise InvalidValue("the cursor is of another log; begin again", field="cursor")


async def one(
    request: Request,
    principal: Principal,
    statement: str,
    parameters: Mapping[str, Any],
    *,
    min_position: int | None,
    models: tuple[str, ...],
) -> tuple[tuple[Any, ...], int]:
    """Return the row of a thing and the position of its read models; raises `NotFound`."""
    marks: Marks = request.app.state.marks
    position = await marks.wait(min_position or 0, *models)
    database: Database = request.app.state.database
    bound = {"workspace": principal.workspace_id, **parameters}
    rows = await database.fetch(principal.workspace_id, statement, bound)
    if not rows:
        raise NotFound("no such thing in this workspace")
    return rows[0], position


def document(request: Request, version: int, body: Mapping[str, Any]) -> Response:
    """Answer with a document, or with 304 where the client has this version."""
    etag = f'"{version}"'
    if is_known(request, etag):
        return Response(status_code=304, headers={"ETag": etag})
    return Response(msgspec.json.encode(body), 200, {"ETag": etag}, "application/json")


def list_answer(item: type[Any], example: Any, **more: Any) -> Responses:
    """Return what OpenAPI says of a list's answer."""
    page = {"items": [example], "next_cursor": None, "position": 1041}
    return answer(page_of(item, **more), example=page)


def document_answer(kind: type[Any], example: Any) -> Responses:
    """Return what OpenAPI says of a document that has an ETag."""
    not_changed = {"description": "Not changed since the version in If-None-Match"}
    return {**answer(kind, example=example, headers=["ETag"]), 304: not_changed}
