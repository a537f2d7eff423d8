"""The same system twice: whole in one process, and spread over processes and stores."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.composed import ADMIN_EMAIL, Composed, composed
from tests.servers import kafka as kafka_server
from tests.servers import nginx, postgres_replica
from tests.servers import redis as redis_server
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.fixtures import require
from tests.servers.influxdb import Influxdb
from tests.start.processes import EMAIL, PASSWORD, up


@dataclass(frozen=True)
class System:
    """Where it is, who may sign in, and whose certificate is to be believed."""

    url: str
    email: str
    password: str
    authority: Path | None = None


@pytest.fixture(scope="module")
def embedded(open_folder: Path) -> Iterator[System]:
    """A plain start: nothing is set, everything is embedded."""
    with up(open_folder / "embedded", "--no-demo", afresh=True) as running:
        yield System(running.url, EMAIL, PASSWORD)


@pytest.fixture(scope="module")
def compose(elasticsearch: Elasticsearch, influxdb: Influxdb) -> Iterator[Composed]:
    """Every service of docker-compose.yml in a process of its own, every setting set."""
    for server in (kafka_server, redis_server, nginx, postgres_replica):
        require(server.missing())
    # A pair of its own: the session's has been given other root keys by other tests.
    with (
        postgres_replica.start() as replicated,
        composed(replicated, elasticsearch, influxdb) as system,
    ):
        yield system


@pytest.fixture(scope="module")
def distributed(compose: Composed) -> System:
    """The same behind its proxy."""
    password = compose.variables["MC_ADMIN_PASSWORD"]
    return System(compose.url, ADMIN_EMAIL, password, compose.authority)
