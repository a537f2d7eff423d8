"""Signing in keeps a session for the other commands, and shows its secrets to nobody."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.api.conftest import ADMIN, PASSWORD
from tests.cli.conftest import Run
from tests.cli.terminal import Terminal

KEPT = Path("mission-control") / "sign-ins.json"


def test_a_sign_in_is_kept_for_the_next_commands(run: Run) -> None:
    assert run("missions", "create", "mine").complaint.startswith("you are not signed in")
    assert run("sign-in", MC_EMAIL=ADMIN, MC_PASSWORD=PASSWORD).code == 0
    assert run("missions", "create", "mine").code == 0


def test_only_its_owner_can_read_what_is_kept(mc: Run, tmp_path: Path) -> None:
    file = tmp_path / KEPT
    assert file.stat().st_mode & 0o777 == 0o600
    assert PASSWORD not in file.read_text()
    file.chmod(0o640)
    done = mc("missions", "create", "x")
    assert done.code == 1
    assert "chmod 600" in done.complaint


def test_no_secret_is_printed(mc: Run, tmp_path: Path, system: Any) -> None:
    done = mc("sign-in", "--json", MC_EMAIL=ADMIN, MC_PASSWORD=PASSWORD)
    kept = json.loads((tmp_path / KEPT).read_text())[system.url]
    for secret in (PASSWORD, kept["session"], kept["access_token"]):
        assert secret
        assert secret not in done.out + done.err


def test_an_access_token_that_ran_out_is_renewed(mc: Run, tmp_path: Path, system: Any) -> None:
    file = tmp_path / KEPT
    kept = json.loads(file.read_text())
    kept[system.url]["access_token"] = "worn.out.token"
    file.write_text(json.dumps(kept))
    assert mc("missions", "create", "with a fresh token").code == 0
    assert json.loads(file.read_text())[system.url]["access_token"] != "worn.out.token"


def test_signing_out_ends_the_session_here_and_there(
    mc: Run, tmp_path: Path, system: Any, admin: Any
) -> None:
    file = tmp_path / KEPT
    session = json.loads(file.read_text())[system.url]["session"]
    assert mc("sign-out").code == 0
    assert json.loads(file.read_text()) == {}
    assert mc("missions", "create", "x").complaint.startswith("you are not signed in")
    headers = {"cookie": f"mc_session={session}", "origin": system.url}
    assert system.client().post("/api/auth/token", headers=headers).status_code == 401
    assert not mc("sign-out", "--json").json["was_signed_in"]


def test_a_session_that_was_ended_says_what_to_do(mc: Run, tmp_path: Path, system: Any) -> None:
    file = tmp_path / KEPT
    kept = json.loads(file.read_text())
    kept[system.url].update(access_token="worn.out.token", session="ended")
    file.write_text(json.dumps(kept))
    done = mc("missions", "create", "x")
    assert done.code == 1
    assert "run `mission-control sign-in`" in done.complaint


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"MC_EMAIL": ADMIN, "MC_PASSWORD": "wrong"}, "(invalid_credentials)"),
        ({"MC_EMAIL": f"{uuid4()}@example.org", "MC_PASSWORD": PASSWORD}, "(invalid_credentials)"),
    ],
)
def test_who_is_not_known_is_refused(run: Run, settings: dict[str, str], said: str) -> None:
    done = run("sign-in", **settings)
    assert done.code == 1
    assert said in done.complaint


def test_without_a_terminal_the_password_has_to_be_set(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path("/dev/null").open() as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        done = run("sign-in", MC_EMAIL=ADMIN)
    assert done.code == 2
    assert "MC_PASSWORD" in done.complaint


def test_the_password_is_asked_for_and_not_shown(terminal: Callable[..., Terminal]) -> None:
    screen = terminal("sign-in", "--email", ADMIN)
    screen.read_until("Password: ")
    screen.press(f"{PASSWORD}\n".encode())
    assert screen.end() == 0
    assert "signed in to" in screen.seen
    assert PASSWORD not in screen.seen


def test_ctrl_c_at_the_password_is_quiet(terminal: Callable[..., Terminal]) -> None:
    screen = terminal("sign-in", "--email", ADMIN)
    screen.read_until("Password: ")
    screen.press_ctrl_c()
    assert screen.end() == 130
    assert "Traceback" not in screen.seen


@pytest.mark.parametrize("key", ["mc_nonsense", "two words", "umlaut ü", "line\nbreak"])
def test_a_bad_key_says_what_to_do(run: Run, key: str) -> None:
    done = run("missions", "claim", MC_KEY=key)
    assert done.code == 1
    assert "--key or MC_KEY" in done.complaint
    assert key not in done.err


@pytest.mark.parametrize("token", ["nonsense", "eyJhbGciOiJub25lIn0.e30."])
def test_a_bad_token_says_what_to_do(run: Run, token: str) -> None:
    assert "MC_TOKEN" in run("missions", "create", "x", MC_TOKEN=token).complaint


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("http://127.0.0.1:1", 1, "no server answers at http://127.0.0.1:1"),
        ("nonsense", 2, "--url"),
        ("ftp://127.0.0.1", 2, "--url"),
        ("http://", 2, "--url"),
        ("http://127.0.0.1:99999999", 2, "--url"),
        ("http://[::1", 2, "--url"),
        ("http://127.0.0.1:8000/console", 2, "--url"),
        ("http://127.0.0.1:8000/?a=b", 2, "--url"),
    ],
)
def test_a_bad_address_is_named(run: Run, url: str, code: int, said: str) -> None:
    done = run("missions", "create", "x", "--url", url, MC_TOKEN="x")
    assert (done.code, said in done.complaint) == (code, True), done


def test_the_server_of_the_data_directory_is_found(mc: Run, system: Any) -> None:
    done = mc("board", "--once", MC_URL="", MC_DATA_DIR=str(system.data_dir))
    assert done.code == 0, done.err
    assert "In progress" in done.out
