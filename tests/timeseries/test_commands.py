"""`mission-control parked` with InfluxDB: under both of the read model's names."""

from pathlib import Path
from typing import Any

import pytest

from infra.settings import Settings
from projections.metrics import MISSION_FLOW
from tests.projections_run.test_commands import mission_control
from tests.timeseries.conftest import stores
from tests.timeseries.test_away import environment_of, feed_once, waits


async def test_an_operator_retries_and_discards_what_influxdb_keeps(
    world: Any, influx: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def command(*words: str) -> tuple[int, Any]:
        return await mission_control(world, tmp_path, *words, **environment_of(influx))

    healed, passed = await world.mission("healed"), await world.mission("passed")
    agent = await world.agent()
    for _ in (healed, passed):
        await world.claim_next(agent)
    real = type(MISSION_FLOW).apply

    def breaking(model: Any, row: Any, fact: Any) -> Any:
        if fact.stream_version == 2:
            raise ZeroDivisionError
        return real(model, row, fact)

    async with stores(world, influx) as opened:
        monkeypatch.setattr(type(MISSION_FLOW), "apply", breaking)
        await feed_once(world, opened)
        monkeypatch.undo()
        stored = opened.sink.name
        code, listed = await command("parked", "list")
        found = {(one["model"], one["stream_id"]) for one in listed}
        assert (code, found) == (0, {(stored, str(healed)), (stored, str(passed))})
        code, shown = await command("parked", "show", "mission_flow", str(healed))
        assert (code, shown["event"]["type"]) == (0, "mission.claimed.v1")
        code, done = await command("parked", "discard", stored, str(passed))
        assert (code, done["parked_at_position"]) == (0, None)
        code, done = await command("parked", "retry", "mission_flow")
        assert (code, [one["parked_at_position"] for one in done]) == (0, [None])
        assert await command("parked", "list") == (0, [])
        # The claim that was passed over makes no point, for good.
        assert await waits(world, opened) == 1
        code, done = await command("rebuild", "mission_flow")
        assert (code, done["parked"]) == (0, 0)
        assert await waits(world, opened) == 1
    code, said = await command("parked", "discard", "nonsense", str(passed))
    assert (code, "no read model is called nonsense" in said) == (2, True)
