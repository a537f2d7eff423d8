"""Sending to Kafka from an event loop: kafka-python blocks, so it works in a thread of its own."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Self, TypeVar
from uuid import UUID

from infra.envelopes import Envelope
from infra.kafka import KafkaAway, client_settings
from infra.settings import Settings, StartRefused
from streams.kafka_messages import Mark, to_mark_message, to_message
from streams.topics import (
    MESSAGE_BYTES_MAX,
    PARTITIONS,
    TopicRefused,
    create_topics,
    partition_of,
    topics,
)

T = TypeVar("T")

ACK_S_MAX = 20
REQUEST_S_MAX = 10
"""One that is not answered is sent again; the broker knows it by its number."""
PRODUCER = {
    "acks": "all",
    "enable_idempotence": True,
    "max_in_flight_requests_per_connection": 5,
    "delivery_timeout_ms": ACK_S_MAX * 1000,
    "request_timeout_ms": REQUEST_S_MAX * 1000,
    "max_block_ms": 5_000,
    "reconnect_backoff_max_ms": 500,
    "batch_size": 128 * 1024,
    "max_request_size": MESSAGE_BYTES_MAX,
    # Headers repeat themselves; and the client's checksum, in Python, costs more than the packing.
    "compression_type": "gzip",
    "allow_auto_create_topics": False,
    "metrics_enabled": False,
}


class KafkaSender:
    """Sends batches, one after the other; `topics` are the ids that Kafka gave to our topics.

    Raises `KafkaAway` for whatever Kafka does not take.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._prefix = settings.kafka_topic_prefix
        # The second one closes the producer that the first one waits for.
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="kafka-sender")
        self._producer: Any = None
        self._left = False
        self.topics: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        try:
            await self._in_thread(self._open)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._left = True
        if self._producer is not None:
            await asyncio.shield(self._in_thread(self._close))
        self._threads.shutdown(wait=False)

    async def send(self, log_id: UUID, mark: Mark | None, batch: Sequence[Envelope]) -> None:
        """Send a mark to all partitions, then events to theirs; return when Kafka has all of it."""
        await self._in_thread(lambda: self._send(log_id, mark, batch))

    async def look(self) -> None:
        """Make sure that the topics are as they were; also one that has become unfit takes what is sent."""
        if await self._in_thread(self._made) != self.topics:
            raise KafkaAway("a topic was made anew")

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)

    def _open(self) -> None:
        from kafka import KafkaProducer  # noqa: PLC0415

        self.topics = self._made()
        with refusals():
            self._producer = KafkaProducer(**client_settings(self._settings), **PRODUCER)
        if self._left:  # whoever waited was cancelled meanwhile
            self._close()

    def _made(self) -> dict[str, str]:
        with refusals():
            return create_topics(client_settings(self._settings), self._prefix)

    def _close(self) -> None:
        from kafka.errors import KafkaError  # noqa: PLC0415

        # What is under way is sent again by whoever goes on; nothing here waits for it.
        self._producer._sender.force_close()
        with contextlib.suppress(KafkaError):
            self._producer.close(timeout=0.5)

    def _send(self, log_id: UUID, mark: Mark | None, batch: Sequence[Envelope]) -> None:
        with refusals():
            sent = self._send_mark(mark) if mark is not None else []
            for envelope in batch:
                message = to_message(envelope, log_id, self._prefix)
                assert message.key is not None
                sent.append(
                    self._producer.send(**message._asdict(), partition=partition_of(message.key))
                )
            for acknowledgement in sent:
                acknowledgement.get(timeout=ACK_S_MAX + REQUEST_S_MAX)

    def _send_mark(self, mark: Mark) -> list[Any]:
        messages = [
            to_mark_message(replace(mark, topic_id=self.topics[topic]), topic)
            for topic in topics(self._prefix)
        ]
        return [
            self._producer.send(**message._asdict(), partition=partition)
            for message in messages
            for partition in range(PARTITIONS)
        ]


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Raise `KafkaAway` for what kafka-python raises, with a line that names a setting."""
    from kafka.errors import KafkaError  # noqa: PLC0415

    try:
        yield
    except KafkaError as error:
        # Its text is of the client's inner life, and no setting is in it.
        kind = type(error).__name__
        raise KafkaAway(f"MC_KAFKA_BOOTSTRAP: Kafka did not take it ({kind})") from error
    except (StartRefused, TopicRefused) as error:
        raise KafkaAway(str(error)) from error
