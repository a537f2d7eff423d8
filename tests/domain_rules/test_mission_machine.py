"""Agents and people do what they like to one mission; a naive model says what must come of it.

The model is a plain record that shares no code with the domain: only the commands' own argument
types are taken from there.
"""

from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.base import Refusal, command_time
from domain.board import Stage
from domain.mission import Content, Mission, Place, Worker

START = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
WORKSPACE, MISSION = UUID(int=1), UUID(int=2)
BOARDS = (UUID(int=3), UUID(int=4))
AGENTS = [UUID(int=20 + number) for number in range(3)]
PEOPLE = [UUID(int=30 + number) for number in range(2)]
DEPENDENCIES = [UUID(int=40 + number) for number in range(2)]
SKILLS = ("painting", "sanding")
STAGES = ("backlog", "ready", "active", "review", "done")

agents = st.sampled_from(AGENTS)
anybody = st.sampled_from(AGENTS + PEOPLE)
dependencies = st.sampled_from(DEPENDENCIES)
skills = st.sets(st.sampled_from(SKILLS)).map(lambda chosen: tuple(sorted(chosen)))
columns = st.tuples(st.integers(0, 1), st.sampled_from(STAGES), st.integers(0, 1))
"""Board, stage, and which of the two columns of that stage."""
often = st.sampled_from([True] * 9 + [False])
credentials = st.sampled_from(["in force", "in force", "in force", "stale", "stolen", "any"])
"""Where an agent has its token from: most walks would end at once if all were made up."""


@dataclass
class Model:
    """What everybody believes about the mission."""

    column: tuple[int, str, int]
    assignees: list[UUID]
    skills: tuple[str, ...]
    title: str = "Paint"
    rank: str = "V1"
    holder: UUID | None = None
    token: int | None = None
    tokens: list[int] = field(default_factory=list)
    percent: int = 0
    blocked: bool = False
    failures: int = 0
    submitter: UUID | None = None
    waiting_for: dict[UUID, bool] = field(default_factory=dict)
    deleted: bool = False

    @property
    def stage(self) -> str:
        return self.column[1]

    def end_lease(self, stage: str) -> None:
        self.holder = self.token = None
        self.stand_at(self.first(stage))

    def first(self, stage: str) -> tuple[int, str, int]:
        return (self.column[0], stage, 0)

    def stand_at(self, column: tuple[int, str, int], rank: str = "V1") -> None:
        self.column, self.rank = column, rank


def place_of(column: tuple[int, str, int], rank: str = "V1") -> Place:
    board, stage, number = column
    column_id = UUID(int=100 + 20 * board + 2 * STAGES.index(stage) + number)
    return Place(BOARDS[board], column_id, Stage(stage), rank)


def state_of(mission: Mission) -> dict[str, object]:
    return deepcopy(
        {key: value for key, value in vars(mission).items() if key != "_pending_events"}
    )


working = precondition(lambda self: self.model.holder or len(self.log) % 3 == 0)
"""Writes of agents are tried mostly while there is a lease, and now and then without."""


class MissionMachine(RuleBasedStateMachine):
    """Each rule says what the model expects, then has the mission decide."""

    @initialize(
        column=columns | st.just((0, "ready", 0)),
        assignees=st.just([]) | st.lists(anybody, max_size=2, unique=True),
        needs=skills,
        prelude=st.sampled_from(["", "claimed", "submitted"]),
    )
    def create(self, column, assignees, needs, prelude):
        command_time.set(START)
        assignees = list(assignees)
        content = Content("Paint", required_capabilities=needs)
        self.mission = Mission.create(
            MISSION, WORKSPACE, place_of(column), content, tuple(assignees), PEOPLE[0]
        )
        self.log = self.mission.collect_events()
        self.model = Model(column, assignees, needs)
        # Walks that begin in the middle of things meet the review far more often.
        if prelude:
            self.let_claim(AGENTS[0], SKILLS)
        if prelude == "submitted":
            held = self.model.holder is not None
            self.let_submit(AGENTS[0], self.model.token, held)

    def decide(self, command, *, facts=None):
        """Run a command that has to record these facts, or has to be refused where there are None.

        Answer whether it was let through.
        """
        command_time.set(command_time.get() + timedelta(seconds=1))
        before = state_of(self.mission)
        forked = self.mission.fork()
        refused = True
        with suppress(Refusal):
            command(forked)
            refused = False
        recorded = forked.collect_events()
        assert state_of(self.mission) == before
        assert refused == (facts is None)
        assert [event.TOPIC.split(".")[1] for event in recorded] == (facts or "").split()
        self.mission, self.log = forked, self.log + recorded
        return not refused

    def place(self, stage):
        return place_of(self.model.first(stage))

    def own_work(self, who):
        return who in {self.model.submitter, self.model.holder, *self.model.assignees}

    # Agents

    @precondition(lambda self: self.model.stage in {"ready", "active"} or len(self.log) % 5 == 0)
    @rule(agent=agents, has=skills, gifted=often, data=st.data())
    def claim(self, agent, has, gifted, data):
        model, has = self.model, SKILLS if gifted else has
        agent = data.draw(st.sampled_from([agent, *model.assignees]), label="claimer")
        self.let_claim(agent, has)

    def let_claim(self, agent, has):
        model = self.model
        free = model.stage == "ready" and model.holder is None and not model.blocked
        fits = set(model.skills) <= set(has) and (not model.assignees or agent in model.assignees)
        allowed = free and fits and not model.deleted
        worker, place = Worker(agent, frozenset(has)), self.place("active")
        command = lambda mission: mission.claim(worker, 60, place)  # noqa: E731
        if self.decide(command, facts="claimed" if allowed else None):
            token = self.mission.version
            assert all(token > earlier for earlier in model.tokens)
            model.tokens.append(token)
            model.holder, model.token, model.percent = agent, token, 0
            model.stand_at(model.first("active"))

    def lease_of(self, credential, data):
        """Choose an agent and a token, and say whether they have to be let through."""
        model = self.model
        agent = data.draw(agents, label="agent")
        known = [None, 0, 1, *model.tokens, len(self.log) + 1]
        token = data.draw(st.sampled_from(known), label="token")
        if credential in {"in force", "stale"}:
            agent = model.holder or agent
        if credential in {"in force", "stolen"}:
            token = model.token or token
        good = None not in {agent, token} and (agent, token) == (model.holder, model.token)
        return agent, token, good and not model.deleted

    @working
    @rule(credential=credentials, data=st.data())
    def release(self, credential, data):
        agent, token, good = self.lease_of(credential, data)
        place = self.place("ready")
        command = lambda mission: mission.release(agent, token, place)  # noqa: E731
        if self.decide(command, facts="released" if good else None):
            self.model.end_lease("ready")

    @working
    @rule(credential=credentials, percent=st.integers(0, 100), data=st.data())
    def progress(self, credential, percent, data):
        agent, token, good = self.lease_of(credential, data)
        command = lambda mission: mission.progress(agent, token, percent, None)  # noqa: E731
        if self.decide(command, facts="progressed" if good else None):
            self.model.percent = percent

    @working
    @rule(credential=credentials, data=st.data())
    def submit(self, credential, data):
        self.let_submit(*self.lease_of(credential, data))

    def let_submit(self, agent, token, good):
        place = self.place("review")
        command = lambda mission: mission.submit(agent, token, "did it", place)  # noqa: E731
        if self.decide(command, facts="submitted" if good else None):
            self.model.end_lease("review")
            self.model.submitter = agent

    @working
    @rule(credential=credentials, data=st.data())
    def fail(self, credential, data):
        agent, token, good = self.lease_of(credential, data)
        blocks = self.model.failures + 1 >= 3 and not self.model.blocked
        facts = "failed blocked" if blocks else "failed"
        place = self.place("ready")
        command = lambda mission: mission.fail(agent, token, "no", place)  # noqa: E731
        if self.decide(command, facts=facts if good else None):
            self.model.end_lease("ready")
            self.model.failures += 1
            self.model.blocked |= blocks

    @working
    @rule(credential=credentials, data=st.data())
    def require_lease(self, credential, data):
        agent, token, good = self.lease_of(credential, data)
        command = lambda mission: mission.require_lease(agent, token)  # noqa: E731
        self.decide(command, facts="" if good else None)

    @precondition(lambda self: self.model.tokens)
    @rule(data=st.data())
    def expire(self, data):
        token = data.draw(st.sampled_from(self.model.tokens), label="token")
        lapses, place = token == self.model.token, self.place("ready")
        command = lambda mission: mission.expire_lease(token, place)  # noqa: E731
        self.decide(command, facts="lease_expired" if lapses else "")
        if lapses:
            self.model.end_lease("ready")

    # People

    def somebody(self, data):
        """Choose who reviews or moves: often those who must not."""
        interested = [*self.model.assignees, self.model.submitter, self.model.holder]
        choice = st.sampled_from([*AGENTS, *PEOPLE, *interested, *interested])
        return data.draw(choice, label="who") or PEOPLE[1]

    @rule(
        column=columns | st.sampled_from([(0, "ready", 0), (1, "done", 1)]),
        rank=st.sampled_from(["V1", "k1"]),
        near=st.booleans(),
        data=st.data(),
    )
    def move(self, column, rank, near, data):
        model, who = self.model, self.somebody(data)
        column = model.column if near else column
        into = column[1] == "done" != model.stage
        out_of = model.stage == "done" != column[1]
        refused = model.deleted or (into and self.own_work(who))
        facts = "moved completed" if into else "moved reopened" if out_of else "moved"
        if (column, rank) == (model.column, model.rank):
            facts = ""
        command = lambda mission: mission.move(place_of(column, rank), who)  # noqa: E731
        if self.decide(command, facts=None if refused else facts):
            if column != model.column:
                model.holder = model.token = None
            model.stand_at(column, rank)
            model.percent = 100 if into else model.percent
            model.submitter = None if out_of else model.submitter

    @precondition(lambda self: self.model.stage == "review" or len(self.log) % 5 == 0)
    @rule(data=st.data())
    def approve(self, data):
        who = self.somebody(data)
        allowed = self.model.stage == "review" and not self.own_work(who) and not self.model.deleted
        place = self.place("done")
        command = lambda mission: mission.approve(who, place)  # noqa: E731
        if self.decide(command, facts="approved completed" if allowed else None):
            self.model.stand_at(self.model.first("done"))
            self.model.percent = 100

    @precondition(lambda self: self.model.stage == "review" or len(self.log) % 5 == 0)
    @rule(data=st.data())
    def reject(self, data):
        who = self.somebody(data)
        allowed = self.model.stage == "review" and not self.own_work(who) and not self.model.deleted
        place = self.place("ready")
        command = lambda mission: mission.reject(who, "no", place)  # noqa: E731
        if self.decide(command, facts="rejected" if allowed else None):
            self.model.stand_at(self.model.first("ready"))
            self.model.submitter = None

    @rule(who=anybody)
    def assign(self, who):
        model = self.model
        takes_away = model.holder not in {None, who}
        facts = "released assigned" if takes_away else "assigned"
        facts = "" if who in model.assignees else facts
        place = self.place("ready")
        command = lambda mission: mission.assign(who, place)  # noqa: E731
        if self.decide(command, facts=None if model.deleted else facts) and facts:
            model.assignees.append(who)
            if takes_away:
                model.end_lease("ready")

    @rule(who=anybody)
    def unassign(self, who):
        model = self.model
        facts = "unassigned" if who in model.assignees else ""
        command = lambda mission: mission.unassign(who)  # noqa: E731
        if self.decide(command, facts=None if model.deleted else facts) and facts:
            model.assignees.remove(who)

    @precondition(lambda self: len(self.log) % 3 == 0)
    @rule()
    def block(self):
        refused = self.model.deleted or self.model.blocked
        if self.decide(lambda mission: mission.block("no"), facts=None if refused else "blocked"):
            self.model.blocked = True

    @rule()
    def unblock(self):
        refused = self.model.deleted or not self.model.blocked
        command = lambda mission: mission.unblock()  # noqa: E731
        if self.decide(command, facts=None if refused else "unblocked"):
            self.model.blocked, self.model.failures = False, 0

    @rule(title=st.sampled_from(["Paint", "Sand"]), needs=skills)
    def edit(self, title, needs):
        model = self.model
        facts = "" if (title, needs) == (model.title, model.skills) else "edited"
        content = Content(title, required_capabilities=needs)
        command = lambda mission: mission.edit(content)  # noqa: E731
        if self.decide(command, facts=None if model.deleted else facts):
            model.title, model.skills = title, needs

    @rule(rank=st.sampled_from(["V1", "k1"]))
    def rerank(self, rank):
        command = lambda mission: mission.rerank(rank)  # noqa: E731
        if self.decide(command, facts=None if self.model.deleted else "reranked"):
            self.model.rank = rank

    @rule(other=dependencies, met=st.booleans())
    def add_dependency(self, other, met):
        known = other in self.model.waiting_for
        facts = "" if known else "dependency_added"
        command = lambda mission: mission.add_dependency(other, met=met)  # noqa: E731
        if self.decide(command, facts=None if self.model.deleted else facts) and not known:
            self.model.waiting_for[other] = met

    @rule(other=dependencies)
    def remove_dependency(self, other):
        refused = self.model.deleted or other not in self.model.waiting_for
        command = lambda mission: mission.remove_dependency(other)  # noqa: E731
        if self.decide(command, facts=None if refused else "dependency_removed"):
            del self.model.waiting_for[other]

    @rule(other=dependencies, met=st.booleans())
    def note_dependency(self, other, met):
        news = self.model.waiting_for.get(other) is (not met) and not self.model.deleted
        facts = ("dependency_met" if met else "dependency_unmet") if news else ""
        self.decide(lambda mission: mission.note_dependency(other, met=met), facts=facts)
        if news:
            self.model.waiting_for[other] = met

    @precondition(lambda self: len(self.log) > 30 or self.model.deleted)
    @rule()
    def delete(self):
        facts = None if self.model.deleted else "deleted"
        if self.decide(lambda mission: mission.delete(), facts=facts):
            self.model.holder = self.model.token = None
            self.model.deleted = True

    # What everybody may rely on

    @invariant()
    def the_mission_is_as_the_model_says(self):
        mission, model = self.mission, self.model
        assert mission.place == place_of(model.column, model.rank)
        assert (mission.holder, mission.lease_token) == (model.holder, model.token)
        assert list(mission.assignees) == model.assignees
        assert mission.submitted_by == model.submitter
        assert mission.progress_percent == model.percent
        assert (mission.blocked_reason is not None) == model.blocked
        assert mission.failures == model.failures
        assert mission.dependencies == model.waiting_for
        assert mission.deleted == model.deleted
        assert mission.completed == (model.stage == "done")

    @invariant()
    def only_active_work_is_held_and_always_under_a_token(self):
        mission = self.mission
        assert (mission.holder is None) == (mission.lease_token is None)
        assert mission.holder is None or mission.place.stage == "active"
        assert mission.lease_token in {None, *self.model.tokens[-1:]}

    @invariant()
    def folding_the_log_gives_what_was_decided(self):
        folded = None
        for event in self.log:
            folded = event.mutate(folded)
        assert state_of(folded) == state_of(self.mission)
        assert [event.originator_version for event in self.log] == [*range(1, len(self.log) + 1)]

    @invariant()
    def only_reranks_may_follow_the_substantive_version(self):
        substantive = [event for event in self.log if not event.TOPIC.startswith("mission.rerank")]
        assert self.mission.substantive_version == substantive[-1].originator_version


TestMission = MissionMachine.TestCase
TestMission.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
