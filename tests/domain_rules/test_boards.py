"""What may be done to a board and its columns."""

from uuid import UUID

import pytest

from domain.board import (
    COLUMNS_MAX,
    DEFAULT_COLUMNS,
    Board,
    ColumnNameTaken,
    ColumnNotFound,
    LastColumnOfStage,
    Stage,
    TooManyColumns,
    default_columns,
)

WORKSPACE, BOARD, NEW, UNKNOWN = (UUID(int=n) for n in range(1, 5))
COLUMN_IDS = [UUID(int=100 + number) for number in range(len(DEFAULT_COLUMNS))]
BACKLOG, READY, ACTIVE, REVIEW, DONE = COLUMN_IDS


def created():
    columns = default_columns(COLUMN_IDS)
    return Board.begin(BOARD, workspace_id=WORKSPACE, name="Work", columns=columns)


def second_review_added(board):
    board.add_column(NEW, "Second review", Stage.REVIEW, None, None)


def order_of(board):
    return [column.id for column in board.columns]


def test_a_new_board_has_one_column_of_each_stage_in_the_order_of_work():
    board = created()
    assert [column.stage for column in board.columns] == list(Stage)
    assert order_of(board) == COLUMN_IDS
    ranks = [column.rank for column in board.columns]
    assert ranks == sorted(set(ranks))


def test_default_columns_need_one_id_each():
    with pytest.raises(ValueError, match="zip"):
        default_columns(COLUMN_IDS[1:])


@pytest.mark.parametrize("stage", Stage)
def test_the_first_column_of_a_stage_is_the_leftmost(stage):
    board = created()
    number = list(Stage).index(stage)
    assert board.first(stage).id == COLUMN_IDS[number]
    board.add_column(NEW, "Further left", stage, None, COLUMN_IDS[0])
    assert board.first(stage).id == NEW


def test_a_column_is_found_by_its_id_and_an_unknown_one_is_not(given):
    assert created().column(REVIEW).name == "Review"
    decision = given(created).when(lambda board: board.column(UNKNOWN))
    decision.then_refused(ColumnNotFound, field="column_id")


def test_a_column_is_added_at_the_end(given):
    decision = given(created).when(lambda b: b.add_column(NEW, "Blocked", Stage.ACTIVE, 3, None))
    decision.then(Board.ColumnAdded)
    assert order_of(decision.decided) == [*COLUMN_IDS, NEW]
    column = decision.decided.column(NEW)
    assert (column.name, column.stage, column.wip_limit) == ("Blocked", Stage.ACTIVE, 3)


@pytest.mark.parametrize("place", range(len(COLUMN_IDS)))
def test_a_column_is_added_right_in_front_of_another(given, place):
    decision = given(created).when(
        lambda board: board.add_column(NEW, "New", Stage.READY, None, COLUMN_IDS[place])
    )
    decision.then(Board.ColumnAdded)
    assert order_of(decision.decided) == [*COLUMN_IDS[:place], NEW, *COLUMN_IDS[place:]]


def test_a_column_is_not_added_in_front_of_an_unknown_one(given):
    decision = given(created).when(lambda b: b.add_column(NEW, "New", Stage.READY, None, UNKNOWN))
    decision.then_refused(ColumnNotFound, field="column_id")


@pytest.mark.parametrize("name", ["Review", "rEVIEW"])
def test_two_columns_of_a_board_do_not_share_a_name(given, name):
    decision = given(created).when(lambda b: b.add_column(NEW, name, Stage.READY, None, None))
    decision.then_refused(ColumnNameTaken, field="name")


def test_one_column_too_many_is_refused(given):
    def filled(board):
        for number in range(COLUMNS_MAX - len(COLUMN_IDS)):
            board.add_column(UUID(int=500 + number), f"C{number}", Stage.ACTIVE, None, None)

    history = given(created, filled)
    assert len(history.log) == 1 + COLUMNS_MAX - len(COLUMN_IDS)
    history.when(second_review_added).then_refused(TooManyColumns)


def test_a_board_is_renamed(given):
    decision = given(created).when(lambda board: board.rename("Freight"))
    decision.then(Board.Renamed, name="Freight")
    assert decision.decided.name == "Freight"


def test_renaming_a_board_to_its_own_name_is_silent(given):
    given(created).when(lambda board: board.rename(board.name)).then_nothing()


def test_a_column_is_renamed_where_it_stands(given):
    decision = given(created).when(lambda board: board.rename_column(READY, "Next up"))
    decision.then(Board.ColumnRenamed, column_id=READY, name="Next up")
    assert decision.decided.column(READY).name == "Next up"
    assert order_of(decision.decided) == COLUMN_IDS


def test_renaming_a_column_to_its_own_name_is_silent(given):
    given(created).when(lambda board: board.rename_column(READY, "Ready")).then_nothing()


def test_a_column_may_change_the_case_of_its_own_name(given):
    decision = given(created).when(lambda board: board.rename_column(READY, "READY"))
    decision.then(Board.ColumnRenamed, name="READY")


def test_a_column_does_not_take_the_name_of_another(given):
    decision = given(created).when(lambda board: board.rename_column(READY, "review"))
    decision.then_refused(ColumnNameTaken, field="name")


def test_an_unknown_column_is_not_renamed(given):
    decision = given(created).when(lambda board: board.rename_column(UNKNOWN, "New"))
    decision.then_refused(ColumnNotFound, field="column_id")


@pytest.mark.parametrize(
    ("before", "order"),
    [
        (BACKLOG, [REVIEW, BACKLOG, READY, ACTIVE, DONE]),
        (READY, [BACKLOG, REVIEW, READY, ACTIVE, DONE]),
        (ACTIVE, [BACKLOG, READY, REVIEW, ACTIVE, DONE]),
        (DONE, COLUMN_IDS),
        (None, [BACKLOG, READY, ACTIVE, DONE, REVIEW]),
    ],
    ids=["first", "second", "third", "where it is", "last"],
)
def test_a_column_is_moved_right_in_front_of_another_or_to_the_end(given, before, order):
    decision = given(created).when(lambda board: board.move_column(REVIEW, before))
    decision.then(Board.ColumnMoved, column_id=REVIEW)
    assert order_of(decision.decided) == order


def test_moving_a_column_in_front_of_itself_is_silent(given):
    given(created).when(lambda board: board.move_column(READY, READY)).then_nothing()


@pytest.mark.parametrize(("column_id", "before"), [(UNKNOWN, READY), (READY, UNKNOWN)])
def test_a_column_is_not_moved_where_one_of_the_two_is_unknown(given, column_id, before):
    decision = given(created).when(lambda board: board.move_column(column_id, before))
    decision.then_refused(ColumnNotFound, field="column_id")


def test_a_column_is_removed_where_another_of_its_stage_is_left(given):
    decision = given(created, second_review_added).when(lambda b: b.remove_column(REVIEW))
    decision.then(Board.ColumnRemoved, column_id=REVIEW)
    assert order_of(decision.decided) == [BACKLOG, READY, ACTIVE, DONE, NEW]
    assert decision.decided.first(Stage.REVIEW).id == NEW


@pytest.mark.parametrize("column_id", COLUMN_IDS)
def test_the_last_column_of_a_stage_is_not_removed(given, column_id):
    decision = given(created).when(lambda board: board.remove_column(column_id))
    decision.then_refused(LastColumnOfStage)


def test_an_unknown_column_is_not_removed(given):
    decision = given(created).when(lambda board: board.remove_column(UNKNOWN))
    decision.then_refused(ColumnNotFound, field="column_id")


def limited(board):
    board.set_wip_limit(ACTIVE, 2)


@pytest.mark.parametrize("wip_limit", [1, 3, None])
def test_a_limit_is_set_and_lifted(given, wip_limit):
    decision = given(created, limited).when(lambda b: b.set_wip_limit(ACTIVE, wip_limit))
    decision.then(Board.WipLimitSet, column_id=ACTIVE, wip_limit=wip_limit)
    assert decision.decided.column(ACTIVE).wip_limit == wip_limit


def test_setting_the_limit_that_is_in_force_is_silent(given):
    given(created, limited).when(limited).then_nothing()
    given(created).when(lambda board: board.set_wip_limit(ACTIVE, None)).then_nothing()


def test_an_unknown_column_takes_no_limit(given):
    decision = given(created).when(lambda board: board.set_wip_limit(UNKNOWN, 2))
    decision.then_refused(ColumnNotFound, field="column_id")
