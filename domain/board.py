"""Boards: columns in order, each with a stage and perhaps a limit of work in progress."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import UUID

from eventsourcing.domain import event

from domain import base, rank

COLUMNS_MAX = 50


class Stage(StrEnum):
    """What a column means for the work in it, in the order that work takes."""

    BACKLOG = "backlog"
    READY = "ready"
    ACTIVE = "active"
    REVIEW = "review"
    DONE = "done"


@dataclass(frozen=True)
class Column:
    """One column; `wip_limit` counts cards, None is no limit."""

    id: UUID
    name: str
    stage: Stage
    wip_limit: int | None
    rank: str


class ColumnNotFound(base.NotFound):
    """The board has no such column."""

    code = "column_not_found"


class ColumnNameTaken(base.Refusal):
    """Another column of the board has this name."""

    code = "column_name_taken"


class LastColumnOfStage(base.Refusal):
    """A board keeps at least one column of each stage."""

    code = "last_column_of_stage"


class TooManyColumns(base.Refusal):
    """A board has at most `COLUMNS_MAX` columns."""

    code = "too_many_columns"


class Board(base.Aggregate):
    """A board. Which cards stand in a column is the missions' business; guards count them."""

    TOPIC = "board"

    name: str
    columns: tuple[Column, ...]

    class Event(base.Aggregate.Event):
        pass

    class Created(Event, base.Aggregate.Created):
        TOPIC = "board.created.v1"
        name: str
        columns: tuple[Column, ...]

    class Renamed(Event):
        TOPIC = "board.renamed.v1"
        name: str

    class ColumnAdded(Event):
        TOPIC = "board.column_added.v1"
        column: Column

    class ColumnRenamed(Event):
        TOPIC = "board.column_renamed.v1"
        column_id: UUID
        name: str

    class ColumnMoved(Event):
        TOPIC = "board.column_moved.v1"
        column_id: UUID
        rank: str

    class ColumnRemoved(Event):
        TOPIC = "board.column_removed.v1"
        column_id: UUID

    class WipLimitSet(Event):
        TOPIC = "board.wip_limit_set.v1"
        column_id: UUID
        wip_limit: int | None

    @event(Created)
    def __init__(self, workspace_id: UUID, name: str, columns: tuple[Column, ...]) -> None:
        self.workspace_id = workspace_id
        self.name = name
        self.columns = columns

    def column(self, column_id: UUID) -> Column:
        """Return the column, or raise `ColumnNotFound`."""
        for column in self.columns:
            if column.id == column_id:
                return column
        raise ColumnNotFound("the board has no such column", field="column_id")

    def first(self, stage: Stage) -> Column:
        """Return the first column of a stage; every board has one."""
        return next(column for column in self.columns if column.stage == stage)

    def rename(self, name: str) -> None:
        """Rename the board; silent when it has that name already."""
        if self.name != name:
            self._renamed(name)

    def add_column(
        self, column_id: UUID, name: str, stage: Stage, wip_limit: int | None, before: UUID | None
    ) -> None:
        """Add a column in front of another, or at the end."""
        if len(self.columns) >= COLUMNS_MAX:
            raise TooManyColumns(f"a board has at most {COLUMNS_MAX} columns")
        self._require_free_name(name, column_id)
        place = self._rank_before(before, column_id)
        self._column_added(Column(column_id, name, stage, wip_limit, place))

    def rename_column(self, column_id: UUID, name: str) -> None:
        """Rename a column; silent when it has that name already."""
        if self.column(column_id).name == name:
            return
        self._require_free_name(name, column_id)
        self._column_renamed(column_id, name)

    def move_column(self, column_id: UUID, before: UUID | None) -> None:
        """Move a column in front of another, or to the end."""
        self.column(column_id)
        if before == column_id:
            return
        self._column_moved(column_id, self._rank_before(before, column_id))

    def remove_column(self, column_id: UUID) -> None:
        """Remove a column. A guard refuses it while cards stand in it."""
        stage = self.column(column_id).stage
        if sum(column.stage == stage for column in self.columns) == 1:
            raise LastColumnOfStage(f"a board keeps at least one column of stage {stage}")
        self._column_removed(column_id)

    def set_wip_limit(self, column_id: UUID, wip_limit: int | None) -> None:
        """Set or lift a limit; cards that stand there already may exceed it."""
        if self.column(column_id).wip_limit != wip_limit:
            self._wip_limit_set(column_id, wip_limit)

    def _require_free_name(self, name: str, column_id: UUID) -> None:
        others = (column for column in self.columns if column.id != column_id)
        if any(column.name.casefold() == name.casefold() for column in others):
            raise ColumnNameTaken("another column of this board has this name", field="name")

    def _rank_before(self, before: UUID | None, moving: UUID) -> str:
        others = [column for column in self.columns if column.id != moving]
        if before is None:
            return rank.between(others[-1].rank if others else "", None, moving)
        index = others.index(self.column(before))
        low = others[index - 1].rank if index else ""
        return rank.between(low, others[index].rank, moving)

    @event(Renamed)
    def _renamed(self, name: str) -> None:
        self.name = name

    @event(ColumnAdded)
    def _column_added(self, column: Column) -> None:
        self.columns = in_order((*self.columns, column))

    @event(ColumnRenamed)
    def _column_renamed(self, column_id: UUID, name: str) -> None:
        self._change(column_id, name=name)

    @event(ColumnMoved)
    def _column_moved(self, column_id: UUID, rank: str) -> None:
        self._change(column_id, rank=rank)

    @event(ColumnRemoved)
    def _column_removed(self, column_id: UUID) -> None:
        self.columns = tuple(column for column in self.columns if column.id != column_id)

    @event(WipLimitSet)
    def _wip_limit_set(self, column_id: UUID, wip_limit: int | None) -> None:
        self._change(column_id, wip_limit=wip_limit)

    def _change(self, column_id: UUID, **changes: object) -> None:
        self.columns = in_order(
            replace(column, **changes) if column.id == column_id else column  # type: ignore[arg-type]
            for column in self.columns
        )


DEFAULT_COLUMNS: tuple[tuple[str, Stage], ...] = (
    ("Backlog", Stage.BACKLOG),
    ("Ready", Stage.READY),
    ("In progress", Stage.ACTIVE),
    ("Review", Stage.REVIEW),
    ("Done", Stage.DONE),
)


def default_columns(column_ids: Sequence[UUID]) -> tuple[Column, ...]:
    """Return the five columns that a new board has; `column_ids` are five fresh ids."""
    columns: list[Column] = []
    for column_id, (name, stage) in zip(column_ids, DEFAULT_COLUMNS, strict=True):
        place = rank.between(columns[-1].rank if columns else "", None, column_id)
        columns.append(Column(column_id, name, stage, None, place))
    return tuple(columns)


def in_order(columns: Iterable[Column]) -> tuple[Column, ...]:
    """Return columns from left to right."""
    return tuple(sorted(columns, key=lambda column: (column.rank, column.id)))
