"""The doctor says what runs, and that something is wrong by its exit code."""

import signal
from pathlib import Path

from tests.start.processes import doctor, run, up


def test_beside_a_healthy_server_it_finds_nothing_wrong(data_dir: Path) -> None:
    with up(data_dir) as running:
        position = running.create_mission("seen by the doctor")["position"]
        running.titles(position)
        code, report = doctor(data_dir)
        assert (code, report["problems"]) == (0, [])
        assert report["server"] == {
            "state": "ok", "pid": running.process.pid, "url": running.url
        }  # fmt: skip
        assert report["postgres"]["pid"] == running.postgres_pid
        assert report["position"] == position
        assert report["projections"]["missions"] == {"position": position, "lag": 0}
        readable = run("doctor", "--data-dir", data_dir)
        assert readable.returncode == 0
        assert "all is well" in readable.stdout
        running.end(signal.SIGKILL)
        code, report = doctor(data_dir)
        assert code == 1
        assert report["server"] == {"state": "not running"}
        assert any("left behind" in problem for problem in report["problems"])
        assert report["position"] == position


def test_where_nothing_runs_it_says_so(fresh_dir: Path) -> None:
    code, report = doctor(fresh_dir)
    assert code == 1
    assert report["problems"] == ["no server runs on this data directory"]
    assert not fresh_dir.exists()
