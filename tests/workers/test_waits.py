"""A worker whose batch waits says why, and does not blame Kafka, which it can't hear meanwhile."""

import asyncio
import io
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from infra.codec import EventCodec
from infra.kafka import faust_settings
from infra.logging import log
from infra.settings import Settings
from streams.partitions import Delivered
from streams.processor import Processor
from streams.sink import SinkAway
from tests.servers.kafka import Kafka
from tests.workers.topics import Topics

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


async def test_a_batch_that_waits_is_told_with_its_reason_and_is_no_silence_of_kafka(
    world: Any, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The batch waits for TRIES pauses of half a second, many times as long as Kafka may be silent.
    monkeypatch.setattr("streams.processor.BATCH_EVENTS_MAX", 3)
    monkeypatch.setattr("streams.processor.QUIET_S", 0.5)
    monkeypatch.setattr("streams.processor.WATCH_S", 0.1)
    told = io.StringIO()
    monkeypatch.setattr(log, "_stream", None)  # as it will be afterwards
    log.configure(told, "json", "info")
    topics = await asyncio.to_thread(Topics, kafka.bootstrap)
    settings = Settings(kafka_bootstrap=kafka.bootstrap, kafka_topic_prefix=topics.prefix)
    ((log_id,),) = await world.query("SELECT log_id FROM log_head")
    feed = Waiting([f"{topics.prefix}.mission"], log_id, told)
    await topics.publish(world)
    group = f"{topics.prefix}.waiting"
    processor = Processor(faust_settings(settings), lambda: None, group, feed, EventCodec())
    stop = asyncio.Event()
    running = asyncio.create_task(processor.run(stop))
    try:
        async with asyncio.timeout(60):
            await feed.goes_on.wait()
        log.flush()
        lines = told.getvalue()
    finally:
        stop.set()
        await running
        topics.close()
    assert f'"event":"a batch waits","group":"{group}","reason":"{WHY}"' in lines
    assert "nothing comes from Kafka" not in lines
