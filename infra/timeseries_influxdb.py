"""Time series in InfluxDB. Points about flow are written here, and read by `InfluxTimeSeries`.

A point's identity is what makes writing it again harmless: its measurement, its tags, and a time of which
the millisecond is when it happened and the last six digits are of its event's position. What is asked to
the microsecond is in the field `at_us`. Tags are few on purpose: a mission's id is a field.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from infra.envelopes import Envelope
from infra.influxdb import InfluxDb, NoBucket, Point
from infra.postgres import Database
from infra.timeseries import (
    HISTOGRAM_PLACES,
    SHARES,
    Durations,
    Outcome,
    Series,
    Spans,
    Steps,
    Tally,
    merged,
    percentile,
)
from projections.metrics import MISSION_FLOW
from projections.metrics import Point as FlowPoint
from projections.read_model import ReadModel

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NS_PER_MS = 1_000_000
US_PER_MS = 1_000
NS_PER_US = 1_000
VALUES_MAX = 100_000
"""Of so many durations percentiles are exact. Of more, the server says its nearest ranks."""
WINDOWS = {
    timedelta(hours=1): "1h",
    timedelta(days=1): "1d",
    timedelta(weeks=1): "7d, 4d",  # the epoch was a Thursday
}
IN_RANGE = "time >= $since AND time < $until"
HISTOGRAM = [f"h{place:02}" for place in range(HISTOGRAM_PLACES)]

# Every mission enters a stage when it is created.
ANY_POINT = "SELECT at_us FROM stage WHERE log_id = $log_id AND model_version = $version LIMIT 1"
LOG_ID = "SELECT log_id FROM log_head"
# The write side knows which leases are in force, and the log since when: no point could say so, as one
# that has to be taken back could not be written twice in any order.
HELD = """
SELECT l.agent_id, e.recorded_at FROM leases l
JOIN events e ON e.stream_id = l.mission_id AND e.stream_version = l.token
WHERE l.workspace_id = %(workspace)s AND (%(agent)s::uuid IS NULL OR l.agent_id = %(agent)s)
    AND (%(board)s::uuid IS NULL OR e.data->>'board_id' = %(board)s::text)"""


def store_name(model: ReadModel[Any]) -> str:
    """Return the name of a model's checkpoint and mark here: another version is folded afresh."""
    return f"{model.name}_influxdb_v{model.version}"


def flow_point(log_id: UUID, model: ReadModel[Any], envelope: Envelope, point: FlowPoint) -> Point:
    """Return what is written of a point; the same however often, by whomever."""
    at_us = _us(point.at)
    return {
        "measurement": point.measurement,
        "tags": {
            "log_id": str(log_id),
            "model_version": str(model.version),
            "workspace_id": str(envelope.workspace_id),
            "board_id": str(point.board_id),
            "stage": point.stage,
            "agent_id": str(point.agent_id) if point.agent_id else None,
            "outcome": point.outcome,
        },
        "fields": {
            "mission_id": str(envelope.stream_id),
            "version": point.version,
            "at_us": at_us,
            "change": point.change,
            "seconds": point.seconds,
        },
        "time": at_us // US_PER_MS * NS_PER_MS + envelope.position % NS_PER_MS,
    }


async def has_points(influxdb: InfluxDb, log_id: UUID, model: ReadModel[Any]) -> bool:
    """Tell whether any mission of a log has left a point. Raises `MetricsUnavailable`."""
    values = {"log_id": str(log_id), "version": str(model.version)}
    try:
        (found,) = await influxdb.query(influxdb.flow, [ANY_POINT], values)
    except NoBucket:
        return False
    return bool(found)


class InfluxTimeSeries:
    """InfluxDB, asked as `TimeSeries`; `database` knows the log, who is an agent, and what is held."""

    mark = store_name(MISSION_FLOW)

    def __init__(
        self, influxdb: InfluxDb, database: Database, values_max: int = VALUES_MAX
    ) -> None:
        self._influxdb = influxdb
        self._database = database
        self._values_max = values_max
        self._log_id: UUID | None = None

    async def stage_changes(
        self, workspace_id: UUID, board_id: UUID | None, steps: Steps
    ) -> Mapping[int, Mapping[str, int]]:
        """See `TimeSeries`."""
        where, values = await self._where(workspace_id, board_id)
        select = f"SELECT sum(change) FROM stage WHERE {where}"
        before, within = await self._influxdb.query(
            self._influxdb.flow,
            [
                f"{select} AND time < $since GROUP BY stage",
                f"{select} AND {IN_RANGE} GROUP BY {_window(steps)}, stage fill(none)",
            ],
            {**values, **_range(steps.since, steps.end)},
        )
        changes: dict[int, dict[str, int]] = {0: {}}
        for series in before:
            changes[0][series.tags["stage"]] = series.values[0][1]
        for series in within:
            for at, change in series.values:
                changes.setdefault(_index(steps, at), {})[series.tags["stage"]] = change
        return changes

    async def completions(
        self, workspace_id: UUID, board_id: UUID | None, steps: Steps
    ) -> Mapping[int, int]:
        """See `TimeSeries`."""
        where, values = await self._where(workspace_id, board_id)
        select = f"SELECT count(at_us) FROM lead WHERE {where}"
        (found,) = await self._influxdb.query(
            self._influxdb.flow,
            [f"{select} AND {IN_RANGE} GROUP BY {_window(steps)} fill(none)"],
            {**values, **_range(steps.since, steps.end)},
        )
        return {_index(steps, at): count for series in found for at, count in series.values}

    async def durations(
        self, workspace_id: UUID, board_id: UUID | None, steps: Steps, measurements: Sequence[str]
    ) -> Mapping[tuple[str, int | None], Durations]:
        """See `TimeSeries`; beyond `VALUES_MAX` durations of a kind, percentiles are nearest ranks."""
        where, values = await self._where(workspace_id, board_id)
        bound = {**values, **_range(steps.since, steps.end)}
        source = f"FROM {_names(measurements)} WHERE {where} AND {IN_RANGE}"
        (found,) = await self._influxdb.query(
            self._influxdb.flow, [f"SELECT seconds {source} LIMIT {self._values_max + 1}"], bound
        )
        if any(len(series.values) > self._values_max for series in found):
            return await self._nearest_ranks(source, bound, steps)
        durations: dict[tuple[str, int | None], Durations] = {}
        for series in found:
            by_bucket: dict[int | None, list[float]] = {None: []}
            for at, seconds in series.values:
                by_bucket[None].append(seconds)
                by_bucket.setdefault(_index(steps, at), []).append(seconds)
            durations |= {(series.name, index): _exact(of) for index, of in by_bucket.items()}
        return durations

    async def _nearest_ranks(
        self, source: str, values: Mapping[str, str | int], steps: Steps
    ) -> dict[tuple[str, int | None], Durations]:
        ranks = ", ".join(f"percentile(seconds, {share * 100:g})" for share in SHARES)
        select = f"SELECT count(seconds), mean(seconds), {ranks} {source}"
        whole, within = await self._influxdb.query(
            self._influxdb.flow,
            [select, f"{select} GROUP BY {_window(steps)} fill(none)"],
            values,
        )
        found: dict[tuple[str, int | None], Durations] = {}
        for series in whole:
            _, count, mean, *percentiles = series.values[0]
            found[series.name, None] = Durations(count, mean, tuple(percentiles))
        for series in within:
            for at, count, mean, *percentiles in series.values:
                index = _index(steps, at)
                found[series.name, index] = Durations(count, mean, tuple(percentiles))
        return found

    async def busy(
        self, workspace_id: UUID, board_id: UUID | None, agent_id: UUID | None,
        since: datetime, until: datetime, now: datetime,
    ) -> Spans:  # fmt: skip
        """See `TimeSeries`."""
        where, values = await self._where(workspace_id, board_id, agent_id)
        (found,) = await self._influxdb.query(
            self._influxdb.flow,
            [f"SELECT at_us, seconds FROM work WHERE {where} AND time >= $since GROUP BY agent_id"],
            {**values, **_range(since, until)},
        )
        spans: Spans = {}
        for series in found:
            of_agent = spans.setdefault(UUID(series.tags["agent_id"]), [])
            for _, at_us, seconds in series.values:
                end = EPOCH + timedelta(microseconds=at_us)
                of_agent.append((end - timedelta(seconds=seconds), end))
        parameters = {"workspace": workspace_id, "board": board_id, "agent": agent_id}
        for agent, claimed_at in await self._database.fetch(workspace_id, HELD, parameters):
            spans.setdefault(agent, []).append((claimed_at, max(claimed_at, now)))
        cut = {
            agent: [
                (max(begin, since), min(end, until))
                for begin, end in merged(of_agent)
                if begin < until and end > since and begin < end
            ]
            for agent, of_agent in spans.items()
        }
        return {agent: of_agent for agent, of_agent in cut.items() if of_agent}

    async def outcomes(
        self, workspace_id: UUID, agent_id: UUID, since: datetime, until: datetime,
        measurements: Sequence[str],
    ) -> Mapping[tuple[str, str], Outcome]:  # fmt: skip
        """See `TimeSeries`."""
        where, values = await self._where(workspace_id, None, agent_id)
        source = f"FROM {_names(measurements)} WHERE {where} AND {IN_RANGE}"
        select = f"SELECT count(at_us), sum(seconds) {source}"
        (found,) = await self._influxdb.query(
            self._influxdb.flow,
            [f"{select} AND at_us >= $since_us AND at_us < $until_us GROUP BY outcome"],
            {**values, **_range(since, until), "since_us": _us(since), "until_us": _us(until)},
        )
        return {
            (series.name, series.tags["outcome"]): Outcome(count, seconds or 0.0)
            for series in found
            for _, count, seconds in series.values
        }

    async def note(self, process: str, at: datetime, tallies: Mapping[Series, Tally]) -> None:
        """See `TimeSeries`."""
        points: list[Point] = [
            {
                "measurement": series.measurement,
                "tags": {
                    "workspace_id": str(series.workspace_id),
                    "name": series.name,
                    "outcome": series.outcome,
                    "process": process,
                },
                "fields": {
                    "count": tally.count,
                    "total": float(tally.total),
                    "peak": float(tally.peak),
                    **dict(zip(HISTOGRAM, tally.histogram, strict=True)),
                },
                "time": _us(at) * NS_PER_US,
            }
            for series, tally in tallies.items()
        ]
        await self._influxdb.write(self._influxdb.telemetry, points)

    async def tallies(
        self, workspace_id: UUID, measurement: str, steps: Steps
    ) -> Mapping[tuple[int, str, str], Tally]:
        """See `TimeSeries`."""
        sums = ", ".join(f"sum({name})" for name in HISTOGRAM)
        source = f"FROM {_names([measurement])} WHERE workspace_id = $workspace AND {IN_RANGE}"
        select = f"SELECT sum(count), sum(total), max(peak), {sums} {source}"
        (found,) = await self._influxdb.query(
            self._influxdb.telemetry,
            [f'{select} GROUP BY {_window(steps)}, "name", outcome fill(none)'],
            {"workspace": str(workspace_id), **_range(steps.since, steps.end)},
        )
        return {
            (_index(steps, at), series.tags["name"], series.tags["outcome"]): Tally(
                count, total, peak, histogram
            )
            for series in found
            for at, count, total, peak, *histogram in series.values
        }

    async def tidy(self, now: datetime) -> None:
        """See `TimeSeries`: the bucket's retention does it."""

    async def _where(
        self, workspace_id: UUID, board_id: UUID | None, agent_id: UUID | None = None
    ) -> tuple[str, dict[str, str | int]]:
        """Return what all points about flow have to be of, with its values."""
        if self._log_id is None:
            async with self._database.system() as connection:
                row = await (await connection.execute(LOG_ID)).fetchone()
            assert row is not None, "the schema has this row from the first migration on"
            self._log_id = row[0]
        values: dict[str, str | int] = {
            "log_id": str(self._log_id),
            "model_version": str(MISSION_FLOW.version),
            "workspace_id": str(workspace_id),
        }
        if board_id is not None:
            values["board_id"] = str(board_id)
        if agent_id is not None:
            values["agent_id"] = str(agent_id)
        return " AND ".join(f"{name} = ${name}" for name in values), values


def _us(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


def _range(since: datetime, until: datetime) -> dict[str, str | int]:
    """Return a range in nanoseconds, widened to whole milliseconds, as points' times are."""
    until_ms = -(-_us(until) // US_PER_MS)
    return {"since": _us(since) // US_PER_MS * NS_PER_MS, "until": until_ms * NS_PER_MS}


def _window(steps: Steps) -> str:
    return f"time({WINDOWS[steps.width]})"


def _index(steps: Steps, at_ns: int) -> int:
    at = EPOCH + timedelta(microseconds=at_ns // NS_PER_US)
    return (at - steps.since) // steps.width + 1


def _names(measurements: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in measurements)


def _exact(seconds: list[float]) -> Durations:
    ordered = sorted(seconds)
    percentiles = tuple(percentile(ordered, share) for share in SHARES)
    return Durations(len(ordered), sum(ordered) / len(ordered), percentiles)
