"""Which event is in which room."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from domain.catalogue import EVENTS
from streams.rooms import indexed, message_type, room_of, rooms, seen_by_members

WORKSPACE, STREAM, BOARD, OTHER, MISSION, AGENT = (str(uuid7()) for _ in range(6))
IDS = {"board_id": BOARD, "mission_id": MISSION, "agent_id": AGENT, "from_board_id": OTHER}
SPECIFIED = {"board_change", "mission_update", "comment_added", "agent_status", "system_alert"}


def data(event_type: str) -> dict[str, str]:
    """The ids that an event of this type carries."""
    carried = EVENTS[event_type].__dataclass_fields__
    return {name: value for name, value in IDS.items() if name in carried}


def of(event_type: str, **changed: str) -> set[str]:
    payload = {**data(event_type), **changed}
    return set(rooms(event_type, UUID(STREAM), UUID(WORKSPACE), payload))


@pytest.mark.parametrize("event_type", EVENTS)
def test_every_event_is_audited_and_all_but_keys_are_for_members(event_type: str) -> None:
    found = of(event_type)
    assert f"audit:{WORKSPACE}" in found
    assert (f"workspace:{WORKSPACE}" in found) != event_type.startswith("agent.key_")
    assert message_type(event_type) in SPECIFIED


@pytest.mark.parametrize("event_type", [t for t in EVENTS if t.startswith("mission.")])
def test_a_mission_is_in_its_own_room_its_boards_and_its_workers(event_type: str) -> None:
    found, carried = of(event_type), data(event_type)
    assert {f"mission:{STREAM}", f"board:{BOARD}"} <= found
    assert (f"board:{OTHER}" in found) == ("from_board_id" in carried)
    assert (f"agent:{AGENT}" in found) == ("agent_id" in carried)


def test_a_move_within_a_board_is_in_it_once() -> None:
    found = rooms(
        "mission.moved.v1",
        UUID(STREAM),
        UUID(WORKSPACE),
        {"board_id": BOARD, "from_board_id": BOARD},
    )
    assert len(found) == len(set(found))


@pytest.mark.parametrize("event_type", [t for t in EVENTS if t.startswith("comment.")])
def test_a_comment_is_where_its_mission_is(event_type: str) -> None:
    assert {f"mission:{MISSION}", f"board:{BOARD}"} <= of(event_type)


def test_only_rooms_within_a_workspace_are_indexed() -> None:
    keys = rooms("board.created.v1", UUID(STREAM), UUID(WORKSPACE), {})
    assert indexed(keys) == (f"board:{STREAM}",)


def test_members_see_no_addresses() -> None:
    shown = seen_by_members("user.registered.v1", {"name": "Ada", "email": "ada@example.org"})
    assert shown == {"name": "Ada"}


@given(st.text())
def test_any_text_is_a_room_by_its_exact_name_or_none(text: str) -> None:
    room = room_of(text, UUID(WORKSPACE))
    assert room is None or room.name == text


@pytest.mark.parametrize("noun", ["board", "mission", "agent"])
def test_a_room_has_one_spelling(noun: str) -> None:
    assert room_of(f"{noun}:{STREAM}", UUID(WORKSPACE)) is not None
    assert room_of(f"{noun}:{UUID(STREAM).hex}", UUID(WORKSPACE)) is None
