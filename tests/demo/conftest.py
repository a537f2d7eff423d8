"""A demo seeded once for the tests that only read it."""

import asyncio
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from infra.demo.keys import Keys
from infra.demo.seed import seed
from infra.postgres import SYSTEM_OPTIONS
from infra.settings import Settings


@dataclass(frozen=True)
class Seeded:
    """A seeded database, where its secrets are, and what was told on the way."""

    dsn: str
    settings: Settings
    began: datetime
    told: list[tuple[int, int]]

    @property
    def keys(self) -> Keys:
        keys = Keys.read(self.settings.data_dir)
        assert keys is not None
        return keys

    def rows(self, query: Any, values: Any = ()) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn, options=SYSTEM_OPTIONS) as connection:
            return connection.execute(query, values).fetchall()


@pytest.fixture(scope="module")
def seeded(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Seeded:
    for name in list(os.environ):
        ours = name.startswith("MC_") and name != "MC_REQUIRE"
        assert not ours, "settings of whoever runs the tests"
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("demo"), admin_email="ada@example.org",
        admin_password="a password of some length",
    )  # fmt: skip
    told: list[tuple[int, int]] = []
    began = datetime.now(UTC)
    admin = asyncio.run(seed(settings, database_url, lambda *at: told.append(at)))
    assert admin is not None and admin.password is None
    return Seeded(database_url, settings, began, told)


@pytest.fixture
def fresh_dir(open_folder: Path) -> Path:
    """A path for a data directory that does not exist yet; short, as a socket will be in it."""
    return open_folder / uuid4().hex[:8]
