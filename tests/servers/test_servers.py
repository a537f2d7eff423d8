"""Each server does what its tests rely on: it answers its real client, keeps data, and leaves nothing."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
import psycopg
import pytest
from elasticsearch import Elasticsearch as ElasticsearchClient
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic
from redis.exceptions import AuthenticationError

from tests.servers import redis as redis_server
from tests.servers.__main__ import KINDS, STARTS
from tests.servers.cache import Unavailable, bring, run_tool
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.fixtures import require
from tests.servers.influxdb import Influxdb
from tests.servers.java import java_home
from tests.servers.kafka import Kafka
from tests.servers.postgres_replica import Replicated
from tests.servers.process import Server, is_gone
from tests.servers.redis import Redis

PATIENCE_S = 60.0
SLOW_S = 300
"""For tests that start Elasticsearch more than once: 10 s each, and 40 on a busy machine."""


def until(holds: Callable[[], bool]) -> None:
    """Wait for what happens in another process."""
    give_up = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < give_up, "it did not come true"
        time.sleep(0.05)


def kill_and_restart(server: Server) -> None:
    """Kill it, see it gone, and start it again."""
    before = psutil.Process(server.pid)
    server.kill()
    assert is_gone(before)
    assert not server.answers()
    server.start()
    assert server.pid != before.pid


def produce(topic: str, value: bytes, **client: object) -> None:
    """Make a topic and put one record in it."""
    admin = KafkaAdminClient(**client)
    admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    admin.close()
    producer = KafkaProducer(acks="all", **client)
    producer.send(topic, value, partition=0).get(timeout=PATIENCE_S)
    producer.close()


def consume(topic: str, **client: object) -> bytes:
    """Return the first record of a topic."""
    consumer = KafkaConsumer(consumer_timeout_ms=int(PATIENCE_S * 1000), **client)
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        value: bytes = next(consumer).value
        return value
    finally:
        consumer.close()


def test_kafka_keeps_a_record_through_a_kill(kafka: Kafka) -> None:
    topic = f"t-{uuid4()}"
    produce(topic, b"kept", bootstrap_servers=kafka.bootstrap)
    kill_and_restart(kafka)
    assert consume(topic, bootstrap_servers=kafka.bootstrap) == b"kept"


@pytest.mark.long
@pytest.mark.timeout(SLOW_S)
def test_elasticsearch_keeps_a_document_through_a_kill(elasticsearch: Elasticsearch) -> None:
    index = f"t-{uuid4()}"
    with ElasticsearchClient(elasticsearch.url) as client:
        client.index(index=index, id="1", document={"title": "kept"}, refresh=True)
    kill_and_restart(elasticsearch)
    with ElasticsearchClient(elasticsearch.url) as client:
        found = client.search(index=index, query={"match": {"title": "kept"}})
    assert [hit["_id"] for hit in found["hits"]["hits"]] == ["1"]


def test_influxdb_keeps_a_point_through_a_kill(influxdb: Influxdb) -> None:
    bucket = influxdb.bucket(f"t-{uuid4()}")
    with (
        InfluxDBClient(influxdb.url, token=influxdb.token, org=influxdb.org) as client,
        client.write_api(write_options=SYNCHRONOUS) as writes,
    ):
        writes.write(bucket, record="missions done=3i 1000000000")
    kill_and_restart(influxdb)
    with InfluxDBClient(influxdb.url, token=influxdb.token, org=influxdb.org) as client:
        tables = client.query_api().query(f'from(bucket: "{bucket}") |> range(start: 0)')
    assert [record.get_value() for table in tables for record in table.records] == [3]


def test_a_bucket_of_influxdb_is_a_database_in_influxql(influxdb: Influxdb) -> None:
    answer = httpx.get(
        f"{influxdb.url}/query",
        params={"db": influxdb.bucket(f"t-{uuid4()}"), "q": "SHOW MEASUREMENTS"},
        headers={"Authorization": f"Token {influxdb.token}"},
        timeout=10,
    )
    assert answer.json() == {"results": [{"statement_id": 0}]}


def test_redis_keeps_a_key_through_a_kill(redis: Redis) -> None:
    key = f"t-{uuid4()}"
    with redis.client() as client:
        client.set(key, "kept")
    kill_and_restart(redis)
    with redis.client() as client:
        assert client.get(key) == "kept"


@pytest.mark.servers
def test_redis_takes_a_password_over_tls() -> None:
    require(redis_server.missing())
    with redis_server.start("a password", tls=True) as server:
        assert server.url.startswith("rediss://")
        with server.client() as client:
            client.set("key", "sealed")
            assert client.get("key") == "sealed"
        server.password = "another"
        with server.client() as client, pytest.raises(AuthenticationError):
            client.ping()


def test_a_paused_server_answers_again_when_it_is_resumed(redis: Redis) -> None:
    redis.pause()
    try:
        assert psutil.Process(redis.pid).status() == psutil.STATUS_STOPPED
    finally:
        redis.resume()
    until(redis.answers)


def test_a_replica_catches_up_with_what_was_written_while_it_was_dead(
    replicated: Replicated,
) -> None:
    table = f"t_{uuid4().hex}"
    replicated.replica.kill()
    with psycopg.connect(replicated.primary.dsn()) as connection:
        connection.execute(f"CREATE TABLE {table} AS SELECT 7 AS number")
    replicated.replica.start()
    until(lambda: replicated.lag_bytes() == 0)
    with psycopg.connect(replicated.replica.dsn()) as connection:
        assert connection.execute(f"SELECT number FROM {table}").fetchall() == [(7,)]
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute(f"DROP TABLE {table}")


def test_a_replica_follows_a_primary_that_was_killed(replicated: Replicated) -> None:
    kill_and_restart(replicated.primary)
    table = f"t_{uuid4().hex}"
    with psycopg.connect(replicated.primary.dsn()) as connection:
        connection.execute(f"CREATE TABLE {table} ()")
    with psycopg.connect(replicated.replica.dsn(), autocommit=True) as connection:
        known = "SELECT to_regclass(%s) IS NOT NULL"
        until(lambda: connection.execute(known, [table]).fetchone() == (True,))


@pytest.mark.servers
@pytest.mark.timeout(SLOW_S)
@pytest.mark.parametrize(
    ("name", "number"),
    [
        # All servers end alike; the slow ones are left to the long tests.
        *(
            pytest.param(name, signal.SIGKILL, marks=[] if name == "redis" else pytest.mark.long)
            for name in STARTS
        ),
        ("redis", signal.SIGTERM),
    ],
)
def test_nothing_is_left_when_who_started_a_server_ends(
    open_folder: Path, name: str, number: signal.Signals
) -> None:
    require(KINDS[name].missing())
    words = [sys.executable, "-m", "tests.servers", "--start", name]
    # Files do stay after SIGKILL; this folder goes with the session.
    environment = {**os.environ, "TMPDIR": str(open_folder)}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("ready"):
                break
        started = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == (130 if number == signal.SIGTERM else -number)
    assert started, "no server was started"
    try:
        until(lambda: all(map(is_gone, started)))
    finally:
        for left in started:
            with suppress(psutil.NoSuchProcess):
                left.kill()


def test_what_two_bring_at_once_is_built_once(tmp_path: Path) -> None:
    target, built, together = tmp_path / "cache" / "server-1", [], threading.Barrier(2)

    def build(fresh: Path) -> None:
        assert not target.exists()
        (fresh / "part").touch()
        built.append(fresh)

    def ask() -> None:
        together.wait()
        bring(target, build)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1
    assert [path.name for path in target.iterdir()] == ["part"]


def test_a_build_that_fails_leaves_nothing_and_is_told(tmp_path: Path) -> None:
    def build(fresh: Path) -> None:
        (fresh / "half").touch()
        run_tool(["sh", "-c", "echo compiling; echo 'error: no network'; exit 1"], fresh)

    with pytest.raises(Unavailable, match=r"^sh failed: error: no network$"):
        bring(tmp_path / "server-1", build)
    assert [path.name for path in tmp_path.iterdir()] == ["server-1.lock"]


def test_a_java_that_nobody_has_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="needs Java 999 or newer"):
        java_home(999)


def test_what_is_missing_skips_and_fails_where_all_is_required(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("MC_REQUIRE", raising=False)
    with pytest.raises(pytest.skip.Exception, match="InfluxDB is not installed: make servers"):
        require(KINDS["influxdb"].missing())
    monkeypatch.setenv("MC_REQUIRE", "all")
    with pytest.raises(pytest.fail.Exception, match="InfluxDB is not installed: make servers"):
        require(KINDS["influxdb"].missing())
