"""What can be done to missions: commands and their handlers."""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from commands.append import Candidate, Recorded
from commands.bus import Context, Decision, Handler, NextMission, Tools, require_unchanged
from domain import rank
from domain.base import InvalidValue, NotFound, Refusal
from domain.board import Board, Stage
from domain.mission import Content, LeaseLost, Mission, Place, Worker
from domain.workspace import Workspace


class RankExhausted(Refusal):
    """No short rank is left at this place; the column has to be re-balanced first."""

    code = "rank_exhausted"


@dataclass(frozen=True, slots=True)
class CreateMission:
    content: Content
    board_id: UUID | None = None
    column_id: UUID | None = None
    assignees: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class EditMission:
    """Fields that are absent from `changes` stay as they are."""

    mission_id: UUID
    changes: dict[str, Any]


@dataclass(frozen=True, slots=True)
class MoveMission:
    mission_id: UUID
    column_id: UUID
    board_id: UUID | None = None
    before: UUID | None = None
    after: UUID | None = None


@dataclass(frozen=True, slots=True)
class RebalanceColumn:
    column_id: UUID


@dataclass(frozen=True, slots=True)
class DeleteMission:
    mission_id: UUID


@dataclass(frozen=True, slots=True)
class AssignMission:
    mission_id: UUID
    assignee_id: UUID


@dataclass(frozen=True, slots=True)
class UnassignMission:
    mission_id: UUID
    assignee_id: UUID


@dataclass(frozen=True, slots=True)
class BlockMission:
    mission_id: UUID
    reason: str
    lease_token: int | None = None


@dataclass(frozen=True, slots=True)
class UnblockMission:
    mission_id: UUID


@dataclass(frozen=True, slots=True)
class AddDependency:
    mission_id: UUID
    depends_on_id: UUID


@dataclass(frozen=True, slots=True)
class RemoveDependency:
    mission_id: UUID
    depends_on_id: UUID


@dataclass(frozen=True, slots=True)
class NoteDependency:
    """The process manager's: a mission that this one waits for was done, deleted or re-opened."""

    mission_id: UUID
    depends_on_id: UUID
    met: bool


@dataclass(frozen=True, slots=True)
class ClaimMission:
    mission_id: UUID
    ttl_s: int | None = None


@dataclass(frozen=True, slots=True)
class ReleaseMission:
    mission_id: UUID
    lease_token: int | None


@dataclass(frozen=True, slots=True)
class ReportProgress:
    mission_id: UUID
    lease_token: int | None
    percent: int
    note: str | None = None


@dataclass(frozen=True, slots=True)
class SubmitMission:
    mission_id: UUID
    lease_token: int | None
    summary: str


@dataclass(frozen=True, slots=True)
class FailMission:
    mission_id: UUID
    lease_token: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class ApproveMission:
    mission_id: UUID


@dataclass(frozen=True, slots=True)
class RejectMission:
    mission_id: UUID
    reason: str


async def create_mission(command: CreateMission, context: Context, tools: Tools) -> Decision:
    mission_id = uuid7()
    await _require_actors(command.assignees, "assignees", context, tools)
    board = await _board(command.board_id, context, tools)
    column = board.column(command.column_id) if command.column_id else board.first(Stage.READY)
    place = Place(board.id, column.id, column.stage, rank.at_end(context.now, mission_id))
    mission = Mission.create(
        mission_id,
        context.workspace_id,
        place,
        command.content,
        command.assignees,
        context.actor.id,
    )
    return Decision([mission], status=201)


async def edit_mission(command: EditMission, context: Context, tools: Tools) -> Decision:
    mission = await _mission(command.mission_id, context, tools)
    require_unchanged(mission, context)
    mission.edit(replace(mission.content, **command.changes))
    return Decision([mission])


async def move_mission(command: MoveMission, context: Context, tools: Tools) -> Decision:
    mission = await _mission(command.mission_id, context, tools)
    require_unchanged(mission, context)
    board = await _board(command.board_id or mission.place.board_id, context, tools)
    column = board.column(command.column_id)
    place = Place(board.id, column.id, column.stage, await _rank(command, mission, context, tools))
    if command.before is None and command.after is None and column.id == mission.place.column_id:
        place = mission.place
    mission.move(place, context.actor.id)
    return Decision([mission])


async def rebalance_column(command: RebalanceColumn, context: Context, tools: Tools) -> Decision:
    ids = await tools.write_side.cards_in_order(context.workspace_id, command.column_id)
    looked_up = (tools.aggregates.get(Mission, key, context.workspace_id) for key in ids)
    missions = await asyncio.gather(*looked_up)
    ranks = rank.spread(len(missions), context.now)
    for mission, fresh in zip(missions, ranks, strict=True):
        mission.rerank(fresh)
    return Decision(missions)


async def delete_mission(command: DeleteMission, context: Context, tools: Tools) -> Decision:
    mission = await _mission(command.mission_id, context, tools)
    require_unchanged(mission, context)
    mission.delete()
    return Decision([mission])


async def assign_mission(command: AssignMission, context: Context, tools: Tools) -> Decision:
    mission, board = await _placed(command.mission_id, context, tools)
    require_unchanged(mission, context)
    await _require_actors((command.assignee_id,), "assignee_id", context, tools)
    mission.assign(command.assignee_id, _end_of(Stage.READY, mission, board, context))
    return Decision([mission])


async def unassign_mission(command: UnassignMission, context: Context, tools: Tools) -> Decision:
    mission = await _mission(command.mission_id, context, tools)
    require_unchanged(mission, context)
    mission.unassign(command.assignee_id)
    return Decision([mission])


async def block_mission(command: BlockMission, context: Context, tools: Tools) -> Decision:
    mission = await _mission(command.mission_id, context, tools)
    require_unchanged(mission, context)
    if context.actor.kind == "agent":
        mission.require_lease(context.actor.id, command.lease_token)
    mission.block(command.reason)
    return Decision([mission])


async def unblock_mission(command: UnblockMission, context: Context, tools: Tools) -> Decision:
    mission = await _mission(command.mission_id, context, tools)
    require_unchanged(mission, context)
    mission.unblock()
    return Decision([mission])


async def add_dependency(command: AddDependency, context: Context, tools: Tools) -> Decision:
    met = await tools.write_side.is_met(context.workspace_id, command.depends_on_id)
    mission = await _mission(command.mission_id, context, tools)
    require_unchanged(mission, context)
    if met is None:
        raise NotFound("no such mission to wait for", field="depends_on_id")
    mission.add_dependency(command.depends_on_id, met=met)
    return Decision([mission])


async def remove_dependency(command: RemoveDependency, context: Context, tools: Tools) -> Decision:
    mission = await _mission(command.mission_id, context, tools)
    require_unchanged(mission, context)
    mission.remove_dependency(command.depends_on_id)
    return Decision([mission])


async def note_dependency(command: NoteDependency, context: Context, tools: Tools) -> Decision:
    mission = await _mission(command.mission_id, context, tools)
    mission.note_dependency(command.depends_on_id, met=command.met)
    return Decision([mission])


async def claim_mission(command: ClaimMission, context: Context, tools: Tools) -> Decision:
    capabilities = await tools.write_side.capabilities(context.workspace_id, context.actor.id)
    worker = Worker(context.actor.id, capabilities)
    return await _claim(command.mission_id, worker, command.ttl_s, context, tools)


def next_mission(
    board_id: UUID | None, ttl_s: int | None, context: Context, tools: Tools
) -> NextMission:
    """Return the wish for whatever fits the agent best."""

    async def decide(candidate: Candidate) -> Decision:
        worker = Worker(context.actor.id, candidate.capabilities)
        return await _claim(
            candidate.mission_id, worker, ttl_s, context, tools, board_id=candidate.board_id
        )

    return NextMission(context.actor.id, board_id, decide)


async def release_mission(command: ReleaseMission, context: Context, tools: Tools) -> Decision:
    mission, board = await _placed(command.mission_id, context, tools)
    ready = _end_of(Stage.READY, mission, board, context)
    mission.release(context.actor.id, command.lease_token, ready)
    return Decision([mission])


async def report_progress(command: ReportProgress, context: Context, tools: Tools) -> Decision:
    mission = await _mission(command.mission_id, context, tools)
    mission.progress(context.actor.id, command.lease_token, command.percent, command.note)
    return Decision([mission])


async def submit_mission(command: SubmitMission, context: Context, tools: Tools) -> Decision:
    mission, board = await _placed(command.mission_id, context, tools)
    review = _end_of(Stage.REVIEW, mission, board, context)
    mission.submit(context.actor.id, command.lease_token, command.summary, review)
    return Decision([mission])


async def fail_mission(command: FailMission, context: Context, tools: Tools) -> Decision:
    mission, board = await _placed(command.mission_id, context, tools)
    ready = _end_of(Stage.READY, mission, board, context)
    mission.fail(context.actor.id, command.lease_token, command.reason, ready)
    return Decision([mission])


async def approve_mission(command: ApproveMission, context: Context, tools: Tools) -> Decision:
    mission, board = await _placed(command.mission_id, context, tools)
    require_unchanged(mission, context)
    mission.approve(context.actor.id, _end_of(Stage.DONE, mission, board, context))
    return Decision([mission])


async def reject_mission(command: RejectMission, context: Context, tools: Tools) -> Decision:
    mission, board = await _placed(command.mission_id, context, tools)
    require_unchanged(mission, context)
    ready = _end_of(Stage.READY, mission, board, context)
    mission.reject(context.actor.id, command.reason, ready)
    return Decision([mission])


async def expired_lease(mission_id: UUID, token: int, context: Context, tools: Tools) -> Decision:
    """Decide the end of a lease that ran out."""
    mission, board = await _placed(mission_id, context, tools)
    mission.expire_lease(token, _end_of(Stage.READY, mission, board, context))
    return Decision([mission])


async def renew_lease(
    mission_id: UUID, lease_token: int | None, ttl_s: int | None, context: Context, tools: Tools
) -> datetime:
    """Prolong a lease, which is write-side state and no event; return its new end."""
    expires_at: datetime | None = None
    if lease_token is not None:
        expires_at = await tools.write_side.renew_lease(
            context.workspace_id, mission_id, context.actor.id, lease_token, ttl_s
        )
    if expires_at is None:
        mission = await _mission(mission_id, context, tools)
        mission.require_lease(context.actor.id, lease_token)
        # It ran out, or was taken back, which this mission does not know of yet.
        raise LeaseLost(
            "this lease is not in force any more; claim the mission again", field="lease_token"
        )
    return expires_at


HANDLERS: dict[type[Any], Handler] = {
    CreateMission: create_mission,
    EditMission: edit_mission,
    MoveMission: move_mission,
    RebalanceColumn: rebalance_column,
    DeleteMission: delete_mission,
    AssignMission: assign_mission,
    UnassignMission: unassign_mission,
    BlockMission: block_mission,
    UnblockMission: unblock_mission,
    AddDependency: add_dependency,
    RemoveDependency: remove_dependency,
    NoteDependency: note_dependency,
    ClaimMission: claim_mission,
    ReleaseMission: release_mission,
    ReportProgress: report_progress,
    SubmitMission: submit_mission,
    FailMission: fail_mission,
    ApproveMission: approve_mission,
    RejectMission: reject_mission,
}


async def _mission(mission_id: UUID, context: Context, tools: Tools) -> Mission:
    return await tools.aggregates.get(Mission, mission_id, context.workspace_id)


async def _board(board_id: UUID | None, context: Context, tools: Tools) -> Board:
    board_id = board_id or await _default_board(context, tools)
    try:
        return await tools.aggregates.get(Board, board_id, context.workspace_id)
    except NotFound as missing:
        raise NotFound("no such board in this workspace", field="board_id") from missing


async def _default_board(context: Context, tools: Tools) -> UUID:
    """Return the board that is meant when none is named; a workspace keeps it for life."""
    known = tools.default_boards.get(context.workspace_id)
    if known is None:
        owner = context.workspace_id
        known = (await tools.aggregates.get(Workspace, owner, owner)).default_board_id
        tools.default_boards[owner] = known
    return known


async def _placed(
    mission_id: UUID, context: Context, tools: Tools, board_id: UUID | None = None
) -> tuple[Mission, Board]:
    """Return a mission and the board that it stands on, in one query where the board can be guessed."""
    known = tools.aggregates.last_known(mission_id)
    guess = board_id or (known.place.board_id if isinstance(known, Mission) else None)
    if guess is None:
        mission = await _mission(mission_id, context, tools)
        return mission, await _board(mission.place.board_id, context, tools)
    mission, board = await asyncio.gather(
        _mission(mission_id, context, tools), _board(guess, context, tools)
    )
    if board.id != mission.place.board_id:
        board = await _board(mission.place.board_id, context, tools)
    return mission, board


def _end_of(stage: Stage, mission: Mission, board: Board, context: Context) -> Place:
    column = board.first(stage)
    if mission.place.column_id == column.id:
        return mission.place
    return Place(board.id, column.id, column.stage, rank.at_end(context.now, mission.id))


async def _rank(command: MoveMission, mission: Mission, context: Context, tools: Tools) -> str:
    if command.before is None and command.after is None:
        return rank.at_end(context.now, mission.id)
    field = "before" if command.before else "after"
    gap = await tools.write_side.gap(
        context.workspace_id,
        command.column_id,
        mission.id,
        before=command.before,
        after=command.after,
    )
    if gap is None:
        raise InvalidValue("that card is not in this column", field=field)
    low, high = gap
    # The end of a column is ranked by time, so that later ends stay behind it.
    if high is None:
        return rank.at_end(context.now, mission.id)
    fresh = rank.between(low, high, uuid7()) if low < high else ""
    if not fresh or len(fresh) > rank.RANK_LENGTH_MAX:
        raise RankExhausted("the column has to be re-balanced first")
    return fresh


async def _claim(
    mission_id: UUID,
    worker: Worker,
    ttl_s: int | None,
    context: Context,
    tools: Tools,
    board_id: UUID | None = None,
) -> Decision:
    mission, board = await _placed(mission_id, context, tools, board_id)
    lease_ttl_s = ttl_s or tools.lease_ttl_s
    token = mission.claim(worker, lease_ttl_s, _end_of(Stage.ACTIVE, mission, board, context))

    def lease(recorded: Recorded) -> dict[str, Any]:
        expires_at = recorded.recorded_at + timedelta(seconds=lease_ttl_s)
        return {
            "mission": described(mission),
            "lease": {"token": token, "expires_at": expires_at, "ttl_s": lease_ttl_s},
        }

    return Decision([mission], members=lease)


def described(mission: Mission) -> dict[str, Any]:
    """Return what a worker needs to know of a mission."""
    return {
        "id": mission.id,
        "version": mission.version,
        "board_id": mission.place.board_id,
        "column_id": mission.place.column_id,
        "stage": mission.place.stage,
        **{name: getattr(mission.content, name) for name in Content.__dataclass_fields__},
        "assignees": mission.assignees,
        "holder": mission.holder,
        "dependencies": list(mission.dependencies),
        "failures": mission.failures,
        "sent_back_reason": mission.sent_back_reason,
    }


async def _require_actors(
    ids: tuple[UUID, ...], field: str, context: Context, tools: Tools
) -> None:
    for actor_id in ids:
        if not await tools.write_side.is_actor(context.workspace_id, actor_id):
            raise InvalidValue("nobody of this id in the workspace", field=field)
