"""`board`: one frame for a pipe, and a live screen on which a card moves."""

import re
import signal
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from tests.api.conftest import new_agent
from tests.cli.conftest import Run, sign_in_at
from tests.cli.relay import Relay
from tests.cli.terminal import WIDTH, Terminal


def column_of(frame: list[str], text: str) -> str | None:
    """Return the name of the column that a text stands in."""
    heads = next((line for line in frame if "Backlog" in line), "")
    line = next((line for line in frame if text in line and "│" in line), None)
    if line is None:
        return None
    at = line.index(text)
    names = re.finditer(r"[A-Z][a-z]+(?: [a-z]+)?", heads)
    return [match[0] for match in names if match.start() <= at][-1]


def new_board(admin: httpx.Client) -> str:
    board_id: str = admin.post("/api/boards", json={"name": f"b {uuid4().hex[:6]}"}).json()["id"]
    return board_id


def put(admin: httpx.Client, board_id: str, title: str) -> Any:
    return admin.post("/api/missions", json={"title": title, "board_id": board_id}).json()


def test_one_frame_shows_columns_and_cards(mc: Run, admin: httpx.Client) -> None:
    board_id = new_board(admin)
    put(admin, board_id, "Standing ready")
    done = mc("board", "--once", "--board", board_id, "--width", WIDTH)
    assert done.code == 0, done.err
    assert column_of(done.out.split("\n"), "Standing ready") == "Ready"
    assert max(map(len, done.out.split("\n"))) <= WIDTH


def test_a_frame_has_at_most_the_lines_asked_for(mc: Run, admin: httpx.Client) -> None:
    board_id = new_board(admin)
    for number in range(12):
        put(admin, board_id, f"Card {number}")
    done = mc("board", "--once", "--board", board_id, "--height", 20)
    assert len(done.out.splitlines()) <= 20
    assert "more" in done.out


def test_json_is_what_the_server_gives(mc: Run, admin: httpx.Client) -> None:
    board_id = new_board(admin)
    position = put(admin, board_id, "As JSON")["position"]
    parameters: dict[str, Any] = {"board_id": board_id, "min_position": position}
    told = admin.get("/api/missions/board", params=parameters).json()
    found = mc("board", "--board", board_id, "--json").json
    assert found["columns"] == told["columns"]


def test_a_picture_is_drawn(mc: Run, admin: httpx.Client, tmp_path: Path) -> None:
    file = tmp_path / "board.svg"
    board_id = new_board(admin)
    put(admin, board_id, "Tom & <Jerry>")
    assert mc("board", "--board", board_id, "--svg", file).code == 0
    text = "".join(ET.parse(file).getroot().itertext()).replace("\xa0", " ")  # noqa: S314 - our own
    assert "Tom & <Jerry>" in text
    assert (
        "http" not in file.read_text().replace("http://www.w3.org/2000/svg", "").partition("-->")[2]
    )
    assert mc("board", "--svg", tmp_path / "no" / "where.svg").code == 2


def test_a_board_is_shown_as_it_was(mc: Run, admin: httpx.Client) -> None:
    board_id = new_board(admin)
    mission = put(admin, board_id, "Time traveller")
    mc("missions", "move", mission["id"], "Review")
    words = ("board", "--board", board_id, "--width", WIDTH, "--as-of", mission["position"])
    done = mc(*words)
    assert done.code == 0, done.err
    assert column_of(done.out.split("\n"), "Time traveller") == "Ready"
    assert "as it was" in done.out


def test_the_live_board_needs_a_terminal(mc: Run) -> None:
    done = mc("board")
    assert (done.code, "--once" in done.complaint) == (2, True)


def test_a_card_moves_on_the_screen_as_it_is_moved(
    terminal: Callable[..., Terminal], admin: httpx.Client
) -> None:
    board_id = new_board(admin)
    mission = put(admin, board_id, "Moving target")
    screen = terminal("board", "--board", board_id)
    screen.until(lambda f: column_of(f, "Moving target") == "Ready" and "● live" in f[0])
    columns = admin.get("/api/missions/board", params={"board_id": board_id}).json()["columns"]
    for column in (columns[3], columns[0]):
        path = f"/api/missions/{mission['id']}/move"
        position = admin.put(path, json={"column_id": column["id"]}).json()["position"]
        frame = screen.until(lambda f, c=column: column_of(f, "Moving target") == c["name"])
        frame = screen.until(lambda f, p=position: any(str(p) in line for line in f[-6:]))
        assert any("moved Moving target to" in line for line in frame)
    screen.resize(80, 30)
    screen.process.send_signal(signal.SIGWINCH)
    screen.until(lambda f: not any("Backlog" in line and "Review" in line for line in f))
    screen.press(b"q")
    assert screen.end() == 0


def test_ctrl_c_leaves_the_terminal_as_it_was(terminal: Callable[..., Terminal]) -> None:
    screen = terminal("board")
    screen.until(lambda f: "● live" in f[0])
    screen.press_ctrl_c()
    assert screen.end() == 130
    assert "\x1b[?1049l" in screen.seen
    assert "Traceback" not in screen.seen


def test_a_key_that_is_in_force_no_more_ends_it_with_what_to_do(
    terminal: Callable[..., Terminal], admin: httpx.Client, system: Any
) -> None:
    agent_id, client = new_agent(system, admin, f"watcher {uuid4().hex[:6]}")
    key = client.headers["authorization"].removeprefix("Bearer ")
    screen = terminal("board", "--key", key)
    screen.until(lambda f: "● live" in f[0])
    assert admin.delete(f"/api/agents/{agent_id}").is_success
    screen.read_until("the key of --key or MC_KEY is not in force")
    assert screen.end() == 1


def test_a_connection_that_breaks_is_made_again_and_nothing_is_missed(
    terminal: Callable[..., Terminal], admin: httpx.Client, system: Any, home: Path
) -> None:
    relay = Relay(system.url)
    sign_in_at(relay.url, system.url, home)
    board_id = new_board(admin)
    screen = terminal("board", "--board", board_id, "--url", relay.url)
    screen.until(lambda f: "● live" in f[0])
    relay.cut()
    put(admin, board_id, "While away")
    frame = screen.until(lambda f: "● away" in f[0])
    assert column_of(frame, "While away") is None
    relay.mend()
    screen.until(lambda f: "● live" in f[0] and column_of(f, "While away") == "Ready")
    screen.until(lambda f: any("created While away" in line for line in f[-6:]))
    screen.press(b"q")
    assert screen.end() == 0
    relay.cut()
