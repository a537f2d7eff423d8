"""The servers as fixtures: at most one of each per test process, started when a test first asks."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

from tests.servers import elasticsearch as elasticsearch_server
from tests.servers import influxdb as influxdb_server
from tests.servers import kafka as kafka_server
from tests.servers import nginx, postgres_replica, postgres_tls
from tests.servers import redis as redis_server
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.influxdb import Influxdb
from tests.servers.kafka import Kafka
from tests.servers.nginx import Nginx
from tests.servers.postgres_replica import Postgres, Replicated
from tests.servers.postgres_tls import PostgresTls
from tests.servers.redis import Redis

FIXTURES = {
    "elasticsearch",
    "influxdb",
    "kafka",
    "own_kafka",
    "redis",
    "replicated",
    "postgres_tls_server",
    "proxy",
    "browser",
}

# A server takes as long to start as many tests do: these go to one test process, which starts it once.
TOGETHER = {
    "tests/distributed/": "kafka",
    "tests/workers/": "kafka",
    "tests/start/test_workers.py": "kafka",
    "tests/api/test_metrics.py": "kafka",
    "tests/search/": "elasticsearch",
    "tests/api/test_search.py": "elasticsearch",
    "tests/start/test_doctor.py": "elasticsearch",
    "tests/journey/": "elasticsearch",
}


class ByServer(LoadFileScheduling):
    """A file is of one test process, and so are those that share a server."""

    def _split_scope(self, nodeid: str) -> str:
        servers = (server for place, server in TOGETHER.items() if nodeid.startswith(place))
        return next(servers, super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByServer:
    """Tell xdist who runs what."""
    return ByServer(config, log)


# Before pytest looks at the marks that were asked for.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use a server, so that `-m servers` runs them."""
    for item in items:
        if FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.servers)


def require(missing: str | None) -> None:
    """Skip where a server is missing; fail where all were said to be there."""
    if missing is None:
        return
    if os.environ.get("MC_REQUIRE") == "all":
        pytest.fail(f"MC_REQUIRE=all: {missing}", pytrace=False)
    pytest.skip(missing)


@pytest.fixture(scope="session")
def elasticsearch() -> Iterator[Elasticsearch]:
    """An Elasticsearch; indices of other tests may be in it."""
    require(elasticsearch_server.missing())
    with elasticsearch_server.start() as server:
        yield server


@pytest.fixture(scope="session")
def influxdb() -> Iterator[Influxdb]:
    """An InfluxDB; take a `bucket` of your own."""
    require(influxdb_server.missing())
    with influxdb_server.start() as server:
        yield server


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """A Kafka with its plain listener; topics of other tests may be in it."""
    require(kafka_server.missing())
    with kafka_server.start() as server:
        yield server


@pytest.fixture
def own_kafka() -> Iterator[Kafka]:
    """One to kill: others use the session's."""
    require(kafka_server.missing())
    with kafka_server.start() as server:
        yield server


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A PostgreSQL to kill or pause, which is empty."""
    require(postgres_replica.missing())
    with postgres_replica.start_primary() as server:
        yield server


@pytest.fixture(scope="session")
def redis() -> Iterator[Redis]:
    """A Redis without TLS or password; keys of other tests may be in it."""
    require(redis_server.missing())
    with redis_server.start() as server:
        yield server


@pytest.fixture(scope="session")
def replicated() -> Iterator[Replicated]:
    """A PostgreSQL and its streaming replica, both apart from the session's `postgres`."""
    require(postgres_replica.missing())
    with postgres_replica.start() as servers:
        yield servers


@pytest.fixture(scope="session")
def postgres_tls_server() -> Iterator[PostgresTls]:
    """A PostgreSQL that speaks TLS only, with a certificate of an authority of its own."""
    require(postgres_tls.missing())
    with postgres_tls.start() as server:
        yield server


@pytest.fixture(scope="session")
def proxy() -> Callable[[str, int], AbstractContextManager[Nginx]]:
    """What starts an nginx with a configuration, and the port that it listens on."""
    require(nginx.missing())
    return nginx.start
