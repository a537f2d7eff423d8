"""InfluxDB over TLS: trusted by the authority that is set, and refused in one line that names it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.influxdb import InfluxDb, Point
from infra.settings import Settings, StartRefused
from infra.timeseries import MetricsUnavailable
from tests.api.conftest import ADMIN, PASSWORD
from tests.servers import influxdb as influxdb_server
from tests.servers.certificates import issue
from tests.servers.fixtures import require
from tests.servers.influxdb import Influxdb
from tests.timeseries.conftest import settings_of
from tests.timeseries.test_away import environment_of, served

pytestmark = pytest.mark.servers

POINT: Point = {"measurement": "m", "tags": {"a": "b"}, "fields": {"x": 1}, "time": 1}
NOT_SIGNED = "MC_INFLUXDB_CA: it did not sign the server's certificate"
OTHER_NAME = "MC_INFLUXDB_URL: the server's certificate is for another name"
NO_TLS = "MC_INFLUXDB_URL: the server does not speak TLS as we do"


@pytest.fixture(scope="module")
def secured() -> Iterator[Influxdb]:
    require(influxdb_server.missing())
    with influxdb_server.start(tls=True) as server:
        yield server


def right(server: Influxdb, folder: Path, **more: Any) -> Settings:
    assert server.certificates is not None
    return settings_of(server, folder, **{"influxdb_ca": server.certificates.authority, **more})


def test_a_system_keeps_its_metrics_there(
    secured: Influxdb, open_folder: Path, tmp_path: Path
) -> None:
    settings = right(secured, tmp_path)
    assert environment_of(settings)["MC_INFLUXDB_CA"] == str(settings.influxdb_ca)
    with served(open_folder, settings) as system:
        admin = system.sign_in(ADMIN, PASSWORD)
        made = admin.post("/api/missions", json={"title": "kept"}).json()
        asked = {"bucket": "hour", "min_position": made["position"]}
        answer = admin.get("/api/analytics/flow", params=asked)
        assert answer.json()["buckets"][-1]["counts"]["ready"] == 1
        health = system.client().get("/health/ready").json()
        assert health["services"]["influxdb"] == {"status": "ok"}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"influxdb_ca": None}, NOT_SIGNED),
        ({"influxdb_ca": "another"}, NOT_SIGNED),
        ({"influxdb_url": "localhost"}, OTHER_NAME),
        ({"influxdb_url": "the plain port"}, NO_TLS),
    ],
)
def test_what_is_wrong_is_one_line_however_it_is_asked(
    secured: Influxdb, influxdb: Influxdb, tmp_path: Path, wrong: dict[str, Any], reason: str
) -> None:
    places = {
        "another": issue(tmp_path).authority,
        "localhost": f"https://localhost:{secured.port}",
        "the plain port": f"https://127.0.0.1:{influxdb.port}",
    }
    values = {name: places.get(value, value) for name, value in wrong.items()}
    asyncio.run(_told(right(secured, tmp_path, **values), reason))


async def _told(settings: Settings, reason: str) -> None:
    server = InfluxDb(settings)
    try:
        assert await server.state() == {"status": "away", "reason": reason}
        # Points are written by another client, with a connection of its own.
        server._prepared.add(server.flow)
        with pytest.raises(MetricsUnavailable) as away:
            await server.write(server.flow, [POINT])
        assert str(away.value) == reason
    finally:
        await server.aclose()


def test_an_authority_that_is_none_is_refused_at_start(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    for text in (None, "no certificate"):
        if text is not None:
            file.write_text(text)
        named = {"influxdb_token": "t", "influxdb_ca": file}
        with pytest.raises(StartRefused, match=r"^MC_INFLUXDB_CA: "):
            InfluxDb(Settings.load(influxdb_url="https://localhost:8086", **named))
        with pytest.raises(StartRefused, match=r"MC_INFLUXDB_CA is for an MC_INFLUXDB_URL"):
            Settings.load(influxdb_url="http://localhost:8086", **named)
