"""What Prometheus collects of a process: its own counts, and how the deployment stands."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import psycopg
from fastapi import APIRouter, Request, Response

from infra import __version__
from infra.http.openapi import answer
from infra.http.principal import Principal, reads_metrics
from infra.kafka import RELAY_STATE
from infra.postgres import Database, within
from infra.telemetry import Telemetry
from infra.timeseries import LATENCY_BOUNDS_MS, Tally
from read_api.health import ANSWER_S_MAX, standing

if TYPE_CHECKING:
    from prometheus_client import Metric

router = APIRouter(tags=["metrics"])

LEASES = "SELECT count(*) FROM leases"
PREFIX = "mission_control"
Labelled = Mapping[str, float]


@router.get(
    "/metrics", response_class=Response, responses=answer(str, "Metrics", media_type="text/plain")
)
async def metrics(
    request: Request, _: Annotated[Principal | None, reads_metrics()]
) -> Response:  # fmt: skip
    """Return the metrics of this process in Prometheus' text format, or OpenMetrics where that is asked for.

    What is counted is this process's, since it began; how far the log and what follows it are is the whole
    deployment's. Nothing names a workspace. For an admin, or with `MC_METRICS_TOKEN`.
    """
    # A fifth of a second that no start has to wait for.
    from prometheus_client import CollectorRegistry, ProcessCollector  # noqa: PLC0415
    from prometheus_client.exposition import choose_encoder  # noqa: PLC0415

    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Collected([*_of_process(request), *await _of_deployment(request)]))
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(registry), headers={"content-type": content_type})


class _Collected:
    """Metrics that are there already, as a registry asks for them."""

    def __init__(self, families: Iterable["Metric"]) -> None:
        self._families = list(families)

    def collect(self) -> Iterator["Metric"]:
        """Yield them."""
        yield from self._families


def _of_process(request: Request) -> Iterator["Metric"]:
    from prometheus_client.core import (  # noqa: PLC0415 - as above
        CounterMetricFamily,
        HistogramMetricFamily,
        InfoMetricFamily,
    )

    telemetry: Telemetry = request.app.state.telemetry
    yield InfoMetricFamily(f"{PREFIX}_build", "The program.", {"version": __version__})
    requests = CounterMetricFamily(
        f"{PREFIX}_http_requests", "Requests that were answered.", labels=["method", "status"]
    )
    for (method, status), count in telemetry.requests.items():
        requests.add_metric([method, str(status)], count)
    commands = HistogramMetricFamily(
        f"{PREFIX}_command_duration_seconds", "How long commands took.", labels=["route", "outcome"]
    )
    closed = CounterMetricFamily(
        f"{PREFIX}_sockets_closed", "Live sockets that ended, by close code.", labels=["reason"]
    )
    for (measurement, name, outcome), tally in telemetry.totals().items():
        if measurement == "command":
            commands.add_metric([name, outcome], _buckets(tally), tally.total / 1000)
        else:
            closed.add_metric([outcome], tally.count)
    yield from (requests, commands, closed)
    yield CounterMetricFamily(
        f"{PREFIX}_telemetry_dropped", "What was not counted, for too many series.", telemetry.dropped
    )  # fmt: skip
    sockets = sum(request.app.state.live.open_sockets().values())
    yield _gauge("open_sockets", "Live sockets that are open.", sockets)


async def _of_deployment(request: Request) -> list["Metric"]:
    services = request.app.state.services
    states = await asyncio.gather(*(_is_up(state) for state in services.values()))
    up = dict(zip(services, states, strict=True))
    found = [_gauge("service_up", "Whether an outside service answers.", up, "service")]
    database: Database = request.app.state.primary
    try:
        found += await _of_log(request, database)
    except (psycopg.Error, TimeoutError):
        return [*found, _gauge("database_up", "Whether the database answers.", 0)]
    return [*found, _gauge("database_up", "Whether the database answers.", 1)]


async def _of_log(request: Request, database: Database) -> list["Metric"]:
    stands = await standing(request)
    (leases,) = await _row(database, LEASES)
    none = dict.fromkeys(stands.lag, 0)
    found = [
        _gauge("log_position", "Where the log ends.", stands.head),
        _gauge("projection_lag_events", "How far a read model is behind.", stands.lag, "model"),
        _gauge("projection_still_seconds", "How long a read model has not moved although it is behind.",
               none | stands.still_s, "model"),
        _gauge("parked_streams", "Streams that a read model can't fold.", none | stands.parked, "model"),
        _gauge("leases", "Missions that agents hold.", leases),
    ]  # fmt: skip
    if request.app.state.settings.kafka_bootstrap is not None:
        found += _of_relay(*await _row(database, RELAY_STATE))
    return found


async def _row(database: Database, statement: str) -> tuple[Any, ...]:
    (row,) = await within(ANSWER_S_MAX, database.look_up(statement))
    return row


def _of_relay(
    position: int | None, lag: int | None, events_per_s: float | None, last_error: str | None,
    last_error_at: Any, is_there: bool | None, _is_failing: bool | None,
) -> Iterator["Metric"]:  # fmt: skip
    """Yield what a row of `RELAY_STATE` says; a lag that nobody knows is all there is."""
    yield _gauge("relay_up", "Whether Kafka acknowledges what the relay sends.", bool(is_there))
    yield _gauge("relay_position", "How far the log is in Kafka.", position or 0)
    if lag is not None:
        yield _gauge("relay_lag_events", "How many events are not in Kafka yet.", lag)
    yield _gauge("relay_events_per_second", "What went to Kafka lately.", events_per_s or 0)
    if last_error is not None:
        at = {last_error: last_error_at.timestamp()}
        help_ = "When the relay last failed, and why."
        yield _gauge("relay_last_error_timestamp_seconds", help_, at, "reason")


def _gauge(name: str, help_: str, value: float | Labelled, label: str = "") -> "Metric":
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415 - as above

    if not isinstance(value, Mapping):
        return GaugeMetricFamily(f"{PREFIX}_{name}", help_, value)
    family = GaugeMetricFamily(f"{PREFIX}_{name}", help_, labels=[label])
    for of, number in value.items():
        family.add_metric([of], number)
    return family


def _buckets(tally: Tally) -> list[tuple[str, float]]:
    """Return a histogram as it is told: each bound in seconds with all that took no longer."""
    bounds = [*(str(ms / 1000) for ms in LATENCY_BOUNDS_MS), "+Inf"]
    below, buckets = 0, []
    for bound, count in zip(bounds, tally.histogram, strict=True):
        below += count
        buckets.append((bound, float(below)))
    return buckets


async def _is_up(state: Any) -> bool:
    try:
        async with asyncio.timeout(ANSWER_S_MAX):
            return bool((await state())["status"] == "ok")
    except (psycopg.Error, TimeoutError):
        return False  # what is known of it is in the database, which is away
