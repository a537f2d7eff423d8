"""The board and its missions, read."""

import contextlib
import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from msgspec import UNSET
from starlette.background import BackgroundTask

from domain.base import NotFound
from infra.http.etags import is_known, known_etags
from infra.http.fields import ShortLine, Time
from infra.http.openapi import refusals
from infra.marks import Marks
from infra.postgres import Database
from infra.redis import Redis, RedisAway
from projections.boards import BOARDS, BoardRow
from projections.missions import MISSIONS, MissionRow, Priority, Stage
from projections.workspaces import WORKSPACES
from read_api import history
from read_api.history import AsOf, RecordedAt
from read_api.lists import (
    Join,
    Listing,
    MinPosition,
    Order,
    Page,
    Reader,
    columns_of,
    document,
    document_answer,
    document_of,
    item_of,
    list_answer,
    one,
    page,
    require_in_order,
)

router = APIRouter(prefix="/api/missions", tags=["missions"])

BOARD_MODEL_VERSION = 2
BOARD_ETAG = re.compile(rf'"{BOARD_MODEL_VERSION}-(0|[1-9]\d{{0,17}})"')
KNOWN_REVISIONS_MAX = 20
KEPT_BYTES_MAX = 32_000_000
SHARED_BYTES_MAX = 1_000_000
SHARED_S = 30
HIDDEN = frozenset({"workspace_id", "deleted"})
# What a card that comes from another board does not bring along is on no card.
NOT_ON_CARDS = HIDDEN | {"description", "sent_back_reason"}

# One round trip: the board named or the workspace's own, its revision, and its cards in order. What
# the asker has already, by its revision, is not built; a mere look builds nothing.
BOARD = f"""
SELECT b.id, b.revision,
    CASE WHEN NOT b.known THEN row_to_json(b)::text END,
    CASE WHEN NOT b.known THEN (SELECT coalesce(json_agg(c), '[]') FROM (
        SELECT {columns_of(MissionRow, omit=NOT_ON_CARDS)} FROM read_missions t
        WHERE t.board_id = b.id AND t.workspace_id = b.workspace_id AND NOT t.deleted
        ORDER BY t.rank, t.id) c)::text END
FROM (
    SELECT b.*, coalesce(r.revision, 0) AS revision,
        %(look)s OR coalesce(r.revision, 0) = ANY (%(known)s::bigint[]) AS known
    FROM read_boards b LEFT JOIN board_revisions r ON r.board_id = b.id
    WHERE b.workspace_id = %(workspace)s AND b.id = coalesce(%(board)s,
        (SELECT default_board_id FROM read_workspaces WHERE id = %(workspace)s))) b"""
MISSION = """
SELECT row_to_json(t)::text FROM read_missions t
WHERE t.id = %(id)s AND t.workspace_id = %(workspace)s AND NOT t.deleted"""

# Rows of `read_mission_facets` that say "<filter> <value>".
FACET = """JOIN read_mission_facets {name} ON {name}.workspace_id = %(workspace)s
    AND {name}.facet = '{name} ' || %({name})s::text AND {name}.mission_id = t.id"""
FACETS = ("label", "assignee_id", "created_by", "required_capability")
# As it is indexed.
PRIORITY = "(CASE {} WHEN 'urgent' THEN 3 WHEN 'high' THEN 2 WHEN 'normal' THEN 1 ELSE 0 END)"

MISSION_LIST: Listing[Any] = Listing(
    item_of(MissionRow, omit=HIDDEN),
    source="read_missions t",
    columns=columns_of(MissionRow, omit=HIDDEN),
    orders={
        "created_at": Order("t.created_at", "timestamptz"),
        "updated_at": Order("t.updated_at", "timestamptz"),
        "due": Order("t.due_or_never", "timestamptz"),
        "priority": Order(PRIORITY.format("t.priority"), "integer"),
        "title": Order("t.title_folded", "text"),
        "rank": Order("t.rank", "text"),
    },
    default="-created_at",
    models=(MISSIONS.name,),
    filters={
        "board_id": "t.board_id = %(board_id)s",
        "column_id": "t.column_id = %(column_id)s",
        "stage": "t.stage = %(stage)s",
        "priority": f"{PRIORITY.format('t.priority')} = {PRIORITY.format('%(priority)s')}",
        "holder": "t.holder = %(holder)s",
        "blocked": "t.blocked_reason IS NOT NULL AND %(blocked)s",
        "unblocked": "t.blocked_reason IS NULL AND %(unblocked)s",
        "completed": "t.completed = %(completed)s",
        "due_before": "t.due_or_never < %(due_before)s",
        "due_after": "t.due_or_never > %(due_after)s AND t.due IS NOT NULL",
    },
    joins={
        name: Join(
            FACET.format(name=name),
            {"created_at": Order(f"{name}.created_at", "timestamptz", f"{name}.mission_id")},
        )
        for name in FACETS
    },
    always="NOT t.deleted",
)

MissionDocument = document_of(MISSION_LIST.item, as_of=RecordedAt)
Card = item_of(MissionRow, omit=NOT_ON_CARDS, named="Card")
# What is sent on as the database wrote it is not looked into: half the cost. Times are, for their form.
LOOKED_INTO = {
    "column_id": UUID,
    "due": datetime | None,
    "created_at": datetime,
    "updated_at": datetime,
}
WireCard = msgspec.defstruct(
    "WireCard", [(name, LOOKED_INTO.get(name, msgspec.Raw)) for name in Card.__struct_fields__]
)
CARDS = msgspec.json.Decoder(list[WireCard])  # type: ignore[valid-type]
ENCODER = msgspec.json.Encoder()

ID = "0192f0c1-7a3e-7cc1-9b0e-5d1f6a2b3c4d"
EXAMPLE_CARD: dict[str, Any] = {
    "id": ID, "version": 4, "board_id": ID, "column_id": ID, "stage": "active", "rank": "V3k",
    "title": "Summarise the incidents", "priority": "high", "labels": ["weekly"],
    "due": "2026-03-02T12:00:00Z", "required_capabilities": ["write"], "assignees": [], "holder": ID,
    "lease_token": 4, "progress_percent": 40, "progress_note": "reading", "dependencies": [],
    "unmet_dependencies": [], "blocked_reason": None, "failures": 0, "submitted_by": None,
    "summary": None, "completed": False, "stale": False, "created_by": ID,
    "created_at": "2026-03-01T09:00:00Z", "updated_at": "2026-03-01T09:05:00Z",
}  # fmt: skip
EXAMPLE = {**EXAMPLE_CARD, "description": "All of last week.", "sent_back_reason": None}
EXAMPLE_BOARD = {
    "id": ID, "name": "Missions", "version": 1, "position": 1041,
    "columns": [{"id": ID, "name": "Active", "stage": "active", "wip_limit": 5,
                 "rank": "h", "cards": [EXAMPLE_CARD]}],
}  # fmt: skip


class ColumnWithCards(msgspec.Struct):
    """A column, and its cards from the first to the last."""

    id: UUID
    name: str
    stage: Stage
    wip_limit: int | None
    rank: str
    cards: list[Card]  # type: ignore[valid-type]


class BoardWithCards(msgspec.Struct):
    """A board, its columns from left to right."""

    id: UUID
    name: str
    version: int
    position: int
    columns: list[ColumnWithCards]
    as_of: RecordedAt = UNSET


@dataclass(frozen=True, slots=True)
class BoardBody:
    """A board at a revision as JSON, in two parts: the read models' position goes between them."""

    revision: int
    head: bytes
    tail: bytes

    def at(self, position: int) -> bytes:
        """Return the whole document."""
        return b"%b%d%b" % (self.head, position, self.tail)


class BoardBodies:
    """Boards as they were last sent. Whether one still is what the board is, its revision tells."""

    def __init__(self, bytes_max: int = KEPT_BYTES_MAX) -> None:
        self._kept: OrderedDict[tuple[UUID, UUID | None], BoardBody] = OrderedDict()
        self._bytes = 0
        self._bytes_max = bytes_max

    def get(self, workspace_id: UUID, board_id: UUID | None) -> BoardBody | None:
        """Return the newest body of a board; `board_id` as it was asked for."""
        key = (workspace_id, board_id)
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def keep(self, workspace_id: UUID, board_id: UUID | None, body: BoardBody) -> None:
        """Keep a body in place of an older one; those that nobody asked for longest go."""
        key = (workspace_id, board_id)
        old = self._kept.pop(key, None)
        self._kept[key] = body
        self._bytes += len(body.tail) - (len(old.tail) if old else 0)
        while self._bytes > self._bytes_max:
            self._bytes -= len(self._kept.popitem(last=False)[1].tail)


class SharedBodies:
    """Boards as the query processes of a deployment have built them, in Redis.

    A body is found by the revision that PostgreSQL has just told, so it is never an older one: whatever
    changes a board gives it another revision in the same transaction. What was built for one that is gone
    is asked for by nobody, and lapses.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @property
    def is_away(self) -> bool:
        """Whether there is nothing to be had."""
        return self._redis.is_away

    async def get(self, workspace_id: UUID, board_id: UUID, revision: int) -> BoardBody | None:
        """Return a board's body at a revision, if another process has built it lately."""
        key = self._key(workspace_id, board_id, revision)
        try:
            found = await self._redis.ask(lambda client: client.get(key))
        except RedisAway:
            return None
        if found is None:
            return None
        head, _, tail = str(found).encode().partition(b"\n")
        return BoardBody(revision, head, tail)

    async def keep(self, workspace_id: UUID, board_id: UUID, body: BoardBody) -> None:
        """Let the other processes have a body."""
        if len(body.tail) > SHARED_BYTES_MAX:
            return
        key = self._key(workspace_id, board_id, body.revision)
        text = body.head + b"\n" + body.tail  # JSON has no line breaks
        with contextlib.suppress(RedisAway):
            await self._redis.ask(lambda client: client.set(key, text, ex=SHARED_S))

    def _key(self, workspace_id: UUID, board_id: UUID, revision: int) -> str:
        return self._redis.name("board", BOARD_MODEL_VERSION, workspace_id, board_id, revision)


@router.get("/board", responses={**document_answer(BoardWithCards, EXAMPLE_BOARD), **refusals(404)})
async def board(
    request: Request,
    principal: Reader,
    board_id: UUID | None = None,
    min_position: MinPosition = None,
    as_of: AsOf = None,
) -> Response:
    """Return a board with its columns and cards; the workspace's own board when none is named."""
    if as_of is not None:
        past = await history.board_as_of(request, principal.workspace_id, board_id, as_of)
        return past.respond(request, board_document(*past.found, past.moment.position))
    position = await _caught_up(request, min_position, BOARDS.name, MISSIONS.name, WORKSPACES.name)
    found = await _board(request, principal.workspace_id, board_id)
    etag = f'"{BOARD_MODEL_VERSION}-{found.revision}"'
    if is_known(request, etag):
        return Response(status_code=304, headers={"ETag": etag})
    assert found.body is not None, "only who has this revision gets none"
    share = None
    if found.share_with is not None:
        board = (principal.workspace_id, found.board_id, found.body)
        share = BackgroundTask(found.share_with.keep, *board)
    content = found.body.at(position)
    return Response(content, 200, {"ETag": etag}, "application/json", share)


class _Board(NamedTuple):
    """A board at its newest revision. No body where the client has that one; others may want one just built."""

    board_id: UUID
    revision: int
    body: BoardBody | None = None
    share_with: SharedBodies | None = None


async def _board(request: Request, workspace_id: UUID, board_id: UUID | None) -> _Board:
    """Look which revision a board has, and get that from the nearest: this process, Redis, the rows."""
    state = request.app.state
    bodies: BoardBodies = state.board_bodies
    shared: SharedBodies | None = state.shared_bodies
    if shared is not None and shared.is_away:
        shared = None
    told = filter(None, map(BOARD_ETAG.fullmatch, known_etags(request)))
    known = [int(match[1]) for match in islice(told, KNOWN_REVISIONS_MAX)]
    if (kept := bodies.get(workspace_id, board_id)) is not None:
        known.append(kept.revision)
    asking = {"workspace": workspace_id, "board": board_id, "known": known}
    # Where another process may have built it, the rows are not read before that is known.
    found = await _found(state.database, {**asking, "look": shared is not None})
    if shared is not None and found.revision not in known:
        body = await shared.get(workspace_id, found.board_id, found.revision)
        if body is not None:
            bodies.keep(workspace_id, board_id, body)
            return _Board(found.board_id, found.revision, body)
        found = await _found(state.database, {**asking, "look": False})
    if found.columns is None:  # somebody has it: this process, or else the client
        is_kept = kept is not None and kept.revision == found.revision
        return _Board(found.board_id, found.revision, kept if is_kept else None)
    row = msgspec.json.decode(found.columns, type=BoardRow)
    body = board_body(row, CARDS.decode(found.cards), found.revision)
    bodies.keep(workspace_id, board_id, body)
    return _Board(found.board_id, found.revision, body, shared)


class _Found(NamedTuple):
    """A board's revision; its row and its cards as JSON, unless it was known or only looked at."""

    board_id: UUID
    revision: int
    columns: str | None
    cards: str


async def _found(database: Database, parameters: dict[str, Any]) -> _Found:
    rows = await database.fetch(parameters["workspace"], BOARD, parameters)
    if not rows:
        raise NotFound("no such board in this workspace", field="board_id")
    return _Found(*rows[0])


@router.get("", responses=list_answer(MISSION_LIST.item, EXAMPLE))
async def missions(
    request: Request,
    principal: Reader,
    page: Annotated[Page, Depends(page)],
    board_id: UUID | None = None,
    column_id: UUID | None = None,
    stage: Stage | None = None,
    priority: Priority | None = None,
    label: Annotated[ShortLine | None, Query()] = None,
    assignee_id: UUID | None = None,
    holder: UUID | None = None,
    created_by: UUID | None = None,
    blocked: bool | None = None,
    completed: bool | None = None,
    required_capability: Annotated[ShortLine | None, Query()] = None,
    due_before: Time | None = None,
    due_after: Time | None = None,
) -> Response:
    """List missions, newest first; `sort` by created_at, updated_at, due, priority, title or rank."""
    require_in_order(due_after=due_after, due_before=due_before)
    return await MISSION_LIST.respond(
        request, principal, page, board_id=board_id, column_id=column_id, stage=stage,
        priority=priority, label=label, assignee_id=assignee_id, holder=holder,
        created_by=created_by, blocked=blocked or None, unblocked=blocked is False or None,
        completed=completed,
        required_capability=required_capability, due_before=due_before, due_after=due_after,
    )  # fmt: skip


@router.get(
    "/{mission_id}", responses=document_answer(MissionDocument, {**EXAMPLE, "position": 1041})
)
async def mission(
    mission_id: UUID,
    request: Request,
    principal: Reader,
    min_position: MinPosition = None,
    as_of: AsOf = None,
) -> Response:
    """Return one mission in full."""
    if as_of is not None:
        past = await history.mission_as_of(request, principal.workspace_id, mission_id, as_of)
        return past.respond(request, mission_document(past.found, past.moment.position))
    found, position = await one(
        request, principal, MISSION, {"id": mission_id},
        min_position=min_position, models=(MISSIONS.name,),
    )  # fmt: skip
    row = msgspec.json.decode(found[0], type=MissionRow)
    return document(request, row.version, mission_document(row, position))


def board_document(row: BoardRow, cards: Sequence[MissionRow], position: int) -> dict[str, Any]:
    """Return a board as clients see it; pure, so that history and tests give the same."""
    return {
        "id": row.id, "name": row.name, "version": row.version, "position": position,
        "columns": _columns(row, map(_card, cards)),
    }  # fmt: skip


def board_body(row: BoardRow, cards: Sequence[Any], revision: int) -> BoardBody:
    """Return the same document as JSON, but for its position."""
    head = ENCODER.encode({"id": row.id, "name": row.name, "version": row.version})
    columns = ENCODER.encode(_columns(row, cards))
    return BoardBody(revision, head[:-1] + b',"position":', b',"columns":' + columns + b"}")


def mission_document(row: MissionRow, position: int) -> dict[str, Any]:
    """Return a mission as clients see it."""
    shown = {name: value for name, value in vars(row).items() if name not in HIDDEN}
    return {**shown, "position": position}


def _columns(row: BoardRow, cards: Iterable[Any]) -> list[dict[str, Any]]:
    by_column: dict[UUID, list[Any]] = {column.id: [] for column in row.columns}
    for card in cards:
        # A projection of missions may be ahead of the one of boards: a new column is not known yet.
        if card.column_id in by_column:
            by_column[card.column_id].append(card)
    return [
        {
            "id": column.id,
            "name": column.name,
            "stage": column.stage,
            "wip_limit": column.wip_limit,
            "rank": column.rank,
            "cards": by_column[column.id],
        }
        for column in row.columns
    ]


def _card(row: MissionRow) -> Any:
    return Card(**{name: getattr(row, name) for name in Card.__struct_fields__})


async def _caught_up(request: Request, min_position: int | None, *models: str) -> int:
    marks: Marks = request.app.state.marks
    return await marks.wait(min_position or 0, *models)
