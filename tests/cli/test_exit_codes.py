"""Exit codes: 0 done, 1 failed, 2 misused or refused. A cause has one code, be it found here or by the server."""

import shlex
from pathlib import Path

import httpx
import pytest

from tests.api.conftest import ADMIN, System
from tests.cli.conftest import Run

SPEAKING = {
    0: ("missions list --json", "agents list --limit 1 --json", "sign-out", "--version"),
    1: (
        # what is not there
        "missions show {unknown}", "missions approve {unknown}", "agents show {unknown}",
        "missions move {unknown} Done", "missions progress {unknown} 5 --lease-token 1",
        "board --once --board {unknown}",
        # who may not
        "missions claim", "missions claim {unknown}",
        # a server that does not answer
        "missions list --url {nobody}", "board --once --url {nobody}", "replay --url {nobody}",
        "search x --url {nobody}",
    ),
    2: (
        # words that there are not, or that are missing
        "nonsense", "missions", "missions nonsense", "missions list --nonsense", "board --nonsense",
        "missions show", "missions show {unknown} {unknown}", "missions list --label", "search",
        "agents create", "missions progress {unknown} 5",
        # values that make no sense to the command line
        "missions show 17", "missions list --limit x", "missions list --limit 0",
        "missions list --stage x", "search x --type nonsense", "replay --from 5 --to 5",
        "replay --speed 0", "missions progress {unknown} 500 --lease-token 1",
        "missions list --url nonsense", "sign-out --url ftp://127.0.0.1",
        "board --svg {nowhere}/board.svg", "board --board x",
        # names that nothing has
        "board --once --board Nowhere", "search x --board Nowhere", "missions list --board Nowhere",
        "missions create x --board Nowhere", "missions create x --column Nowhere",
        # and to the server
        "search ?", "search x --stage nonsense", "search x --priority nonsense",
        "missions list --sort nonsense", "agents list --sort nonsense", "missions list --label=",
        "missions create ' '", "missions create x --due tomorrow", "agents create ' '",
        "missions create x --assignee {unknown}", "board --as-of nonsense", "board --as-of 99999999",
        "board --as-of 2990-01-01T00:00:00Z", "agents show {unknown} --as-of nonsense",
        "replay --type Nonsense", "replay --actor nonsense", "replay --stream nonsense",
        "replay --since nonsense",
        "replay --since 2026-02-01T00:00:00Z --until 2026-01-01T00:00:00Z",
    ),
}  # fmt: skip
"""What commands do that speak to a server, as the admin."""
KEEPING = {
    0: ("doctor --data-dir {data}", "workspace list --data-dir {data}",
        "parked list --data-dir {data}", "parked retry --data-dir {data}"),
    1: ("doctor --data-dir {nowhere}",),
    2: (
        # words that there are not, or that are missing
        "workspace", "doctor --nonsense", "backup", "workspace create x", "parked show missions",
        # values that make no sense
        "up --log-format xml", "up --port 99999", "up --port x", "up --tls-cert {nowhere}",
        "serve --only nonsense", "serve --data-dir {nowhere}", "worker nonsense", "worker",
        "parked show missions 17", "workspace create ' ' --admin-email a@b --data-dir {data}",
        "workspace create x --admin-email a --data-dir {data}",
        # what is not there
        "rebuild nonsense --data-dir {data}", "parked show nonsense {unknown} --data-dir {data}",
        "parked show missions {unknown} --data-dir {data}",
        "parked retry missions {unknown} --data-dir {data}",
        "parked discard missions {unknown} --data-dir {data}",
        "backup {nowhere}/file --data-dir {data}", "backup {nowhere} --data-dir {nowhere}",
        "parked list --data-dir {nowhere}", "rebuild missions --data-dir {nowhere}",
        # what is there already, or used
        "workspace create 'Mission Control' --admin-email a@b --data-dir {data}",
        "up --port 0 --data-dir {data}", "migrate --data-dir {data}",
        "keys rotate --data-dir {data}", "restore {nowhere} --data-dir {data}",
    ),
}  # fmt: skip
"""What commands do that look after a data directory: here that of a running server."""
NOBODY = "http://127.0.0.1:1"
UNKNOWN = "00000000-0000-7000-8000-000000000007"


def cases(table: dict[int, tuple[str, ...]]) -> list[tuple[str, int]]:
    return [(command, code) for code, commands in table.items() for command in commands]


@pytest.fixture(scope="module")
def token(admin: httpx.Client) -> str:
    return admin.headers["authorization"].removeprefix("Bearer ")


@pytest.mark.parametrize(("command", "code"), cases(SPEAKING))
def test_a_command_that_speaks_to_a_server(
    command: str, code: int, run: Run, token: str, tmp_path: Path
) -> None:
    words = command.format(unknown=UNKNOWN, nobody=NOBODY, nowhere=tmp_path / "nowhere")
    done = run(*shlex.split(words), MC_TOKEN=token)
    assert (done.code, bool(done.out or done.err)) == (code, True), done
    assert "Traceback" not in done.err


@pytest.mark.parametrize(("command", "code"), cases(KEEPING))
def test_a_command_that_looks_after_a_data_directory(
    command: str, code: int, run: Run, system: System, tmp_path: Path
) -> None:
    words = command.format(unknown=UNKNOWN, data=system.data_dir, nowhere=tmp_path / "nowhere")
    done = run(*shlex.split(words))
    assert (done.code, bool(done.out or done.err)) == (code, True), done
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("command", "settings", "code"),
    [
        ("missions list", {}, 1),
        ("missions list", {"MC_TOKEN": "nonsense"}, 1),
        ("missions list", {"MC_KEY": "nonsense"}, 1),
        ("sign-in", {"MC_EMAIL": ADMIN, "MC_PASSWORD": "wrong"}, 1),
        ("missions list", {"MC_URL": "nonsense"}, 2),
        ("missions list", {"MC_URL": NOBODY}, 1),
        ("up --data-dir nowhere", {"MC_PORT": "http"}, 2),
        ("workspace list", {"MC_DATABASE_URL": "postgresql://ada@127.0.0.1:1/x"}, 2),
        ("doctor", {"MC_DATABASE_URL": "postgresql://ada@127.0.0.1:1/x"}, 1),
    ],
)
def test_a_setting_counts_as_an_option_does(
    command: str, settings: dict[str, str], code: int, run: Run
) -> None:
    done = run(*shlex.split(command), **settings)
    assert (done.code, bool(done.out or done.err)) == (code, True), done


def test_a_value_that_the_server_refuses_is_named(run: Run, token: str) -> None:
    for command, said in (
        ("search x --stage nonsense", "stage: one or more of backlog, "),
        ("missions create ' '", "title: String should have at least 1 character"),
        ("board --as-of nonsense", "as_of: a position, or a time "),
    ):
        assert run(*shlex.split(command), MC_TOKEN=token).complaint.startswith(said)
