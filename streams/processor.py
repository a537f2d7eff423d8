"""A Faust app that reads the topics of one read model, and acknowledges what its feed has folded.

Faust keeps no tables and no state: where to go on is what the feed's marks say, and an offset that was
committed to Kafka is a hint. So nothing that Faust skips, repeats or hands out late does any harm.
"""

import asyncio
import logging
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import psycopg

from infra.codec import EventCodec
from infra.logging import log
from streams.kafka_messages import NotOurs, log_id_of, of_message
from streams.partitioned import Feed, StartAgain
from streams.partitions import Delivered, Place
from streams.silence import Silence
from streams.sink import SinkAway

BATCH_EVENTS_MAX = 500
BATCH_WAIT_S = 0.05
AWAY_S = 60.0
"""So long a batch is tried; Faust would lose its patience after `PROCESSING_TIMEOUT_S`."""
AWAY_PAUSE_S = 0.5
PROCESSING_TIMEOUT_S = 300.0
SESSION_TIMEOUT_S = 6.0
HEARTBEAT_S = 2.0
REBALANCE_TIMEOUT_S = 20.0
COMMIT_S = 1.0
METADATA_S = 10.0
"""After so long a topic is noticed that was not there, or is another one."""
WATCH_S = 1.0
QUIET_S = 15.0
"""Marks come every five seconds."""
SILENCE_S = 60.0
"""So long a worker waits for messages, all in all, while others of its partitions are heard and one is not."""
STOP_S = 10.0


# They tell of an outage some fifty times a second; of members that come and go, and of offsets that can't be
# committed, which are hints. `_watch` says once what is the matter.
for name in ("aiokafka", "faust.transport.drivers.aiokafka", "mode.timers"):
    logging.getLogger(name).setLevel(logging.CRITICAL)


class ProcessorFailed(Exception):
    """The process has to end without acknowledging what it holds, and to be started again."""


class Processor:
    """Feeds one read model from Kafka, as a member of its consumer group.

    `broker` are Faust's settings of where Kafka is, and as whom to speak to it; `why_away` returns in one
    line why it can't be reached, or None if it can; `relayed`, what the relay does.
    """

    def __init__(
        self,
        broker: Mapping[str, Any],
        why_away: Callable[[], str | None],
        relayed: Callable[[], Awaitable[str]],
        group: str,
        feed: Feed,
        codec: EventCodec,
    ) -> None:
        self._broker = broker
        self._why_away = why_away
        self._relayed = relayed
        self._group = group
        self._feed = feed
        self._codec = codec
        self._silence = Silence()
        self._heard_last = time.monotonic()
        self._has_batch = False
        self._is_quiet = False
        self._has_joined = False
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self, stop: asyncio.Event) -> None:
        """Process until told to stop; raises `ProcessorFailed`."""
        async with self._started():
            stopped = asyncio.create_task(stop.wait())
            ends: list[asyncio.Future[Any]] = [stopped, self._failed]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
        if self._failed.done():
            self._failed.result()

    async def _watch(self, app: Any) -> None:
        """Notice that Faust has given up, or left one of our partitions aside while others go on."""
        from aiokafka.errors import KafkaError  # noqa: PLC0415

        while not app.should_stop:
            await asyncio.sleep(WATCH_S)
            if silent := self._silence.longer_than(SILENCE_S):
                which = ", ".join(f"{topic}/{number}" for topic, number in sorted(silent))
                self._fail(ProcessorFailed(f"{which}: silent while other partitions are not"))
            await self._tell_quiet(app)
            # Some partition may be taken from us in the midst.
            with suppress(AssertionError, KafkaError):
                await self._read_anew(app)
        self._fail(ProcessorFailed("Faust gave up"))

    async def _read_anew(self, app: Any) -> None:
        """Read a topic that was made anew from its beginning.

        Faust passes over what lies before where it was, and commits that offset to the new topic's group.
        """
        consumer = app.consumer
        for place in () if app.rebalancing or not self._has_joined else consumer.assignment():
            read, end = consumer._read_offset[place], consumer.highwater(place)
            if read is not None and end is not None and end < read:
                log.warning("a topic was made anew", topic=place.topic, partition=place.partition)
                consumer._committed_offset[place] = None
                await consumer.seek(place, 0)

    async def _tell_quiet(self, app: Any) -> None:
        """Say once that nothing comes, and why; and once that something does again."""
        # While a batch waits for where it goes, nobody listens to Kafka.
        silent_s = 0.0 if self._has_batch else time.monotonic() - self._heard_last
        was_quiet, self._is_quiet = self._is_quiet, silent_s > QUIET_S
        if self._is_quiet and not was_quiet:
            reason = await self._why_quiet(app)
            log.warning("nothing comes from Kafka", group=self._group, reason=reason)
        if was_quiet and not self._is_quiet:
            log.info("Kafka is heard again", group=self._group)

    async def _why_quiet(self, app: Any) -> str:
        if reason := await asyncio.to_thread(self._why_away):
            return reason
        if not self._has_joined or app.rebalancing or not app.consumer.assignment():
            return "it answers, and this worker's group has no partitions for it yet"
        return f"it answers, and {await self._relayed()}"

    @asynccontextmanager
    async def _started(self) -> AsyncIterator[None]:
        # Imported here: a second that a program without Kafka can do without.
        import faust  # noqa: PLC0415

        async with AsyncExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mc-worker-"))
            app = faust.App(
                self._group,
                **self._broker,
                broker_session_timeout=SESSION_TIMEOUT_S,
                broker_heartbeat_interval=HEARTBEAT_S,
                broker_rebalance_timeout=REBALANCE_TIMEOUT_S,
                broker_commit_interval=COMMIT_S,
                consumer_auto_offset_reset="earliest",
                consumer_metadata_max_age_ms=int(METADATA_S * 1000),
                stream_processing_timeout=PROCESSING_TIMEOUT_S,
                stream_wait_empty=False,
                # The relay makes the topics, and nobody else.
                topic_allow_declare=False,
                topic_disable_leader=True,
                web_enabled=False,
                autodiscover=False,
                store="memory://",
                datadir=folder,
            )
            raw: dict[str, Any] = {"key_type": bytes, "value_type": bytes}
            topic = app.topic(
                *self._feed.topics, key_serializer="raw", value_serializer="raw", **raw
            )
            app.agent(topic, name="processor", concurrency=1)(self._process)
            # From before the start, which waits for the group to give us partitions.
            watch = asyncio.create_task(self._watch(app))
            try:
                await app.start()
                self._has_joined, self._heard_last = True, time.monotonic()
                yield
            finally:
                watch.cancel()
                with suppress(TimeoutError):
                    async with asyncio.timeout(STOP_S):
                        await app.stop()

    async def _process(self, stream: Any) -> None:
        # Nothing is raised out of here: Faust would acknowledge what it has given us, and go on.
        async for events in stream.noack_take(BATCH_EVENTS_MAX, within=BATCH_WAIT_S):
            self._has_batch = True
            try:
                self._hear(events, stream.app.consumer)
                await self._take([self._delivered(event) for event in events])
            except Exception as error:  # noqa: BLE001 - whoever waits for us raises it
                self._fail(error)
                await asyncio.Event().wait()
            self._has_batch, self._heard_last = False, time.monotonic()
            for event in events:
                await stream.ack(event)

    def _hear(self, events: Sequence[Any], consumer: Any) -> None:
        waited_s = time.monotonic() - self._heard_last
        if len(events) == BATCH_EVENTS_MAX:
            # There are more behind it: whatever it took to get them, nobody waited for them. It counts a little, as
            # a worker that is never done would not notice anything otherwise.
            waited_s = min(waited_s, BATCH_WAIT_S)
        places = {Place(event.message.topic, event.message.partition) for event in events}
        assigned = [Place(*place) for place in consumer.assignment()]
        self._silence.heard(places, assigned, waited_s)

    def _fail(self, error: Exception) -> None:
        if not isinstance(error, StartAgain | ProcessorFailed):
            log.exception("a batch can't be processed", group=self._group)
        reason = str(error) if isinstance(error, StartAgain | ProcessorFailed) else "a defect"
        if not self._failed.done():
            self._failed.set_exception(ProcessorFailed(reason))

    async def _take(self, messages: Sequence[Delivered]) -> None:
        """Fold a batch, within `AWAY_S`."""
        try:
            async with asyncio.timeout(AWAY_S):
                await self._insist(messages)
        except TimeoutError as error:
            raise ProcessorFailed(f"nothing can be written for {AWAY_S:.0f} s") from error

    async def _insist(self, messages: Sequence[Delivered]) -> None:
        """Fold a batch; while what it goes to is away, try again."""
        is_told = False
        while True:
            try:
                await self._feed.take(messages)
            except (psycopg.Error, OSError, SinkAway) as error:
                if not is_told:
                    # A sink's own words name the setting; a database's may hold its password.
                    reason = str(error) if isinstance(error, SinkAway) else type(error).__name__
                    log.warning("a batch waits", group=self._group, reason=reason)
                    is_told = True
            else:
                return
            await asyncio.sleep(AWAY_PAUSE_S)

    def _delivered(self, event: Any) -> Delivered:
        message = event.message
        place = Place(message.topic, message.partition)
        try:
            headers = dict(message.headers or ())
            said = of_message(headers, message.value, self._codec)
            ours = log_id_of(headers) == self._feed.log_id
        except (NotOurs, ValueError) as error:
            log.warning("a message is passed over", topic=message.topic, offset=message.offset,
                partition=message.partition, error=type(error).__name__)  # fmt: skip
            return Delivered(place, message.offset, None)
        return Delivered(place, message.offset, said if ours else None)


def group_of(model_name: str, version: int, prefix: str) -> str:
    """Return a read model's consumer group; another version of it reads from the beginning."""
    return f"{prefix}.{model_name}.v{version}"
