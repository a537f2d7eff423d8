"""Whoever is cancelled in the middle of its work leaves no connection that tells others nothing."""

import asyncio
import time
from contextlib import suppress

from infra.postgres import Database

TURNS = 25
"""Of the event loop, after which work is cancelled: more than it has."""
BUSY_S = 0.006
"""For so long each of them takes, so that psycopg lets others run wherever it can."""


async def work(database: Database) -> None:
    async with database.system() as connection, connection.pipeline():
        await connection.execute("SELECT 1")
        await connection.execute("SELECT 2")


async def is_cancelled_after(turns: int, task: asyncio.Task[None]) -> bool:
    for _ in range(turns):
        time.sleep(BUSY_S)  # noqa: ASYNC251 - the loop is kept busy
        await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return task.cancelled()


def test_whoever_works_after_work_was_cancelled_anywhere_is_told_what_it_did(database_url):
    async def scenario():
        async with Database(database_url, kept=1) as database:
            cancelled = []
            for turns in range(TURNS):
                task = asyncio.create_task(work(database))
                cancelled.append(await is_cancelled_after(turns, task))
                # Two at once, so that the one that was left is among them.
                async with database.system() as one, database.system() as two:
                    for connection in (one, two):
                        assert (await connection.execute("SELECT 1")).rowcount == 1, turns
            assert cancelled[3] and not cancelled[-1]

    asyncio.run(scenario())
