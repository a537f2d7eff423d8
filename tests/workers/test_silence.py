"""A worker ends for a partition that Kafka's client has left aside, and for none that only has to wait."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from infra.codec import EventCodec
from infra.kafka import faust_settings
from infra.settings import Settings
from streams.partitions import Delivered, Place
from streams.processor import Processor, ProcessorFailed
from streams.silence import WAIT_S_MAX, Silence
from streams.topics import PARTITIONS
from tests.projections_run.conftest import until
from tests.servers.kafka import Kafka
from tests.workers.topics import Topics, relay_runs

LIMIT_S = 4.0
BATCH_EVENTS, BATCH_WAIT_S = 5, 0.02
FOLD_S = 0.16
BACKLOG = 400
"""What is in one partition takes three times as long as another one may be silent."""
PATIENCE_S = 60

A, B, C = (Place("mc.mission", number) for number in range(3))


def test_a_partition_is_silent_when_others_are_heard_again_and_again() -> None:
    silence = Silence()
    silence.heard([A, B, C], [A, B, C], 1)
    for _ in range(3):
        silence.heard([A, C], [A, B, C], WAIT_S_MAX)
    assert silence.longer_than(3 * WAIT_S_MAX - 1) == [B]
    silence.heard([B], [A, B, C], 0)
    assert silence.longer_than(0) == []


def test_a_pause_of_all_partitions_is_no_silence_of_those_that_are_heard_second() -> None:
    silence = Silence()
    silence.heard([A, B, C], [A, B, C], 1)
    silence.heard([A], [A, B, C], 3_600)
    assert silence.longer_than(WAIT_S_MAX) == []


def test_a_partition_that_is_new_here_or_has_gone_is_not_silent() -> None:
    silence = Silence()
    for _ in range(3):
        silence.heard([A], [A, B], WAIT_S_MAX)
    silence.heard([A], [A, C], WAIT_S_MAX)
    assert silence.longer_than(0) == []


class Slow:
    """A feed that takes its time over every batch, and knows what it was given."""

    name = "slow"

    def __init__(self, topic: str, log_id: Any, fold_s: float) -> None:
        self.topics = [topic]
        self.log_id = log_id
        self.given: list[Place] = []
        self._fold_s = fold_s

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def take(self, messages: Sequence[Delivered]) -> None:
        await asyncio.sleep(self._fold_s)
        self.given += [message.place for message in messages]


class Watched(Processor):
    """Shows its Faust app."""

    app: Any = None

    async def _watch(self, app: Any) -> None:
        self.app = app
        await super()._watch(app)


class Running:
    """A processor of a test's topics."""

    def __init__(self, topics: Topics, log_id: Any, fold_s: float) -> None:
        self.topics = topics
        self.log_id = log_id
        self.feed = Slow(f"{topics.prefix}.mission", log_id, fold_s)
        settings = Settings(kafka_bootstrap=topics.bootstrap, kafka_topic_prefix=topics.prefix)
        group = f"{topics.prefix}.slow"
        broker = faust_settings(settings)
        self.processor = Watched(broker, lambda: None, relay_runs, group, self.feed, EventCodec())

    def place(self, number: int) -> Place:
        return Place(self.feed.topics[0], number)

    async def mark(self) -> None:
        """Send a mark to every partition, as the relay does again and again."""
        await asyncio.to_thread(self.topics.send, self.log_id, [])

    async def marked_until(self, is_so: Callable[[], bool]) -> None:
        async def look() -> bool:
            await self.mark()
            return is_so()

        await until(look, PATIENCE_S)


@pytest.fixture
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.processor.SILENCE_S", LIMIT_S)
    monkeypatch.setattr("streams.processor.WATCH_S", 0.05)
    monkeypatch.setattr("streams.silence.WAIT_S_MAX", LIMIT_S / 12)  # as it is of a minute


@asynccontextmanager
async def running(world: Any, kafka: Kafka, fold_s: float) -> AsyncIterator[Running]:
    topics = await asyncio.to_thread(Topics, kafka.bootstrap)
    ((log_id,),) = await world.query("SELECT log_id FROM log_head")
    try:
        yield Running(topics, log_id, fold_s)
    finally:
        topics.close()


@pytest.mark.usefixtures("short_limits")
async def test_a_backlog_of_one_partition_is_no_reason_to_end(
    world: Any, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.processor.BATCH_EVENTS_MAX", BATCH_EVENTS)
    monkeypatch.setattr("streams.processor.BATCH_WAIT_S", BATCH_WAIT_S)
    async with running(world, kafka, FOLD_S) as made:
        await asyncio.to_thread(made.topics.fill, made.place(0), BACKLOG)
        await made.mark()
        stop = asyncio.Event()
        ended = asyncio.create_task(made.processor.run(stop))

        def is_done() -> bool:
            return ended.done() or made.feed.given.count(made.place(0)) >= BACKLOG

        await until(lambda: asyncio.sleep(0, is_done()), PATIENCE_S)
        stop.set()
        await ended  # it raises what it had ended for
    assert set(made.feed.given) == {made.place(number) for number in range(PARTITIONS)}


@pytest.mark.usefixtures("short_limits")
async def test_a_partition_that_is_left_aside_ends_the_worker(world: Any, kafka: Kafka) -> None:
    async with running(world, kafka, 0) as made:
        ended = asyncio.create_task(made.processor.run(asyncio.Event()))
        everywhere = {made.place(number) for number in range(PARTITIONS)}
        await made.marked_until(lambda: everywhere <= set(made.feed.given))
        assert not ended.done()
        consumer = made.processor.app.consumer
        consumer.pause_partitions(tp for tp in consumer.assignment() if tp.partition == 1)
        with suppress(ProcessorFailed):
            await made.marked_until(ended.done)
        with pytest.raises(ProcessorFailed, match=f"{made.place(1).topic}/1: silent"):
            await ended
