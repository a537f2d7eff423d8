"""How work flows: counts, durations and shares over a range, by board and bucket. All times are UTC.

A range is widened to whole buckets, so that a bucket's figure never depends on where the range begins.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime

from domain.base import InvalidValue, NotFound
from domain.permissions import Permission
from infra.http.principal import Principal, requires
from infra.marks import Marks
from infra.postgres import Database
from projections.agents import AGENTS
from projections.metrics import MISSION_FLOW
from projections.search import STAGES

router = APIRouter(prefix="/api", tags=["analytics"])

BUCKETS_MAX = 1_000
RANGE_DAYS = 30
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
MONDAY = datetime(1999, 12, 27, tzinfo=UTC)

ON_BOARD = "(%(board)s::uuid IS NULL OR board_id = %(board)s)"
FLOW = f"""
SELECT stage, width_bucket(hour, %(starts)s::timestamptz[]), sum(change)::bigint FROM read_metric_hours
WHERE workspace_id = %(workspace)s AND measurement = 'stage' AND hour < %(until)s AND {ON_BOARD}
GROUP BY 1, 2"""
THROUGHPUT = f"""
SELECT width_bucket(hour, %(starts)s::timestamptz[]), sum(points)::bigint FROM read_metric_hours
WHERE workspace_id = %(workspace)s AND measurement = 'lead' AND hour >= %(since)s AND hour < %(until)s
    AND {ON_BOARD}
GROUP BY 1"""
DURATIONS = f"""
SELECT measurement, width_bucket(at, %(starts)s::timestamptz[]) AS bucket, count(*), avg(seconds),
    percentile_cont(ARRAY[0.5, 0.85, 0.95]) WITHIN GROUP (ORDER BY seconds)
FROM read_metric_points
WHERE workspace_id = %(workspace)s AND measurement = ANY (%(measurements)s)
    AND at >= %(since)s AND at < %(until)s AND {ON_BOARD}
GROUP BY GROUPING SETS ((1, 2), (1))"""
# Leases that ended, and those in force until now. An agent with two at a time is busy once.
BUSY = f"""
WITH spans AS (
    SELECT agent_id, tstzrange(at - make_interval(secs => seconds), at) AS span FROM read_metric_points
    WHERE workspace_id = %(workspace)s AND measurement = 'work' AND at > %(since)s AND {ON_BOARD}
        AND (%(agent)s::uuid IS NULL OR agent_id = %(agent)s) AND agent_id IS NOT NULL
    UNION ALL
    SELECT holder, tstzrange(claimed_at, greatest(claimed_at, %(now)s)) FROM read_mission_flow
    WHERE workspace_id = %(workspace)s AND holder IS NOT NULL AND {ON_BOARD}
        AND (%(agent)s::uuid IS NULL OR holder = %(agent)s)),
busy AS (SELECT agent_id, range_agg(span) AS spans FROM spans GROUP BY 1)
SELECT agent_id, lower(span), upper(span)
FROM busy, unnest(spans * tstzmultirange(tstzrange(%(since)s, %(until)s))) AS span ORDER BY 1, 2"""
AGENT = "SELECT 1 FROM read_agents WHERE id = %s AND workspace_id = %s"
OUTCOMES = """
SELECT measurement, coalesce(outcome, ''), count(*), sum(seconds) FROM read_metric_points
WHERE workspace_id = %(workspace)s AND agent_id = %(agent)s AND measurement = ANY (%(measurements)s)
    AND at >= %(since)s AND at < %(until)s
GROUP BY 1, 2"""

Analyst = Annotated[Principal, requires(Permission.VIEW_ANALYTICS)]
Since = Annotated[AwareDatetime | None, Query(description="30 days before `until` if absent")]
Until = Annotated[AwareDatetime | None, Query(description="not included; now if absent")]
MinPosition = Annotated[int | None, Query(ge=0, le=2**53)]


class Bucket(StrEnum):
    """How wide the steps of a series are; weeks begin on Monday."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"


WIDTHS = {
    Bucket.HOUR: timedelta(hours=1),
    Bucket.DAY: timedelta(days=1),
    Bucket.WEEK: timedelta(weeks=1),
}


@router.get("/analytics/flow")
async def flow(
    request: Request, principal: Analyst, board_id: UUID | None = None, since: Since = None,
    until: Until = None, bucket: Bucket = Bucket.DAY, min_position: MinPosition = None,
) -> Response:  # fmt: skip
    """Return how many missions were in each stage at the end of each bucket (cumulative flow)."""
    starts, end = _buckets(since, until, bucket)
    position = await _caught_up(request, min_position)
    found = await _fetch(request, principal, FLOW, board_id, starts, end)
    counts = dict.fromkeys(STAGES, 0)
    changes: dict[int, dict[str, int]] = {}
    for stage, index, change in found:
        changes.setdefault(index, {})[stage] = change
    series = []
    for index in range(len(starts) + 1):
        for stage, change in changes.get(index, {}).items():
            counts[stage] += change
        if index:
            series.append({**_span(starts, end, index), "counts": dict(counts)})
    return _answer({"buckets": series}, position)


@router.get("/analytics/throughput")
async def throughput(
    request: Request, principal: Analyst, board_id: UUID | None = None, since: Since = None,
    until: Until = None, bucket: Bucket = Bucket.DAY, min_position: MinPosition = None,
) -> Response:  # fmt: skip
    """Return how many missions were completed in each bucket."""
    starts, end = _buckets(since, until, bucket)
    position = await _caught_up(request, min_position)
    found = await _fetch(request, principal, THROUGHPUT, board_id, starts, end)
    done: dict[int, int] = dict(found)
    series = [
        {**_span(starts, end, index), "completed": done.get(index, 0)}
        for index in range(1, len(starts) + 1)
    ]
    return _answer({"buckets": series, "completed": sum(done.values())}, position)


@router.get("/analytics/cycle-time")
async def cycle_time(
    request: Request, principal: Analyst, board_id: UUID | None = None, since: Since = None,
    until: Until = None, bucket: Bucket = Bucket.DAY, min_position: MinPosition = None,
) -> Response:  # fmt: skip
    """Return how long completed missions took: `lead` since they were opened, `cycle` since work began."""
    names = {"lead": "lead", "cycle": "cycle"}
    return await _durations(request, principal, names, board_id, since, until, bucket, min_position)


@router.get("/analytics/response-time")
async def response_time(
    request: Request, principal: Analyst, board_id: UUID | None = None, since: Since = None,
    until: Until = None, bucket: Bucket = Bucket.DAY, min_position: MinPosition = None,
) -> Response:  # fmt: skip
    """Return how long things waited: `review` from submitting to a decision, `claim` in ready."""
    names = {"review": "review", "wait": "claim"}
    return await _durations(request, principal, names, board_id, since, until, bucket, min_position)


@router.get("/analytics/utilisation")
async def utilisation(
    request: Request, principal: Analyst, board_id: UUID | None = None, since: Since = None,
    until: Until = None, bucket: Bucket = Bucket.DAY, min_position: MinPosition = None,
) -> Response:  # fmt: skip
    """Return for each agent the share of the time in which it held a lease; what is to come is left out."""
    starts, end = _buckets(since, until, bucket)
    position = await _caught_up(request, min_position)
    now = datetime.now(UTC)
    found = await _fetch(request, principal, BUSY, board_id, starts, end, agent=None, now=now)
    busy: dict[UUID, list[tuple[datetime, datetime]]] = {}
    for agent_id, start, stop in found:
        busy.setdefault(agent_id, []).append((start, stop))
    agents = []
    for agent_id, spans in busy.items():
        by_bucket = _by_bucket(spans, starts, end)
        series = [
            {**_span(starts, end, index), **_share(busy_s, starts[index - 1], stop, now)}
            for index, (busy_s, stop) in enumerate(
                zip(by_bucket, [*starts[1:], end], strict=True), 1
            )
        ]
        whole = _share(sum(by_bucket), starts[0], end, now)
        agents.append({"agent_id": agent_id, **whole, "buckets": series})
    return _answer({"since": starts[0], "until": end, "agents": agents}, position)


@router.get("/agents/{agent_id}/metrics")
async def agent_metrics(
    agent_id: UUID, request: Request,
    principal: Annotated[Principal, requires(Permission.READ)],
    since: Since = None, until: Until = None, min_position: MinPosition = None,
) -> Response:  # fmt: skip
    """Return what an agent did in a range: results, and how busy it was. Whoever reads may know."""
    database: Database = request.app.state.database
    start, end = _range(since, until)
    position = await _caught_up(request, min_position, AGENTS.name)
    if not await database.fetch(principal.workspace_id, AGENT, [agent_id, principal.workspace_id]):
        raise NotFound("no such agent in this workspace")
    now = datetime.now(UTC)
    parameters = {
        "workspace": principal.workspace_id, "agent": agent_id, "board": None, "since": start,
        "until": end, "now": now, "measurements": ["lead", "work", "review"],
    }  # fmt: skip
    found = await database.fetch(principal.workspace_id, OUTCOMES, parameters)
    spans = await database.fetch(principal.workspace_id, BUSY, parameters)
    counts = {(name, outcome): count for name, outcome, count, _ in found}
    worked = [(count, seconds) for name, _, count, seconds in found if name == "work"]
    leases = sum(count for count, _ in worked)
    busy_s = sum((stop - begin).total_seconds() for _, begin, stop in spans)
    body = {
        "id": agent_id,
        "since": start,
        "until": end,
        "completed": counts.get(("lead", ""), 0),
        **{
            name: counts.get(("work", name), 0)
            for name in ("submitted", "failed", "expired", "released", "taken")
        },
        "approved": counts.get(("review", "approved"), 0),
        "rejected": counts.get(("review", "rejected"), 0),
        "mean_work_s": sum(seconds for _, seconds in worked) / leases if leases else None,
        **_share(busy_s, start, end, now),
    }
    return _answer(body, position)


async def _durations(
    request: Request, principal: Principal, names: dict[str, str], board_id: UUID | None,
    since: datetime | None, until: datetime | None, bucket: Bucket, min_position: int | None,
) -> Response:  # fmt: skip
    starts, end = _buckets(since, until, bucket)
    position = await _caught_up(request, min_position)
    found = await _fetch(
        request, principal, DURATIONS, board_id, starts, end, measurements=list(names)
    )
    by_bucket = {
        (names[measurement], index): _percentiles(count, mean, percentiles)
        for measurement, index, count, mean, percentiles in found
    }
    empty = _percentiles(0, None, [None] * 3)
    series = [
        {
            **_span(starts, end, index),
            **{name: by_bucket.get((name, index), empty) for name in names.values()},
        }
        for index in range(1, len(starts) + 1)
    ]
    whole = {name: by_bucket.get((name, None), empty) for name in names.values()}
    return _answer({"since": starts[0], "until": end, **whole, "buckets": series}, position)


def _percentiles(
    count: int, mean: float | None, percentiles: list[float | None]
) -> dict[str, float | None]:
    named = zip(("p50_s", "p85_s", "p95_s"), percentiles, strict=True)
    return {"count": count, "mean_s": mean, **dict(named)}


async def _fetch(
    request: Request, principal: Principal, statement: str, board_id: UUID | None,
    starts: list[datetime], end: datetime, **more: Any,
) -> list[tuple[Any, ...]]:  # fmt: skip
    database: Database = request.app.state.database
    parameters = {
        "workspace": principal.workspace_id, "board": board_id, "starts": starts, "since": starts[0],
        "until": end, **more,
    }  # fmt: skip
    return await database.fetch(principal.workspace_id, statement, parameters)


async def _caught_up(request: Request, min_position: int | None, *models: str) -> int:
    marks: Marks = request.app.state.marks
    return await marks.wait(min_position or 0, MISSION_FLOW.name, *models)


def _range(since: datetime | None, until: datetime | None) -> tuple[datetime, datetime]:
    """Return the range that is meant; raises `InvalidValue` that names the end at fault."""
    stop = until or datetime.now(UTC)
    if not EARLIEST < stop <= LATEST:
        raise InvalidValue("a time of this or the next century", field="until")
    start = since or stop - timedelta(days=RANGE_DAYS)
    if not EARLIEST - timedelta(days=RANGE_DAYS) <= start <= LATEST:
        raise InvalidValue("a time of this or the next century", field="since")
    if start >= stop:
        raise InvalidValue("has to be after since", field="until")
    return start, stop


def _buckets(
    since: datetime | None, until: datetime | None, bucket: Bucket
) -> tuple[list[datetime], datetime]:
    """Return where each bucket of a range begins, and where the last one ends."""
    start, stop = _range(since, until)
    width = WIDTHS[bucket]
    start = MONDAY + (start - MONDAY) // width * width
    count = -((start - stop) // width)
    if count > BUCKETS_MAX:
        raise InvalidValue(f"more than {BUCKETS_MAX} buckets in the range", field="bucket")
    return [start + number * width for number in range(count)], start + count * width


def _span(starts: list[datetime], end: datetime, index: int) -> dict[str, datetime]:
    """Return a bucket's times; buckets are counted from 1, as `width_bucket` does."""
    return {"since": starts[index - 1], "until": starts[index] if index < len(starts) else end}


def _by_bucket(
    spans: Iterable[tuple[datetime, datetime]], starts: list[datetime], end: datetime
) -> list[float]:
    """Return how many seconds of some spans are in each bucket."""
    width = (starts[1] if len(starts) > 1 else end) - starts[0]
    seconds = [0.0] * len(starts)
    for begin, stop in spans:
        index = (begin - starts[0]) // width
        while index < len(starts) and starts[index] < stop:
            start = starts[index]
            seconds[index] += (min(stop, start + width) - max(begin, start)).total_seconds()
            index += 1
    return seconds


def _share(busy_s: float, start: datetime, end: datetime, now: datetime) -> dict[str, float | None]:
    """Return how long, and which share of the part of the range that is over."""
    over_s = (min(end, now) - start).total_seconds()
    return {"busy_s": busy_s, "share": min(1.0, busy_s / over_s) if over_s > 0 else None}


def _answer(body: dict[str, Any], position: int) -> Response:
    return Response(
        msgspec.json.encode({**body, "position": position}), media_type="application/json"
    )
