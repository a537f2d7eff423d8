"""Time series in PostgreSQL: metric points that triggers derive, their sums by hour, and telemetry."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from infra.postgres import Database
from infra.timeseries import SHARES, Durations, Outcome, Series, Spans, Steps, Tally
from projections.metrics import MISSION_FLOW

RAW_DAYS = 1
"""How long telemetry is kept as it was noted; from then on as sums by hour, until the retention ends."""

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
    percentile_cont(ARRAY[{", ".join(map(str, SHARES))}]) WITHIN GROUP (ORDER BY seconds)
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
OUTCOMES = """
SELECT measurement, coalesce(outcome, ''), count(*), coalesce(sum(seconds), 0) FROM read_metric_points
WHERE workspace_id = %(workspace)s AND agent_id = %(agent)s AND measurement = ANY (%(measurements)s)
    AND at >= %(since)s AND at < %(until)s
GROUP BY 1, 2"""

COUNTED = "count bigint, total double precision, peak double precision, histogram bigint[]"
NOTE = f"""
INSERT INTO telemetry_points (workspace_id, measurement, name, outcome, process, at, count, total, peak, histogram)
SELECT workspace_id, measurement, name, outcome, %(process)s, %(at)s, count, total, peak, histogram
FROM json_to_recordset(%(tallies)s::json)
    AS t(workspace_id uuid, measurement text, name text, outcome text, {COUNTED})
ON CONFLICT (workspace_id, measurement, at, name, outcome, process) DO NOTHING"""
TALLIES = """
SELECT width_bucket(at, %(starts)s::timestamptz[]), name, outcome, sum(count)::bigint, sum(total), max(peak),
    mc_add_histograms(histogram)
FROM (
    SELECT at, name, outcome, count, total, peak, histogram FROM telemetry_points
    WHERE workspace_id = %(workspace)s AND measurement = %(measurement)s
        AND at >= %(since)s AND at < %(until)s
    UNION ALL
    SELECT hour, name, outcome, count, total, peak, histogram FROM telemetry_hours
    WHERE workspace_id = %(workspace)s AND measurement = %(measurement)s
        AND hour >= %(since)s AND hour < %(until)s) AS counted
GROUP BY 1, 2, 3"""
# What moves is gone from the points in the same statement: nothing is counted twice or missing.
ROLL_UP = """
WITH moved AS (DELETE FROM telemetry_points WHERE at < %(raw_since)s RETURNING *)
INSERT INTO telemetry_hours AS h
SELECT workspace_id, measurement, name, outcome, date_trunc('hour', at, 'UTC'),
    sum(count), sum(total), max(peak), mc_add_histograms(histogram)
FROM moved GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
ON CONFLICT (workspace_id, measurement, hour, name, outcome) DO UPDATE SET
    count = h.count + excluded.count, total = h.total + excluded.total,
    peak = greatest(h.peak, excluded.peak), histogram = mc_add_histogram(h.histogram, excluded.histogram)"""
FORGET = "DELETE FROM telemetry_hours WHERE hour < %(since)s"


class PostgresTimeSeries:
    """The embedded counterpart of a time series database."""

    mark = MISSION_FLOW.name

    def __init__(self, database: Database, retention_days: int) -> None:
        """`retention_days` is of telemetry; points about flow stay as long as the log."""
        self._database = database
        self._retention_days = retention_days

    async def stage_changes(
        self, workspace_id: UUID, board_id: UUID | None, steps: Steps
    ) -> Mapping[int, Mapping[str, int]]:
        """See `TimeSeries`."""
        changes: dict[int, dict[str, int]] = {}
        for stage, index, change in await self._of(workspace_id, FLOW, board_id, steps):
            changes.setdefault(index, {})[stage] = change
        return changes

    async def completions(
        self, workspace_id: UUID, board_id: UUID | None, steps: Steps
    ) -> Mapping[int, int]:
        """See `TimeSeries`."""
        return {row[0]: row[1] for row in await self._of(workspace_id, THROUGHPUT, board_id, steps)}

    async def durations(
        self, workspace_id: UUID, board_id: UUID | None, steps: Steps, measurements: Sequence[str]
    ) -> Mapping[tuple[str, int | None], Durations]:
        """See `TimeSeries`."""
        found = await self._of(
            workspace_id, DURATIONS, board_id, steps, measurements=list(measurements)
        )
        return {
            (measurement, index): Durations(count, mean, tuple(percentiles))
            for measurement, index, count, mean, percentiles in found
        }

    async def busy(
        self, workspace_id: UUID, board_id: UUID | None, agent_id: UUID | None,
        since: datetime, until: datetime, now: datetime,
    ) -> Spans:  # fmt: skip
        """See `TimeSeries`."""
        values = {
            "workspace": workspace_id, "board": board_id, "agent": agent_id, "since": since,
            "until": until, "now": now,
        }  # fmt: skip
        spans: Spans = {}
        for agent, begin, end in await self._database.fetch(workspace_id, BUSY, values):
            spans.setdefault(agent, []).append((begin, end))
        return spans

    async def outcomes(
        self, workspace_id: UUID, agent_id: UUID, since: datetime, until: datetime,
        measurements: Sequence[str],
    ) -> Mapping[tuple[str, str], Outcome]:  # fmt: skip
        """See `TimeSeries`."""
        values = {
            "workspace": workspace_id, "agent": agent_id, "since": since, "until": until,
            "measurements": list(measurements),
        }  # fmt: skip
        found = await self._database.fetch(workspace_id, OUTCOMES, values)
        return {(name, outcome): Outcome(count, s) for name, outcome, count, s in found}

    async def note(self, process: str, at: datetime, tallies: Mapping[Series, Tally]) -> None:
        """See `TimeSeries`; errors of the database are raised as they are."""
        rows = [
            {
                "workspace_id": series.workspace_id, "measurement": series.measurement,
                "name": series.name, "outcome": series.outcome, "count": tally.count,
                "total": tally.total, "peak": tally.peak, "histogram": tally.histogram,
            }
            for series, tally in tallies.items()
        ]  # fmt: skip
        values = {"process": process, "at": at, "tallies": msgspec.json.encode(rows).decode()}
        async with self._database.system() as connection:
            await connection.execute(NOTE, values)

    async def tallies(
        self, workspace_id: UUID, measurement: str, steps: Steps
    ) -> Mapping[tuple[int, str, str], Tally]:
        """See `TimeSeries`."""
        found = await self._of(workspace_id, TALLIES, None, steps, measurement=measurement)
        return {
            (index, name, outcome): Tally(count, total, peak, histogram)
            for index, name, outcome, count, total, peak, histogram in found
        }

    async def tidy(self, now: datetime) -> None:
        """See `TimeSeries`: older points become sums by hour, and older hours go."""
        today = now.replace(minute=0, second=0, microsecond=0)
        async with self._database.system() as connection:
            await connection.execute(ROLL_UP, {"raw_since": today - timedelta(days=RAW_DAYS)})
            await connection.execute(
                FORGET, {"since": today - timedelta(days=self._retention_days)}
            )

    async def _of(
        self, workspace_id: UUID, statement: str, board_id: UUID | None, steps: Steps, **more: Any
    ) -> list[tuple[Any, ...]]:
        values = {
            "workspace": workspace_id, "board": board_id, "starts": list(steps.starts),
            "since": steps.since, "until": steps.end, **more,
        }  # fmt: skip
        return await self._database.fetch(workspace_id, statement, values)
