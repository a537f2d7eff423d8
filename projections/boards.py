"""Boards and their columns, without the cards."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.base import replace
from domain.board import Board, Column, in_order
from projections.read_model import ReadModel


@dataclass(frozen=True)
class BoardRow:
    """One board; `columns` from left to right."""

    id: UUID
    workspace_id: UUID
    version: int
    name: str
    columns: tuple[Column, ...]
    created_at: datetime
    updated_at: datetime
    stale: bool = False


def created(_: BoardRow | None, event: Any) -> BoardRow:
    return BoardRow(
        id=event.originator_id,
        workspace_id=event.workspace_id,
        version=event.originator_version,
        name=event.name,
        columns=event.columns,
        created_at=event.timestamp,
        updated_at=event.timestamp,
    )


def renamed(row: BoardRow, event: Any) -> BoardRow:
    return replace(row, name=event.name, updated_at=event.timestamp)


def column_added(row: BoardRow, event: Any) -> BoardRow:
    return replace(row, columns=in_order((*row.columns, event.column)), updated_at=event.timestamp)


def column_renamed(row: BoardRow, event: Any) -> BoardRow:
    return _changed(row, event, name=event.name)


def column_moved(row: BoardRow, event: Any) -> BoardRow:
    return _changed(row, event, rank=event.rank)


def wip_limit_set(row: BoardRow, event: Any) -> BoardRow:
    return _changed(row, event, wip_limit=event.wip_limit)


def column_removed(row: BoardRow, event: Any) -> BoardRow:
    kept = tuple(column for column in row.columns if column.id != event.column_id)
    return replace(row, columns=kept, updated_at=event.timestamp)


def _changed(row: BoardRow, event: Any, **changes: Any) -> BoardRow:
    columns = in_order(
        replace(column, **changes) if column.id == event.column_id else column
        for column in row.columns
    )
    return replace(row, columns=columns, updated_at=event.timestamp)


BOARDS = ReadModel(
    "boards",
    table="read_boards",
    row=BoardRow,
    on={
        Board.Created: created,
        Board.Renamed: renamed,
        Board.ColumnAdded: column_added,
        Board.ColumnRenamed: column_renamed,
        Board.ColumnMoved: column_moved,
        Board.ColumnRemoved: column_removed,
        Board.WipLimitSet: wip_limit_set,
    },
    boards=lambda row: frozenset([row.id]),
)
