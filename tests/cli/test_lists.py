"""Lists and search: tables for people, tab-separated lines for programs, documents with --json."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from infra.terminal.search import MARK_STYLE, marked
from tests.cli.conftest import Run


@pytest.fixture(scope="module")
def board(admin: httpx.Client) -> dict[str, Any]:
    """A board of its own with three missions."""
    name = f"Lists {uuid4().hex[:6]}"
    board_id = admin.post("/api/boards", json={"name": name}).json()["id"]
    for title, priority in (("Alpha", "urgent"), ("Beta", "low"), ("Gamma", "urgent")):
        body = {"title": title, "priority": priority, "board_id": board_id, "labels": ["list"]}
        position = admin.post("/api/missions", json=body).json()["position"]
    for _ in ("missions", "boards"):
        admin.get("/api/missions/board", params={"board_id": board_id, "min_position": position})
    return {"id": board_id, "name": name}


def titles(document: dict[str, Any]) -> set[str]:
    return {item["title"] for item in document["items"]}


def test_missions_are_listed_by_board_and_priority(mc: Run, board: dict[str, Any]) -> None:
    words = ("missions", "list", "--board", board["name"])
    assert titles(mc(*words, "--json").json) == {"Alpha", "Beta", "Gamma"}
    assert titles(mc(*words, "--priority", "urgent", "--json").json) == {"Alpha", "Gamma"}
    assert titles(mc(*words, "--stage", "done", "--json").json) == set()
    assert titles(mc(*words, "--label", "list", "--json").json) == {"Alpha", "Beta", "Gamma"}


def test_a_list_goes_over_pages(mc: Run, admin: httpx.Client, monkeypatch: Any) -> None:
    board_id = admin.post("/api/boards", json={"name": f"Pages {uuid4().hex[:6]}"}).json()["id"]
    made = {
        admin.post("/api/missions", json={"title": f"n {n}", "board_id": board_id}).json()["id"]
        for n in range(7)
    }
    monkeypatch.setattr("infra.terminal.server.PAGE_ROWS_MAX", 3)
    found = mc("missions", "list", "--board", board_id, "--limit", 7, "--json").json
    assert {item["id"] for item in found["items"]} == made
    assert (
        len(mc("missions", "list", "--board", board_id, "--limit", 5, "--json").json["items"]) == 5
    )


def test_in_a_pipe_each_mission_is_a_line_with_tabs(mc: Run, board: dict[str, Any]) -> None:
    lines = mc("missions", "list", "--board", board["id"]).out.splitlines()
    assert {line.split("\t")[-1] for line in lines} == {"Alpha", "Beta", "Gamma"}
    assert {len(line.split("\t")) for line in lines} == {7}


def test_a_board_that_is_not_known_is_named(mc: Run) -> None:
    done = mc("missions", "list", "--board", "Nowhere")
    assert done.code == 2
    assert "no board is named Nowhere" in done.complaint


def test_agents_are_listed_and_shown(mc: Run, agent: tuple[str, str]) -> None:
    listed = mc("agents", "list", "--json").json
    assert agent[0] in {item["id"] for item in listed["items"]}
    assert "scribe" in mc("agents", "list").out
    assert mc("agents", "show", agent[0], "--json").json["name"] == "scribe"
    assert "writer" in mc("agents", "show", agent[0]).out
    assert mc("agents", "show", uuid4()).code == 1


def test_boards_and_replays_call_agents_by_their_names(mc: Run, agent: tuple[str, str]) -> None:
    mission = mc("missions", "create", "Named", "--json").json["id"]
    position = mc("missions", "claim", mission, "--json", MC_KEY=agent[1]).json["position"]
    assert "scribe" in mc("replay", "--from", position - 1).out
    assert "◆ scribe" in mc("board", "--once", "--width", 160).out


def test_search_finds_by_words(mc: Run, admin: httpx.Client) -> None:
    word = f"zebra{uuid4().hex[:6]}"
    made = admin.post("/api/missions", json={"title": f"Count the {word}"}).json()
    admin.get("/api/search", params={"q": word, "min_position": made["position"]})
    assert titles(mc("search", word, "--json").json) == {f"Count the {word}"}
    assert made["id"] in mc("search", word, "--type", "mission").out
    assert mc("search", word, "--type", "comment", "--json").json["items"] == []


def test_what_was_found_stands_out() -> None:
    text = marked("the <mark>zebra</mark>s & <b>the</b> <mark>zoo</mark>\x1b[2J")
    assert text.plain == "the zebras & <b>the</b> zoo [2J"
    found = [text.plain[span.start : span.end] for span in text.spans if span.style == MARK_STYLE]
    assert found == ["zebra", "zoo"]
