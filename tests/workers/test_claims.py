"""Nobody folds from the log into a table that workers fold into from Kafka, or the other way round."""

import asyncio
import io
import random
from typing import Any

import psycopg
import pytest

from infra.logging import Log
from infra.marks import Marks
from projections.boards import BOARDS
from projections.catalogue import READ_MODELS
from projections.missions import MISSIONS
from streams import claims, projector
from streams.claims import REFUSED, Source
from streams.kafka_messages import Mark
from streams.partitioned import StartAgain
from tests.projections_run.conftest import head, project, projecting, until
from tests.projections_run.naive import differences
from tests.workers.channel import Channel, consume, mine, opened
from tests.write_side.test_projections import live_a_life

NAMES = [model.name for model in READ_MODELS]
# Notes each time that a mission's row goes back.
WATCH = """
CREATE TABLE went_back (id uuid);
CREATE FUNCTION note_going_back() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO went_back VALUES (NEW.id); RETURN NEW; END $$;
CREATE TRIGGER watch BEFORE UPDATE ON read_missions FOR EACH ROW
    WHEN (NEW.version < OLD.version) EXECUTE FUNCTION note_going_back()"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask again soon."""
    monkeypatch.setattr(projector, "CLAIM_RETRY_S", 0.1)


async def test_a_worker_is_refused_while_a_projector_has_the_table(world: Any) -> None:
    await live_a_life(world, random.Random(1))
    async with projecting(world) as marks:
        await marks.wait(await head(world), *NAMES)
        with pytest.raises(StartAgain, match="MC_KAFKA_BOOTSTRAP"):
            await opened(world, MISSIONS)
        state = await claims.state(world.database, Source.KAFKA, NAMES)
        assert (state["status"], state["models"]) == ("taken", sorted(NAMES))
    # The one has ended, the other begins: that is all there is to a takeover.
    await live_a_life(world, random.Random(2))
    messages = await Channel().publish(world)
    for model in (MISSIONS, BOARDS):
        await consume(world, model, messages)
    assert await differences(world) == []
    assert await claims.state(world.database, Source.KAFKA, NAMES) == {"status": "ok"}


async def test_a_projector_leaves_a_table_to_its_worker_and_takes_it_when_that_ends(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, log = io.StringIO(), Log()
    log.configure(stream, "console")
    monkeypatch.setattr(projector, "log", log)
    table = await opened(world, MISSIONS)
    await live_a_life(world, random.Random(3))
    async with projecting(world) as marks:
        others = [name for name in NAMES if name != MISSIONS.name]
        await marks.wait(await head(world), *others)
        assert await world.query("SELECT count(*) FROM read_missions") == [(0,)]
        assert await Marks(world.database).position(MISSIONS.name) == 0
        taken = {"status": "taken", "reason": REFUSED[Source.LOG], "models": [MISSIONS.name]}
        assert await claims.state(world.database, Source.LOG, NAMES) == taken
        own = mine(table, await Channel().publish(world))
        await table.take(own[: len(own) // 2])
        await table.close()
        await marks.wait(await head(world), MISSIONS.name, patience_s=10)
        assert await differences(world) == []
    log.flush()
    (line,) = stream.getvalue().splitlines()
    assert "missions" in line
    assert "MC_KAFKA_BOOTSTRAP" in line


async def test_a_worker_that_lost_its_connection_writes_no_more_where_a_projector_went_on(
    world: Any,
) -> None:
    table = await opened(world, MISSIONS)
    cut = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE classid = %s::oid"
    async with projecting(world, MISSIONS) as marks:
        await world.query(cut, [Source.KAFKA.value])
        await live_a_life(world, random.Random(4))
        await marks.wait(await head(world), MISSIONS.name, patience_s=10)
        messages = mine(table, await Channel().publish(world))

        async def is_refused() -> bool:
            try:
                await table.take(messages)
            except StartAgain:
                return True
            except psycopg.Error:  # of the connection that is gone
                pass
            return False

        await until(is_refused)
        assert await _alone(world)
    await table.close()


async def _alone(world: Any) -> bool:
    return bool((await claims.state(world.database, Source.LOG, NAMES))["status"] == "ok")


async def test_of_a_worker_and_a_projector_that_come_at_once_never_both_have_the_table(
    world: Any,
) -> None:
    async def try_to_claim(source: Source) -> bool:
        async with await world.database.connect() as connection:
            got = not await claims.claim(connection, source, ["missions"])
            having.append(source) if got else None
            assert len(set(having)) < 2
            await asyncio.sleep(0)
            if got:
                having.remove(source)
            return got

    having: list[Source] = []
    tries = [try_to_claim(source) for source in list(Source) * 20]
    await asyncio.gather(*tries)


async def test_what_a_worker_folded_ahead_does_not_go_back_when_a_projector_takes_over(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await live_a_life(world, random.Random(5))
    messages = await Channel().publish(world)
    # Without marks: the rows are at the log's end, the checkpoint is at its beginning.
    await consume(world, MISSIONS, [m for m in messages if not isinstance(m.said, Mark)])
    async with world.database.system() as connection:
        await connection.execute(WATCH)
    monkeypatch.setattr(projector, "BATCH_EVENTS_MAX", 3)
    await project(world, MISSIONS, BOARDS)
    assert await world.query("SELECT count(*) FROM went_back") == [(0,)]
    assert await differences(world) == []


async def test_what_elasticsearch_keeps_is_told_to_who_would_ask_postgresql(world: Any) -> None:
    kept = "UPDATE checkpoints SET model_version = {}model_version WHERE name = %s"
    await world.query(
        "INSERT INTO checkpoints (name, log_id, position) SELECT %s, log_id, 0 FROM log_head"
        " ON CONFLICT DO NOTHING",
        [NAMES[0]],
    )
    assert await claims.state(world.database, Source.LOG, NAMES) == {"status": "ok"}
    await world.query(kept.format("-"), [NAMES[0]])
    state = await claims.state(world.database, Source.LOG, NAMES)
    assert (state["status"], state["models"]) == ("elsewhere", [NAMES[0]])
    assert "MC_ELASTICSEARCH_URL" in state["reason"]
