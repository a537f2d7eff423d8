"""Running read models on a real log: worlds, databases of their own, and ways to project."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from infra.embedded_postgres import EmbeddedPostgres
from infra.marks import Marks
from projections.catalogue import READ_MODELS
from streams.follower import Follower
from streams.projector import Projector
from tests.conftest import fresh_database
from tests.write_side import test_projections
from tests.write_side.conftest import pytest_pyfunc_call, world

__all__ = ["pytest_pyfunc_call", "world"]


@pytest.fixture
def new_database(postgres: EmbeddedPostgres) -> Callable[[], str]:
    """Make a fresh, migrated database and return its DSN."""
    return partial(fresh_database, postgres)


@pytest.fixture
def database_url(new_database: Callable[[], str]) -> str:
    """A database for each test: read models fold the whole log, and each world has a root key of its own."""
    return new_database()


@pytest.fixture(autouse=True)
def short_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many lives are lived here."""
    monkeypatch.setattr(test_projections, "STEPS", 50)


CATCH_UP_S = 600
"""Behind processes that were killed two hundred times, much may be left to project."""


@asynccontextmanager
async def projecting(world: Any, *models: Any, follower: Any = Follower) -> AsyncIterator[Marks]:
    """Project for as long as the block lasts."""
    marks = Marks(world.database)
    chosen = models or READ_MODELS
    async with (
        follower(world.database, world.codec) as followed,
        Projector(world.database, followed, world.bus, marks, chosen),
    ):
        yield marks


async def project(world: Any, *models: Any, follower: Any = Follower) -> None:
    """Project up to where the log is now."""
    async with projecting(world, *models, follower=follower) as marks:
        position = await head(world)
        names = (model.name for model in models or READ_MODELS)
        await marks.wait(position, *names, patience_s=CATCH_UP_S)


async def head(world: Any) -> int:
    return int((await world.query("SELECT position FROM log_head"))[0][0])


async def rows(world: Any, model: Any) -> dict[str, Any]:
    """Return a model's rows as plain JSON, by id."""
    found = await world.query(f"SELECT row_to_json(r) FROM {model.table} r")
    return {row["id"]: row for (row,) in found}


async def until(condition: Callable[[], Any], patience_s: float = 10.0) -> Any:
    """Ask until the answer is true, and return it."""
    async with asyncio.timeout(patience_s):
        while not (answer := await condition()):
            await asyncio.sleep(0.01)
    return answer
