"""Read models that are kept outside the log's database: what takes events, and what feeds it."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from infra.envelopes import Envelope
from infra.logging import log
from infra.marks import Marks
from infra.postgres import Database
from streams.follower import Follower
from streams.job import RETRY_PAUSE_S, Job

BATCH_EVENTS_MAX = 500


class SinkAway(Exception):
    """The server behind a sink can't be reached, or refuses everything for now: try again later."""


class SinkLost(SinkAway):
    """What the sink had is gone, and its checkpoint is at the log's beginning: go on from there."""


class Sink(Protocol):
    """One read model in a store of its own.

    Events may come again, and those of different streams in any order: a row's version says what it has
    seen, and a gap in a stream is filled from the log. A stream that can't be folded is parked.
    """

    @property
    def name(self) -> str:
        """The read model's name, under which its checkpoint and its mark are kept."""
        ...

    async def apply(self, envelopes: Sequence[Envelope]) -> None:
        """Take events; return when queries see them and a crash can't lose them.

        Raises `SinkAway`, and `SinkLost`.
        """
        ...


class SinkJob(Job):
    """Feeds a sink from the log, where no Kafka is in between. One process at a time runs it."""

    def __init__(self, database: Database, follower: Follower, marks: Marks, sink: Sink) -> None:
        super().__init__(sink.name)
        self._database = database
        self._follower = follower
        self._marks = marks
        self._sink = sink

    async def work(self) -> None:
        """Go on behind the checkpoint, again and again from the beginning where the sink lost what it had."""
        while True:
            try:
                await self._feed()
            except SinkLost as lost:
                log.warning("a read model begins anew", model=self._sink.name, reason=str(lost))

    async def _feed(self) -> None:
        """Feed the sink; the checkpoint moves after it has what lies before it."""
        position = await self._follower.checkpoint(self._sink.name)
        self._marks.note(self._sink.name, position)
        while True:
            await self._follower.wait_beyond(position)
            batch = await self._follower.read(position, BATCH_EVENTS_MAX)
            await self._apply(batch)
            start, position = position, batch[-1].position
            async with self._database.system() as connection:
                await self._follower.save_checkpoint(connection, self._sink.name, start, position)
            self._marks.note(self._sink.name, position)

    async def _apply(self, batch: Sequence[Envelope]) -> None:
        """Wait for the server as long as it takes; each reason is told once."""
        told: str | None = None
        while True:
            try:
                await self._sink.apply(batch)
            except SinkLost:
                raise
            except SinkAway as away:
                if str(away) != told:
                    log.warning("a read model waits", model=self._sink.name, reason=str(away))
                told = str(away)
                await asyncio.sleep(RETRY_PAUSE_S)
            else:
                break
        if told is not None:
            log.info("a read model goes on", model=self._sink.name)

    async def __aexit__(self, *exception: object) -> None:
        await super().__aexit__(*exception)
        # From now on another process feeds it: what is known here grows old.
        self._marks.forget([self._sink.name])
