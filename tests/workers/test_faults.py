"""A read model equals the fold of the log, whatever becomes of workers, their group and the database."""

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from infra.marks import Marks, NotCaughtUp
from infra.settings import Settings
from projections.boards import BOARDS
from projections.missions import MISSIONS
from tests.distributed.test_relay_faults import living, relayer
from tests.projections_run.conftest import head, rows, until
from tests.projections_run.naive import differences
from tests.projections_run.test_kills import ended, is_stopped
from tests.servers.kafka import Kafka
from tests.workers.channel import differs_from_log
from tests.workers.topics import Relayed, Topics
from tests.write_side.test_projections import live_a_life

ROOT = Path(__file__).parents[2]
CONVERGE_S = 60
STRIKE_S = 180
"""Until a process has started, has a part of the work, and meets its end in it."""
MODELS = ("missions", "boards")
POINTS = ("in-transaction", "after-commit")

pytestmark = pytest.mark.timeout(300)


class Workers:
    """Processes that fold a test's topics into its database."""

    def __init__(self, world: Any, kafka: Topics | Relayed) -> None:
        self.world = world
        self.kafka = kafka
        self.running: list[asyncio.subprocess.Process] = []

    async def start(self, model: str, *words: str) -> asyncio.subprocess.Process:
        root = self.world.bus.tools.vault._root._key.hex()
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(Path(__file__).with_name("worker.py")), "--root", root,
            "--kafka", self.kafka.bootstrap, "--prefix", self.kafka.prefix, "--model", model, *words,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(f"{self.world.database.dsn}\n".encode())
        self.running.append(process)
        return process

    async def ready(
        self, process: asyncio.subprocess.Process, patience_s: float = CONVERGE_S
    ) -> None:
        assert process.stdout is not None
        async with asyncio.timeout(patience_s):
            assert await process.stdout.readline() == b"ready\n"

    async def end(self, process: asyncio.subprocess.Process, how: int = signal.SIGKILL) -> int:
        self.running.remove(process)
        with suppress(ProcessLookupError):
            process.send_signal(how)
        return await ended(process)

    async def converge(self, *models: str, patience_s: float = CONVERGE_S) -> None:
        """Publish the rest, wait until the read models say that they have it, and print how long it took."""
        await self.kafka.publish(self.world)
        began = time.monotonic()
        await Marks(self.world.database).wait(
            await head(self.world), *(models or MODELS), patience_s=patience_s
        )
        took_s = time.monotonic() - began
        sys.stdout.write(f"converged in {took_s:.2f} s at {await head(self.world)}\n")
        assert await differences(self.world) == []


@asynccontextmanager
async def workers(world: Any, kafka: Kafka) -> AsyncIterator[Workers]:
    topics = await asyncio.to_thread(Topics, kafka.bootstrap)
    try:
        async with ending(Workers(world, topics)) as made:
            yield made
    finally:
        topics.close()


@asynccontextmanager
async def ending(made: Workers) -> AsyncIterator[Workers]:
    """Leave none of them behind."""
    try:
        yield made
    finally:
        for process in list(made.running):
            await made.end(process)


@asynccontextmanager
async def busy(world: Any, kafka: Topics, seed: int) -> AsyncIterator[random.Random]:
    """Live and publish for as long as the block lasts; now and then a leader sends what was sent before."""
    chance, ending = random.Random(seed), asyncio.Event()

    async def live() -> None:
        while not ending.is_set():
            await live_a_life(world, chance)
            again = chance.random() < 0.2
            before = max(0, kafka.position - chance.randint(1, 60))
            await kafka.publish(world, again_from=before if again else None)

    life = asyncio.create_task(live())
    try:
        yield random.Random(seed)
    finally:
        ending.set()
        await life


async def test_a_client_reads_its_own_write_through_kafka(world: Any, kafka: Kafka) -> None:
    async with workers(world, kafka) as made:
        process = await made.start("missions")
        await made.kafka.publish(world)
        await made.ready(process)
        marks = Marks(world.database)
        for number in range(5):
            mission_id = await world.mission(f"m{number}")
            position = await head(world)
            with pytest.raises(NotCaughtUp):
                await marks.wait(position, "missions", patience_s=0)
            await made.kafka.publish(world)
            await marks.wait(position, "missions", patience_s=20)
            assert (await rows(world, MISSIONS))[str(mission_id)]["title"] == f"m{number}"
        assert await made.end(process, signal.SIGTERM) == 0


async def strike_down(world: Any, kafka: Kafka, kills: int) -> None:
    """Kill workers in the middle of a batch, and the relay between acknowledgement and checkpoint, by turns."""
    prefix = f"t{uuid4().hex[:8]}"
    settings = Settings(kafka_bootstrap=kafka.bootstrap, kafka_topic_prefix=prefix)
    async with ending(Workers(world, Relayed(kafka.bootstrap, prefix))) as made:
        for model in MODELS:
            await made.start(model)
        began = time.monotonic()
        async with living(world), asyncio.TaskGroup() as victims:
            workers_end = victims.create_task(strike_workers(made, kills - kills // 2))
            await strike_relays(world, settings, kills // 2)
            async with relayer(world, settings):
                await workers_end
        sys.stdout.write(f"{kills} kills in {time.monotonic() - began:.0f} s\n")
        async with relayer(world, settings):
            await made.converge()
        assert await differs_from_log(world, MISSIONS, BOARDS) == []


async def strike_workers(made: Workers, kills: int) -> None:
    chance = random.Random(10)
    for number in range(kills):
        words = ("--point", POINTS[number % 2], "--after", str(chance.randint(1, 3)))
        process = await made.start("missions", *words)
        assert await ended(process, STRIKE_S) == -signal.SIGKILL
        made.running.remove(process)


async def strike_relays(world: Any, settings: Settings, kills: int) -> None:
    chance = random.Random(11)
    for _ in range(kills):
        words = ("--point", "after-ack", "--after", str(chance.randint(1, 3)))
        async with relayer(world, settings, *words) as process:
            assert await ended(process, STRIKE_S) == -signal.SIGKILL


async def test_kills_in_the_middle_skip_and_double_nothing(world: Any, kafka: Kafka) -> None:
    await strike_down(world, kafka, 3)


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_two_hundred_kills_skip_and_double_nothing(world: Any, kafka: Kafka) -> None:
    await strike_down(world, kafka, 200)


async def kill_at_random(world: Any, kafka: Kafka, kills: int) -> None:
    async with workers(world, kafka) as made:
        await made.start("boards")
        await made.start("missions")
        async with busy(world, made.kafka, 5) as chance:
            for _ in range(kills):
                process = await made.start("missions")
                await asyncio.sleep(2 + chance.random() * 3)
                await made.end(process)
        await made.converge()


@pytest.mark.long
async def test_kills_at_random_skip_and_double_nothing(world: Any, kafka: Kafka) -> None:
    await kill_at_random(world, kafka, 3)


async def rebalance(world: Any, kafka: Kafka, times: int) -> None:
    """Members come and go, some by their own wish and some by force, while events flow.

    Each of them is two rebalances: one gives it partitions, one takes them away.
    """
    async with workers(world, kafka) as made:
        await made.start("boards")
        await made.start("missions")
        async with busy(world, made.kafka, 6) as chance:
            began = time.monotonic()
            for number in range(times // 2):
                process = await made.start("missions")
                await made.ready(process)
                how = signal.SIGKILL if number % 3 == 2 else signal.SIGTERM
                await asyncio.sleep(chance.random())
                await made.end(process, how)
            sys.stdout.write(f"{times} rebalances in {time.monotonic() - began:.0f} s\n")
        await made.converge()
        assert await differs_from_log(world, MISSIONS) == []


async def test_rebalances_while_events_flow_skip_and_double_nothing(
    world: Any, kafka: Kafka
) -> None:
    await rebalance(world, kafka, 6)


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_a_hundred_rebalances_skip_and_double_nothing(world: Any, kafka: Kafka) -> None:
    await rebalance(world, kafka, 100)


async def pause(world: Any, kafka: Kafka, point: str, seconds: float) -> None:
    async with workers(world, kafka) as made:
        await made.start("boards")
        process = await made.start(
            "missions", "--point", point, "--after", "2", "--signal", "SIGSTOP"
        )
        async with busy(world, made.kafka, 7):
            await until(lambda: _is_stopped(process.pid), CONVERGE_S)
        await made.start("missions")
        await made.converge()
        await asyncio.sleep(seconds)
        process.send_signal(signal.SIGCONT)
        async with busy(world, made.kafka, 8):
            await asyncio.sleep(1)
        await made.converge()


@pytest.mark.parametrize("point", [pytest.param(POINTS[0], marks=pytest.mark.long), POINTS[1]])
async def test_a_paused_worker_that_wakes_up_overwrites_nothing(
    world: Any, kafka: Kafka, point: str
) -> None:
    await pause(world, kafka, point, 0)


@pytest.mark.long
@pytest.mark.parametrize("point", POINTS)
async def test_a_worker_paused_for_30_seconds_overwrites_nothing(
    world: Any, kafka: Kafka, point: str
) -> None:
    await pause(world, kafka, point, 30)


async def _is_stopped(pid: int) -> bool:
    return is_stopped(pid)
