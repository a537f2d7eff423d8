"""`mission-control parked` and `rebuild` with Elasticsearch, beside sinks that follow the log."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from commands import missions
from domain.mission import Mission
from infra.elasticsearch import Cluster
from infra.settings import Settings
from projections.search import SEARCH_ACTIVITY, SEARCH_COMMENTS, SEARCH_MISSIONS
from tests.projections_run.test_commands import mission_control
from tests.projections_run.test_parking import told
from tests.search.test_sinks import (
    POISON,
    _indices,
    _titles,
    caught_up,
    engines,
    following,
    poisoned,
)
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.process import HOST, free_port

pytestmark = pytest.mark.timeout(300)

NAME = SEARCH_MISSIONS.name
FAILING = dataclasses.replace(SEARCH_MISSIONS, on={**SEARCH_MISSIONS.on, Mission.Edited: poisoned})
MODELS = (FAILING, SEARCH_COMMENTS, SEARCH_ACTIVITY)


async def test_an_operator_retries_discards_and_rebuilds_what_elasticsearch_keeps(
    world: Any, elasticsearch: Elasticsearch, tmp_path: Path
) -> None:
    async def command(*words: str) -> tuple[int, Any]:
        return await mission_control(
            world, tmp_path, *words, MC_ELASTICSEARCH_URL=elasticsearch.url
        )

    async with Cluster(Settings(elasticsearch_url=elasticsearch.url)) as cluster:
        async with following(world, cluster, MODELS) as marks:
            healed, passed = await world.mission("one"), await world.mission("two")
            for mission_id, after in ((healed, "healed"), (passed, "passed")):
                for title in (POISON, after):
                    await world.do(missions.EditMission(mission_id, {"title": title}))
            await caught_up(world, marks)

        code, listed = await command("parked", "list")
        found = [(one["model"], one["stream_id"], one["held_back"]) for one in listed]
        assert (code, found) == (0, [(NAME, str(healed), 1), (NAME, str(passed), 1)])
        code, shown = await command("parked", "show", NAME, str(healed))
        assert (code, shown["event"]["type"], shown["error"]) == (
            0, "mission.edited.v1", "ZeroDivisionError",
        )  # fmt: skip
        both = await engines(world, cluster)

        code, discarded = await command("parked", "discard", NAME, str(passed))
        assert (code, discarded["parked_at_position"]) == (0, None)
        assert await _titles(both, world, "passed") == ["passed"]
        code, done = await command("parked", "retry", NAME)
        assert (code, [one["events"] for one in done]) == (0, [2])
        assert await _titles(both, world, "healed") == ["healed"]
        assert await command("parked", "list") == (0, [])
        assert set(await told(world)) == {"noticed", "parked", "discarded", "drained"}

        before = await _indices(cluster)
        code, rebuilt = await command("rebuild", NAME)
        assert (code, rebuilt["model"], rebuilt["rows"], rebuilt["parked"]) == (0, NAME, 2, 0)
        assert len(await _indices(cluster) - before) == 1
        for title in ("passed", "healed"):
            assert await _titles(both, world, title) == [title]


async def test_without_an_elasticsearch_that_answers_one_line_says_why(
    world: Any, tmp_path: Path
) -> None:
    away = {"MC_ELASTICSEARCH_URL": f"http://{HOST}:{free_port()}"}
    code, said = await mission_control(world, tmp_path, "rebuild", NAME, **away)
    assert code == 1
    assert said.splitlines() == [
        "mission-control: MC_ELASTICSEARCH_URL: nobody answers (the connection is refused)"
    ]
