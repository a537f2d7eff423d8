"""Boards and their columns, read. A board with its cards is `/api/missions/board`."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from projections.boards import BOARDS, BoardRow
from projections.workspaces import WORKSPACES
from read_api.lists import (
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
)

router = APIRouter(prefix="/api/boards", tags=["boards"])

HIDDEN = frozenset({"workspace_id"})
ID = "0192f0c1-7a3e-7cc1-9b0e-5d1f6a2b3c4d"
EXAMPLE: dict[str, Any] = {
    "id": ID, "version": 1, "name": "Missions",
    "columns": [{"id": ID, "name": "Ready", "stage": "ready", "wip_limit": None, "rank": "h"}],
    "created_at": "2026-03-01T09:00:00Z", "updated_at": "2026-03-01T09:00:00Z", "stale": False, "default": True,
}  # fmt: skip
# Which board is meant when none is named is the workspace's business.
IS_DEFAULT = """coalesce(t.id = (SELECT w.default_board_id FROM read_workspaces w
    WHERE w.id = t.workspace_id), false) AS "default\""""

BOARD_LIST: Listing[Any] = Listing(
    item_of(BoardRow, omit=HIDDEN, default=bool),
    source="read_boards t",
    columns=f"{columns_of(BoardRow, omit=HIDDEN)}, {IS_DEFAULT}",
    orders={"created_at": Order("t.created_at", "timestamptz")},
    default="created_at",
    models=(BOARDS.name, WORKSPACES.name),
)
BoardDocument = document_of(BOARD_LIST.item)
BOARD = f"""
SELECT row_to_json(b)::text FROM (SELECT t.*, {IS_DEFAULT} FROM read_boards t
    WHERE t.id = %(id)s AND t.workspace_id = %(workspace)s) b"""


@router.get("", responses=list_answer(BOARD_LIST.item, EXAMPLE))
async def boards(
    request: Request, principal: Reader, page: Annotated[Page, Depends(page)]
) -> Response:
    """List the workspace's boards."""
    return await BOARD_LIST.respond(request, principal, page)


@router.get("/{board_id}", responses=document_answer(BoardDocument, {**EXAMPLE, "position": 1041}))
async def board(
    board_id: UUID, request: Request, principal: Reader, min_position: MinPosition = None
) -> Response:
    """Return a board's columns, without cards."""
    found, position = await one(
        request, principal, BOARD, {"id": board_id},
        min_position=min_position, models=(BOARDS.name, WORKSPACES.name),
    )  # fmt: skip
    item = msgspec.json.decode(found[0], type=BOARD_LIST.item)
    return document(request, item.version, {**msgspec.structs.asdict(item), "position": position})
