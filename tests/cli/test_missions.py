"""Missions and agents from the command line: made, claimed, worked on, reviewed."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.cli.conftest import REPOSITORY, Run


def test_a_mission_goes_from_new_to_done(mc: Run, agent: tuple[str, str]) -> None:
    _, key = agent
    made = mc(
        "missions", "create", "Write it up", "--priority", "urgent", "--label", "docs", "--json"
    ).json
    lease = mc("missions", "claim", made["id"], "--json", MC_KEY=key).json["lease"]
    token = lease["token"]
    for words in (
        ("progress", made["id"], 40, "--note", "half way"),
        ("submit", made["id"], "Done."),
    ):
        done = mc("missions", *words, "--lease-token", token, MC_KEY=key)
        assert done.code == 0, done.err
    assert mc("missions", "approve", made["id"]).code == 0
    shown = mc("missions", "show", made["id"], "--json").json
    assert (shown["stage"], shown["priority"], shown["summary"]) == ("done", "urgent", "Done.")
    assert "Write it up" in mc("missions", "show", made["id"]).out  # fmt: skip


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (("missions", "list", "--stage", "xx"), "xx"),
        (("missions", "create", "x", "--priority", "bogus"), "bogus"),
        (("agents", "list", "--lifecycle", "odd"), "odd"),
    ],
)
def test_a_choice_that_there_is_not_is_refused_in_words_for_people(
    words: tuple[str, ...], value: str, mc: Run
) -> None:
    done = mc(*words)
    assert done.code == 2
    assert f"'{value}' is not one of '" in done.err
    assert "Value error" not in done.err


def test_claiming_prints_the_lease(mc: Run, agent: tuple[str, str]) -> None:
    mission = mc("missions", "create", "Claim me", "--json").json["id"]
    done = mc("missions", "claim", mission, MC_KEY=agent[1])
    assert done.code == 0, done.err
    assert mission in done.out
    assert "lease token" in done.out


def test_nothing_to_claim_has_an_exit_code_of_its_own(
    mc: Run, agent: tuple[str, str], admin: Any
) -> None:
    board = admin.post("/api/boards", json={"name": f"empty {uuid4().hex[:6]}"}).json()["id"]
    done = mc("missions", "claim", "--board", board, MC_KEY=agent[1])
    assert (done.code, done.complaint) == (3, "nothing to claim")  # fmt: skip


def test_a_person_claims_nothing(mc: Run) -> None:
    done = mc("missions", "claim")
    assert done.code == 1
    assert "(forbidden)" in done.complaint


def test_a_card_is_moved_to_a_column_by_its_name(mc: Run, admin: Any) -> None:
    mission = mc("missions", "create", "Move me", "--json").json["id"]
    moved = mc("missions", "move", mission, "backlog", "--json").json
    found = admin.get(f"/api/missions/{mission}", params={"min_position": moved["position"]})
    assert found.json()["stage"] == "backlog"
    done = mc("missions", "move", mission, "Nowhere")
    assert done.code == 2
    assert "there are Backlog, Ready" in done.complaint


def test_a_mission_is_put_into_a_column_by_its_name(mc: Run, admin: Any) -> None:
    made = mc("missions", "create", "Later", "--column", "Backlog", "--json").json
    found = admin.get(f"/api/missions/{made['id']}", params={"min_position": made["position"]})
    assert found.json()["stage"] == "backlog"


def test_an_agent_is_made_with_a_key_that_works(mc: Run) -> None:
    made = mc(
        "agents",
        "create",
        f"agent {uuid4().hex[:6]}",
        "--capability",
        "sql",
        "--with-key",
        "--json",
    ).json
    mission = mc("missions", "create", "For the new one", "--json").json["id"]
    claimed = mc("missions", "claim", mission, "--json", "--key", made["key"]).json
    assert claimed["id"] == mission  # fmt: skip


def test_without_a_key_only_the_id_is_printed(mc: Run) -> None:
    done = mc("agents", "create", f"agent {uuid4().hex[:6]}")
    assert done.code == 0
    assert [line.split()[0] for line in done.out.splitlines()] == ["id"]


@pytest.mark.parametrize(
    "words",
    [
        ("missions", "show", "nonsense"),
        ("missions", "create", "x", "--priority", "soon"),
        ("missions", "progress", str(uuid4()), "140", "--lease-token", "1"),
        ("missions", "submit", str(uuid4()), "x"),
        ("missions", "create"),
        ("board", "--width", "2", "--once"),
        ("replay", "--from", "-1"),
        ("replay", "--from", "7", "--to", "7"),
        ("replay", "--speed", "0"),
        ("search",),
        ("agents", "create", "x", "--colour", "red"),
    ],
)
def test_what_is_misused_exits_with_2(mc: Run, words: tuple[str, ...]) -> None:
    done = mc(*words)
    assert done.code == 2, done
    assert done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("missions", "show", uuid4()), "(not_found)"),
        (("board", "--once", "--board", uuid4()), "(not_found)"),
        (("missions", "approve", uuid4()), "(not_found)"),
    ],
)
def test_what_the_server_refuses_exits_with_1(mc: Run, words: Any, said: str) -> None:
    done = mc(*words)
    assert (done.code, said in done.complaint) == (1, True), done


def test_who_may_not_is_told_which_permission_is_missing(
    run: Run, people: dict[str, httpx.Client]
) -> None:
    token = people["viewer"].headers["authorization"].removeprefix("Bearer ")
    done = run("missions", "create", "x", MC_TOKEN=token)
    assert done.code == 1
    assert "create_missions (forbidden)" in done.complaint
    assert "admin_access (forbidden)" in run("replay", MC_TOKEN=token).complaint  # fmt: skip


def test_what_somebody_wrote_can_not_steer_the_terminal(mc: Run, agent: tuple[str, str]) -> None:
    mission = mc(
        "missions", "create", "Steady", "--description", "\x1b[2Jgone\x07[red]x", "--json"
    ).json
    shown = mc("missions", "show", mission["id"]).out
    assert "\x1b" not in shown
    assert "gone [red]x" in shown  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [(), ("missions",), ("agents",), ("board",), ("replay",), ("search",), ("missions", "claim")],
)
def test_help_tells_and_exit_codes_are_documented(run: Run, words: tuple[str, ...]) -> None:
    done = run(*words, "--help")
    assert done.code == 0
    if words:
        assert "3 nothing to claim" in " ".join(done.out.split())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_for_the_shell(shell: str) -> None:
    # Else the shell is the one that runs these tests, and there may be none.
    named = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    script = _as_a_program("--show-completion", shell, **named).stdout
    assert "_MISSION_CONTROL_COMPLETE" in script
    assert {"bash": "complete -o", "zsh": "compdef", "fish": "complete --command"}[shell] in script


def test_completion_knows_the_commands() -> None:
    words = {
        "_MISSION_CONTROL_COMPLETE": "complete_bash",
        "COMP_WORDS": "mission-control missions c",
    }
    offered = _as_a_program(**words, COMP_CWORD="2").stdout.split()
    assert offered == ["create", "claim"]


def _as_a_program(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; sys.argv[0] = 'mission-control'; from infra import cli; cli.main()"
    return subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=30, check=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **settings},
    )  # fmt: skip


def test_help_loads_neither_the_client_nor_the_server() -> None:
    code = (
        "import sys; sys.argv = ['mission-control', '--help']\n"
        "from infra import cli\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('httpx', 'fastapi', 'psycopg', 'websockets', 'domain') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def _document(sender: socket.socket) -> bytes:
    """Return a request or an answer whose body is a JSON object."""
    received = b""
    while not received.endswith(b"}"):
        received += sender.recv(65_536)
    return received


@contextlib.contextmanager
def _cutting(url: str) -> Iterator[str]:
    """Lead to a server, and lose its first answer."""
    host, port = url.removeprefix("http://").split(":")

    def serve() -> None:
        for first in (True, False):
            client, _ = listening.accept()
            with client, socket.create_connection((host, int(port))) as upstream:
                upstream.sendall(_document(client))
                answer = _document(upstream)
                if not first:
                    client.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join(30)


def test_an_answer_that_got_lost_makes_no_second_mission(run: Run, admin: httpx.Client) -> None:
    token = admin.headers["authorization"].removeprefix("Bearer ")
    before = admin.post("/api/missions", json={"title": "before"}).json()["position"]
    with _cutting(str(admin.base_url).rstrip("/")) as url:
        made = run("missions", "create", "Only once", "--url", url, "--json", MC_TOKEN=token).json
    assert made["position"] == before + 1
    assert len(admin.get("/api/events", params={"from": before}).text.splitlines()) == 1


@pytest.mark.parametrize("words", ["missions list --json", "--version"])
def test_a_full_disk_is_told_in_one_line(
    words: str, spawn: Callable[..., subprocess.Popen[bytes]]
) -> None:
    with Path("/dev/full").open("wb") as full:
        process = spawn(*words.split(), stdout=full)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert said == b"mission-control: there is no space left for what is printed\n"


@pytest.mark.parametrize("words", ["missions list --json", "missions list", "board --once"])
def test_a_closed_output_is_told_in_one_line(
    words: str, spawn: Callable[..., subprocess.Popen[bytes]]
) -> None:
    process = spawn(*words.split(), preexec_fn=partial(os.close, 1))
    _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert said == b"mission-control: standard output is closed, and what is printed is lost\n"
