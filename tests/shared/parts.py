"""What the tests of this folder build on a Redis."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

from infra.redis import Redis, connect
from infra.settings import Settings

LOG_ID = uuid4()
PATIENCE_S = 20


@asynccontextmanager
async def connected(url: str, log_id: UUID = LOG_ID) -> AsyncIterator[Redis]:
    redis = await connect(Settings(redis_url=url), log_id)
    assert redis is not None
    async with redis:
        yield redis


async def until(true: Callable[[], bool]) -> None:
    """Wait for what another process, or a server, does in its own time."""
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            await asyncio.sleep(0.01)
