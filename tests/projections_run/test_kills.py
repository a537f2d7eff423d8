"""A read model equals the fold of the log, whatever becomes of the process that projects."""

import asyncio
import os
import random
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from projections.missions import MISSIONS
from streams import projector
from tests.projections_run.conftest import head, project, projecting, rows
from tests.projections_run.naive import differences
from tests.write_side.test_projections import live_a_life

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60
POINTS = ("after-fold", "after-commit")
REBUILD_POINTS = ("half-built", "before-swap", "in-swap", "after-swap")


async def start(world: Any, *words: str) -> asyncio.subprocess.Process:
    root = world.bus.tools.vault._root._key.hex()
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__).with_name("projector.py")), "--root", root, *words,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(f"{world.database.dsn}\n".encode())
    process.stdin.close()
    return process


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


async def ended(process: asyncio.subprocess.Process, patience_s: float = PATIENCE_S) -> int:
    async with asyncio.timeout(patience_s):
        code = await process.wait()
        process._transport.close()  # type: ignore[attr-defined]
        return code


async def kill(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await ended(process)


@pytest.mark.parametrize("point", POINTS)
async def test_a_kill_at_a_named_point_skips_and_doubles_nothing(
    world: Any, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = await start(world, "--point", point, "--after", "2")
    chance = random.Random(4)
    while process.returncode is None:
        await live_a_life(world, chance)
    assert await ended(process) == -signal.SIGKILL
    monkeypatch.setattr(projector, "BATCH_EVENTS_MAX", 7)
    await project(world)
    assert await differences(world) == []


async def kill_at_random(world: Any, kills: int) -> None:
    chance = random.Random(kills)
    living = asyncio.Event()

    async def live() -> None:
        while not living.is_set():
            await live_a_life(world, chance)

    life = asyncio.create_task(live())
    try:
        for _ in range(kills):
            process = await start(world)
            assert process.stdout is not None
            assert await process.stdout.readline() == b"ready\n"
            await asyncio.sleep(chance.random() * 0.3)
            await kill(process)
    finally:
        living.set()
        await life
    await project(world)
    assert await differences(world) == []


@pytest.mark.long
async def test_kills_at_random_skip_and_double_nothing(world: Any) -> None:
    await kill_at_random(world, 2)


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_two_hundred_kills_skip_and_double_nothing(world: Any) -> None:
    await kill_at_random(world, 200)


async def pause(world: Any, seconds: float) -> None:
    """Stop a projecting process in the middle; another one takes over, and then there are two."""
    process = await start(world, "--point", "after-fold", "--after", "2", "--signal", "SIGSTOP")
    chance = random.Random(3)
    while not is_stopped(process.pid):
        await live_a_life(world, chance)
    async with projecting(world) as marks:
        await live_a_life(world, chance)
        await marks.wait(await head(world), "missions", "boards")
        assert await differences(world) == []
        await asyncio.sleep(seconds)
        process.send_signal(signal.SIGCONT)
        await live_a_life(world, chance)
        await marks.wait(await head(world), "missions", "boards")
    await kill(process)
    await project(world)
    assert await differences(world) == []


async def test_a_paused_process_that_wakes_up_overwrites_nothing(world: Any) -> None:
    await pause(world, 0)


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_a_process_paused_for_30_seconds_overwrites_nothing(world: Any) -> None:
    await pause(world, 30)


@pytest.mark.parametrize("point", REBUILD_POINTS)
async def test_a_rebuild_that_is_killed_leaves_a_whole_table_and_the_next_one_clears_up(
    world: Any, point: str
) -> None:
    await live_a_life(world, random.Random(1))
    await project(world)
    before = await rows(world, MISSIONS)
    process = await start(world, "--rebuild", "--point", point)
    assert await ended(process) == -signal.SIGKILL
    assert await rows(world, MISSIONS) == before
    await live_a_life(world, random.Random(2))
    await project(world)
    assert await differences(world) == []
    process = await start(world, "--rebuild")
    assert await ended(process) == 0
    assert await differences(world) == []
    left = "SELECT count(*) FROM pg_class WHERE relname LIKE 'read_%%_next%%'"
    assert await world.query(left) == [(0,)]
    generations = "SELECT count(DISTINCT generation) FROM stream_gates WHERE model = 'missions'"
    assert await world.query(generations) == [(1,)]
