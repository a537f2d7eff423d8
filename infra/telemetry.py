"""What this process counts of its own work: commands, agents, heartbeats, sockets.

Counting is an addition in memory, which no request waits for; `streams/telemetry.py` hands the sums on. It
may be lost, and nothing is decided by it.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from starlette.types import Scope

from commands.append import ActorKind
from infra.http.fast_path import shape_of
from infra.timeseries import LATENCY_BOUNDS_MS, Series, Tally

SERIES_MAX = 5_000
"""Of so many series sums are kept at a time; what would begin another one is not counted."""
HEARTBEATS = ("/heartbeat", "/heartbeats")
READING = frozenset({"GET", "HEAD"})
METHODS = READING | {"POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
TOTALLED = frozenset({"command", "socket"})
"""Of which measurements sums are kept since the start, too: those that have but few names."""


class Kind(NamedTuple):
    """A series of all workspaces together."""

    measurement: str
    name: str
    outcome: str


class Telemetry:
    """Sums since they were taken last, and of some since the process began."""

    def __init__(self) -> None:
        self._tallies: dict[Series, Tally] = {}
        self._totals: dict[Kind, Tally] = {}
        self.requests: Counter[tuple[str, int]] = Counter()
        """How many requests were answered, by method and status, since the process began."""
        self.dropped = 0

    def take(self) -> Mapping[Series, Tally]:
        """Return what was counted, and begin again."""
        taken, self._tallies = self._tallies, {}
        _add(self._totals, taken)
        return taken

    def totals(self) -> Mapping[Kind, Tally]:
        """Return what was counted since the process began, whatever was taken."""
        totals: dict[Kind, Tally] = {}
        for kind, tally in self._totals.items():
            totals.setdefault(kind, Tally()).add(tally)
        _add(totals, self._tallies)
        return totals

    def request(self, scope: Scope, status: int, took_ms: float) -> None:
        """Count a request, and how long it took if it is a command of somebody who was known."""
        method = scope["method"]
        # A method may be any word: whoever sends one must not make a series of it.
        self.requests[method if method in METHODS else "other", status] += 1
        state = scope["state"]
        workspace_id = state.get("workspace_id")
        if method in READING or workspace_id is None:
            return
        outcome = "failed" if status >= 500 else "refused" if status >= 400 else "ok"
        # Who is known has passed a route: its shape is one of few, whatever ids were in the path.
        name = f"{method} {shape_of(scope['path'])}"
        self._count(Series("command", workspace_id, name, outcome), took_ms)
        actor = state.get("actor")
        if actor is not None and actor.kind == ActorKind.AGENT and not name.endswith(HEARTBEATS):
            self._count(Series("agent", workspace_id, str(actor.id), outcome), took_ms)

    def heartbeat(self, workspace_id: UUID, agent_id: UUID, state: str) -> None:
        """Count a sign of life."""
        self._count(Series("heartbeat", workspace_id, str(agent_id), state))

    def socket_closed(self, workspace_id: UUID, code: int | None, lived_ms: float) -> None:
        """Count a socket that ended: by our close code, or because its client left."""
        outcome = "left" if code is None else str(code)
        self._count(Series("socket", workspace_id, "socket", outcome), lived_ms)

    def sockets_open(self, workspace_id: UUID, sockets: int) -> None:
        """Note how many sockets are open right now."""
        self._count(Series("open_sockets", workspace_id, "socket", "open"), sockets)

    def _count(self, series: Series, value: float = 0.0) -> None:
        tally = self._tallies.get(series)
        if tally is None:
            if len(self._tallies) >= SERIES_MAX:
                self.dropped += 1
                return
            tally = self._tallies[series] = Tally()
        tally.count += 1
        tally.total += value
        tally.peak = max(tally.peak, value)
        tally.histogram[bisect_left(LATENCY_BOUNDS_MS, value)] += 1


def _add(totals: dict[Kind, Tally], tallies: Mapping[Series, Tally]) -> None:
    for series, tally in tallies.items():
        if series.measurement in TOTALLED:
            kind = Kind(series.measurement, series.name, series.outcome)
            totals.setdefault(kind, Tally()).add(tally)
