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

from domain.base import InvalidValue, NotFound
from domain.permissions import Permission
from infra.http.fields import Time
from infra.http.openapi import answer
from infra.http.principal import Principal, requires
from infra.marks import Marks
from infra.postgres import Database
from infra.timeseries import Durations, Steps, TimeSeries
from projections.agents import AGENTS
from projections.search import STAGES

router = APIRouter(prefix="/api", tags=["analytics"])

BUCKETS_MAX = 1_000
RANGE_DAYS = 30
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
MONDAY = datetime(1999, 12, 27, tzinfo=UTC)

WORK_OUTCOMES = ("submitted", "failed", "expired", "released", "taken")
AGENT = "SELECT 1 FROM read_agents WHERE id = %s AND workspace_id = %s"

Analyst = Annotated[Principal, requires(Permission.VIEW_ANALYTICS)]
Since = Annotated[Time | None, Query(description="30 days before `until` if absent")]
Until = Annotated[Time | None, Query(description="not included; now if absent")]
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


class Span(msgspec.Struct):
    """From `since` to `until`, which is not included."""

    since: datetime
    until: datetime


StageCounts = msgspec.defstruct("StageCounts", [(stage, int) for stage in STAGES])


class FlowOfBucket(Span):
    """How many missions were in each stage at the end."""

    counts: StageCounts  # type: ignore[valid-type]


class Flow(msgspec.Struct):
    """Cumulative flow."""

    buckets: list[FlowOfBucket]
    position: int


class Completions(Span):
    """How many missions were completed."""

    completed: int


class Throughput(msgspec.Struct):
    """How many missions were completed, in all and by bucket."""

    buckets: list[Completions]
    completed: int
    position: int


class Percentiles(msgspec.Struct):
    """How long `count` things took, in seconds; null where there were none."""

    count: int
    mean_s: float | None
    p50_s: float | None
    p85_s: float | None
    p95_s: float | None


class CycleTimes(Span):
    """How long completed missions took, since they were opened and since work began."""

    lead: Percentiles
    cycle: Percentiles


class CycleTime(CycleTimes):
    """In all and by bucket."""

    buckets: list[CycleTimes]
    position: int


class ResponseTimes(Span):
    """How long things waited for a review, and to be claimed."""

    review: Percentiles
    claim: Percentiles


class ResponseTime(ResponseTimes):
    """In all and by bucket."""

    buckets: list[ResponseTimes]
    position: int


class Busy(Span):
    """For how many seconds leases were held, and which share (0 to 1) that is of what is over."""

    busy_s: float
    share: float | None


class AgentUtilisation(msgspec.Struct):
    """How busy an agent was, in all and by bucket."""

    agent_id: UUID
    busy_s: float
    share: float | None
    buckets: list[Busy]


class Utilisation(Span):
    """How busy those agents were that held a lease."""

    agents: list[AgentUtilisation]
    position: int


class AgentMetrics(Busy):
    """How many of an agent's leases and missions ended how; `mean_work_s` is a lease's length in seconds."""

    id: UUID
    completed: int
    submitted: int
    failed: int
    expired: int
    released: int
    taken: int
    approved: int
    rejected: int
    mean_work_s: float | None
    position: int


@router.get("/analytics/flow", responses=answer(Flow))
async def flow(
    request: Request, principal: Analyst, board_id: UUID | None = None, since: Since = None,
    until: Until = None, bucket: Bucket = Bucket.DAY, min_position: MinPosition = None,
) -> Response:  # fmt: skip
    """Return how many missions were in each stage at the end of each bucket (cumulative flow).

    It is what stood on the boards then. A mission that is deleted is taken out from then on, and one that is
    re-opened leaves done: so done can fall. How many were completed is what throughput counts.
    """
    steps = buckets(since, until, bucket)
    position = await _caught_up(request, min_position)
    changes = await _series(request).stage_changes(principal.workspace_id, board_id, steps)
    counts = dict.fromkeys(STAGES, 0)
    series = []
    for index in range(len(steps.starts) + 1):
        for stage, change in changes.get(index, {}).items():
            counts[stage] += change
        if index:
            series.append({**span_of(steps, index), "counts": dict(counts)})
    return _answer({"buckets": series}, position)


@router.get("/analytics/throughput", responses=answer(Throughput))
async def throughput(
    request: Request, principal: Analyst, board_id: UUID | None = None, since: Since = None,
    until: Until = None, bucket: Bucket = Bucket.DAY, min_position: MinPosition = None,
) -> Response:  # fmt: skip
    """Return how many missions were completed in each bucket."""
    steps = buckets(since, until, bucket)
    position = await _caught_up(request, min_position)
    done = await _series(request).completions(principal.workspace_id, board_id, steps)
    series = [
        {**span_of(steps, index), "completed": done.get(index, 0)}
        for index in range(1, len(steps.starts) + 1)
    ]
    return _answer({"buckets": series, "completed": sum(done.values())}, position)


@router.get("/analytics/cycle-time", responses=answer(CycleTime))
async def cycle_time(
    request: Request, principal: Analyst, board_id: UUID | None = None, since: Since = None,
    until: Until = None, bucket: Bucket = Bucket.DAY, min_position: MinPosition = None,
) -> Response:  # fmt: skip
    """Return how long completed missions took: `lead` since they were opened, `cycle` since work began."""
    names = {"lead": "lead", "cycle": "cycle"}
    return await _durations(request, principal, names, board_id, since, until, bucket, min_position)


@router.get("/analytics/response-time", responses=answer(ResponseTime))
async def response_time(
    request: Request, principal: Analyst, board_id: UUID | None = None, since: Since = None,
    until: Until = None, bucket: Bucket = Bucket.DAY, min_position: MinPosition = None,
) -> Response:  # fmt: skip
    """Return how long things waited: `review` from submitting to a decision, `claim` in ready."""
    names = {"review": "review", "wait": "claim"}
    return await _durations(request, principal, names, board_id, since, until, bucket, min_position)


@router.get("/analytics/utilisation", responses=answer(Utilisation))
async def utilisation(
    request: Request, principal: Analyst, board_id: UUID | None = None, since: Since = None,
    until: Until = None, bucket: Bucket = Bucket.DAY, min_position: MinPosition = None,
) -> Response:  # fmt: skip
    """Return for each agent the share of the time in which it held a lease; what is to come is left out."""
    steps = buckets(since, until, bucket)
    position = await _caught_up(request, min_position)
    now = datetime.now(UTC)
    busy = await _series(request).busy(
        principal.workspace_id, board_id, None, steps.since, steps.end, now
    )
    agents = []
    for agent_id, spans in sorted(busy.items()):
        by_bucket = _by_bucket(spans, steps)
        series = [
            {**span, **_share(busy_s, span["since"], span["until"], now)}
            for index, busy_s in enumerate(by_bucket, 1)
            for span in [span_of(steps, index)]
        ]
        whole = _share(sum(by_bucket), steps.since, steps.end, now)
        agents.append({"agent_id": agent_id, **whole, "buckets": series})
    return _answer({"since": steps.since, "until": steps.end, "agents": agents}, position)


@router.get("/agents/{agent_id}/metrics", responses=answer(AgentMetrics))
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
    series, workspace_id = _series(request), principal.workspace_id
    found = await series.outcomes(workspace_id, agent_id, start, end, ["lead", "work", "review"])
    spans = await series.busy(workspace_id, None, agent_id, start, end, now)
    counts = {ended: outcome.count for ended, outcome in found.items()}
    worked = [outcome for (name, _), outcome in found.items() if name == "work"]
    leases = sum(outcome.count for outcome in worked)
    busy_s = sum((stop - begin).total_seconds() for begin, stop in spans.get(agent_id, ()))
    body = {
        "id": agent_id,
        "since": start,
        "until": end,
        "completed": counts.get(("lead", ""), 0),
        **{name: counts.get(("work", name), 0) for name in WORK_OUTCOMES},
        "approved": counts.get(("review", "approved"), 0),
        "rejected": counts.get(("review", "rejected"), 0),
        "mean_work_s": sum(outcome.seconds for outcome in worked) / leases if leases else None,
        **_share(busy_s, start, end, now),
    }
    return _answer(body, position)


async def _durations(
    request: Request, principal: Principal, names: dict[str, str], board_id: UUID | None,
    since: datetime | None, until: datetime | None, bucket: Bucket, min_position: int | None,
) -> Response:  # fmt: skip
    steps = buckets(since, until, bucket)
    position = await _caught_up(request, min_position)
    found = await _series(request).durations(principal.workspace_id, board_id, steps, list(names))

    def figures(index: int | None) -> dict[str, Any]:
        return {
            name: _percentiles(found.get((measurement, index), Durations()))
            for measurement, name in names.items()
        }

    series = [
        {**span_of(steps, index), **figures(index)} for index in range(1, len(steps.starts) + 1)
    ]
    whole = {"since": steps.since, "until": steps.end, **figures(None)}
    return _answer({**whole, "buckets": series}, position)


def _percentiles(durations: Durations) -> dict[str, float | None]:
    named = zip(("p50_s", "p85_s", "p95_s"), durations.percentiles_s, strict=True)
    return {"count": durations.count, "mean_s": durations.mean_s, **dict(named)}


def _series(request: Request) -> TimeSeries:
    series: TimeSeries = request.app.state.timeseries
    return series


async def _caught_up(request: Request, min_position: int | None, *models: str) -> int:
    marks: Marks = request.app.state.marks
    return await marks.wait(min_position or 0, _series(request).mark, *models)


def _range(since: datetime | None, until: datetime | None) -> tuple[datetime, datetime]:
    """Return the range that is meant; raises `InvalidValue` that names the end at fault."""
    stop = until or datetime.now(UTC)
    if not EARLIEST < stop <= LATEST:
        raise InvalidValue("a time of this or the next century", field="until")
    start = since or stop - timedelta(days=RANGE_DAYS)
    if not EARLIEST - timedelta(days=RANGE_DAYS) <= start <= LATEST:
        raise InvalidValue("a time of this or the next century", field="since")
    if start >= stop:
        if until is None:
            raise InvalidValue("has to be before until, which is now", field="since")
        raise InvalidValue("has to be after since", field="until")
    return start, stop


def buckets(since: datetime | None, until: datetime | None, bucket: Bucket) -> Steps:
    """Return the whole buckets that a range touches; raises `InvalidValue` if they are too many."""
    start, stop = _range(since, until)
    width = WIDTHS[bucket]
    start = MONDAY + (start - MONDAY) // width * width
    count = -((start - stop) // width)
    if count > BUCKETS_MAX:
        raise InvalidValue(f"more than {BUCKETS_MAX} buckets in the range", field="bucket")
    starts = [start + number * width for number in range(count)]
    return Steps(starts, start + count * width, width)


def span_of(steps: Steps, index: int) -> dict[str, datetime]:
    """Return a bucket's times; buckets are counted from 1, as `width_bucket` does."""
    start = steps.starts[index - 1]
    return {"since": start, "until": start + steps.width}


def _by_bucket(spans: Iterable[tuple[datetime, datetime]], steps: Steps) -> list[float]:
    """Return how many seconds of some spans are in each bucket."""
    seconds = [0.0] * len(steps.starts)
    for begin, stop in spans:
        index = (begin - steps.since) // steps.width
        while index < len(steps.starts) and steps.starts[index] < stop:
            start = steps.starts[index]
            seconds[index] += (min(stop, start + steps.width) - max(begin, start)).total_seconds()
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
