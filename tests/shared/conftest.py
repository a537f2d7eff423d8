"""A Redis that a test may kill, and what is built on it in as many processes as it takes."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.servers import redis as redis_server
from tests.servers.fixtures import require
from tests.servers.redis import Redis as Server


@pytest.fixture
def own_redis() -> Iterator[Server]:
    """A Redis of the test's own."""
    require(redis_server.missing())
    with redis_server.start() as server:
        yield server


@pytest.fixture
def fresh_dir(open_folder: Path) -> Path:
    """A path for a data directory that does not exist yet."""
    return open_folder / uuid4().hex[:8]
