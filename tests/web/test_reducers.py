"""The dashboard's reducers on what a server told just now: state and events are the state that is fetched."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.api.conftest import System
from tests.servers.fixtures import require
from tests.web.conftest import ROOT
from tests.web.recording import record


@pytest.mark.parametrize("seed", [3])
def test_states_and_their_events_are_the_states_that_are_fetched(
    system: System, tmp_path: Path, seed: int
) -> None:
    npx = shutil.which("npx")
    if npx is None or not (ROOT / "web/node_modules/vitest").is_dir():
        require("Vitest is not installed: python web_build.py check")
        return
    record(system, tmp_path, seed)
    done = subprocess.run(
        [npx, "vitest", "run", "src/models/recorded.test.ts"],
        cwd=ROOT / "web", env={**os.environ, "MC_RECORDED": str(tmp_path), "NO_COLOR": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
