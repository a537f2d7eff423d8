"""A job: work in the background that goes on, whatever happens to it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import psycopg

from commands.append import LogUnavailable
from commands.bus import ConflictPersists
from infra.logging import log
from infra.tasks import end
from streams.follower import NotAlone

RETRY_PAUSE_S = 0.5
TOLD_S = 60.0
"""Whoever goes on waiting says so once in this time, and not at each try."""
FAILURES_TOLD = 3
"""What has failed so often in a row is told by health."""
SETTLED_S = 2.0
"""A run is taken for well when it goes on for so much longer than the last one that failed,"""
FAILED_S_MAX = 60.0
"""of which this counts at most."""


class Job:
    """Does its `work` for as long as its `with` block lasts, and again when it failed.

    What the work depends on may be away for a while, and another process may do the same for a moment:
    that is waited for, for ever. Anything else is a defect: it is logged with where it happened, and
    nothing is skipped.
    """

    name: str

    def __init__(self, name: str) -> None:
        self.name = name
        self._task: asyncio.Task[None] | None = None
        self._failures = 0
        self._error = ""
        self._began_at = 0.0
        self._settled_s = SETTLED_S

    def failing(self) -> dict[str, str]:
        """Return its name and the kind of its last error, if its last runs have all failed."""
        fails = self._failures >= FAILURES_TOLD and not self._has_settled()
        return {self.name: self._error} if fails else {}

    async def work(self) -> None:
        """Do the work; returning or raising means to be called again."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name=self.name)
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._task is not None:
            await end([self._task])

    async def _run(self) -> None:
        told_at = float("-inf")
        while True:
            self._began_at = time.monotonic()
            try:
                await self.work()
                self._failures = 0
            except (psycopg.Error, OSError, LogUnavailable, ConflictPersists, NotAlone) as error:
                self._failed(error)
                if time.monotonic() - told_at > TOLD_S:
                    log.warning("job waits", job=self.name, error=type(error).__name__)
                    told_at = time.monotonic()
            except Exception as error:  # noqa: BLE001 - seen in the log and in health, never skipped
                self._failed(error)
                log.exception("job failed", job=self.name)
            await asyncio.sleep(RETRY_PAUSE_S)

    def _failed(self, error: Exception) -> None:
        # Most runs never return: that one is well shows in how long it goes on.
        self._failures = 1 if self._has_settled() else self._failures + 1
        self._error = type(error).__name__
        self._settled_s = min(time.monotonic() - self._began_at, FAILED_S_MAX) + SETTLED_S

    def _has_settled(self) -> bool:
        return time.monotonic() - self._began_at > self._settled_s


class Roster:
    """The jobs that run in this process."""

    def __init__(self) -> None:
        self._jobs: list[Job] = []

    @asynccontextmanager
    async def running(self, job: Job) -> AsyncIterator[None]:
        """Let a job run for as long as the block lasts."""
        async with job:
            self._jobs.append(job)
            try:
                yield
            finally:
                self._jobs.remove(job)

    async def state(self) -> dict[str, Any]:
        """Return what health says of them: whether some fail again and again, and of what."""
        failing = {name: error for job in self._jobs for name, error in job.failing().items()}
        if not failing:
            return {"status": "ok"}
        reason = ", ".join(f"{name} ({error})" for name, error in failing.items())
        return {"status": "failing", "reason": reason, "jobs": failing}
