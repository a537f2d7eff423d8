"""The board and its missions, read."""

from dataclasses import fields
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Request, Response

from domain.base import NotFound
from domain.permissions import Permission
from infra.http.principal import Principal, requires
from infra.marks import Marks
from infra.postgres import Database
from projections.boards import BOARDS, BoardRow
from projections.missions import MISSIONS, MissionRow
from projections.workspaces import WORKSPACES
from read_api import history
from read_api.history import AsOf

router = APIRouter(prefix="/api/missions", tags=["missions"])

BOARD_MODEL_VERSION = 1
Reader = Annotated[Principal, requires(Permission.READ)]
MinPosition = Annotated[
    int | None,
    Query(ge=0, le=2**53, description="wait until the read model has reached this position"),
]

# One round trip: the board named or the workspace's own, its revision, and its cards in order.
BOARD = """
SELECT row_to_json(b)::text, coalesce(r.revision, 0),
    (SELECT coalesce(json_agg(m ORDER BY m.rank, m.id), '[]') FROM read_missions m
        WHERE m.board_id = b.id AND m.workspace_id = b.workspace_id AND NOT m.deleted)::text
FROM read_boards b LEFT JOIN board_revisions r ON r.board_id = b.id
WHERE b.workspace_id = %(workspace)s AND b.id = coalesce(%(board)s,
    (SELECT default_board_id FROM read_workspaces WHERE id = %(workspace)s))"""
MISSION = "SELECT row_to_json(m)::text FROM read_missions m WHERE id = %s AND workspace_id = %s AND NOT deleted"

CARD_FIELDS = tuple(
    field.name
    for field in fields(MissionRow)
    if field.name not in {"workspace_id", "deleted", "description"}
)


@router.get("/board")
async def board(
    request: Request,
    principal: Reader,
    board_id: UUID | None = None,
    min_position: MinPosition = None,
    as_of: AsOf = None,
) -> Response:
    """Return a board with its columns and cards; the workspace's own board when none is named."""
    database: Database = request.app.state.database
    if as_of is not None:
        past = await history.board_as_of(request, principal.workspace_id, board_id, as_of)
        return past.respond(request, board_document(*past.found, past.moment.position))
    position = await _caught_up(request, min_position, BOARDS.name, MISSIONS.name, WORKSPACES.name)
    parameters = {"workspace": principal.workspace_id, "board": board_id}
    rows = await database.fetch(principal.workspace_id, BOARD, parameters)
    if not rows:
        raise NotFound("no such board in this workspace", field="board_id")
    etag = f'"{BOARD_MODEL_VERSION}-{rows[0][1]}"'
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers={"ETag": etag})
    row = msgspec.json.decode(rows[0][0], type=BoardRow)
    cards = msgspec.json.decode(rows[0][2], type=list[MissionRow])
    body = board_document(row, cards, position)
    return Response(msgspec.json.encode(body), 200, {"ETag": etag}, "application/json")


@router.get("/{mission_id}")
async def mission(
    mission_id: UUID,
    request: Request,
    principal: Reader,
    min_position: MinPosition = None,
    as_of: AsOf = None,
) -> Response:
    """Return one mission in full."""
    database: Database = request.app.state.database
    if as_of is not None:
        past = await history.mission_as_of(request, principal.workspace_id, mission_id, as_of)
        return past.respond(request, mission_document(past.found, past.moment.position))
    position = await _caught_up(request, min_position, MISSIONS.name)
    parameters = [mission_id, principal.workspace_id]
    rows = await database.fetch(principal.workspace_id, MISSION, parameters)
    if not rows:
        raise NotFound("no such mission in this workspace")
    row = msgspec.json.decode(rows[0][0], type=MissionRow)
    etag = f'"{row.version}"'
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers={"ETag": etag})
    body = mission_document(row, position)
    return Response(msgspec.json.encode(body), 200, {"ETag": etag}, "application/json")


def board_document(row: BoardRow, cards: list[MissionRow], position: int) -> dict[str, Any]:
    """Return a board as clients see it; pure, so that history and tests give the same."""
    by_column: dict[UUID, list[dict[str, Any]]] = {column.id: [] for column in row.columns}
    for card in cards:
        # A projection of missions may be ahead of the one of boards: a new column is not known yet.
        if card.column_id in by_column:
            by_column[card.column_id].append({name: getattr(card, name) for name in CARD_FIELDS})
    columns = [
        {
            "id": column.id,
            "name": column.name,
            "stage": column.stage,
            "wip_limit": column.wip_limit,
            "cards": by_column[column.id],
        }
        for column in row.columns
    ]
    return {
        "id": row.id, "name": row.name, "version": row.version, "position": position, "columns": columns,
    }  # fmt: skip


def mission_document(row: MissionRow, position: int) -> dict[str, Any]:
    """Return a mission as clients see it."""
    kept = (field.name for field in fields(row) if field.name not in {"workspace_id", "deleted"})
    return {**{name: getattr(row, name) for name in kept}, "position": position}


async def _caught_up(request: Request, min_position: int | None, *models: str) -> int:
    marks: Marks = request.app.state.marks
    return await marks.wait(min_position or 0, *models)
