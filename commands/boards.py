"""Boards and their columns."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from commands.append import Recorded
from commands.bus import Context, Decision, Handler, Tools, require_unchanged
from domain.board import DEFAULT_COLUMNS, Board, Stage, default_columns


@dataclass(frozen=True, slots=True)
class CreateBoard:
    name: str


@dataclass(frozen=True, slots=True)
class RenameBoard:
    board_id: UUID
    name: str


@dataclass(frozen=True, slots=True)
class AddColumn:
    board_id: UUID
    name: str
    stage: Stage
    wip_limit: int | None = None
    before: UUID | None = None


@dataclass(frozen=True, slots=True)
class RenameColumn:
    board_id: UUID
    column_id: UUID
    name: str


@dataclass(frozen=True, slots=True)
class MoveColumn:
    board_id: UUID
    column_id: UUID
    before: UUID | None


@dataclass(frozen=True, slots=True)
class RemoveColumn:
    board_id: UUID
    column_id: UUID


@dataclass(frozen=True, slots=True)
class SetWipLimit:
    board_id: UUID
    column_id: UUID
    wip_limit: int | None


async def create_board(command: CreateBoard, context: Context, tools: Tools) -> Decision:
    columns = default_columns([uuid7() for _ in DEFAULT_COLUMNS])
    board = Board.begin(
        uuid7(), workspace_id=context.workspace_id, name=command.name, columns=columns
    )
    return Decision([board], status=201)


async def rename_board(command: RenameBoard, context: Context, tools: Tools) -> Decision:
    board = await _board(command.board_id, context, tools)
    board.rename(command.name)
    return Decision([board])


async def add_column(command: AddColumn, context: Context, tools: Tools) -> Decision:
    board = await _board(command.board_id, context, tools)
    column_id = uuid7()
    board.add_column(column_id, command.name, command.stage, command.wip_limit, command.before)

    def about_column(_: Recorded) -> dict[str, Any]:
        return {"column_id": column_id}

    return Decision([board], status=201, members=about_column)


async def rename_column(command: RenameColumn, context: Context, tools: Tools) -> Decision:
    board = await _board(command.board_id, context, tools)
    board.rename_column(command.column_id, command.name)
    return Decision([board])


async def move_column(command: MoveColumn, context: Context, tools: Tools) -> Decision:
    board = await _board(command.board_id, context, tools)
    board.move_column(command.column_id, command.before)
    return Decision([board])


async def remove_column(command: RemoveColumn, context: Context, tools: Tools) -> Decision:
    board = await _board(command.board_id, context, tools)
    board.remove_column(command.column_id)
    return Decision([board])


async def set_wip_limit(command: SetWipLimit, context: Context, tools: Tools) -> Decision:
    board = await _board(command.board_id, context, tools)
    board.set_wip_limit(command.column_id, command.wip_limit)
    return Decision([board])


HANDLERS: dict[type[Any], Handler] = {
    CreateBoard: create_board,
    RenameBoard: rename_board,
    AddColumn: add_column,
    RenameColumn: rename_column,
    MoveColumn: move_column,
    RemoveColumn: remove_column,
    SetWipLimit: set_wip_limit,
}


async def _board(board_id: UUID, context: Context, tools: Tools) -> Board:
    board = await tools.aggregates.get(Board, board_id, context.workspace_id)
    require_unchanged(board, context)
    return board
