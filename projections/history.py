"""The past: what read models held as of a position, folded by the very functions that keep them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from domain.mission import Mission
from projections.boards import BOARDS, BoardRow
from projections.missions import MISSIONS, MissionRow
from projections.read_model import Fact, ReadModel

R = TypeVar("R", bound=Any)

MOVED = "mission.moved."
NOUNS = ("board.", "mission.")
"""How the types of the events begin that a board is folded from."""


@dataclass
class BoardState:
    """A board and the cards that stand on it, by id; deleted ones are gone."""

    board: BoardRow | None = None
    cards: dict[UUID, MissionRow] = field(default_factory=dict)


def advance(model: ReadModel[R], row: R | None, fact: Fact) -> R | None:
    """Return a row after the next event of its stream; one that has seen it stays.

    Where the function raises, the row stays as it was, and so it does from then on, because what
    follows is not its next event: as the running projection, which parks such a stream and says so.
    """
    if fact.stream_version != (row.version if row is not None else 0) + 1:
        return row
    try:
        return model.apply(row, fact)
    except Exception:  # noqa: BLE001 - one poisoned stream must not take a board's history with it
        return row


def arrivals(board_id: UUID, facts: Iterable[Fact]) -> set[UUID]:
    """Return the missions that come from another board: what they are is told by their own streams."""
    return {
        fact.stream_id
        for fact in facts
        if fact.type.startswith(MOVED)
        and isinstance(event := fact.event, Mission.Moved)
        and event.board_id == board_id != event.from_board_id
    }


def fold(
    state: BoardState,
    board_id: UUID,
    facts: Sequence[Fact],
    arrived: Mapping[UUID, MissionRow | None],
) -> BoardState:
    """Apply a board's next events to its state, in place, and return it.

    `arrived` holds the missions of `arrivals` as of the position that is asked for, which may be
    beyond `facts`: what is told of them here is known already.
    """
    for fact in facts:
        if fact.stream_id == board_id:
            state.board = advance(BOARDS, state.board, fact)
        elif fact.stream_id not in arrived:
            before = state.cards.get(fact.stream_id)
            if before is not None or fact.stream_version == 1:
                _place(state, board_id, fact.stream_id, advance(MISSIONS, before, fact))
    for mission_id, row in arrived.items():
        _place(state, board_id, mission_id, row)
    return state


def _place(state: BoardState, board_id: UUID, mission_id: UUID, row: MissionRow | None) -> None:
    if row is None or row.deleted or row.board_id != board_id:
        state.cards.pop(mission_id, None)
    else:
        state.cards[mission_id] = row
