"""What is asked of a time series: figures about flow, and about the running system. Two stores answer it.

Both give the same figures, up to the order in which floating point numbers are added.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

SHARES = (0.5, 0.85, 0.95)
"""Which percentiles of durations are told."""
LATENCY_BOUNDS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)
"""What is longer than one of these and not than the next is counted in one place; the last has no end."""
HISTOGRAM_PLACES = len(LATENCY_BOUNDS_MS) + 1


class MetricsUnavailable(Exception):
    """The time series can't be asked right now; the message names the setting at fault, and no secret."""


@dataclass(frozen=True, slots=True)
class Steps:
    """A range of whole buckets: where each begins, and where the last one ends. Counted from 1."""

    starts: Sequence[datetime]
    end: datetime
    width: timedelta

    @property
    def since(self) -> datetime:
        """Where the first bucket begins."""
        return self.starts[0]


@dataclass(frozen=True, slots=True)
class Durations:
    """How long things took, in seconds; percentiles are interpolated between neighbours."""

    count: int = 0
    mean_s: float | None = None
    percentiles_s: tuple[float | None, ...] = (None,) * len(SHARES)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How often something ended in one way, and how many seconds it took together."""

    count: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Series:
    """What a tally is of: `measurement` is command, agent, heartbeat, socket or open_sockets."""

    measurement: str
    workspace_id: UUID
    name: str
    outcome: str


@dataclass(slots=True)
class Tally:
    """What was counted: `total` and `peak` are milliseconds, of `open_sockets` a number of sockets."""

    count: int = 0
    total: float = 0.0
    peak: float = 0.0
    histogram: list[int] = field(default_factory=lambda: [0] * HISTOGRAM_PLACES)

    def add(self, other: "Tally") -> None:
        """Take in what another one counted."""
        self.count += other.count
        self.total += other.total
        self.peak = max(self.peak, other.peak)
        self.histogram = [a + b for a, b in zip(self.histogram, other.histogram, strict=True)]


Spans = dict[UUID, list[tuple[datetime, datetime]]]


class TimeSeries(Protocol):
    """Every figure is of one workspace, and of one board where `board_id` is not None.

    All methods that read raise `MetricsUnavailable`.
    """

    @property
    def mark(self) -> str:
        """The read model whose mark says how far the figures about flow are."""
        ...

    async def stage_changes(
        self, workspace_id: UUID, board_id: UUID | None, steps: Steps
    ) -> Mapping[int, Mapping[str, int]]:
        """Return by bucket and stage how many cards more it has; 0 is all that came before."""
        ...

    async def completions(
        self, workspace_id: UUID, board_id: UUID | None, steps: Steps
    ) -> Mapping[int, int]:
        """Return by bucket how many missions were completed."""
        ...

    async def durations(
        self, workspace_id: UUID, board_id: UUID | None, steps: Steps, measurements: Sequence[str]
    ) -> Mapping[tuple[str, int | None], Durations]:
        """Return by measurement and bucket how long things took; None is the whole range."""
        ...

    async def busy(
        self, workspace_id: UUID, board_id: UUID | None, agent_id: UUID | None,
        since: datetime, until: datetime, now: datetime,
    ) -> Spans:  # fmt: skip
        """Return when agents held leases, cut to the range; what is in force lasts until `now`."""
        ...

    async def outcomes(
        self, workspace_id: UUID, agent_id: UUID, since: datetime, until: datetime,
        measurements: Sequence[str],
    ) -> Mapping[tuple[str, str], Outcome]:  # fmt: skip
        """Return by measurement and outcome (or "") what became of an agent's work."""
        ...

    async def note(self, process: str, at: datetime, tallies: Mapping[Series, Tally]) -> None:
        """Keep what a process counted until `at`. Raises `MetricsUnavailable`: it may be lost."""
        ...

    async def tallies(
        self, workspace_id: UUID, measurement: str, steps: Steps
    ) -> Mapping[tuple[int, str, str], Tally]:
        """Return by bucket, name and outcome what all processes counted."""
        ...

    async def tidy(self, now: datetime) -> None:
        """Forget what is older than the retention, as far as the store does not do so by itself."""
        ...


def merged(spans: Sequence[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    """Return spans in order, those that touch as one: who does two things at once is busy once."""
    found: list[tuple[datetime, datetime]] = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((begin, end))
    return found


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return a percentile of ordered values, interpolated as PostgreSQL's `percentile_cont`."""
    at = (len(ordered) - 1) * share
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def quantile_ms(tally: Tally, share: float) -> float | None:
    """Return about how many milliseconds a share of what was counted took at most.

    From the histogram: interpolated within one of its places, and never more than the peak.
    """
    rank, below = share * sum(tally.histogram), 0
    for place, count in enumerate(tally.histogram):
        if count and below + count >= rank:
            low = LATENCY_BOUNDS_MS[place - 1] if place else 0
            high = LATENCY_BOUNDS_MS[place] if place < len(LATENCY_BOUNDS_MS) else tally.peak
            return min(tally.peak, low + (high - low) * (rank - below) / count)
        below += count
    return None
