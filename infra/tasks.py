"""Ending tasks."""

import asyncio
from collections.abc import Iterable
from typing import Any

AGAIN_S = 3.0


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait for their ends, however they end.

    A library now and then swallows a cancellation that comes just as it gives up on something: whoever
    goes on regardless is told again, after a time that is long enough for cleaning up.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        done, left = await asyncio.wait(left, timeout=AGAIN_S)
        for task in done:
            if not task.cancelled():
                task.exception()  # seen, and of no interest any more
