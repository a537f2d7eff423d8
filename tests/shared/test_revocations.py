"""Revocations: each of the two ways that they take is enough."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID, uuid4

import pytest

from infra.identity import END_SESSIONS
from infra.postgres import Database
from infra.redis import connect
from infra.settings import Settings
from streams.revocations import Revocations
from tests.servers.redis import Redis as Server
from tests.shared.parts import until

Told = list[UUID | None]


@asynccontextmanager
async def by_notify(database: Database, told: Told) -> AsyncIterator[Revocations]:
    revocations = Revocations(database, None)
    revocations.listen(told.append)
    async with revocations:
        await until(lambda: told == [None])  # from here on it hears everything
        yield revocations


@pytest.mark.parametrize("sessions", [0, 1, 3])
def test_whoever_ends_sessions_is_heard_with_the_commit(database_url: str, sessions: int) -> None:
    async def scenario() -> None:
        told: Told = []
        user_id, next_id, workspace_id = uuid4(), uuid4(), uuid4()
        async with Database(database_url) as database, by_notify(database, told):
            async with database.system() as connection:
                for owner, count in ((user_id, sessions), (next_id, 1)):
                    for _ in range(count):
                        await connection.execute(
                            "INSERT INTO sessions (session_hash, workspace_id, user_id, expires_at)"
                            " VALUES (%s, %s, %s, now() + interval '1 hour')",
                            [uuid4().bytes, workspace_id, owner],
                        )
                async with connection.transaction():
                    await connection.execute(END_SESSIONS, [user_id])
                    assert told == [None]
                await connection.execute(END_SESSIONS, [next_id])
            await until(lambda: next_id in told)
        assert told == [None, *[user_id] * bool(sessions), next_id]

    asyncio.run(scenario())


def test_after_a_broken_connection_everybody_is_looked_up(database_url: str) -> None:
    async def scenario() -> None:
        told: Told = []
        async with Database(database_url) as database, by_notify(database, told):
            async with database.system() as connection:
                ended = await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE query = 'LISTEN mc_revoked' AND datname = current_database()"
                )
                assert await ended.fetchall() == [(True,)]
            await until(lambda: told == [None, None])

    asyncio.run(scenario())


@pytest.mark.servers
def test_by_redis_it_is_heard_without_postgresql(redis: Server, database_url: str) -> None:
    async def scenario() -> None:
        log_id, user_id = uuid4(), uuid4()
        near, far = list[UUID | None](), list[UUID | None]()
        async with AsyncExitStack() as stack:
            database = Database(database_url)  # never opened
            ready: list[bool] = []
            made = []
            for told in (near, far):
                client = await connect(Settings(redis_url=redis.url), log_id)
                assert client is not None
                revocations = Revocations(database, client)
                revocations.listen(told.append)
                client.hear("ready", lambda _: None, again=lambda: ready.append(True))
                await stack.enter_async_context(client)
                made.append(revocations)
            await until(lambda: len(ready) == 2)
            await made[0].announce(user_id)
            assert near[0] == user_id  # its own process waits for nobody
            await until(lambda: far == [user_id])

    asyncio.run(scenario())
