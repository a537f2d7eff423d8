"""Whoever is cancelled in the middle of its work goes, and leaves no connection that tells others nothing."""

import asyncio
import os
import signal
import time
from contextlib import suppress

import psycopg

from infra.migrate import migrate
from infra.postgres import Database

TURNS_MAX = 1000
"""Of the event loop, in which work is done for certain."""
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
            for turns in range(TURNS_MAX):
                task = asyncio.create_task(work(database))
                cancelled = await is_cancelled_after(turns, task)
                # Two at once, so that the one that was left is among them.
                async with database.system() as one, database.system() as two:
                    for connection in (one, two):
                        assert (await connection.execute("SELECT 1")).rowcount == 1, turns
                if not cancelled:
                    break
            assert 1 < turns < TURNS_MAX - 1

    asyncio.run(scenario())


def test_whoever_is_cancelled_while_connections_are_looked_at_goes(own_postgres):
    migrate(own_postgres.dsn())

    async def scenario():
        async with Database(own_postgres.dsn()) as database:
            await database._system.wait()
            dead, silent = (c.info.backend_pid for c in database._system._pool)
            looking = asyncio.Event()
            check = database._system.check

            async def told() -> None:
                looking.set()
                await check()

            database._system.check = told
            with psycopg.connect(own_postgres.dsn(), autocommit=True) as connection:
                connection.execute("SELECT pg_terminate_backend(%s)", [dead])
            os.kill(silent, signal.SIGSTOP)
            try:
                task = asyncio.create_task(database.look_up("SELECT 1"))
                await looking.wait()
                task.cancel()
                done, _ = await asyncio.wait([task], timeout=10)
                assert done and task.cancelled()
            finally:
                os.kill(silent, signal.SIGCONT)
            assert await database.look_up("SELECT 1") == [(1,)]

    asyncio.run(scenario())
