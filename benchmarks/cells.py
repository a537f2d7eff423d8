"""What a workspace costs as their number grows a thousandfold: in one log, and spread over cells.

A simulation, the same on every machine and every run: nothing is measured here. Its constants are what the
other benchmarks measured (docs/scaling.md says where), its workspaces are drawn from a fixed seed: few are
large, most are small, and each works in its own part of the day.

In one log, every process that follows it takes every event of everybody, and there are more of these
processes as there are more people: their work grows with the square of the number of workspaces, until one
writer can do no more. A cell is a log that stops taking workspaces when it is full, so nothing in it grows.
"""

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from benchmarks.scene import Result
from infra.embedded_postgres import EmbeddedPostgres

SEED = 20_260_131
NUMBERS = (10, 100, 1_000, 10_000)
GROWTH_MAX = 1.3

# Measured on two cores (README): what one log takes, with guards and idempotency keys, and what it costs.
APPENDS_PER_S = 7_265.0
CORES_OF_THE_WRITER = 2.0
PROJECTED_PER_CORE_S = 8_295.0
FOLLOWED_PER_CORE_S = 43_000.0
"""Events that a follower decodes and hands on: the rebuild of 100,000 in 2.3 s, which does more with each."""
DELIVERED_PER_CORE_S = 1_013_842.0
BOARDS_PER_CORE_S = 1_748.0
SOCKETS_OF_A_PROCESS = 1_000
BYTES_PER_EVENT = 4_000.0
"""All tables with their indexes, for each event of the demo's log: 593 of them are the event itself."""

# Assumed.
FILL = 0.30
"""The share of a log's rate that its busiest hour may take: peaks within the hour are three times its mean."""
CLOSED_AT = 0.20
"""The share at which a cell takes no new workspace any more: those that it has will grow."""
SOCKETS_OF_A_CELL = 25_000
EVENTS_PER_PERSON_DAY = 1_000.0
"""People and agents together; an agent that reports every minute of a working day is at 500."""
DISK_OF_A_CELL_BYTES = 16e12
KEPT_DAYS = 3 * 365
"""A log is never cut: after so long, the disk is full, and its workspaces move on or the disk grows."""
READS_PER_EVENT = 4.0
PEOPLE_MEDIAN, PEOPLE_SIGMA, PEOPLE_MAX = 12.0, 1.3, 3_000
BEGINNINGS = (0, 7, 8, 13, 16)
BUSY_HOURS = 9
BUSY_SHARE = 0.9
CORES_OF_A_CELL = 3.0
"""What a cell costs when nobody works: a primary, a replica, and one idle process of each role."""
SECONDS_OF_AN_HOUR, HOURS_OF_A_DAY = 3_600, 24


@dataclass(frozen=True)
class Workspace:
    """People and agents, and the hour (UTC) at which their day begins."""

    people: int
    begins: int

    def events_per_s(self, hour: int) -> float:
        """Return the mean rate of an hour of the day."""
        is_busy = (hour - self.begins) % HOURS_OF_A_DAY < BUSY_HOURS
        hours = BUSY_HOURS if is_busy else HOURS_OF_A_DAY - BUSY_HOURS
        share = BUSY_SHARE if is_busy else 1 - BUSY_SHARE
        return self.people * EVENTS_PER_PERSON_DAY * share / (hours * SECONDS_OF_AN_HOUR)

    @property
    def peak(self) -> float:
        """The rate of its busiest hour, in events per second."""
        return self.events_per_s(self.begins)


@dataclass
class Cell:
    """A log, and the workspaces that live in it."""

    workspaces: list[Workspace] = field(default_factory=list)
    hours: list[float] = field(default_factory=lambda: [0.0] * HOURS_OF_A_DAY)
    people: int = 0

    def take(self, workspace: Workspace) -> None:
        """Let a workspace live here from now on."""
        self.workspaces.append(workspace)
        self.people += workspace.people
        for hour in range(HOURS_OF_A_DAY):
            self.hours[hour] += workspace.events_per_s(hour)

    @property
    def use(self) -> float:
        """The share of the log's rate that the busiest hour takes."""
        return max(self.hours) / APPENDS_PER_S

    def has_room(self, workspace: Workspace) -> bool:
        """Tell whether a new workspace may come."""
        after = max(rate + workspace.events_per_s(hour) for hour, rate in enumerate(self.hours))
        people = self.people + workspace.people
        fits = after / APPENDS_PER_S <= CLOSED_AT and people <= SOCKETS_OF_A_CELL
        return not self.workspaces or (fits and bytes_of(people) <= DISK_OF_A_CELL_BYTES)

    def cores(self) -> float:
        """Return the cores that the busiest hour needs, at the fill that leaves room for peaks."""
        events = max(self.hours)
        live = -(-self.people // SOCKETS_OF_A_PROCESS)
        reads = events * READS_PER_EVENT / BOARDS_PER_CORE_S
        queries = 1 + int(reads)
        # Live and queries follow the log, and so do timers, projections and relay: each takes every event.
        followers = live + queries + 3
        deliveries = sum(
            w.events_per_s(hour) * w.people
            for hour in [self.hours.index(events)]
            for w in self.workspaces
        )
        busy = (
            events * CORES_OF_THE_WRITER / APPENDS_PER_S
            + events / PROJECTED_PER_CORE_S
            + events * followers / FOLLOWED_PER_CORE_S
            + deliveries / DELIVERED_PER_CORE_S
            + reads
        )
        return CORES_OF_A_CELL + busy / FILL


def bytes_of(people: int) -> float:
    """Return what their events fill, until they are kept no longer."""
    return people * EVENTS_PER_PERSON_DAY * KEPT_DAYS * BYTES_PER_EVENT


def cells(_: EmbeddedPostgres, __: int) -> list[Result]:
    """The cost of a workspace when there are 10 of them, and 10,000."""
    workspaces = _drawn(max(NUMBERS))
    return [_compared(workspaces[:number]) for number in NUMBERS] + [_grown(workspaces)]


def spread(workspaces: Iterable[Workspace]) -> list[Cell]:
    """Give each workspace, in the order in which they come, to the emptiest cell that has room, or a new one."""
    found: list[Cell] = []
    for workspace in workspaces:
        open_ones = [cell for cell in found if cell.has_room(workspace)]
        if not open_ones:
            found.append(Cell())
            open_ones = found[-1:]
        min(open_ones, key=lambda cell: cell.use).take(workspace)
    return found


def cost(found: Sequence[Cell]) -> float:
    """Return the cores per hundred people: a workspace's size must not pass for the cost of its number."""
    return 100 * sum(cell.cores() for cell in found) / sum(cell.people for cell in found)


def _drawn(number: int) -> list[Workspace]:
    chance = random.Random(SEED)  # noqa: S311 - the same workspaces on every run
    people = (
        round(chance.lognormvariate(math.log(PEOPLE_MEDIAN), PEOPLE_SIGMA)) for _ in range(number)
    )
    return [Workspace(min(PEOPLE_MAX, max(2, each)), chance.choice(BEGINNINGS)) for each in people]


def _together(workspaces: Sequence[Workspace]) -> Cell:
    one = Cell()
    for workspace in workspaces:
        one.take(workspace)
    return one


def _compared(workspaces: Sequence[Workspace]) -> Result:
    one, found = _together(workspaces), spread(workspaces)
    fullest = max(cell.use for cell in found)
    disks = bytes_of(one.people) / DISK_OF_A_CELL_BYTES
    return Result(
        f"{len(workspaces):,} workspaces, {one.people:,} people",
        f"{cost(found):.2f} cores/100 people, {len(found)} cells",
        f"{cost([one]):.2f}, {one.use:.0%} of a log, {disks:.1f} disks",
        ratio=cost([one]) / cost(found),
        target=f"fullest cell ≤ {FILL:.0%}",
        met=fullest <= FILL,
        figures={
            "cores_per_100_people": cost(found), "cells": len(found), "fullest": fullest,
            "one_log_cores_per_100_people": cost([one]), "one_log_use": one.use, "one_log_disks": disks,
            "people_of_the_largest": max(w.people for w in workspaces),
        },
    )  # fmt: skip


def _grown(workspaces: Sequence[Workspace]) -> Result:
    """Compare from a hundred on: ten share the idle cost of a cell that is made for hundreds."""
    few, many = workspaces[: NUMBERS[1]], workspaces
    growth = cost(spread(many)) / cost(spread(few))
    of_one_log = cost([_together(many)]) / cost([_together(few)])
    return Result(
        f"growth of the cost, {len(few)} → {len(many):,} workspaces",
        f"{growth:.2f}x in cells",
        f"{of_one_log:.2f}x in one log",
        target=f"≤ {GROWTH_MAX}x",
        met=growth <= GROWTH_MAX,
        figures={"growth": growth, "growth_of_one_log": of_one_log},
    )
