"""A job: work in the background that goes on, whatever happens to it."""

import asyncio
import time
from typing import Self

import psycopg

from commands.append import LogUnavailable
from commands.bus import ConflictPersists
from infra.logging import log
from infra.tasks import end

RETRY_PAUSE_S = 0.5
TOLD_S = 60.0
"""Whoever goes on waiting says so once in this time, and not at each try."""


class Job:
    """Does its `work` for as long as its `with` block lasts, and again when it failed.

    What the work depends on may be away for a while: that is waited for, for ever. Anything else is
    a defect: it is logged with where it happened, and nothing is skipped.
    """

    name: str

    def __init__(self, name: str) -> None:
        self.name = name
        self._task: asyncio.Task[None] | None = None

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
            try:
                await self.work()
            except (psycopg.Error, OSError, LogUnavailable, ConflictPersists) as error:
                if time.monotonic() - told_at > TOLD_S:
                    log.warning("job waits", job=self.name, error=type(error).__name__)
                    told_at = time.monotonic()
            except Exception:  # noqa: BLE001 - seen in the log and in doctor's lag, never skipped
                log.exception("job failed", job=self.name)
            await asyncio.sleep(RETRY_PAUSE_S)
