"""Kafka dies under relay and workers, and comes back: read models equal the fold of the log."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from infra.settings import Settings
from projections.boards import BOARDS
from projections.missions import MISSIONS
from tests.distributed.conftest import LEAKS_SOCKETS, relaying
from tests.distributed.test_relay_faults import living, log_grew
from tests.projections_run.conftest import head, until
from tests.servers.kafka import Kafka
from tests.workers.channel import differs_from_log
from tests.workers.test_faults import CONVERGE_S, Workers, ending
from tests.workers.topics import Relayed

PREFIX = "mc"
MODELS = (MISSIONS, BOARDS)
GROWS_EVENTS = 100

pytestmark = LEAKS_SOCKETS


@asynccontextmanager
async def relayed_workers(world: Any, kafka: Kafka, *words: str) -> AsyncIterator[Workers]:
    """A relay in this process, and a worker of each model."""
    settings = Settings(kafka_bootstrap=kafka.bootstrap, kafka_topic_prefix=PREFIX)
    async with (
        relaying(world, settings),
        ending(Workers(world, Relayed(kafka.bootstrap, PREFIX))) as made,
    ):
        for model in MODELS:
            await made.ready(await made.start(model.name, *words))
        yield made


async def restart_kafka(world: Any, kafka: Kafka, times: int, *words: str) -> None:
    """Kill it while commands go on, at a moment that chance chooses, and start it again."""
    chance = random.Random(9)
    async with relayed_workers(world, kafka, *words) as made:
        running = list(made.running)
        for _ in range(times):
            async with living(world):
                await asyncio.sleep(chance.random())
                kafka.kill()
                away_at = await head(world)
                await until(lambda at=away_at: log_grew(world, at + GROWS_EVENTS), CONVERGE_S)
                await asyncio.to_thread(kafka.start)
            await made.converge()
        assert await differs_from_log(world, *MODELS) == []
        for process in running:
            assert await made.end(process, signal.SIGTERM) == 0


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_kafka_killed_under_running_workers_loses_and_doubles_nothing(
    world: Any, own_kafka: Kafka, capfd: pytest.CaptureFixture[str]
) -> None:
    await restart_kafka(world, own_kafka, 1, "--quiet", "1")
    told = [line for line in capfd.readouterr().err.splitlines() if "comes from Kafka" in line]
    assert any("MC_KAFKA_BOOTSTRAP: nobody answers at" in line for line in told)
    assert not any("Errno" in line for line in told)


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_kafka_killed_twenty_times_loses_and_doubles_nothing(
    world: Any, own_kafka: Kafka
) -> None:
    await restart_kafka(world, own_kafka, 20)
