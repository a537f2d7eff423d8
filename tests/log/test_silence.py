"""A PostgreSQL that is there and says nothing keeps no request waiting."""

import asyncio
import time

import pytest
from psycopg import OperationalError
from uuid_utils.compat import uuid7

from infra import postgres
from infra.migrate import migrate
from infra.postgres import Database

SILENCE_S = 1.0


def test_who_asks_is_told_and_asks_again_when_it_speaks(own_postgres, monkeypatch):
    monkeypatch.setattr(postgres, "SILENCE_S_MAX", SILENCE_S)
    migrate(own_postgres.dsn())

    async def lent(database):
        async with database.briefly() as connection:
            return await (await connection.execute("SELECT 1")).fetchall()

    async def scenario():
        async with Database(own_postgres.dsn()) as database:
            ways = {
                "fetch": lambda: database.fetch(uuid7(), "SELECT 1"),
                "look_up": lambda: database.look_up("SELECT 1"),
                "briefly": lambda: lent(database),
            }
            for ask in ways.values():
                assert await ask() == [(1,)]
            own_postgres.pause()
            for name, ask in ways.items():
                asked = time.monotonic()
                with pytest.raises(OperationalError):
                    await ask()
                assert time.monotonic() - asked < 5 * SILENCE_S, name
            own_postgres.resume()
            for ask in ways.values():
                assert await ask() == [(1,)]

    asyncio.run(scenario())
