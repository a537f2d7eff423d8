"""Boards and columns over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from commands import boards
from commands.append import ActorKind
from domain.board import Stage
from domain.permissions import Permission
from infra.http.caller import Done, done, run
from infra.http.fields import Body, Integer, Line, ShortLine
from infra.http.principal import Forbidden, Principal, requires

router = APIRouter(prefix="/api/boards", tags=["boards"])

WipLimit = Annotated[Integer, Field(ge=1, le=10_000)]


def _person(principal: Annotated[Principal, requires(Permission.CREATE_MISSIONS)]) -> Principal:
    if principal.actor.kind != ActorKind.USER:
        raise Forbidden("only people change boards")
    return principal


Editor = Annotated[Principal, Depends(_person)]


class NewBoard(Body):
    name: Line


class BoardName(Body):
    name: Line


class NewColumn(Body):
    name: ShortLine
    stage: Stage
    wip_limit: WipLimit | None = None
    before: UUID | None = None


class ColumnName(Body):
    name: ShortLine


class ColumnPlace(Body):
    """`before` is the column to stand in front of; null is the end."""

    before: UUID | None


class ColumnLimit(Body):
    wip_limit: WipLimit | None


class ColumnAdded(Done):
    """The board, with a new column."""

    column_id: UUID


@router.post("", status_code=201, responses=done(status=201, conditional=False))
async def create_board(body: NewBoard, request: Request, principal: Editor) -> Response:
    """Make a board with the five usual columns."""
    return await run(request, principal, boards.CreateBoard(body.name))


@router.put("/{board_id}", responses=done())
async def rename_board(
    board_id: UUID, body: BoardName, request: Request, principal: Editor
) -> Response:
    """Rename a board."""
    return await run(request, principal, boards.RenameBoard(board_id, body.name))


@router.post("/{board_id}/columns", status_code=201, responses=done(ColumnAdded, status=201))
async def add_column(
    board_id: UUID, body: NewColumn, request: Request, principal: Editor
) -> Response:
    """Add a column."""
    command = boards.AddColumn(board_id, body.name, body.stage, body.wip_limit, body.before)
    return await run(request, principal, command)


@router.put("/{board_id}/columns/{column_id}", responses=done())
async def rename_column(
    board_id: UUID, column_id: UUID, body: ColumnName, request: Request, principal: Editor
) -> Response:
    """Rename a column."""
    return await run(request, principal, boards.RenameColumn(board_id, column_id, body.name))


@router.put("/{board_id}/columns/{column_id}/move", responses=done())
async def move_column(
    board_id: UUID, column_id: UUID, body: ColumnPlace, request: Request, principal: Editor
) -> Response:
    """Move a column."""
    return await run(request, principal, boards.MoveColumn(board_id, column_id, body.before))


@router.delete("/{board_id}/columns/{column_id}", responses=done())
async def remove_column(
    board_id: UUID, column_id: UUID, request: Request, principal: Editor
) -> Response:
    """Remove an empty column."""
    return await run(request, principal, boards.RemoveColumn(board_id, column_id))


@router.put("/{board_id}/columns/{column_id}/wip-limit", responses=done())
async def set_wip_limit(
    board_id: UUID, column_id: UUID, body: ColumnLimit, request: Request, principal: Editor
) -> Response:
    """Set or lift a limit of work in progress."""
    return await run(request, principal, boards.SetWipLimit(board_id, column_id, body.wip_limit))
