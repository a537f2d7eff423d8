"""The board's JSON: the same built from rows as from the database's own text, and bounded when kept."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import msgspec

from domain.board import Stage, default_columns
from domain.mission import Priority
from projections.boards import BoardRow
from projections.missions import MissionRow
from read_api.missions import CARDS, BoardBodies, BoardBody, board_body, board_document

NOW = datetime(2026, 3, 1, 9, 0, 0, 120_000, UTC)


def a_board() -> BoardRow:
    columns = default_columns([uuid4() for _ in range(5)])
    return BoardRow(uuid4(), uuid4(), 3, 'A "board"', columns, NOW, NOW)


def a_card(board: BoardRow, column_id: UUID) -> MissionRow:
    return MissionRow(
        id=uuid4(), workspace_id=board.workspace_id, version=2, board_id=board.id, column_id=column_id,
        stage=Stage.READY, rank="a", title='"\\\u2028\U0001f680\t', description="long", priority=Priority.HIGH,
        labels=("a", "ü"), due=NOW, required_capabilities=(), assignees=(uuid4(),), holder=None,
        lease_token=None, progress_percent=0, progress_note=None, dependencies=(),
        unmet_dependencies=(), blocked_reason=None, failures=0, submitted_by=None, summary=None,
        sent_back_reason=None,
        completed=False, deleted=False, created_by=uuid4(), created_at=NOW, updated_at=NOW,
    )  # fmt: skip


def test_a_board_from_the_database_equals_the_document_of_its_rows() -> None:
    board = a_board()
    rows = [a_card(board, column.id) for column in board.columns for _ in range(2)]
    unknown = a_card(board, uuid4())
    sent = msgspec.json.encode([*rows, unknown]).decode().replace("Z", "+00:00")
    body = board_body(board, CARDS.decode(sent), 7)
    assert body.at(41) == msgspec.json.encode(board_document(board, [*rows, unknown], 41))


def test_kept_boards_stay_within_their_bytes_and_the_newest_stays() -> None:
    bodies, workspace_id = BoardBodies(bytes_max=1000), uuid4()
    ids = [uuid4() for _ in range(30)]
    for number, board_id in enumerate(ids):
        bodies.keep(workspace_id, board_id, BoardBody(number, b"", b"x" * 100))
        bodies.keep(workspace_id, board_id, BoardBody(number + 1, b"", b"x" * 90))
    kept = [board_id for board_id in ids if bodies.get(workspace_id, board_id)]
    assert kept == ids[-11:]
    assert bodies.get(uuid4(), ids[-1]) is None
    assert bodies.get(workspace_id, ids[-1]) == BoardBody(30, b"", b"x" * 90)
