"""The doctor says of each outside service why it is away, by asking it as its clients do."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from infra.marks import INDEXES
from projections.catalogue import READ_MODELS
from tests.servers import influxdb as influxdb_server
from tests.servers import kafka as kafka_server
from tests.servers import redis as redis_server
from tests.servers.certificates import issue
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.fixtures import require
from tests.servers.guard import guarded
from tests.servers.influxdb import Influxdb
from tests.servers.kafka import SCRAM, Kafka
from tests.servers.process import HOST, free_port
from tests.servers.redis import Redis
from tests.start.processes import doctor, run, up

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

OTHERS = {"dependencies", *INDEXES}
"""What follows the log and is no read model."""
SECRET = "no-such-secret"


@pytest.fixture(scope="module")
def own_kafka() -> Iterator[Kafka]:
    require(kafka_server.missing())
    with kafka_server.start(secured=True) as server:
        yield server


@pytest.fixture(scope="module")
def own_influxdb() -> Iterator[Influxdb]:
    require(influxdb_server.missing())
    with influxdb_server.start() as server:
        yield server


@pytest.fixture(scope="module")
def own_redis() -> Iterator[Redis]:
    require(redis_server.missing())
    with redis_server.start("redis-password", tls=True) as server:
        yield server


def kafka_settings(server: Kafka, **wrong: str) -> dict[str, str]:
    listener = server.secured
    assert listener is not None
    return {
        "MC_KAFKA_BOOTSTRAP": listener.bootstrap, "MC_KAFKA_TLS": "true",
        "MC_KAFKA_CA": str(listener.certificates.authority), "MC_KAFKA_SASL_MECHANISM": SCRAM,
        "MC_KAFKA_USERNAME": listener.user, "MC_KAFKA_PASSWORD": listener.password, **wrong,
    }  # fmt: skip


def influxdb_settings(server: Influxdb, **wrong: str) -> dict[str, str]:
    return {
        "MC_INFLUXDB_URL": server.url, "MC_INFLUXDB_TOKEN": server.token,
        "MC_INFLUXDB_ORG": server.org, "MC_INFLUXDB_BUCKET": f"b{uuid7().hex}", **wrong,
    }  # fmt: skip


def redis_settings(server: Redis, **wrong: str) -> dict[str, str]:
    assert server.certificates is not None
    authority = str(server.certificates.authority)
    return {"MC_REDIS_URL": server.url, "MC_REDIS_CA": authority, **wrong}


def reasons(report: dict[str, Any]) -> dict[str, str | None]:
    """Return of each service why it is not well, and hold that each is a problem in one line."""
    found = {name: state.get("reason") for name, state in report["services"].items()}
    for name, reason in found.items():
        status = report["services"][name]["status"]
        assert (status != "ok") == (reason is not None), report["services"][name]
        assert (f"{name} is {status}: {reason}" in report["problems"]) == (status != "ok")
        assert "\n" not in (reason or "") and SECRET not in (reason or "")
    return found


def test_what_answers_is_well_and_what_was_stopped_is_told_apart(
    open_folder: Path, elasticsearch: Elasticsearch, own_influxdb: Influxdb, own_redis: Redis
) -> None:
    data_dir = open_folder / "doctor"
    settings = {
        "MC_ELASTICSEARCH_URL": elasticsearch.url, **influxdb_settings(own_influxdb),
        **redis_settings(own_redis),
    }  # fmt: skip
    with up(data_dir, **settings) as server:
        server.titles(server.create_mission("seen")["position"])
        # Its documents and its bucket are made in the background.
        code, report = _until_well(data_dir, settings)
        assert (code, report["problems"]) == (0, [])
        assert reasons(report) == dict.fromkeys(("elasticsearch", "influxdb", "redis"))
        # By the name that `worker` and `rebuild` know, wherever it is kept.
        assert {model.name for model in READ_MODELS} == report["projections"].keys() - OTHERS
        own_influxdb.kill()
        own_redis.kill()
        try:
            code, report = doctor(data_dir, **settings)
            readable = run("doctor", "--data-dir", data_dir, **settings)
        finally:
            own_influxdb.start()
            own_redis.start()
        assert code == readable.returncode == 1
        influxdb = "MC_INFLUXDB_URL: nobody answers (the connection is refused)"
        assert reasons(report) == {
            "elasticsearch": None, "influxdb": influxdb,
            "redis": "MC_REDIS_URL: nobody answers (the connection is refused)",
        }  # fmt: skip
        assert f"influxdb is away: {influxdb}" in readable.stdout
        assert server.end() == 0


def _until_well(data_dir: Path, settings: dict[str, str]) -> tuple[int, dict[str, Any]]:
    for _ in range(10):
        code, report = doctor(data_dir, **settings)
        if code == 0:
            break
    return code, report


def test_where_nobody_listens_that_is_said_of_each(fresh_dir: Path) -> None:
    address = f"{HOST}:{free_port()}"
    _, report = doctor(
        fresh_dir, MC_KAFKA_BOOTSTRAP=address, MC_ELASTICSEARCH_URL=f"http://{address}",
        MC_INFLUXDB_URL=f"http://{address}", MC_INFLUXDB_TOKEN=SECRET,
        MC_REDIS_URL=f"redis://:{SECRET}@{address}/0",
    )  # fmt: skip
    refused = "nobody answers (the connection is refused)"
    assert reasons(report) == {
        "kafka": f"MC_KAFKA_BOOTSTRAP: nobody answers at {address}",
        "elasticsearch": f"MC_ELASTICSEARCH_URL: {refused}",
        "influxdb": f"MC_INFLUXDB_URL: {refused}",
        "redis": f"MC_REDIS_URL: {refused}",
    }


def test_wrong_passwords_keys_and_tokens_are_told(
    fresh_dir: Path, tmp_path: Path, elasticsearch: Elasticsearch, own_kafka: Kafka,
    own_influxdb: Influxdb, own_redis: Redis,
) -> None:  # fmt: skip
    certificates = issue(tmp_path)
    address = own_redis.url.rpartition("@")[2]

    async def examined() -> tuple[int, dict[str, Any]]:
        async with guarded(elasticsearch.port, certificates) as port:
            wrong = {
                **kafka_settings(own_kafka, MC_KAFKA_PASSWORD=SECRET),
                "MC_ELASTICSEARCH_URL": f"https://{HOST}:{port}",
                "MC_ELASTICSEARCH_API_KEY": SECRET,
                "MC_ELASTICSEARCH_CA": str(certificates.authority),
                **influxdb_settings(own_influxdb, MC_INFLUXDB_TOKEN=SECRET),
                **redis_settings(own_redis, MC_REDIS_URL=f"rediss://:{SECRET}@{address}"),
            }
            return await asyncio.to_thread(doctor, fresh_dir, **wrong)

    code, report = asyncio.run(examined())
    assert code == 1
    found = reasons(report)
    assert str(found.pop("kafka")).startswith(
        "MC_KAFKA_SASL_MECHANISM, MC_KAFKA_USERNAME, MC_KAFKA_PASSWORD: "
    )
    assert found == {
        "elasticsearch": "MC_ELASTICSEARCH_API_KEY: the key is refused",
        "influxdb": "MC_INFLUXDB_TOKEN: InfluxDB does not accept it",
        "redis": "MC_REDIS_URL: Redis refuses the user name or password",
    }


def test_an_organisation_that_is_not_there_is_told(fresh_dir: Path, own_influxdb: Influxdb) -> None:
    _, report = doctor(fresh_dir, **influxdb_settings(own_influxdb, MC_INFLUXDB_ORG="nobody"))
    told = "MC_INFLUXDB_ORG: this token knows no organisation nobody"
    assert reasons(report) == {"influxdb": told}


def test_another_server_at_an_address_is_told(
    fresh_dir: Path, elasticsearch: Elasticsearch, own_influxdb: Influxdb
) -> None:
    swapped = influxdb_settings(own_influxdb, MC_INFLUXDB_URL=elasticsearch.url)
    _, report = doctor(fresh_dir, MC_ELASTICSEARCH_URL=own_influxdb.url, **swapped)
    assert reasons(report) == {
        "elasticsearch": "MC_ELASTICSEARCH_URL: what answers is no Elasticsearch",
        "influxdb": "MC_INFLUXDB_URL: what answers is no InfluxDB 2",
    }


def test_certificates_of_another_authority_are_told(
    fresh_dir: Path, tmp_path: Path, elasticsearch: Elasticsearch, own_kafka: Kafka, own_redis: Redis
) -> None:  # fmt: skip
    certificates, other = issue(tmp_path), tmp_path / "other"
    other.mkdir()
    stranger = str(issue(other).authority)

    async def examined() -> dict[str, Any]:
        async with guarded(elasticsearch.port, certificates) as port:
            wrong = {
                **kafka_settings(own_kafka, MC_KAFKA_CA=stranger),
                "MC_ELASTICSEARCH_URL": f"https://{HOST}:{port}", "MC_ELASTICSEARCH_CA": stranger,
                **redis_settings(own_redis, MC_REDIS_CA=stranger),
            }  # fmt: skip
            return (await asyncio.to_thread(doctor, fresh_dir, **wrong))[1]

    for name, reason in reasons(asyncio.run(examined())).items():
        assert str(reason).startswith(f"MC_{name.upper()}_CA: "), reason


def test_servers_that_take_the_call_and_say_nothing_are_told(
    fresh_dir: Path, own_kafka: Kafka, own_influxdb: Influxdb, own_redis: Redis
) -> None:
    servers = (own_kafka, own_influxdb, own_redis)
    for server in servers:
        server.pause()
    try:
        _, report = doctor(
            fresh_dir, MC_KAFKA_BOOTSTRAP=own_kafka.bootstrap, **influxdb_settings(own_influxdb),
            **redis_settings(own_redis),
        )  # fmt: skip
    finally:
        for server in servers:
            server.resume()
    assert reasons(report) == {
        "kafka": f"MC_KAFKA_BOOTSTRAP: {own_kafka.bootstrap} takes the call and says nothing",
        "influxdb": "MC_INFLUXDB_URL: nobody answers (no answer in time)",
        "redis": "MC_REDIS_URL: nobody answers (no answer in time)",
    }


def test_an_elasticsearch_that_has_nothing_of_this_log_is_told(
    open_folder: Path, elasticsearch: Elasticsearch
) -> None:
    data_dir = open_folder / "doctor-log"
    with up(data_dir) as server:
        server.create_mission("in PostgreSQL alone")
        code, report = doctor(data_dir, MC_ELASTICSEARCH_URL=elasticsearch.url)
        assert server.end() == 0
    assert (code, report["services"]["elasticsearch"]["status"]) == (1, "empty")
    assert str(reasons(report)["elasticsearch"]).startswith(
        "MC_ELASTICSEARCH_URL: it has no documents of this log for search_missions, "
    )
