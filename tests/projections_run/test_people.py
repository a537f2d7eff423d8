"""Comments, agents, people, members and activity equal a fold by code of its own."""

import random
from typing import Any

import pytest

from tests.projections_run import naive_people
from tests.projections_run.conftest import project
from tests.projections_run.people import live_together
from tests.write_side.test_projections import live_a_life


@pytest.mark.parametrize("seed", [1, 2])
async def test_what_people_do_is_in_its_rows(world: Any, seed: int) -> None:
    chance = random.Random(seed)
    await live_together(world, chance)
    await live_a_life(world, chance)
    await project(world)
    expected = naive_people.fold([e for (e,) in await world.query(naive_people.EVENTS)])
    assert all(expected.values()), "each of them has rows"
    assert await naive_people.differences(world) == []
