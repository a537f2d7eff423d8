"""`mission-control parked` and `mission-control rebuild`, as an operator runs them."""

import asyncio
import json
from pathlib import Path
from typing import Any

from projections.boards import BOARDS
from projections.missions import MISSIONS
from tests.projections_run.conftest import project, rows
from tests.projections_run.naive import differences
from tests.projections_run.test_parking import poisoned, raising, refusing, told
from tests.start.processes import run


async def mission_control(world: Any, folder: Path, *words: str, **more: str) -> tuple[int, Any]:
    """Run a command on the world's database; return its exit code and what it printed as JSON."""
    settings = {
        **more,
        "MC_DATABASE_URL": world.database.dsn,
        "MC_ROOT_KEY": world.bus.tools.vault._root.text(),
    }
    done = await asyncio.to_thread(run, *words, "--json", "--data-dir", folder, **settings)
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


async def test_an_operator_sees_what_is_parked_and_drains_it(world: Any, tmp_path: Path) -> None:
    sick, _ = await poisoned(world)
    await project(world, BOARDS, refusing(raising))
    code, listed = await mission_control(world, tmp_path, "parked", "list")
    assert (code, [(one["model"], one["stream_id"], one["held_back"]) for one in listed]) == (
        0, [("missions", str(sick), 1)],
    )  # fmt: skip
    code, shown = await mission_control(world, tmp_path, "parked", "show", "missions", str(sick))
    assert (code, shown["event"]["type"], shown["error"]) == (
        0, "mission.edited.v1", "ZeroDivisionError",
    )  # fmt: skip
    code, done = await mission_control(world, tmp_path, "parked", "retry")
    assert (code, [one["events"] for one in done]) == (0, [2])
    assert await mission_control(world, tmp_path, "parked", "list") == (0, [])
    assert await differences(world) == []
    assert (await told(world))[-1] == "drained"


async def test_an_operator_discards_an_event_and_rebuilds(world: Any, tmp_path: Path) -> None:
    sick, _ = await poisoned(world)
    await project(world, BOARDS, refusing(raising))
    code, done = await mission_control(world, tmp_path, "parked", "discard", "missions", str(sick))
    assert (code, done["parked_at_position"]) == (0, None)
    assert await told(world) == ["noticed", "parked", "discarded", "drained"]
    code, done = await mission_control(world, tmp_path, "rebuild", "missions")
    assert (code, done["parked"]) == (0, 0)
    assert (await rows(world, MISSIONS))[str(sick)]["version"] == 4
    code, said = await mission_control(world, tmp_path, "rebuild", "nonsense")
    assert (code, "no read model" in said) == (2, True)
