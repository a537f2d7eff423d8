"""Missions: the work. Who may do what to it, when, and what follows."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from eventsourcing.domain import event

from domain import base
from domain.board import Stage

FAILURES_UNTIL_BLOCKED = 3
ASSIGNEES_MAX = 50
DEPENDENCIES_MAX = 200


class Priority(StrEnum):
    """How soon, from least to most."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"


@dataclass(frozen=True)
class Place:
    """Where a card stands: a column of a board, its stage, and the rank within it."""

    board_id: UUID
    column_id: UUID
    stage: Stage
    rank: str


@dataclass(frozen=True)
class Content:
    """What a person writes about a mission. Times are UTC."""

    title: str
    description: str = ""
    priority: Priority = Priority.NORMAL
    labels: tuple[str, ...] = ()
    due: datetime | None = None
    required_capabilities: tuple[str, ...] = ()


@dataclass(frozen=True)
class Worker:
    """What a mission has to know of the agent that wants it."""

    agent_id: UUID
    capabilities: frozenset[str]


@dataclass(frozen=True)
class Card:
    """The whole card, for a board that has not seen it before."""

    content: Content
    assignees: tuple[UUID, ...]
    holder: UUID | None
    progress_percent: int
    blocked_reason: str | None
    dependencies: tuple[UUID, ...]
    unmet_dependencies: tuple[UUID, ...]
    submitted_by: UUID | None
    summary: str | None
    failures: int
    completed: bool


class LeaseLost(base.Refusal):
    """The token is not that of the lease in force: claim the mission again."""

    code = "lease_lost"


class LeaseTokenMissing(base.InvalidValue):
    """Who holds the mission says so by the token of the lease."""

    code = "lease_token_missing"


class NotClaimable(base.Refusal):
    """The mission is not ready, blocked, somebody else's, or beyond the agent's capabilities."""

    code = "not_claimable"


class NotInReview(base.Refusal):
    """Only work in review is approved or rejected."""

    code = "not_in_review"


class OwnWork(base.Refusal):
    """Nobody approves what they submitted or were assigned."""

    code = "own_work"


class NotBlocked(base.Refusal):
    """The mission is not blocked."""

    code = "not_blocked"


class AlreadyBlocked(base.Refusal):
    """The mission is blocked already."""

    code = "already_blocked"


class DependsOnItself(base.Refusal):
    """A mission can't wait for itself."""

    code = "dependency_cycle"


class DependencyNotFound(base.NotFound):
    """The mission has no such dependency."""

    code = "dependency_not_found"


class TooMany(base.Refusal):
    """A limit on assignees or dependencies."""

    code = "too_many"


class MissionDeleted(base.NotFound):
    """The mission was deleted."""

    code = "not_found"


class MissionEvent(base.Aggregate.Event):
    """Every event of a mission names the board that it happened on."""

    board_id: UUID


class PlacedEvent(MissionEvent):
    """An event that changes the card's place: where it stands from now on."""

    column_id: UUID
    stage: Stage
    rank: str


class Mission(base.Aggregate):
    """One piece of work, from backlog to done.

    An agent works under a lease: `claimed` names the holder, and the version of that event is the
    fencing token that every later write of the agent carries until an event ends the lease.
    """

    TOPIC = "mission"

    place: Place
    content: Content
    created_by: UUID
    assignees: tuple[UUID, ...]
    holder: UUID | None
    lease_token: int | None
    progress_percent: int
    dependencies: dict[UUID, bool]
    blocked_reason: str | None
    failures: int
    submitted_by: UUID | None
    summary: str | None
    sent_back_reason: str | None
    """Why a reviewer sent it back, until it is handed in again or completed."""
    completed: bool
    deleted: bool

    class Event(MissionEvent):
        pass

    class Created(PlacedEvent, base.Aggregate.Created):
        TOPIC = "mission.created.v1"
        content: Content
        assignees: tuple[UUID, ...]
        created_by: UUID

    class Edited(Event):
        TOPIC = "mission.edited.v1"
        content: Content
        changed: tuple[str, ...]

    class Moved(PlacedEvent):
        TOPIC = "mission.moved.v1"
        from_board_id: UUID
        from_column_id: UUID
        card: Card | None
        ended_lease: int | None

    class Reranked(PlacedEvent):
        TOPIC = "mission.reranked.v1"
        HOUSEKEEPING: ClassVar[bool] = True

    class Assigned(Event):
        TOPIC = "mission.assigned.v1"
        assignee_id: UUID

    class Unassigned(Event):
        TOPIC = "mission.unassigned.v1"
        assignee_id: UUID

    class Claimed(PlacedEvent):
        TOPIC = "mission.claimed.v1"
        agent_id: UUID
        lease_ttl_s: int

    class LeaseExpired(PlacedEvent):
        TOPIC = "mission.lease_expired.v1"
        agent_id: UUID
        lease_token: int

    class Released(PlacedEvent):
        TOPIC = "mission.released.v1"
        agent_id: UUID
        lease_token: int

    class Progressed(Event):
        TOPIC = "mission.progressed.v1"
        agent_id: UUID
        percent: int
        note: str | None

    class Submitted(PlacedEvent):
        TOPIC = "mission.submitted.v1"
        agent_id: UUID
        summary: str

    class Approved(PlacedEvent):
        TOPIC = "mission.approved.v1"
        reviewer_id: UUID

    class Rejected(PlacedEvent):
        TOPIC = "mission.rejected.v1"
        reviewer_id: UUID
        reason: str

    class Completed(PlacedEvent):
        TOPIC = "mission.completed.v1"
        completed_by: UUID

    class Reopened(Event):
        TOPIC = "mission.reopened.v1"

    class Failed(PlacedEvent):
        TOPIC = "mission.failed.v1"
        agent_id: UUID
        reason: str

    class Blocked(Event):
        TOPIC = "mission.blocked.v1"
        reason: str

    class Unblocked(Event):
        TOPIC = "mission.unblocked.v1"

    class DependencyAdded(Event):
        TOPIC = "mission.dependency_added.v1"
        depends_on_id: UUID
        met: bool

    class DependencyRemoved(Event):
        TOPIC = "mission.dependency_removed.v1"
        depends_on_id: UUID

    class DependencyMet(Event):
        TOPIC = "mission.dependency_met.v1"
        depends_on_id: UUID

    class DependencyUnmet(Event):
        TOPIC = "mission.dependency_unmet.v1"
        depends_on_id: UUID

    class Deleted(Event):
        TOPIC = "mission.deleted.v1"

    @event(Created)
    def __init__(
        self,
        workspace_id: UUID,
        board_id: UUID,
        column_id: UUID,
        stage: Stage,
        rank: str,
        content: Content,
        assignees: tuple[UUID, ...],
        created_by: UUID,
    ) -> None:
        self.workspace_id = workspace_id
        self.place = Place(board_id, column_id, stage, rank)
        self.content = content
        self.created_by = created_by
        self.assignees = assignees
        self.holder = None
        self.lease_token = None
        self.progress_percent = 0
        self.dependencies = {}
        self.blocked_reason = None
        self.failures = 0
        self.submitted_by = None
        self.summary = None
        self.sent_back_reason = None
        self.completed = stage == Stage.DONE
        self.deleted = False

    @classmethod
    def create(
        cls,
        mission_id: UUID,
        workspace_id: UUID,
        place: Place,
        content: Content,
        assignees: tuple[UUID, ...],
        created_by: UUID,
    ) -> "Mission":
        """Put a new card on a board."""
        _require_few("assignees", len(assignees), ASSIGNEES_MAX)
        return cls.begin(
            mission_id,
            workspace_id=workspace_id,
            **_flat(place),
            content=content,
            assignees=assignees,
            created_by=created_by,
        )

    def trigger_event(self, event_class: type[Any], **kwargs: Any) -> None:
        """Record a fact together with the board that it happened on."""
        kwargs.setdefault("board_id", self.place.board_id)
        super().trigger_event(event_class, **kwargs)

    # What people do

    def edit(self, content: Content) -> None:
        """Change what is written; silent when nothing differs."""
        self._require_present()
        old, new = vars(self.content), vars(content)
        changed = tuple(field for field in old if old[field] != new[field])
        if changed:
            self._edited(content, changed)

    def move(self, place: Place, mover_id: UUID) -> None:
        """Move the card by hand. Into done it completes the mission, out of done it re-opens it.

        Leaving its column ends a lease; a new rank in the same column does not.
        """
        self._require_present()
        origin = self.place
        if place == origin:
            return
        finishes = place.stage == Stage.DONE and origin.stage != Stage.DONE
        if finishes:
            self._require_not_own_work(mover_id)
        leaves = place.column_id != origin.column_id
        card = self._card() if place.board_id != origin.board_id else None
        ended_lease = self.lease_token if leaves else None
        self._moved(
            **_flat(place),
            from_board_id=origin.board_id,
            from_column_id=origin.column_id,
            card=card,
            ended_lease=ended_lease,
        )
        if finishes:
            self._completed(**_flat(place), completed_by=mover_id)
        if origin.stage == Stage.DONE and place.stage != Stage.DONE:
            self._reopened()

    def rerank(self, rank: str) -> None:
        """Take a new rank in the same column, when the column is re-balanced."""
        self._require_present()
        self._reranked(self.place.column_id, self.place.stage, rank)

    def assign(self, assignee_id: UUID, ready: Place) -> None:
        """Make somebody responsible. Another agent that holds the mission loses it to `ready`."""
        self._require_present()
        if assignee_id in self.assignees:
            return
        _require_few("assignees", len(self.assignees) + 1, ASSIGNEES_MAX)
        if self.holder is not None and self.holder != assignee_id:
            self._release(ready)
        self._assigned(assignee_id)

    def unassign(self, assignee_id: UUID) -> None:
        """Take the responsibility away; silent when there was none."""
        self._require_present()
        if assignee_id in self.assignees:
            self._unassigned(assignee_id)

    def block(self, reason: str) -> None:
        """Keep everybody from claiming it until it is unblocked."""
        self._require_present()
        if self.blocked_reason is not None:
            raise AlreadyBlocked("the mission is blocked already")
        self._blocked(reason)

    def unblock(self) -> None:
        """Let it be claimed again, with its failures forgiven."""
        self._require_present()
        if self.blocked_reason is None:
            raise NotBlocked("the mission is not blocked")
        self._unblocked()

    def add_dependency(self, depends_on_id: UUID, *, met: bool) -> None:
        """Wait for another mission. A guard refuses cycles, which span streams."""
        self._require_present()
        if depends_on_id == self.id:
            raise DependsOnItself("a mission can't wait for itself", field="depends_on_id")
        if depends_on_id in self.dependencies:
            return
        _require_few("depends_on_id", len(self.dependencies) + 1, DEPENDENCIES_MAX)
        self._dependency_added(depends_on_id, met)

    def remove_dependency(self, depends_on_id: UUID) -> None:
        """Stop waiting for another mission."""
        self._require_present()
        if depends_on_id not in self.dependencies:
            raise DependencyNotFound("the mission has no such dependency", field="depends_on_id")
        self._dependency_removed(depends_on_id)

    def note_dependency(self, depends_on_id: UUID, *, met: bool) -> None:
        """Take note that a dependency was completed, deleted or re-opened; silent when known."""
        if self.deleted or self.dependencies.get(depends_on_id, met) == met:
            return
        if met:
            self._dependency_met(depends_on_id)
        else:
            self._dependency_unmet(depends_on_id)

    def approve(self, reviewer_id: UUID, done: Place) -> None:
        """Accept submitted work, which completes the mission."""
        self._require_in_review()
        self._require_not_own_work(reviewer_id)
        self._approved(**_flat(done), reviewer_id=reviewer_id)
        self._completed(**_flat(done), completed_by=reviewer_id)

    def reject(self, reviewer_id: UUID, reason: str, ready: Place) -> None:
        """Send submitted work back."""
        self._require_in_review()
        self._require_not_own_work(reviewer_id)
        self._rejected(**_flat(ready), reviewer_id=reviewer_id, reason=reason)

    def delete(self) -> None:
        """Take the card off its board for good; ends a lease."""
        self._require_present()
        self._deleted()

    # What agents do, under a lease

    def claim(self, worker: Worker, lease_ttl_s: int, active: Place) -> int:
        """Take the mission and return the fencing token.

        Dependencies and the limit of the active column span streams: guards look at them.
        """
        self._require_present()
        self._require_claimable_by(worker)
        self._claimed(**_flat(active), agent_id=worker.agent_id, lease_ttl_s=lease_ttl_s)
        return self.version

    def require_lease(self, agent_id: UUID, lease_token: int | None) -> None:
        """Raise `LeaseLost` or `LeaseTokenMissing` unless this agent holds the mission by this token."""
        self._require_present()
        if self.holder == agent_id and lease_token is None:
            raise LeaseTokenMissing(
                "you hold this mission: send its lease's token, as lease_token or in the header"
                " Lease-Token",
                field="lease_token",
            )
        if self.holder != agent_id or self.lease_token != lease_token:
            raise LeaseLost(
                "this lease is not in force any more; claim the mission again", field="lease_token"
            )

    def release(self, agent_id: UUID, lease_token: int | None, ready: Place) -> None:
        """Give the mission back."""
        self.require_lease(agent_id, lease_token)
        self._release(ready)

    def progress(
        self, agent_id: UUID, lease_token: int | None, percent: int, note: str | None
    ) -> None:
        """Report how far the work is, 0 to 100."""
        self.require_lease(agent_id, lease_token)
        self._progressed(agent_id, percent, note)

    def submit(self, agent_id: UUID, lease_token: int | None, summary: str, review: Place) -> None:
        """Hand the work in for review."""
        self.require_lease(agent_id, lease_token)
        self._submitted(**_flat(review), agent_id=agent_id, summary=summary)

    def fail(self, agent_id: UUID, lease_token: int | None, reason: str, ready: Place) -> None:
        """Give up. After `FAILURES_UNTIL_BLOCKED` failures the mission waits for a person."""
        self.require_lease(agent_id, lease_token)
        self._failed(**_flat(ready), agent_id=agent_id, reason=reason)
        if self.failures >= FAILURES_UNTIL_BLOCKED and self.blocked_reason is None:
            self._blocked(f"failed {self.failures} times, last: {reason}")

    def expire_lease(self, lease_token: int, ready: Place) -> None:
        """End a lease that ran out; silent when it ended otherwise."""
        if self.holder is not None and self.lease_token == lease_token:
            self._lease_expired(**_flat(ready), agent_id=self.holder, lease_token=lease_token)

    # Rules

    def _require_present(self) -> None:
        if self.deleted:
            raise MissionDeleted("this mission was deleted")

    def _require_in_review(self) -> None:
        self._require_present()
        if self.place.stage != Stage.REVIEW:
            raise NotInReview("only a mission in review is approved or rejected")

    def _require_not_own_work(self, reviewer_id: UUID) -> None:
        if reviewer_id in {self.submitted_by, self.holder, *self.assignees}:
            raise OwnWork("somebody else has to approve this: it is your own work")

    def _require_claimable_by(self, worker: Worker) -> None:
        if self.place.stage != Stage.READY or self.holder is not None:
            raise NotClaimable(f"the mission is not ready but in stage {self.place.stage}")
        if self.blocked_reason is not None:
            raise NotClaimable("the mission is blocked")
        if self.assignees and worker.agent_id not in self.assignees:
            raise NotClaimable("the mission is assigned to somebody else")
        missing = set(self.content.required_capabilities) - worker.capabilities
        if missing:
            raise NotClaimable(f"the agent lacks {', '.join(sorted(missing))}")

    def _card(self) -> Card:
        return Card(
            content=self.content,
            assignees=self.assignees,
            holder=None,
            progress_percent=self.progress_percent,
            blocked_reason=self.blocked_reason,
            dependencies=tuple(self.dependencies),
            unmet_dependencies=tuple(key for key, met in self.dependencies.items() if not met),
            submitted_by=self.submitted_by,
            summary=self.summary,
            failures=self.failures,
            completed=self.completed,
        )

    def _release(self, ready: Place) -> None:
        assert self.holder is not None and self.lease_token is not None
        self._released(**_flat(ready), agent_id=self.holder, lease_token=self.lease_token)

    # What follows from each fact

    def _end_lease(self, place: Place) -> None:
        self.place = place
        self.holder = None
        self.lease_token = None

    @event(Edited)
    def _edited(self, content: Content, changed: tuple[str, ...]) -> None:
        self.content = content

    @event(Moved)
    def _moved(
        self,
        board_id: UUID,
        column_id: UUID,
        stage: Stage,
        rank: str,
        from_board_id: UUID,
        from_column_id: UUID,
        card: Card | None,
        ended_lease: int | None,
    ) -> None:
        self.place = Place(board_id, column_id, stage, rank)
        if column_id != from_column_id:
            self._end_lease(self.place)

    @event(Reranked)
    def _reranked(self, column_id: UUID, stage: Stage, rank: str) -> None:
        self.place = Place(self.place.board_id, column_id, stage, rank)

    @event(Assigned)
    def _assigned(self, assignee_id: UUID) -> None:
        self.assignees = (*self.assignees, assignee_id)

    @event(Unassigned)
    def _unassigned(self, assignee_id: UUID) -> None:
        self.assignees = tuple(other for other in self.assignees if other != assignee_id)

    @event(Claimed)
    def _claimed(
        self,
        board_id: UUID,
        column_id: UUID,
        stage: Stage,
        rank: str,
        agent_id: UUID,
        lease_ttl_s: int,
    ) -> None:
        self.place = Place(board_id, column_id, stage, rank)
        self.holder = agent_id
        # The event is applied before the aggregate's version moves on to the event's own.
        self.lease_token = self.version + 1
        self.progress_percent = 0

    @event(LeaseExpired)
    def _lease_expired(
        self,
        board_id: UUID,
        column_id: UUID,
        stage: Stage,
        rank: str,
        agent_id: UUID,
        lease_token: int,
    ) -> None:
        self._end_lease(Place(board_id, column_id, stage, rank))

    @event(Released)
    def _released(
        self,
        board_id: UUID,
        column_id: UUID,
        stage: Stage,
        rank: str,
        agent_id: UUID,
        lease_token: int,
    ) -> None:
        self._end_lease(Place(board_id, column_id, stage, rank))

    @event(Progressed)
    def _progressed(self, agent_id: UUID, percent: int, note: str | None) -> None:
        self.progress_percent = percent

    @event(Submitted)
    def _submitted(
        self,
        board_id: UUID,
        column_id: UUID,
        stage: Stage,
        rank: str,
        agent_id: UUID,
        summary: str,
    ) -> None:
        self._end_lease(Place(board_id, column_id, stage, rank))
        self.submitted_by = agent_id
        self.summary = summary
        self.sent_back_reason = None

    @event(Approved)
    def _approved(
        self, board_id: UUID, column_id: UUID, stage: Stage, rank: str, reviewer_id: UUID
    ) -> None:
        self.place = Place(board_id, column_id, stage, rank)

    @event(Rejected)
    def _rejected(
        self,
        board_id: UUID,
        column_id: UUID,
        stage: Stage,
        rank: str,
        reviewer_id: UUID,
        reason: str,
    ) -> None:
        self.place = Place(board_id, column_id, stage, rank)
        self.submitted_by = None
        self.summary = None
        self.sent_back_reason = reason

    @event(Completed)
    def _completed(
        self, board_id: UUID, column_id: UUID, stage: Stage, rank: str, completed_by: UUID
    ) -> None:
        self.place = Place(board_id, column_id, stage, rank)
        self.progress_percent = 100
        self.sent_back_reason = None
        self.completed = True

    @event(Reopened)
    def _reopened(self) -> None:
        self.completed = False
        self.submitted_by = None
        self.summary = None

    @event(Failed)
    def _failed(
        self,
        board_id: UUID,
        column_id: UUID,
        stage: Stage,
        rank: str,
        agent_id: UUID,
        reason: str,
    ) -> None:
        self._end_lease(Place(board_id, column_id, stage, rank))
        self.failures += 1

    @event(Blocked)
    def _blocked(self, reason: str) -> None:
        self.blocked_reason = reason

    @event(Unblocked)
    def _unblocked(self) -> None:
        self.blocked_reason = None
        self.failures = 0

    @event(DependencyAdded)
    def _dependency_added(self, depends_on_id: UUID, met: bool) -> None:
        self.dependencies = {**self.dependencies, depends_on_id: met}

    @event(DependencyRemoved)
    def _dependency_removed(self, depends_on_id: UUID) -> None:
        self.dependencies = {
            other: met for other, met in self.dependencies.items() if other != depends_on_id
        }

    @event(DependencyMet)
    def _dependency_met(self, depends_on_id: UUID) -> None:
        self.dependencies = {**self.dependencies, depends_on_id: True}

    @event(DependencyUnmet)
    def _dependency_unmet(self, depends_on_id: UUID) -> None:
        self.dependencies = {**self.dependencies, depends_on_id: False}

    @event(Deleted)
    def _deleted(self) -> None:
        self._end_lease(self.place)
        self.deleted = True


def _flat(place: Place) -> Mapping[str, Any]:
    return vars(place)


def _require_few(field: str, count: int, most: int) -> None:
    if count > most:
        raise TooMany(f"at most {most} {field.replace('_', ' ')}", field=field)
