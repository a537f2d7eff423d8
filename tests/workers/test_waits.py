"""A worker that gets nothing from Kafka says why; one whose batch waits does not blame Kafka, which it can't hear."""

import asyncio
import io
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest

from infra.codec import EventCodec
from infra.kafka import faust_settings
from infra.logging import log
from infra.settings import Settings
from infra.workers import relayed
from streams.partitions import Delivered
from streams.processor import Processor
from streams.sink import SinkAway
from tests.projections_run.conftest import head, until
from tests.servers.kafka import Kafka
from tests.workers.topics import Topics, relay_runs

WHY = "MC_ELASTICSEARCH_URL: its disk is full"
TRIES = 8


class Waiting:
    """A feed that takes a batch, and then has nowhere to put the next one for a while."""

    name = "waiting"

    def __init__(self, topics: Sequence[str], log_id: UUID, told: io.StringIO) -> None:
        self.topics = topics
        self.log_id = log_id
        self.tries = 0
        self.goes_on = asyncio.Event()
        self._told = told

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def take(self, messages: Sequence[Delivered]) -> None:
        self.tries += 1
        if self.tries == 1:
            # Until its group had partitions, it was right to say that nothing comes.
            log.flush()
            self._told.seek(0)
            self._told.truncate()
        elif self.tries < TRIES:
            raise SinkAway(WHY)
        else:
            self.goes_on.set()


class Worker:
    """A worker for which Kafka may be silent for half a second only, and what is told of it."""

    def __init__(self, topics: Topics, log_id: UUID, told: io.StringIO) -> None:
        self.topics, self.told = topics, told
        self.feed = Waiting([f"{topics.prefix}.mission"], log_id, told)
        self.group = f"{topics.prefix}.waiting"
        settings = Settings(kafka_bootstrap=topics.bootstrap, kafka_topic_prefix=topics.prefix)
        broker = faust_settings(settings)
        self._processor = Processor(
            broker, lambda: None, relay_runs, self.group, self.feed, EventCodec()
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        running = asyncio.create_task(self._processor.run(stop))
        try:
            yield
        finally:
            stop.set()
            await running


@asynccontextmanager
async def made(world: Any, kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Worker]:
    monkeypatch.setattr("streams.processor.QUIET_S", 0.5)
    monkeypatch.setattr("streams.processor.WATCH_S", 0.1)
    told = io.StringIO()
    monkeypatch.setattr(log, "_stream", None)  # as it will be afterwards
    log.configure(told, "json", "info")
    topics = await asyncio.to_thread(Topics, kafka.bootstrap)
    ((log_id,),) = await world.query("SELECT log_id FROM log_head")
    try:
        yield Worker(topics, log_id, told)
    finally:
        topics.close()


async def test_a_batch_that_waits_is_told_with_its_reason_and_is_no_silence_of_kafka(
    world: Any, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The batch waits for TRIES pauses of half a second, many times as long as Kafka may be silent.
    monkeypatch.setattr("streams.processor.BATCH_EVENTS_MAX", 3)
    async with made(world, kafka, monkeypatch) as worker:
        await worker.topics.publish(world)
        async with worker.running():
            async with asyncio.timeout(60):
                await worker.feed.goes_on.wait()
            log.flush()
            lines = worker.told.getvalue()
    assert f'"event":"a batch waits","group":"{worker.group}","reason":"{WHY}"' in lines
    assert "nothing comes from Kafka" not in lines


async def test_a_worker_that_hears_nothing_says_that_it_has_no_partitions_or_what_the_relay_does(
    world: Any, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def is_told(reason: str) -> bool:
        log.flush()
        line = f'"group":"{worker.group}","reason":"it answers, and {reason}"'
        return line in worker.told.getvalue()

    async with made(world, kafka, monkeypatch) as worker, worker.running():
        await until(lambda: is_told("this worker's group has no partitions for it yet"), 60)
        worker.feed.tries = TRIES
        await worker.topics.publish(world)
        await until(lambda: is_told("the relay is at 1 of 1"), 60)


async def test_what_a_relay_does_is_known_from_the_database(world: Any) -> None:
    assert await relayed(world.database) == "no relay sends: is one running?"
    await world.query(
        "INSERT INTO relay (epoch, log_id, last_error, last_error_at)"
        " SELECT 1, log_id, 'nobody answers', now() FROM log_head"
    )
    assert await relayed(world.database) == "no relay sends: nobody answers"
    await world.query("UPDATE relay SET position = 1, last_error_at = NULL, acked_at = now()")
    assert await relayed(world.database) == f"the relay is at 1 of {await head(world)}"
