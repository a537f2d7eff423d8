"""Where the tests of this folder keep their data."""

import hashlib
from pathlib import Path

import pytest


@pytest.fixture
def fresh_dir(open_folder: Path, request: pytest.FixtureRequest) -> Path:
    """A path for a data directory that does not exist yet; short, as a socket will be in it."""
    return open_folder / hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:8]


@pytest.fixture(scope="session")
def data_dir(open_folder: Path) -> Path:
    """A path for a data directory that tests share, one after the other: a new cluster takes a second."""
    return open_folder / "shared"
