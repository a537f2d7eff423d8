"""What happened in the two weeks before: a simulation that gives commands in the order of time.

It is pure: a `Random` and the end of the story decide everything. Missions, agents and people are
named by numbers and names; `seed` puts ids in their place as the log gives them.
"""

import heapq
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from commands import agents, comments, missions
from domain.agent import Presence
from domain.board import Stage
from domain.mission import Content
from infra.demo import texts
from infra.demo.company import TEAMS, WORKERS, Person, Worker, leads

DAYS = 14
MISSIONS = 300
OPEN = {"backlog": 13, "ready": 8, "review": 3, "active": 2, "blocked": 2}
"""Where missions of each board are at the end; the others are done."""
IMPORTED = 75
"""Missions that come with the company's old tracker, in the first hours."""
LEASE_TTL_S = 7_200
LAST_LEASE_TTL_S = 900
DAY_BEGINS, DAY_ENDS = 7, 18
QUIET_BEFORE_END = timedelta(hours=2, minutes=10)
"""From then on, only what is to be seen at the end is worked on: every agent is free."""
TIMERS, MANAGER = "the timers", "the dependency manager"


@dataclass
class Names:
    """The ids that the log gave to what the story numbers."""

    actors: dict[str, UUID]
    columns: dict[tuple[str, Stage], UUID]
    boards: dict[str, UUID]
    missions: dict[int, UUID] = field(default_factory=dict)
    tokens: dict[int, int] = field(default_factory=dict)
    comments: dict[int, UUID] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One command: when, by whom, on whose stream. `kept` takes what later steps need of the answer."""

    at: datetime
    actor: str
    stream: str
    command: Callable[[Names], Any]
    kept: Callable[[Names, dict[str, Any]], None] | None = None
    alone: bool = False
    """It looks at what is committed: a lease that ran out, or whether a dependency is met."""


@dataclass
class Job:
    """A mission of the story."""

    number: int
    board: str
    fate: str
    idea: texts.Idea
    author: Person
    waits_for: "Job | None" = None
    done: bool = False


Life = Iterator[timedelta]
"""A process of the simulation: it yields how long it waits, and adds steps in between."""


class Story:
    """The simulation. `steps` runs it once."""

    def __init__(self, chance: Random, end: datetime) -> None:
        self.start, self.end = end - timedelta(days=DAYS), end
        self.now = self.start
        self._chance = chance
        self._steps: list[Step] = []
        self._agenda: list[tuple[datetime, int, Life]] = []
        self._count = 0
        self._free = {worker.name: True for worker in WORKERS}
        self._presence = dict.fromkeys(self._free, Presence.OFFLINE)
        self._active = {team.name: 0 for team in TEAMS}
        self._waiting: dict[int, list[Job]] = {}
        self._comments = 0

    def steps(self) -> list[Step]:
        """Return every command of the story in order."""
        jobs = self._jobs()
        for job, at in jobs:
            self._begin(self._life(job), at - self.start)
        self._begin(self._roll_call(), self.end - self.start - timedelta(minutes=3))
        # Whoever looks in for the first time finds people in the middle of a talk.
        current = next(job for job, _ in jobs if job.fate == "active")
        self._begin(self._talk(current), self.end - self.start - timedelta(minutes=2))
        while self._agenda:
            at, _, life = heapq.heappop(self._agenda)
            if at >= self.end:
                break
            self.now = at
            wait = next(life, None)
            if wait is not None:
                self._schedule(life, wait)
        return self._steps

    @property
    def presence(self) -> dict[str, Presence]:
        """What each agent's heartbeats said last."""
        return self._presence

    # Missions

    def _jobs(self) -> list[tuple[Job, datetime]]:
        """Return the missions with the moments when they are written, the oldest first."""
        hours = [self._chance.uniform(0.1, 5) for _ in range(IMPORTED)]
        last = (self.end - self.start).total_seconds() / 3600 - 4
        hours += [self._chance.uniform(5, last) for _ in range(MISSIONS - IMPORTED)]
        moments = sorted(
            self._at_work(self.start + timedelta(hours=h)) if h > 5 else self.start + timedelta(hours=h)
            for h in hours
        )  # fmt: skip
        fates = self._fates()
        jobs: list[Job] = []
        titles: set[str] = set()
        for number, fate in enumerate(fates):
            board = TEAMS[number % len(TEAMS)].name
            job = Job(number, board, fate, self._idea(board, titles), self._lead(board))
            older = [other for other in jobs[-40:] if other.board == board]
            if older and self._chance.random() < 0.08 and fate not in {"active", "review"}:
                job.waits_for = self._chance.choice(older)
            jobs.append(job)
        return list(zip(jobs, moments, strict=True))

    def _fates(self) -> list[str]:
        """Return where each mission is at the end; the younger, the more likely it is still open."""
        fates = ["done"] * MISSIONS
        for offset in range(len(TEAMS)):
            own = range(offset, MISSIONS, len(TEAMS))
            for fate in (fate for fate, count in OPEN.items() for _ in range(count)):
                place = max(self._chance.randrange(len(own)) for _ in range(3))
                while fates[own[place]] != "done":
                    place = (place + 1) % len(own)
                fates[own[place]] = fate
        return fates

    def _idea(self, board: str, titles: set[str]) -> texts.Idea:
        while True:
            found = texts.idea(self._chance, board)
            if found.title not in titles:
                titles.add(found.title)
                return found

    def _life(self, job: Job) -> Life:
        """From the first line about a mission to where it is at the end."""
        in_backlog = job.fate == "backlog" or self._chance.random() < 0.4
        self._write(job, Stage.BACKLOG if in_backlog else Stage.READY)
        if job.waits_for is not None:
            yield self._minutes(1, 30)
            self._wait_for(job, job.waits_for)
        if self._chance.random() < 0.4:
            self._begin(self._talk(job), self._minutes(20, 2_000))
        if job.fate == "backlog":
            return
        if in_backlog:
            yield self._by_day(self._minutes(60, 9_000 if job.number < IMPORTED else 2_400))
            self._move(job, Stage.READY)
        if job.fate in {"ready", "blocked"}:
            yield from self._stay_ready(job)
            return
        if job.fate in {"active", "review"}:
            yield from self._end_in_view(job)
            return
        yield self._minutes(10, 700)
        while job.waits_for is not None and not job.waits_for.done:
            yield self._minutes(60, 200)
        yield from self._get_done(job)

    def _stay_ready(self, job: Job) -> Life:
        if job.waits_for is None and self._chance.random() < 0.3:
            yield self._minutes(30, 300)
            yield from self._work(job, self._chance.choice(["fail", "lapse", "release"]))
        elif self._chance.random() < 0.25:
            yield self._minutes(30, 600)
            assignee = self._lead(job.board).name
            self._add(
                self._lead(job.board).name, job,
                lambda names: missions.AssignMission(
                    names.missions[job.number], names.actors[assignee]),
            )  # fmt: skip
        if job.fate == "blocked":
            yield self._until_end(self._chance.uniform(1, 50))
            reason = texts.fill(self._chance, self._chance.choice(texts.BLOCKS))
            self._add(
                self._lead(job.board).name, job,
                lambda names: missions.BlockMission(names.missions[job.number], reason),
            )  # fmt: skip
            self._begin(self._talk(job), self._minutes(3, 40))

    def _end_in_view(self, job: Job) -> Life:
        """Be worked on, or wait for a review, when the story ends."""
        hours = (0.9, 2) if job.fate == "review" else (0.25, 0.7)
        yield self._until_end(self._chance.uniform(*hours))
        yield from self._work(job, "submit" if job.fate == "review" else "go on")

    def _get_done(self, job: Job) -> Life:
        if self._chance.random() < 0.05:  # somebody has done it on the side
            self._move(job, Stage.DONE)
            yield from self._be_done(job)
            return
        for setback in ("fail", "lapse", "release"):
            if self._chance.random() < 0.06:
                yield from self._work(job, setback)
                yield self._minutes(20, 240)
        while True:
            submitted = yield from self._work(job, "submit")
            if not submitted:
                return
            yield self._by_day(self._minutes(8, 260))
            if self._chance.random() > 0.14:
                break
            self._reject(job)
            yield self._minutes(30, 400)
        self._add(
            self._lead(job.board).name, job,
            lambda names: missions.ApproveMission(names.missions[job.number]),
        )  # fmt: skip
        yield from self._be_done(job)

    def _be_done(self, job: Job) -> Life:
        job.done = True
        yield timedelta(seconds=1)
        for waiting in self._waiting.pop(job.number, ()):
            self._set_free(waiting, job)

    def _reject(self, job: Job) -> None:
        reason = texts.fill(self._chance, self._chance.choice(texts.REJECTIONS))
        self._add(
            self._lead(job.board).name, job,
            lambda names: missions.RejectMission(names.missions[job.number], reason),
        )  # fmt: skip

    def _set_free(self, waiting: Job, job: Job) -> None:
        self._add(
            MANAGER, waiting,
            lambda names: missions.NoteDependency(
                names.missions[waiting.number], names.missions[job.number], met=True),
        )  # fmt: skip

    def _write(self, job: Job, stage: Stage) -> None:
        if job.fate == "done" and self.now < self.end - timedelta(days=3):
            due = self.now + timedelta(days=self._chance.randint(3, 9))
        else:
            due = self.end + timedelta(hours=self._chance.uniform(-20, 200))
        due = due.replace(minute=0, second=0, microsecond=0)
        content = Content(
            job.idea.title, job.idea.description, job.idea.priority, job.idea.labels,
            due if self._chance.random() < 0.6 and due > self.now else None, job.idea.capabilities,
        )  # fmt: skip
        self._add(
            job.author.name, job,
            lambda names: missions.CreateMission(
                content, names.boards[job.board], names.columns[job.board, stage]),
            lambda names, body: names.missions.__setitem__(job.number, body["id"]),
        )  # fmt: skip

    def _wait_for(self, job: Job, other: Job) -> None:
        if not other.done:
            self._waiting.setdefault(other.number, []).append(job)
        self._add(
            job.author.name, job,
            lambda names: missions.AddDependency(
                names.missions[job.number], names.missions[other.number]),
            alone=True,
        )  # fmt: skip

    def _move(self, job: Job, stage: Stage) -> None:
        self._add(
            self._lead(job.board).name, job,
            lambda names: missions.MoveMission(
                names.missions[job.number], names.columns[job.board, stage]),
        )  # fmt: skip

    # Work

    def _work(self, job: Job, ending: str) -> Generator[timedelta, None, bool]:
        """Let an agent claim a mission and work on it; return whether it got so far."""
        worker = yield from self._find_worker(job, ending)
        if worker is None:
            return False
        ttl_s = LAST_LEASE_TTL_S if ending == "go on" else LEASE_TTL_S
        self._free[worker.name] = False
        self._active[job.board] += 1
        self._say(worker.name, Presence.BUSY)
        self._add(
            worker.name, job,
            lambda names: missions.ClaimMission(names.missions[job.number], ttl_s),
            lambda names, body: names.tokens.__setitem__(job.number, body["lease"]["token"]),
        )  # fmt: skip
        lapses_at = self.now + timedelta(seconds=ttl_s + self._chance.randint(1, 3))
        yield from self._make_progress(job, worker, short=ending in {"go on", "lapse"})
        if ending == "lapse":
            yield lapses_at - self.now
        if ending == "go on":
            return True
        self._end_work(job, worker, ending)
        self._active[job.board] -= 1
        yield timedelta(seconds=self._chance.randint(1, 9))
        self._free[worker.name] = True
        self._say(worker.name, Presence.AVAILABLE)
        self._begin(self._go_home(worker), self._minutes(25, 90))
        return True

    def _find_worker(self, job: Job, ending: str) -> Generator[timedelta, None, Worker | None]:
        last = ending == "go on" or job.fate == "review"
        limit = next(team.limits[Stage.ACTIVE] for team in TEAMS if team.name == job.board)
        while last or self.now < self.end - QUIET_BEFORE_END - timedelta(hours=3):
            able = [
                worker for worker in WORKERS
                if worker.board == job.board and self._free[worker.name]
                and set(job.idea.capabilities) <= set(worker.capabilities)
            ]  # fmt: skip
            if able and self._active[job.board] < limit:
                return self._chance.choice(able)
            yield self._minutes(2, 8) if last else self._minutes(10, 90)
        return None

    def _make_progress(self, job: Job, worker: Worker, *, short: bool) -> Life:
        percent = 0
        most = self._chance.choice((25, 45, 60, 80)) if short else 96
        pace = 6 if job.fate in {"active", "review"} else 24
        yield self._minutes(2, pace)
        while (percent := percent + self._chance.randint(12, 40)) < most:
            self._report(job, worker, percent)
            if self._chance.random() < 0.08:
                self._begin(self._ask(job, worker), timedelta(seconds=self._chance.randint(5, 50)))
            yield self._minutes(2, pace)

    def _report(self, job: Job, worker: Worker, percent: int) -> None:
        text = texts.note(self._chance, job.board, percent)
        note = text if self._chance.random() < 0.8 else None
        self._add(
            worker.name, job,
            lambda names: missions.ReportProgress(
                names.missions[job.number], names.tokens[job.number], percent, note),
        )  # fmt: skip

    def _end_work(self, job: Job, worker: Worker, ending: str) -> None:
        number = job.number
        if ending == "lapse":
            self._add(
                TIMERS, job, lambda names: Lapse(names.missions[number], names.tokens[number]),
                alone=True,
            )  # fmt: skip
            return
        if ending == "submit":
            text = texts.summary(self._chance, job.idea.labels)
            self._add(
                worker.name, job,
                lambda names: missions.SubmitMission(
                    names.missions[number], names.tokens[number], text),
            )  # fmt: skip
        elif ending == "fail":
            text = texts.fill(self._chance, self._chance.choice(texts.FAILURES))
            self._add(
                worker.name, job,
                lambda names: missions.FailMission(
                    names.missions[number], names.tokens[number], text),
            )  # fmt: skip
        else:
            self._add(
                worker.name, job,
                lambda names: missions.ReleaseMission(names.missions[number], names.tokens[number]),
            )  # fmt: skip

    # Presence

    def _say(self, agent: str, presence: Presence, actor: str | None = None) -> None:
        if self._presence[agent] == presence:
            return
        self._presence[agent] = presence
        self._steps.append(
            Step(
                self.now, actor or agent, agent,
                lambda names: agents.ReportPresence(names.actors[agent], presence),
            )
        )  # fmt: skip

    def _go_home(self, worker: Worker) -> Life:
        if self._free[worker.name] and self.now < self.end - QUIET_BEFORE_END:
            self._say(worker.name, Presence.OFFLINE, TIMERS)
        yield from ()

    def _roll_call(self) -> Life:
        for worker in WORKERS[:-1]:
            if self._free[worker.name]:
                self._say(worker.name, Presence.AVAILABLE)
                yield timedelta(seconds=self._chance.uniform(1, 8))

    # Talk

    def _talk(self, job: Job) -> Life:
        """A person's remark, and perhaps an answer to it."""
        person = self._chance.choice(leads(job.board))
        root = self._comment(person.name, job, self._chance.choice(texts.REMARKS))
        if self._chance.random() < 0.5:
            yield self._minutes(3, 200)
            others = [worker.name for worker in WORKERS if worker.board == job.board]
            self._comment(self._chance.choice(others), job, self._chance.choice(texts.THANKS), root)

    def _ask(self, job: Job, worker: Worker) -> Life:
        """An agent's question to a person, who answers."""
        person = self._lead(job.board)
        question = self._chance.choice(texts.QUESTIONS)
        root = self._comment(worker.name, job, question, mention=person.name)
        yield self._minutes(2, 40)
        self._comment(person.name, job, self._chance.choice(texts.REPLIES), root, worker.name)
        if self._chance.random() < 0.5:
            yield self._minutes(1, 10)
            self._comment(worker.name, job, self._chance.choice(texts.THANKS), root)

    def _comment(
        self, author: str, job: Job, text: str, root: int | None = None, mention: str | None = None
    ) -> int:
        self._comments += 1
        number = self._comments
        who = f"@{mention.split()[0]}" if mention else ""
        body = texts.fill(self._chance, text, who=who).strip()
        self._add(
            author, job,
            lambda names: comments.AddComment(
                names.missions[job.number], body, None if root is None else names.comments[root],
                (names.actors[mention],) if mention else ()),
            lambda names, answer: names.comments.__setitem__(number, answer["id"]),
        )  # fmt: skip
        return number

    # Time

    def _add(
        self,
        actor: str,
        job: Job,
        command: Callable[[Names], Any],
        kept: Callable[[Names, dict[str, Any]], None] | None = None,
        *,
        alone: bool = False,
    ) -> None:
        self._steps.append(Step(self.now, actor, f"mission {job.number}", command, kept, alone))

    def _begin(self, life: Life, wait: timedelta) -> None:
        self._schedule(life, wait)

    def _schedule(self, life: Life, wait: timedelta) -> None:
        self._count += 1
        heapq.heappush(self._agenda, (self.now + wait, self._count, life))

    def _minutes(self, least: float, most: float) -> timedelta:
        return timedelta(minutes=self._chance.uniform(least, most))

    def _until_end(self, hours: float) -> timedelta:
        return max(self.end - timedelta(hours=hours) - self.now, timedelta(seconds=20))

    def _by_day(self, wait: timedelta) -> timedelta:
        return self._at_work(self.now + wait) - self.now

    def _at_work(self, at: datetime) -> datetime:
        """Return the same moment, or one in the next working hours where it is outside of them."""
        kept = at
        while at.weekday() >= 5 or not DAY_BEGINS <= at.hour < DAY_ENDS:
            at = (at + timedelta(days=at.hour >= DAY_ENDS or at.weekday() >= 5)).replace(
                hour=DAY_BEGINS, minute=self._chance.randrange(60)
            )
            at += timedelta(minutes=self._chance.randrange(150))
        return (
            at if at < self.end - timedelta(hours=4) else min(kept, self.end - timedelta(minutes=9))
        )

    def _lead(self, board: str) -> Person:
        return self._chance.choice(leads(board))


@dataclass(frozen=True)
class Lapse:
    """A lease that nobody renewed; the timers end it."""

    mission_id: UUID
    token: int
