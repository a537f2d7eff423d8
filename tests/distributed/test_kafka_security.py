"""Kafka over SASL and TLS, and one clear line for each way to get it wrong."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer

from infra.kafka import brokers, client_settings, faust_settings, tls, why_away
from infra.marks import Marks
from infra.settings import Settings, StartRefused
from tests.distributed.conftest import LEAKS_SOCKETS, head, relayed, relaying, until
from tests.projections_run.naive import differences
from tests.projections_run.test_kills import ended
from tests.servers import kafka as kafka_server
from tests.servers.certificates import issue
from tests.servers.fixtures import require
from tests.servers.kafka import SCRAM, Kafka
from tests.start.processes import COMMAND, environment
from tests.write_side.test_projections import live_a_life

PATIENCE_S = 60
pytestmark = [pytest.mark.servers, LEAKS_SOCKETS]


@pytest.fixture(scope="module")
def secured() -> Iterator[Kafka]:
    require(kafka_server.missing())
    with kafka_server.start(secured=True) as server:
        yield server


def right(server: Kafka, **wrong: Any) -> Settings:
    listener = server.secured
    assert listener is not None
    values = {
        "kafka_bootstrap": listener.bootstrap,
        "kafka_tls": True,
        "kafka_ca": listener.certificates.authority,
        "kafka_sasl_mechanism": SCRAM,
        "kafka_username": listener.user,
        "kafka_password": listener.password,
    }
    return Settings(**{**values, **wrong})


@pytest.mark.parametrize("mechanism", ["PLAIN", SCRAM])
async def test_the_log_reaches_kafka_over_tls_with_a_password(
    world: Any, secured: Kafka, mechanism: str
) -> None:
    settings = right(
        secured, kafka_sasl_mechanism=mechanism, kafka_topic_prefix=f"t-{mechanism.lower()}"
    )
    async with relaying(world, settings):
        await until(lambda: relayed(world), PATIENCE_S)
    consumer = KafkaConsumer(
        f"t-{mechanism.lower()}.workspace",
        auto_offset_reset="earliest",
        consumer_timeout_ms=PATIENCE_S * 1000,
        **client_settings(settings),
    )
    try:
        assert next(record for record in consumer if record.key).value
    finally:
        consumer.close()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"kafka_password": "a wrong one"}, "MC_KAFKA_SASL_MECHANISM, MC_KAFKA_USERNAME, MC_KAFKA_PASSWORD: "),
        ({"kafka_username": "nobody"}, "MC_KAFKA_SASL_MECHANISM, MC_KAFKA_USERNAME, MC_KAFKA_PASSWORD: "),
        ({"kafka_sasl_mechanism": None}, "MC_KAFKA_SASL_MECHANISM: "),
        ({"kafka_sasl_mechanism": "SCRAM-SHA-256"}, "MC_KAFKA_SASL_MECHANISM, "),
        ({"kafka_ca": "another"}, "MC_KAFKA_CA: "),
        ({"kafka_tls": False, "kafka_ca": None}, "MC_KAFKA_TLS, "),
        ({"kafka_bootstrap": "kafka.invalid:9092"}, "MC_KAFKA_BOOTSTRAP: no host has the name"),
        ({"kafka_bootstrap": "127.0.0.1:1"}, "MC_KAFKA_BOOTSTRAP: nobody answers"),
        ({"kafka_bootstrap": "another name"}, "MC_KAFKA_BOOTSTRAP: the certificate"),
        ({"kafka_bootstrap": "the plain port"}, "MC_KAFKA_TLS: "),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_in_one_line_and_its_secret_is_not(
    secured: Kafka, tmp_path: Path, wrong: dict[str, Any], named: str
) -> None:
    assert secured.secured is not None
    places = {
        "another name": f"localhost:{secured.secured.port}",
        "the plain port": secured.bootstrap,
        "another": issue(tmp_path).authority,
    }
    line = why_away(
        right(secured, **{name: places.get(value, value) for name, value in wrong.items()})
    )
    assert line is not None and line.startswith(named)
    assert "\n" not in line
    assert "a wrong one" not in line
    assert secured.secured.password not in line


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"kafka_password": "a wrong one"}, "MC_KAFKA_SASL_MECHANISM, MC_KAFKA_USERNAME, MC_KAFKA_PASSWORD: "),
        ({"kafka_bootstrap": "127.0.0.1:1"}, "MC_KAFKA_BOOTSTRAP: nobody answers"),
    ],
)  # fmt: skip
async def test_a_relay_keeps_what_is_wrong_as_its_last_error(
    world: Any, secured: Kafka, wrong: dict[str, Any], named: str
) -> None:
    async with relaying(world, right(secured, **wrong)):
        query = "SELECT last_error FROM relay WHERE last_error IS NOT NULL"
        ((line,),) = await until(lambda: world.query(query), PATIENCE_S)
    assert line.startswith(named) and "a wrong one" not in line


def test_nothing_is_wrong_with_what_is_right(secured: Kafka) -> None:
    assert why_away(right(secured)) is None


def test_a_broker_that_says_nothing_is_told_from_one_that_is_not_there(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.kafka.CONNECT_MS", 500)
    kafka.pause()
    try:
        said = why_away(Settings(kafka_bootstrap=kafka.bootstrap))
    finally:
        kafka.resume()
    assert said == f"MC_KAFKA_BOOTSTRAP: {kafka.bootstrap} takes the call and says nothing"


@pytest.mark.parametrize("bootstrap", ["kafka", "kafka:port", ":9092", ",", "kafka:99999"])
def test_an_address_that_is_none_is_refused_at_start(bootstrap: str) -> None:
    with pytest.raises(StartRefused, match="MC_KAFKA_BOOTSTRAP: "):
        brokers(Settings(kafka_bootstrap=bootstrap))


def test_authorities_that_are_none_are_refused_at_start(tmp_path: Path) -> None:
    text = tmp_path / "ca.pem"
    text.write_text("no certificate")
    for settings in (
        Settings(kafka_tls=True, kafka_ca=tmp_path / "absent.pem"),
        Settings(kafka_tls=True, kafka_ca=text),
        Settings(kafka_ca=text),
    ):
        with pytest.raises(StartRefused, match="MC_KAFKA_CA: "):
            tls(settings)


def test_faust_is_given_the_same(secured: Kafka) -> None:
    settings = right(secured)
    given = faust_settings(settings)
    assert given["broker"] == [f"kafka://{broker}" for broker in brokers(settings)]
    credentials = given["broker_credentials"]
    assert (credentials.mechanism.value, credentials.protocol.value) == (SCRAM, "SASL_SSL")
    assert (credentials.username, credentials.password) == (
        "mission-control",
        settings.kafka_password,
    )
    plain = faust_settings(Settings(kafka_bootstrap="a:1, b:2"))
    assert plain == {"broker": ["kafka://a:1", "kafka://b:2"], "broker_credentials": None}


@asynccontextmanager
async def working(
    world: Any, settings: Settings, folder: Path, *models: str
) -> AsyncIterator[Path]:
    """Run workers with these settings for as long as the block lasts; yield what they log."""
    log = folder / "worker.log"
    given = {
        "MC_DATABASE_URL": world.database.dsn,
        "MC_ROOT_KEY": world.bus.tools.vault._root.text(),
        "MC_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "MC_KAFKA_TOPIC_PREFIX": settings.kafka_topic_prefix,
        "MC_KAFKA_TLS": "true",
        "MC_KAFKA_CA": settings.kafka_ca,
        "MC_KAFKA_SASL_MECHANISM": settings.kafka_sasl_mechanism,
        "MC_KAFKA_USERNAME": settings.kafka_username,
        "MC_KAFKA_PASSWORD": settings.kafka_password,
    }
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *COMMAND, "worker", *models, "--data-dir", str(folder / "data"), stderr=stderr,
            env=environment(**{name: str(value) for name, value in given.items()}),
        )  # fmt: skip
    try:
        yield log
    finally:
        process.send_signal(signal.SIGTERM)
        assert await ended(process) == 0


async def test_workers_fold_what_they_read_over_tls_with_a_password(
    world: Any, secured: Kafka, tmp_path: Path
) -> None:
    settings = right(secured, kafka_topic_prefix="t-worker")
    models = ("missions", "boards")
    await live_a_life(world, random.Random(1))
    async with relaying(world, settings), working(world, settings, tmp_path, *models):
        await Marks(world.database).wait(await head(world), *models, patience_s=PATIENCE_S)
    assert await differences(world) == []


async def test_a_worker_names_a_wrong_authority_in_one_line(
    world: Any, secured: Kafka, tmp_path: Path
) -> None:
    settings = right(secured, kafka_ca=issue(tmp_path).authority)
    async with working(world, settings, tmp_path, "missions") as log:

        async def told() -> list[str]:
            return [line for line in log.read_text().splitlines() if "away" in line]

        (line,) = await until(told, PATIENCE_S)
    assert "MC_KAFKA_CA: the certificate of" in line
    assert settings.kafka_password not in log.read_text()
    assert len(log.read_text().splitlines()) == 3, "it started, it could not, it was stopped"
