"""What follows the log and stands still is told, however little it lacks."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from fastapi import Request

from infra.doctor import examine
from infra.marks import STILL_S_MAX, Marks
from infra.settings import Settings
from projections.missions import MISSIONS
from read_api.health import ready
from streams.follower import Follower
from streams.projector import Projector
from tests.projections_run.conftest import database_url, head
from tests.timeseries.conftest import a_past_world
from tests.write_side.conftest import pytest_pyfunc_call

__all__ = ["database_url", "pytest_pyfunc_call"]

STOOD_S = STILL_S_MAX + 15


@pytest.fixture
def world(database_url: str) -> Any:
    """One whose events are of long ago; entered in the event loop of the test."""
    return a_past_world(database_url)


async def health(world: Any, folder: Path) -> dict[str, Any]:
    """Return what a process says that does none of the work."""
    state = SimpleNamespace(
        leaving=False, settings=Settings.load(data_dir=folder), primary=world.database,
        marks=Marks(world.database), services={},
    )  # fmt: skip
    answer = await ready(Request({"type": "http", "app": SimpleNamespace(state=state)}))
    found: dict[str, Any] = msgspec.json.decode(answer.body)
    return found


async def problems(settings: Settings) -> str:
    return " ".join((await asyncio.to_thread(examine, settings)).problems)


async def project(world: Any) -> None:
    marks = Marks(world.database)
    async with (
        Follower(world.database, world.codec) as follower,
        Projector(world.database, follower, world.bus, marks, [MISSIONS]),
    ):
        await marks.wait(await head(world), MISSIONS.name, patience_s=60)


async def test_a_projector_that_lost_its_server_vouches_for_nothing_until_it_has_looked(
    world: Any,
) -> None:
    class Lost(Projector):
        async def _work(self) -> None:
            if tried.is_set():
                again.set()
                raise OSError("the server is away")
            tried.set()
            await super()._work()

    tried, again = asyncio.Event(), asyncio.Event()
    marks = Marks(world.database)
    await world.mission()
    async with (
        Follower(world.database, world.codec) as follower,
        Lost(world.database, follower, world.bus, marks, [MISSIONS]) as projector,
    ):
        await marks.wait(await head(world), MISSIONS.name)
        assert marks.noted
        await projector._own_connection().close()
        await world.mission()
        await again.wait()
        assert not marks.noted


async def test_a_read_model_that_stands_still_is_told_after_a_minute(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Marks, "age_s", STOOD_S)
    settings = Settings.load(data_dir=tmp_path, database_url=world.database.dsn)
    await world.mission()
    await project(world)
    caught_up = await health(world, tmp_path)
    assert (caught_up["lag"]["missions"], "missions" in caught_up["still_s"]) == (0, False)
    # Nobody ever began with the others, whose first event is of long ago.
    assert (caught_up["status"], caught_up["still_s"]["boards"] > STOOD_S) == ("degraded", True)

    await world.mission()
    behind = await health(world, tmp_path)
    assert behind["lag"]["missions"] > 0
    assert "missions" not in behind["still_s"], "it moved just now"
    await world.query("UPDATE checkpoints SET updated_at = now() - %s * interval '1 s'", [STOOD_S])
    assert STOOD_S <= (await health(world, tmp_path))["still_s"]["missions"] < 2 * STOOD_S
    told = f"the projection missions has not moved for {STOOD_S} s, "
    assert told in await problems(settings)

    await project(world)
    assert "missions" not in (await health(world, tmp_path))["still_s"]
    assert "the projection missions" not in await problems(settings)


async def test_a_process_that_has_just_begun_waits_for_what_begins_with_it(
    world: Any, tmp_path: Path
) -> None:
    found = await health(world, tmp_path)
    assert found["lag"]["missions"] > 0
    assert (found["status"], found["still_s"]) == ("ok", {})
