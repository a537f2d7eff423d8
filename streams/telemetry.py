"""Hands what a process counted to the time series, and lets old counts go."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from uuid import UUID

import psycopg
from psycopg_pool import PoolTimeout
from uuid_utils.compat import uuid7

from infra.logging import log
from infra.telemetry import Telemetry
from infra.timeseries import MetricsUnavailable, TimeSeries
from streams.job import Job

FLUSH_S = 10.0
LAST_FLUSH_S = 2.0
TIDY_S = 600.0


class TelemetryJob(Job):
    """Writes a process's sums every `FLUSH_S`. What can't be written is lost: only the next ones count."""

    def __init__(
        self, telemetry: Telemetry, series: TimeSeries, open_sockets: Callable[[], Mapping[UUID, int]]
    ) -> None:  # fmt: skip
        super().__init__("telemetry")
        self._telemetry = telemetry
        self._series = series
        self._open_sockets = open_sockets
        self._process = uuid7().hex[-12:]
        self._lost = False

    async def work(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            await self.flush()

    async def __aexit__(self, *exception: object) -> None:
        await super().__aexit__(*exception)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_FLUSH_S):
                await self.flush()

    async def flush(self) -> None:
        """Write what was counted since the last time."""
        for workspace_id, sockets in self._open_sockets().items():
            self._telemetry.sockets_open(workspace_id, sockets)
        tallies = self._telemetry.take()
        if not tallies:
            return
        try:
            await self._series.note(self._process, datetime.now(UTC), tallies)
        except (MetricsUnavailable, psycopg.Error, PoolTimeout, OSError) as error:
            if not self._lost:
                reason = (
                    str(error) if isinstance(error, MetricsUnavailable) else type(error).__name__
                )
                log.warning("telemetry is lost for now", reason=reason)
            self._lost = True
        else:
            if self._lost:
                log.info("telemetry is kept again")
            self._lost = False


class TelemetryTidy(Job):
    """Keeps telemetry within its retention. One process of a deployment is enough."""

    def __init__(self, series: TimeSeries) -> None:
        super().__init__("telemetry tidy")
        self._series = series

    async def work(self) -> None:
        while True:
            await self._series.tidy(datetime.now(UTC))
            await asyncio.sleep(TIDY_S)
