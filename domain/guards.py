"""Guards: the rules that span streams, decided in log order at the moment of the append.

A guard table is a fold of the log. `needs` names the rows that an event's rules look at, `admit`
refuses the event or changes the rows. The same fold rebuilds the tables from the log.
"""

import unicodedata
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from domain.agent import Agent, Lifecycle
from domain.base import Event, NotFound, Refusal, replace
from domain.board import Board, Column, Stage
from domain.mission import Content, Mission, PlacedEvent, Priority
from domain.user import User
from domain.workspace import LastAdmin, Role, Workspace

NEVER_DUE = datetime(9999, 12, 31, tzinfo=UTC)
URGENCY = {Priority.LOW: 0, Priority.NORMAL: 1, Priority.HIGH: 2, Priority.URGENT: 3}


class WipLimitReached(Refusal):
    """The column holds as many cards as it may."""

    code = "wip_limit_reached"


class ColumnNotEmpty(Refusal):
    """A column with cards is not removed."""

    code = "column_not_empty"


class DependencyCycle(Refusal):
    """The missions would wait for each other for ever."""

    code = "dependency_cycle"


class DependenciesUnmet(Refusal):
    """The mission waits for others."""

    code = "dependencies_unmet"


class NameTaken(Refusal):
    """Something of the same kind has this name."""

    code = "name_taken"


class AgentMayNotWork(Refusal):
    """The agent is deactivated or retired."""

    code = "agent_inactive"


class Stale(Exception):
    """The command was decided on a state that has changed: it has to be decided afresh."""


@dataclass(frozen=True)
class WorkspaceRow:
    workspace_id: UUID
    name: str
    name_key: str


@dataclass(frozen=True)
class NameRow:
    workspace_id: UUID
    kind: str
    name_key: str
    owner_id: UUID


@dataclass(frozen=True)
class ColumnRow:
    column_id: UUID
    workspace_id: UUID
    board_id: UUID
    stage: Stage
    rank: str
    wip_limit: int | None
    cards: int


@dataclass(frozen=True)
class MissionRow:
    mission_id: UUID
    workspace_id: UUID
    board_id: UUID
    column_id: UUID
    stage: Stage
    rank: str
    urgency: int
    due: datetime
    required_capabilities: tuple[str, ...]
    assignees: tuple[UUID, ...]
    blocked: bool
    unmet_dependencies: int


@dataclass(frozen=True)
class DependencyRow:
    mission_id: UUID
    depends_on_id: UUID
    workspace_id: UUID


@dataclass(frozen=True)
class AgentRow:
    agent_id: UUID
    workspace_id: UUID
    owner_id: UUID
    lifecycle: Lifecycle
    capabilities: tuple[str, ...]


@dataclass(frozen=True)
class MemberRow:
    user_id: UUID
    workspace_id: UUID
    role: Role
    disabled: bool


@dataclass(frozen=True)
class LeaseRow:
    mission_id: UUID
    workspace_id: UUID
    agent_id: UUID
    token: int
    ttl_s: int
    expires_at: datetime


Row = (
    WorkspaceRow
    | NameRow
    | ColumnRow
    | MissionRow
    | DependencyRow
    | AgentRow
    | MemberRow
    | LeaseRow
)
Key = tuple[type[Any], Hashable]


@dataclass
class Needs:
    """Which rows a batch's rules look at."""

    columns: set[UUID] = field(default_factory=set)
    missions: set[UUID] = field(default_factory=set)
    dependents_of: set[UUID] = field(default_factory=set)
    closure_of: set[UUID] = field(default_factory=set)
    agents: set[UUID] = field(default_factory=set)
    members: set[UUID] = field(default_factory=set)
    admins_of: set[UUID] = field(default_factory=set)
    names: set[tuple[UUID, str, str]] = field(default_factory=set)
    owned_names: set[UUID] = field(default_factory=set)
    workspace_names: set[str] = field(default_factory=set)

    def add(self, event: Event, workspace_id: UUID) -> None:
        """Add what one event needs."""
        stream = event.originator_id
        match event:
            case Mission.Event():
                self._add_mission(event, stream)
            case Board.Created(name=name):
                self.names.add((workspace_id, "board", name_key(name)))
            case Board.Event():
                column_id = getattr(event, "column_id", None)
                if column_id is not None:
                    self.columns.add(column_id)
            case Agent.Created(name=name) | Agent.Updated(name=name):
                self.names.add((workspace_id, "agent", name_key(name)))
                self.owned_names.add(stream)
                self.agents.add(stream)
            case Agent.Activated() | Agent.Deactivated() | Agent.Retired():
                self.agents.add(stream)
                self.owned_names.add(stream)
            case Workspace.Created(name=name):
                self.workspace_names.add(name_key(name))
            case Workspace.RoleChanged(user_id=user_id) | Workspace.MemberRemoved(user_id=user_id):
                self.members.add(user_id)
                self.admins_of.add(workspace_id)
            case User.Disabled():
                self.members.add(stream)
                self.admins_of.add(workspace_id)
            case _:
                pass

    def _add_mission(self, event: Event, stream: UUID) -> None:
        if isinstance(event, Mission.Created):
            self.columns.add(event.column_id)
            return
        self.missions.add(stream)
        if isinstance(event, PlacedEvent):
            self.columns.add(event.column_id)
            self.dependents_of.add(stream)
        if isinstance(event, Mission.Claimed):
            self.agents.add(event.agent_id)
        if isinstance(event, Mission.Deleted):
            self.dependents_of.add(stream)
        if isinstance(event, Mission.DependencyAdded):
            self.missions.add(event.depends_on_id)
            self.closure_of.add(event.depends_on_id)
        if isinstance(event, Mission.DependencyRemoved):
            self.missions.add(event.depends_on_id)


class GuardState:
    """The guard rows of one batch in memory, with the changes that its commands make.

    A command that is refused half-way is undone by `rollback`, so that its neighbours never see it.
    """

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._rows: dict[Key, Row | None] = {key_of(row): row for row in rows}
        self._changed: dict[Key, None] = {}
        self._journal: list[tuple[Key, Row | None, bool]] = []

    def commit(self) -> None:
        """Keep what the command changed."""
        self._journal.clear()

    def rollback(self) -> None:
        """Undo what the command changed since the last commit."""
        for key, before, was_changed in reversed(self._journal):
            self._rows[key] = before
            if not was_changed:
                del self._changed[key]
        self._journal.clear()

    def changes(self) -> Iterable[tuple[Key, Row | None]]:
        """Yield each changed key with its row, None where it was deleted."""
        return ((key, self._rows[key]) for key in self._changed)

    def admit(
        self, event: Event, workspace_id: UUID, recorded_at: datetime, *, check: bool = True
    ) -> None:
        """Take an event into account, or raise a `Refusal` or `Stale`.

        `check=False` folds an event that the log holds already.
        """
        match event:
            case Mission.Event():
                self._admit_mission(event, workspace_id, recorded_at, check=check)
            case Board.Event():
                self._admit_board(event, workspace_id, check=check)
            case Agent.Event():
                self._admit_agent(event, workspace_id, check=check)
            case Workspace.Event():
                self._admit_workspace(event, workspace_id, check=check)
            case User.Disabled():
                member = self._get(MemberRow, event.originator_id)
                if member is not None:
                    self._put(replace(member, disabled=True))
                    self._require_admin(workspace_id, check=check)
            case _:
                pass

    # Boards

    def _admit_board(self, event: Event, workspace_id: UUID, *, check: bool) -> None:
        board_id = event.originator_id
        match event:
            case Board.Created(name=name, columns=columns):
                self._take_name(workspace_id, "board", name, board_id, check=check)
                for column in columns:
                    self._put(_column_row(column, workspace_id, board_id))
            case Board.ColumnAdded(column=column):
                self._put(_column_row(column, workspace_id, board_id))
            case Board.ColumnMoved(column_id=column_id, rank=rank):
                self._put(replace(self._require(ColumnRow, column_id), rank=rank))
            case Board.WipLimitSet(column_id=column_id, wip_limit=wip_limit):
                self._put(replace(self._require(ColumnRow, column_id), wip_limit=wip_limit))
            case Board.ColumnRemoved(column_id=column_id):
                if check and self._require(ColumnRow, column_id).cards:
                    raise ColumnNotEmpty("move the cards out of this column first")
                self._delete((ColumnRow, column_id))
            case _:
                pass

    # Missions

    def _admit_mission(
        self, event: Any, workspace_id: UUID, recorded_at: datetime, *, check: bool
    ) -> None:
        mission_id = event.originator_id
        match event:
            case Mission.Created():
                self._enter(event.column_id, event.board_id, limited=check)
                self._put(_mission_row(event, workspace_id))
                return
            case Mission.Claimed():
                if check:
                    self._check_claim(event)
                expires_at = recorded_at + timedelta(seconds=event.lease_ttl_s)
                token, ttl_s = event.originator_version, event.lease_ttl_s
                self._put(
                    LeaseRow(mission_id, workspace_id, event.agent_id, token, ttl_s, expires_at)
                )
            case (
                Mission.LeaseExpired() | Mission.Released() | Mission.Submitted() | Mission.Failed()
            ):
                self._delete((LeaseRow, mission_id))
            case Mission.Moved(ended_lease=int()):
                self._delete((LeaseRow, mission_id))
            case Mission.DependencyAdded() | Mission.DependencyRemoved():
                self._admit_dependency(event, workspace_id, check=check)
                return
            case Mission.Deleted():
                self._remove_mission(mission_id)
                return
            case _:
                pass
        row = self._require(MissionRow, mission_id)
        if isinstance(event, PlacedEvent):
            row = self._place(row, event, check=check)
        self._put(_changed_row(row, event))

    def _check_claim(self, event: Any) -> None:
        agent = self._get(AgentRow, event.agent_id)
        if agent is None or agent.lifecycle != Lifecycle.ACTIVE:
            raise AgentMayNotWork("this agent is not active")
        if self._require(MissionRow, event.originator_id).unmet_dependencies:
            raise DependenciesUnmet("the mission waits for others to be done")

    def _place(self, row: MissionRow, event: Any, *, check: bool) -> MissionRow:
        if event.column_id != row.column_id:
            limited = check and isinstance(event, (Mission.Moved, Mission.Claimed))
            self._enter(event.column_id, event.board_id, limited=limited)
            self._leave(row.column_id)
        if (event.stage == Stage.DONE) != (row.stage == Stage.DONE):
            self._tell_dependents(row.mission_id, met=event.stage == Stage.DONE)
        return replace(
            row,
            board_id=event.board_id,
            column_id=event.column_id,
            stage=event.stage,
            rank=event.rank,
        )

    def _enter(self, column_id: UUID, board_id: UUID, *, limited: bool) -> None:
        column = self._require(ColumnRow, column_id)
        if column.board_id != board_id:
            raise Stale
        if limited and column.wip_limit is not None and column.cards >= column.wip_limit:
            raise WipLimitReached(
                f"the column is at its limit: {column.cards} of {column.wip_limit}",
                field="column_id",
            )
        self._put(replace(column, cards=column.cards + 1))

    def _leave(self, column_id: UUID) -> None:
        column = self._get(ColumnRow, column_id)
        if column is not None:
            self._put(replace(column, cards=column.cards - 1))

    def _tell_dependents(self, mission_id: UUID, *, met: bool) -> None:
        for edge in self._dependencies():
            if edge.depends_on_id == mission_id:
                dependent = self._get(MissionRow, edge.mission_id)
                if dependent is not None:
                    count = dependent.unmet_dependencies + (-1 if met else 1)
                    self._put(replace(dependent, unmet_dependencies=count))

    def _remove_mission(self, mission_id: UUID) -> None:
        row = self._require(MissionRow, mission_id)
        self._leave(row.column_id)
        if row.stage != Stage.DONE:
            self._tell_dependents(mission_id, met=True)
        for edge in self._dependencies():
            if edge.mission_id == mission_id:
                self._delete(key_of(edge))
        self._delete((LeaseRow, mission_id))
        self._delete((MissionRow, mission_id))

    def _admit_dependency(self, event: Any, workspace_id: UUID, *, check: bool) -> None:
        mission_id, target_id = event.originator_id, event.depends_on_id
        row = self._require(MissionRow, mission_id)
        target = self._get(MissionRow, target_id)
        met = target is None or target.stage == Stage.DONE
        count = row.unmet_dependencies
        if isinstance(event, Mission.DependencyRemoved):
            self._delete((DependencyRow, (mission_id, target_id)))
            self._put(replace(row, unmet_dependencies=count if met else count - 1))
            return
        if check:
            if target is None or target.workspace_id != workspace_id:
                raise NotFound("no such mission", field="depends_on_id")
            if met != event.met:
                raise Stale
            if self._reaches(target_id, mission_id):
                raise DependencyCycle(
                    "the other mission waits for this one already", field="depends_on_id"
                )
        self._put(DependencyRow(mission_id, target_id, workspace_id))
        self._put(replace(row, unmet_dependencies=count if met else count + 1))

    def _reaches(self, start: UUID, goal: UUID) -> bool:
        targets: dict[UUID, list[UUID]] = {}
        for edge in self._dependencies():
            targets.setdefault(edge.mission_id, []).append(edge.depends_on_id)
        frontier, seen = [start], {start}
        while frontier:
            current = frontier.pop()
            if current == goal:
                return True
            fresh = [target for target in targets.get(current, ()) if target not in seen]
            seen.update(fresh)
            frontier.extend(fresh)
        return False

    def _dependencies(self) -> list[DependencyRow]:
        return [row for row in self._rows.values() if isinstance(row, DependencyRow)]

    # Agents, workspaces and names

    def _admit_agent(self, event: Any, workspace_id: UUID, *, check: bool) -> None:
        agent_id = event.originator_id
        match event:
            case Agent.Created():
                self._take_name(workspace_id, "agent", event.name, agent_id, check=check)
                self._put(
                    AgentRow(
                        agent_id, workspace_id, event.owner_id, Lifecycle.ACTIVE, event.capabilities
                    )
                )
            case Agent.Updated():
                self._free_names(agent_id)
                self._take_name(workspace_id, "agent", event.name, agent_id, check=check)
                agent = self._require(AgentRow, agent_id)
                self._put(replace(agent, capabilities=event.capabilities))
            case Agent.Activated():
                self._put(replace(self._require(AgentRow, agent_id), lifecycle=Lifecycle.ACTIVE))
            case Agent.Deactivated():
                self._put(replace(self._require(AgentRow, agent_id), lifecycle=Lifecycle.INACTIVE))
            case Agent.Retired():
                self._free_names(agent_id)
                self._put(replace(self._require(AgentRow, agent_id), lifecycle=Lifecycle.RETIRED))
            case _:
                pass

    def _admit_workspace(self, event: Any, workspace_id: UUID, *, check: bool) -> None:
        match event:
            case Workspace.Created(name=name):
                if check and self._workspace_named(name):
                    raise NameTaken("another workspace has this name", field="name")
                self._put(WorkspaceRow(workspace_id, name, name_key(name)))
            case Workspace.MemberAdded(user_id=user_id, role=role):
                self._put(MemberRow(user_id, workspace_id, role, disabled=False))
            case Workspace.RoleChanged(user_id=user_id, role=role):
                self._put(replace(self._require(MemberRow, user_id), role=role))
                self._require_admin(workspace_id, check=check)
            case Workspace.MemberRemoved(user_id=user_id):
                self._delete((MemberRow, user_id))
                self._require_admin(workspace_id, check=check)
            case _:
                pass

    def _require_admin(self, workspace_id: UUID, *, check: bool) -> None:
        """Two streams are involved, a person's and the workspace's: neither sees the whole."""
        members = (row for row in self._rows.values() if isinstance(row, MemberRow))
        if check and not any(
            row.workspace_id == workspace_id and row.role == Role.ADMIN and not row.disabled
            for row in members
        ):
            raise LastAdmin("a workspace keeps at least one admin", field="user_id")

    def _workspace_named(self, name: str) -> bool:
        key = name_key(name)
        return any(
            isinstance(row, WorkspaceRow) and row.name_key == key for row in self._rows.values()
        )

    def _take_name(
        self, workspace_id: UUID, kind: str, name: str, owner_id: UUID, *, check: bool
    ) -> None:
        row = NameRow(workspace_id, kind, name_key(name), owner_id)
        holder = self._rows.get(key_of(row))
        if check and isinstance(holder, NameRow) and holder.owner_id != owner_id:
            raise NameTaken(f"another {kind} of this workspace has this name", field="name")
        self._put(row)

    def _free_names(self, owner_id: UUID) -> None:
        for key, row in list(self._rows.items()):
            if isinstance(row, NameRow) and row.owner_id == owner_id:
                self._delete(key)

    # Rows

    def _get(self, table: type[Any], key: Hashable) -> Any:
        return self._rows.get((table, key))

    def _require(self, table: type[Any], key: Hashable) -> Any:
        row = self._rows.get((table, key))
        if row is None:
            raise Stale
        return row

    def _put(self, row: Row) -> None:
        self._set(key_of(row), row)

    def _delete(self, key: Key) -> None:
        self._set(key, None)

    def _set(self, key: Key, row: Row | None) -> None:
        self._journal.append((key, self._rows.get(key), key in self._changed))
        self._rows[key] = row
        self._changed[key] = None


def key_of(row: Row) -> Key:
    """Return the table and primary key of a row."""
    match row:
        case WorkspaceRow():
            return (WorkspaceRow, row.workspace_id)
        case NameRow():
            return (NameRow, (row.workspace_id, row.kind, row.name_key))
        case ColumnRow():
            return (ColumnRow, row.column_id)
        case MissionRow():
            return (MissionRow, row.mission_id)
        case DependencyRow():
            return (DependencyRow, (row.mission_id, row.depends_on_id))
        case AgentRow():
            return (AgentRow, row.agent_id)
        case MemberRow():
            return (MemberRow, row.user_id)
        case LeaseRow():
            return (LeaseRow, row.mission_id)


def name_key(name: str) -> str:
    """Return what two names share that people would take for the same: case, width, what can't be seen."""
    seen = (
        char for char in unicodedata.normalize("NFKC", name) if unicodedata.category(char) != "Cf"
    )
    return " ".join("".join(seen).casefold().split())


def _column_row(column: Column, workspace_id: UUID, board_id: UUID) -> ColumnRow:
    return ColumnRow(
        column.id, workspace_id, board_id, column.stage, column.rank, column.wip_limit, cards=0
    )


def _mission_row(event: Any, workspace_id: UUID) -> MissionRow:
    content: Content = event.content
    return MissionRow(
        mission_id=event.originator_id,
        workspace_id=workspace_id,
        board_id=event.board_id,
        column_id=event.column_id,
        stage=event.stage,
        rank=event.rank,
        urgency=URGENCY[content.priority],
        due=content.due or NEVER_DUE,
        required_capabilities=content.required_capabilities,
        assignees=event.assignees,
        blocked=False,
        unmet_dependencies=0,
    )


def _changed_row(row: MissionRow, event: Any) -> MissionRow:
    match event:
        case Mission.Edited(content=content):
            return replace(
                row,
                urgency=URGENCY[content.priority],
                due=content.due or NEVER_DUE,
                required_capabilities=content.required_capabilities,
            )
        case Mission.Assigned(assignee_id=assignee_id):
            return replace(row, assignees=(*row.assignees, assignee_id))
        case Mission.Unassigned(assignee_id=assignee_id):
            return replace(row, assignees=tuple(a for a in row.assignees if a != assignee_id))
        case Mission.Blocked():
            return replace(row, blocked=True)
        case Mission.Unblocked():
            return replace(row, blocked=False)
        case _:
            return row
