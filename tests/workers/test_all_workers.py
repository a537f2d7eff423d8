"""A worker of every read model at once, while some of them die: each table equals a fold by other code."""

import random
from typing import Any

import pytest

from projections.catalogue import READ_MODELS
from tests.projections_run import naive_people
from tests.projections_run.people import live_together
from tests.servers.kafka import Kafka
from tests.workers.channel import differs_from_log
from tests.workers.test_faults import STRIKE_S, busy, workers

KILLS = 6


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_every_read_model_is_right_though_workers_die(world: Any, kafka: Kafka) -> None:
    chance = random.Random(12)
    names = [model.name for model in READ_MODELS]
    async with workers(world, kafka) as made:
        running = {name: await made.start(name) for name in names}
        async with busy(world, made.kafka, 13):
            for process in running.values():
                await made.ready(process, STRIKE_S)
            for _ in range(KILLS):
                name = chance.choice(names)
                await live_together(world, chance)
                await made.end(running[name])
                running[name] = await made.start(name)
        await made.converge(*names, patience_s=STRIKE_S)
    assert await naive_people.differences(world) == []
    # Of the rest, what a rebuild makes of the log.
    assert await differs_from_log(world, *READ_MODELS) == []
