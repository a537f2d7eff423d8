"""`/metrics`: who may read it, that Prometheus' own parsers do, and that its figures are true."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from websockets.asyncio.client import connect

from infra.settings import Settings, StartRefused
from infra.telemetry import Telemetry
from tests.api.conftest import ADMIN, PASSWORD, System, new_agent, serving
from tests.servers.kafka import Kafka
from tests.servers.process import HOST, free_port

TOKEN = "a-token-for-metrics-alone"
BEARER = {"authorization": f"Bearer {TOKEN}"}
PATIENCE_S = 30.0

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(answer: httpx.Response) -> Samples:
    """Return every sample by its name and labels."""
    assert answer.status_code == 200, answer.text
    return {
        (sample.name.removeprefix("mission_control_"), frozenset(sample.labels.items())): sample.value
        for family in parse_text(answer.text)
        for sample in family.samples
    }  # fmt: skip


def value(found: Samples, name: str, **labels: str) -> float | None:
    return found.get((name, frozenset(labels.items())))


def until(found: Callable[[], Any], wanted: Callable[[Any], Any]) -> Any:
    give_up = time.monotonic() + PATIENCE_S
    while not wanted(one := found()):
        assert time.monotonic() < give_up, one
        time.sleep(0.05)
    return one


def test_it_is_for_admins_and_nobody_else(
    system: System, people: dict[str, httpx.Client], agent_maker: Any
) -> None:
    _, agent = agent_maker("no collector")
    assert people["admin"].get("/metrics").status_code == 200
    for client in (people["viewer"], people["mission_commander"], agent):
        assert client.get("/metrics").json()["code"] == "forbidden"
    for headers in ({}, {"authorization": "Bearer None"}, BEARER):
        assert system.client().get("/metrics", headers=headers).status_code == 401


def test_both_formats_are_what_their_parsers_read(admin: httpx.Client) -> None:
    text = admin.get("/metrics")
    assert text.headers["content-type"].startswith("text/plain")
    accept = {"accept": "application/openmetrics-text; version=1.0.0"}
    openmetrics = admin.get("/metrics", headers=accept)
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    one = {family.name.removesuffix("_total") for family in parse_text(text.text)}
    other = {family.name for family in parse_openmetrics(openmetrics.text)}
    assert {name.removesuffix("_info") for name in one} == other
    assert len(one) > 12


def test_its_figures_are_what_happened(
    system: System, admin: httpx.Client, agent_maker: Any
) -> None:
    before = samples(admin.get("/metrics"))
    route = {"route": "POST /api/missions", "outcome": "ok"}
    _, agent = agent_maker("holder")
    for number in range(3):
        made = admin.post("/api/missions", json={"title": f"counted {number}"}).json()
    assert admin.post("/api/missions", json={"title": ""}).status_code == 422
    odd = system.client().request("PROPFIND", "/api/missions").status_code
    assert agent.post(f"/api/missions/{made['id']}/claim").status_code == 200
    admin.get("/api/missions/board", params={"min_position": made["position"]})

    found = samples(admin.get("/metrics"))

    def more(name: str, **labels: str) -> float:
        return (value(found, name, **labels) or 0) - (value(before, name, **labels) or 0)

    counted = "command_duration_seconds"
    assert more(f"{counted}_count", **route) == 3
    assert more(f"{counted}_bucket", **route, le="+Inf") == 3
    places = [more(f"{counted}_bucket", **route, le=le) for le in ("0.001", "0.1", "5.0", "10.0")]
    assert places == sorted(places) and places[-1] == 3
    assert 0 < more(f"{counted}_sum", **route) < 30
    assert more(f"{counted}_count", route="POST /api/missions", outcome="refused") == 1
    assert more("http_requests_total", method="other", status=str(odd)) == 1
    assert more("leases") == 1
    assert (value(found, "log_position") or 0) > made["position"]
    lags = until(
        lambda: samples(admin.get("/metrics")),
        lambda now: value(now, "projection_lag_events", model="missions") == 0,
    )
    assert value(lags, "parked_streams", model="missions") == 0
    assert value(lags, "database_up") == 1
    assert (value(lags, "process_resident_memory_bytes") or 0) > 10**6


def test_open_sockets_are_counted_while_they_are_open(system: System, admin: httpx.Client) -> None:
    def open_now() -> float | None:
        return value(samples(admin.get("/metrics")), "open_sockets")

    ticket = admin.post("/api/ws/ticket").json()["ticket"]

    async def follow() -> None:
        url = f"{system.url.replace('http', 'ws')}/ws"
        async with connect(url, subprotocols=["mc.v1"]) as socket:  # type: ignore[list-item]
            await socket.send(f'{{"t":"connect","id":1,"ticket":"{ticket}"}}')
            assert '"connected"' in str(await socket.recv())
            assert await asyncio.to_thread(open_now) == 1

    asyncio.run(follow())
    until(open_now, lambda now: now == 0)
    ended = samples(admin.get("/metrics"))
    assert sum(v for (name, _), v in ended.items() if name == "sockets_closed_total") == 1


def test_what_was_handed_on_is_still_counted() -> None:
    telemetry, workspace = Telemetry(), uuid4()
    for times in (1, 2):
        telemetry.socket_closed(workspace, None, 5.0)
        telemetry.heartbeat(workspace, uuid4(), "busy")
        assert [tally.count for tally in telemetry.totals().values()] == [times]
        telemetry.take()
        assert [tally.count for tally in telemetry.totals().values()] == [times]


def test_a_token_reads_metrics_and_nothing_else_and_no_workspace_is_named(
    open_folder: Path, kafka: Kafka
) -> None:
    settings = {
        "MC_METRICS_TOKEN": TOKEN, "MC_KAFKA_BOOTSTRAP": kafka.bootstrap,
        "MC_KAFKA_TOPIC_PREFIX": f"t{uuid4().hex}",
    }  # fmt: skip
    with serving(open_folder, **settings) as system:
        collector = system.client(TOKEN)
        for path in ("/api/missions/board", "/api/events", "/api/members"):
            assert collector.get(path).status_code == 401
        assert system.client(TOKEN[:-1]).get("/metrics").status_code == 401
        admin = system.sign_in(ADMIN, PASSWORD)
        mission = admin.post("/api/missions", json={"title": "relayed"}).json()
        found = until(
            lambda: samples(collector.get("/metrics")),
            lambda now: (
                value(now, "relay_up") == 1 and value(now, "relay_position") == mission["position"]
            ),
        )
        assert value(found, "relay_lag_events") == 0
        assert value(found, "service_up", service="kafka") == 1
        agent_id, _ = new_agent(system, admin, "unnamed")
        text = collector.get("/metrics").text
        assert not any(str(one) in text for one in (agent_id, mission["id"], TOKEN))


def test_why_the_relay_stands_still_is_told(open_folder: Path) -> None:
    nobody = f"{HOST}:{free_port()}"
    with serving(open_folder, MC_KAFKA_BOOTSTRAP=nobody, MC_METRICS_TOKEN=TOKEN) as system:
        reason = f"MC_KAFKA_BOOTSTRAP: nobody answers at {nobody}"
        collector = system.client(TOKEN)
        found = until(
            lambda: samples(collector.get("/metrics")),
            lambda now: value(now, "relay_last_error_timestamp_seconds", reason=reason),
        )
        assert value(found, "relay_up") == value(found, "service_up", service="kafka") == 0
        assert (value(found, "relay_lag_events") or 0) > 0


def test_a_token_that_could_be_guessed_is_refused() -> None:
    with pytest.raises(StartRefused, match=r"^MC_METRICS_TOKEN: ") as refused:
        Settings.load(metrics_token="short")
    assert "short" not in str(refused.value).partition(": ")[2].split()
