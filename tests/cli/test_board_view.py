"""A drawn board fits where it is drawn, whatever is on it, and tells what matters."""

import string
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from infra.terminal.board_view import Scene, changed_cards, draw, versions

NOW = datetime(2030, 5, 6, 7, 8, 9, tzinfo=UTC)
STAGES = ("backlog", "ready", "active", "review", "done")


def card(number: int, title: str = "Write it up", **fields: Any) -> dict[str, Any]:
    return {
        "id": f"card-{number}", "version": 1, "title": title, "stage": "ready", "priority": "normal", "labels": [],
        "holder": None, "submitted_by": None, "assignees": [], "progress_percent": 0, "blocked_reason": None,
        "unmet_dependencies": [], "updated_at": (NOW - timedelta(minutes=number)).isoformat(), **fields,
    }  # fmt: skip


def board(*columns: list[dict[str, Any]], **limits: int) -> dict[str, Any]:
    return {
        "id": "b", "name": "Launch", "position": 42,
        "columns": [
            {"id": stage, "name": stage.title(), "stage": stage, "wip_limit": limits.get(stage), "cards": cards}
            for stage, cards in zip(STAGES, [*columns, *([] for _ in STAGES)], strict=False)
        ],
    }  # fmt: skip


def lines(
    found: dict[str, Any], width: int = 120, height: int | None = None, **scene: Any
) -> list[str]:
    drawn = draw(found, Scene(NOW, lambda one: f"name of {one}", **scene), width, height)
    return drawn.plain.split("\n")  # fmt: skip


texts = st.text(string.printable + "äß漢字🚀\u202eé\x1b", max_size=40)
cards = st.builds(
    lambda title, **fields: card(1, title, **fields),
    texts,
    priority=st.sampled_from(["low", "normal", "high", "urgent"]),
    labels=st.lists(texts, max_size=3),
    holder=st.none() | texts,
    assignees=st.lists(texts, max_size=1),
    progress_percent=st.integers(0, 100),
    blocked_reason=st.none() | texts,
)


@settings(max_examples=200, deadline=None)
@given(
    columns=st.lists(st.lists(cards, max_size=3), min_size=1, max_size=5),
    width=st.integers(20, 200),
    height=st.none() | st.integers(5, 60),
)
def test_it_is_never_wider_or_taller_than_asked_for(
    columns: list[list[dict[str, Any]]], width: int, height: int | None
) -> None:
    drawn = lines(board(*columns), width, height, hint="q leaves")
    assert max(map(cell_len, drawn)) <= width
    assert height is None or len(drawn) <= height
    assert not any(char in line for line in drawn for char in "\x1b\x07\r\u202e")


@pytest.mark.parametrize(("width", "beside"), [(160, True), (104, True), (103, False), (60, False)])
def test_columns_are_side_by_side_where_there_is_room(width: int, beside: bool) -> None:
    drawn = lines(board([card(1)]), width)
    assert any("Backlog" in line and "Review" in line for line in drawn) == beside


def test_each_card_is_counted_or_shown() -> None:
    for width in (120, 60):
        drawn = lines(board([card(n, f"Card {n:02}") for n in range(30)]), width, 24)
        shown = sum("Card" in line for line in drawn)
        more = next(line for line in drawn if "more" in line)
        assert shown + int(more.split("+ ")[1].split()[0]) == 30
        assert shown > 0


def test_a_full_column_tells_its_limit() -> None:
    assert "2/2" in lines(board([card(1), card(2)], backlog=2))[2]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"priority": "urgent"}, "urgent"),
        ({"holder": "h"}, "◆ name of h"),
        ({"holder": "h", "progress_percent": 60}, " 60% "),
        ({"submitted_by": "s"}, "✓ name of s"),
        ({"assignees": ["a"]}, "◇ name of a"),
        ({"blocked_reason": "no access"}, "⊘ no access"),
        ({"unmet_dependencies": ["x", "y"]}, "⊘ waits for 2 others"),
        ({"labels": ["ops"]}, "#ops"),
        ({}, " 1m "),
    ],
)
def test_a_card_tells(fields: dict[str, Any], told: str) -> None:
    assert told in "\n".join(lines(board([card(1, **fields)]), 160))


def test_the_edge_of_a_card_fills_as_the_work_goes_on() -> None:
    filled = []
    for percent in (0, 25, 50, 100):
        drawn = lines(board([card(1, holder="h", progress_percent=percent)]), 160)
        filled.append(next(line for line in drawn if line.startswith("╰")).count("━"))
    assert filled[0] == 0
    assert filled == sorted(set(filled))


def test_what_is_done_last_stands_on_top() -> None:
    done = [card(n, f"Card {n}", stage="done") for n in range(3)]
    drawn = "\n".join(lines(board([], [], [], [], done)))
    assert drawn.index("Card 2") < drawn.index("Card 1") < drawn.index("Card 0")


def test_only_what_changed_stands_out() -> None:
    before = board([card(1), card(2)])
    after = board([card(1)], [card(2, version=2)])
    assert set(changed_cards(versions(before), after)) == {"card-2"}
    drawn = draw(after, Scene(NOW, str, changed={"card-2"}), 160, None)
    green = [
        drawn.plain[span.start : span.end]
        for span in drawn.spans
        if "bold green" in str(span.style)
    ]
    assert green
