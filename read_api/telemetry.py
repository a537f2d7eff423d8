"""How the system itself did: commands, agents and sockets, as its processes counted them every few seconds.

Counts may be missing where a process or the time series was away. Percentiles are estimated from a histogram.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Request, Response

from domain.permissions import Permission
from infra.http.openapi import answer
from infra.http.principal import Principal, requires
from infra.timeseries import Steps, Tally, TimeSeries, quantile_ms
from read_api.analytics import Bucket, Since, Span, Until, buckets, span_of

router = APIRouter(prefix="/api/analytics", tags=["analytics"])

Analyst = Annotated[Principal, requires(Permission.VIEW_ANALYTICS)]
Tallies = Mapping[tuple[int, str, str], Tally]
MS_DIGITS = 3


class Ends(msgspec.Struct):
    """How many commands came, and how they ended."""

    commands: int
    ok: int
    refused: int
    failed: int


class Commands(Ends):
    """Also how long they took, in milliseconds; null where there were none."""

    mean_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None


class CommandsOfRoute(Commands):
    """The commands of one route, like `POST /api/missions`."""

    route: str


class CommandsOfBucket(Commands):
    """The commands from `since` to `until`."""

    since: datetime
    until: datetime


class CommandFigures(CommandsOfBucket):
    """In all, by route and by bucket."""

    routes: list[CommandsOfRoute]
    buckets: list[CommandsOfBucket]


class SignsOfLife(Ends):
    """What an agent sent from `since` to `until`."""

    since: datetime
    until: datetime
    heartbeats: int


class ActiveAgent(Ends):
    """What an agent sent, in all and by bucket."""

    agent_id: UUID
    heartbeats: int
    buckets: list[SignsOfLife]


class AgentActivity(Span):
    """The agents that sent anything."""

    agents: list[ActiveAgent]


class Sockets(Span):
    """Sockets that ended, by close code; `mean_s` is how long they lived, `peak_open` of one process."""

    closed: int
    by_reason: dict[str, int]
    mean_s: float | None
    peak_open: int


class SocketFigures(Sockets):
    """In all and by bucket."""

    buckets: list[Sockets]


@router.get("/commands", responses=answer(CommandFigures))
async def commands(
    request: Request, principal: Analyst, since: Since = None, until: Until = None,
    bucket: Bucket = Bucket.HOUR,
) -> Response:  # fmt: skip
    """Return how many commands came, how they ended and how long they took, in all and by route."""
    steps = buckets(since, until, bucket)
    tallies = await _tallies(request, principal, "command", steps)
    routes = [
        {"route": name, **_ends(of_route), **_latency(of_route)}
        for name, of_route in _by_name(tallies).items()
    ]
    series = [
        {**span_of(steps, index), **_ends(of_bucket), **_latency(of_bucket)}
        for index, of_bucket in _by_bucket(tallies, steps)
    ]
    body = {**_ends(tallies), **_latency(tallies), "routes": routes, "buckets": series}
    return _answer(steps, body)


@router.get("/agent-activity", responses=answer(AgentActivity))
async def agent_activity(
    request: Request, principal: Analyst, since: Since = None, until: Until = None,
    bucket: Bucket = Bucket.HOUR,
) -> Response:  # fmt: skip
    """Return for each agent how many commands it sent, how they ended, and how often it gave a sign of life."""
    steps = buckets(since, until, bucket)
    sent = await _tallies(request, principal, "agent", steps)
    beats = await _tallies(request, principal, "heartbeat", steps)

    def figures(agent_id: str) -> dict[str, Any]:
        commands, heartbeats = _named(sent, agent_id), _named(beats, agent_id)
        of_bucket = zip(_by_bucket(commands, steps), _by_bucket(heartbeats, steps), strict=True)
        return {
            "agent_id": UUID(agent_id),
            **_ends(commands),
            "heartbeats": _count(heartbeats.values()),
            "buckets": [
                {**span_of(steps, index), **_ends(some), "heartbeats": _count(signs.values())}
                for (index, some), (_, signs) in of_bucket
            ],
        }

    names = sorted({name for _, name, _ in [*sent, *beats]})
    return _answer(steps, {"agents": [figures(name) for name in names]})


@router.get("/sockets", responses=answer(SocketFigures))
async def sockets(
    request: Request, principal: Analyst, since: Since = None, until: Until = None,
    bucket: Bucket = Bucket.HOUR,
) -> Response:  # fmt: skip
    """Return how many live sockets ended and why, how long they lived, and how many one process had at most."""
    steps = buckets(since, until, bucket)
    ended = await _tallies(request, principal, "socket", steps)
    open_ = await _tallies(request, principal, "open_sockets", steps)

    def figures(some: Tallies, at_once: Tallies) -> dict[str, Any]:
        return {
            "closed": _count(some.values()),
            "by_reason": {
                reason: _count(tally for (_, _, why), tally in some.items() if why == reason)
                for reason in sorted({reason for _, _, reason in some})
            },
            "mean_s": _per(_sum(some.values()).total / 1000, _count(some.values())),
            "peak_open": int(_sum(at_once.values()).peak),
        }

    series = [
        {**span_of(steps, index), **figures(some, at_once)}
        for (index, some), (_, at_once) in zip(
            _by_bucket(ended, steps), _by_bucket(open_, steps), strict=True
        )
    ]
    return _answer(steps, {**figures(ended, open_), "buckets": series})


async def _tallies(
    request: Request, principal: Principal, measurement: str, steps: Steps
) -> Tallies:
    series: TimeSeries = request.app.state.timeseries
    return await series.tallies(principal.workspace_id, measurement, steps)


def _by_bucket(tallies: Tallies, steps: Steps) -> list[tuple[int, Tallies]]:
    found: dict[int, dict[tuple[int, str, str], Tally]] = {
        index: {} for index in range(1, len(steps.starts) + 1)
    }
    for key, tally in tallies.items():
        found[key[0]][key] = tally
    return list(found.items())


def _by_name(tallies: Tallies) -> dict[str, Tallies]:
    return {name: _named(tallies, name) for name in sorted({name for _, name, _ in tallies})}


def _named(tallies: Tallies, name: str) -> Tallies:
    return {key: tally for key, tally in tallies.items() if key[1] == name}


def _sum(tallies: Iterable[Tally]) -> Tally:
    whole = Tally()
    for tally in tallies:
        whole.add(tally)
    return whole


def _count(tallies: Iterable[Tally]) -> int:
    return sum(tally.count for tally in tallies)


def _ends(tallies: Tallies) -> dict[str, int]:
    counts = dict.fromkeys(("ok", "refused", "failed"), 0)
    for (_, _, outcome), tally in tallies.items():
        counts[outcome] += tally.count
    return {"commands": sum(counts.values()), **counts}


def _latency(tallies: Tallies) -> dict[str, float | None]:
    whole = _sum(tallies.values())
    quantiles = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}
    return {
        "mean_ms": _per(whole.total, whole.count),
        **{name: _rounded(quantile_ms(whole, share)) for name, share in quantiles.items()},
        "max_ms": _rounded(whole.peak) if whole.count else None,
    }


def _per(total: float, count: int) -> float | None:
    return _rounded(total / count) if count else None


def _rounded(value: float | None) -> float | None:
    return round(value, MS_DIGITS) if value is not None else None


def _answer(steps: Steps, body: dict[str, Any]) -> Response:
    whole = {"since": steps.since, "until": steps.end, **body}
    return Response(msgspec.json.encode(whole), media_type="application/json")
