"""Workers wait for a database that is away, and end unacknowledged where that takes too long."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from infra.embedded_postgres import EmbeddedPostgres
from tests.projections_run.conftest import head, until
from tests.projections_run.test_kills import ended
from tests.servers.kafka import Kafka
from tests.workers.test_faults import workers
from tests.write_side.test_projections import live_a_life

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def postgres(open_folder: Path) -> Iterator[EmbeddedPostgres]:
    """A server of these tests' own, which they may stop."""
    data_dir = open_folder / "restarted"
    data_dir.mkdir(mode=0o711)
    server = EmbeddedPostgres(data_dir)
    server.start()
    yield server
    server.stop()


async def test_a_database_that_comes_back_finds_workers_that_go_on(
    world: Any, kafka: Kafka, postgres: EmbeddedPostgres
) -> None:
    async with workers(world, kafka) as made:
        running = [await made.start(model) for model in ("missions", "boards")]
        await made.kafka.publish(world)
        for process in running:
            await made.ready(process)
        for seed in (1, 2):
            await live_a_life(world, random.Random(seed))
            unsent = await made.kafka.unsent(world)
            async with away(world, postgres):
                await asyncio.to_thread(made.kafka.send, *unsent)
                await asyncio.sleep(3)
        await made.converge()
        for process in running:
            assert await made.end(process, signal.SIGTERM) == 0


async def test_a_worker_whose_database_stays_away_ends_unacknowledged_and_the_next_one_goes_on(
    world: Any, kafka: Kafka, postgres: EmbeddedPostgres
) -> None:
    async with workers(world, kafka) as made:
        await made.start("boards")
        hasty = await made.start("missions", "--away", "1")
        await made.kafka.publish(world)
        await made.ready(hasty)
        await live_a_life(world, random.Random(3))
        unsent = await made.kafka.unsent(world)
        async with away(world, postgres):
            await asyncio.to_thread(made.kafka.send, *unsent)
            assert await ended(hasty) == 1
            made.running.remove(hasty)
        await made.start("missions")
        await made.converge()


@asynccontextmanager
async def away(world: Any, postgres: EmbeddedPostgres) -> AsyncIterator[None]:
    """No database for as long as the block lasts."""
    await asyncio.to_thread(postgres.stop)
    yield
    await asyncio.to_thread(postgres.start)
    await until(lambda: _is_there(world))


async def _is_there(world: Any) -> bool:
    # The test's own connections broke, too; each is replaced when it is used.
    try:
        await world.board()
        await head(world)
    except psycopg.OperationalError:
        return False
    return True
