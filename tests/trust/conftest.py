"""A database of a workspace with its keys, and a runner for coroutines."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from commands.append import RowWrite
from infra.postgres import Database
from infra.vault import RootKey, Vault

T = TypeVar("T")
Scenario = Callable[[Database, Vault], Awaitable[T]]


@pytest.fixture(scope="module")
def root() -> RootKey:
    return RootKey.new()


@pytest.fixture
def within(database_url: str, root: RootKey) -> Callable[[Scenario[Any]], Any]:
    """Run a coroutine function with an open database and a vault that has loaded nothing."""

    async def run(scenario: Scenario[Any]) -> Any:
        async with Database(database_url) as database:
            return await scenario(database, Vault(database, root))

    return lambda scenario: asyncio.run(run(scenario))


async def store(database: Database, *rows: RowWrite) -> None:
    """Execute rows as the append's transaction would."""
    async with database.system() as connection, connection.transaction():
        for row in rows:
            await connection.execute(row.statement, row.parameters)


@pytest.fixture
def storing() -> Callable[..., Awaitable[None]]:
    return store
