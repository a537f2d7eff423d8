"""Where the tests of this folder keep their data."""

import hashlib
from pathlib import Path

import pytest


@pytest.fixture
def fresh_dir(open_folder: Path, request: pytest.FixtureRequest) -> Path:
    """A path for a data directory that does not exist yet; short, as a socket will be in it."""
    return open_folder / hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:8]


@pytest.fixture(scope="module")
def data_dir(open_folder: Path, request: pytest.FixtureRequest) -> Path:
    """A path for a data directory that the tests of a module share: making a cluster takes a second."""
    return open_folder / f"shared-{request.module.__name__.rpartition('.')[2]}"
