"""Kills at random points, from a fixed seed: of the process that feeds a sink, and of the sink's server."""

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from infra.settings import Settings
from tests.faults.sinker import sinking
from tests.projections_run.conftest import head
from tests.projections_run.test_kills import kill
from tests.servers.process import Server

ROOT = Path(__file__).parents[2]
READY_S = 60
LIVES_S_MAX = 1.0
"""How long a process may live: it is killed while it builds, writes, or waits."""
CONVERGE_S = 120.0


async def start(world: Any, settings: Settings) -> asyncio.subprocess.Process:
    named = (
        "elasticsearch_url",
        "influxdb_url",
        "influxdb_token",
        "influxdb_org",
        "influxdb_bucket",
    )
    told = {
        "dsn": world.database.dsn, "root": world.bus.tools.vault._root._key.hex(),
        "settings": {name: getattr(settings, name) for name in named},
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__).with_name("sinker.py")),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(f"{json.dumps(told)}\n".encode())
    process.stdin.close()
    async with asyncio.timeout(READY_S):
        assert await process.stdout.readline() == b"ready\n"
    return process


async def kill_at_random(
    world: Any, settings: Settings, server: Server, live: Callable[[], Awaitable[object]],
    kills: int, server_kills: int,
) -> None:  # fmt: skip
    """Kill processes, and the server among them, while `live` goes on in the log."""
    chance, over = random.Random(kills), asyncio.Event()
    struck = set(chance.sample(range(kills), server_kills))

    async def load() -> None:
        while not over.is_set():
            await live()

    loading = asyncio.create_task(load())
    try:
        for number in range(kills):
            process = await start(world, settings)
            await asyncio.sleep(chance.random() * LIVES_S_MAX)
            if number in struck:
                await asyncio.to_thread(server.kill)
                await asyncio.sleep(chance.random() * LIVES_S_MAX)
            await kill(process)
            if number in struck:
                await asyncio.to_thread(server.start)
    finally:
        over.set()
        await loading


async def converge(world: Any, settings: Settings, names: list[str]) -> None:
    """Feed the sinks up to the log's end, and print how long that took."""
    began, end = time.monotonic(), await head(world)
    async with sinking(world.database, world.bus.tools.vault, settings) as marks:
        await marks.wait(end, *names, patience_s=CONVERGE_S)
    print(f"{', '.join(names)}: {end} events, converged in {time.monotonic() - began:.1f} s")  # noqa: T201 - such a test tells it
