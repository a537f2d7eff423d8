"""Missions over HTTP."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field, field_validator, model_validator

from commands import missions
from commands.append import ActorKind, Answer
from commands.missions import RankExhausted
from domain.board import Stage
from domain.mission import ASSIGNEES_MAX, Content, Priority
from domain.permissions import Permission
from infra.http.caller import Done, context_of, done, lease_token, respond, run
from infra.http.fields import (
    LABELS_MAX,
    Body,
    Integer,
    Line,
    Reason,
    Text,
    Time,
    Words,
    not_null,
)
from infra.http.openapi import answer, refusals
from infra.http.principal import Forbidden, Principal, requires

router = APIRouter(prefix="/api/missions", tags=["missions"])

Creator = Annotated[Principal, requires(Permission.CREATE_MISSIONS)]


def _person(principal: Creator) -> Principal:
    """Without a lease an agent may read, comment and create, and nothing else."""
    if principal.actor.kind != ActorKind.USER:
        raise Forbidden("only people do this; an agent works under a lease")
    return principal


Editor = Annotated[Principal, Depends(_person)]
WorkerOnly = Annotated[Principal, requires(Permission.WORK_MISSIONS)]
Releaser = Annotated[Principal, requires(Permission.RELEASE_MISSIONS)]
Token = Annotated[Integer, Field(ge=1, le=2**31 - 1)]
TtlS = Annotated[Integer, Field(ge=1, le=86_400)]


class NewMission(Body):
    title: Line = Field(examples=["Summarise last week's incidents"])
    description: Text = ""
    priority: Priority = Priority.NORMAL
    labels: Words = Field(default=(), max_length=LABELS_MAX)
    due: Time | None = None
    required_capabilities: Words = Field(default=(), max_length=LABELS_MAX)
    assignees: tuple[UUID, ...] = Field(default=(), max_length=ASSIGNEES_MAX)
    board_id: UUID | None = None
    column_id: UUID | None = None


class MissionEdit(Body):
    """Absent members stay as they are."""

    title: Line | None = None
    description: Text | None = None
    priority: Priority | None = None
    labels: Words | None = Field(default=None, max_length=LABELS_MAX)
    due: Time | None = None
    required_capabilities: Words | None = Field(default=None, max_length=LABELS_MAX)

    _nothing_but_due_is_null = field_validator(
        "title", "description", "priority", "labels", "required_capabilities", mode="before"
    )(not_null)


class Move(Body):
    column_id: UUID
    board_id: UUID | None = None
    before: UUID | None = None
    after: UUID | None = None

    @model_validator(mode="after")
    def _one_neighbour(self) -> "Move":
        if self.before and self.after:
            raise ValueError("give before or after, not both")
        return self


class Assignment(Body):
    assignee_id: UUID


class Block(Body):
    reason: Reason
    lease_token: Token | None = None


class Dependency(Body):
    depends_on_id: UUID


class ClaimNext(Body):
    board_id: UUID | None = None
    ttl_s: TtlS | None = None


class Claim(Body):
    ttl_s: TtlS | None = None


class Lease(Body):
    lease_token: Token | None = None


class Renewal(Lease):
    ttl_s: TtlS | None = None


class Progress(Lease):
    percent: Annotated[Integer, Field(ge=0, le=100)]
    note: Reason | None = None


class Submission(Lease):
    summary: Text = Field(min_length=1)


class Failure(Lease):
    reason: Reason


class Rejection(Body):
    reason: Reason


class ClaimedMission(msgspec.Struct):
    """What a worker needs to know of a mission."""

    id: UUID
    version: int
    board_id: UUID
    column_id: UUID
    stage: Stage
    title: str
    description: str
    priority: Priority
    labels: tuple[str, ...]
    due: datetime | None
    required_capabilities: tuple[str, ...]
    assignees: tuple[UUID, ...]
    holder: UUID
    dependencies: tuple[UUID, ...]
    failures: int
    sent_back_reason: str | None


class LeaseEnd(msgspec.Struct):
    """A lease: what is done under it carries the token."""

    token: int
    expires_at: datetime


class NewLease(LeaseEnd):
    """A lease that has just begun."""

    ttl_s: int


class Claimed(Done):
    """A mission and its lease."""

    mission: ClaimedMission
    lease: NewLease


class Renewed(msgspec.Struct):
    """A mission, by its id, and until when it is held."""

    id: UUID
    lease: LeaseEnd


@router.post("", status_code=201, responses=done(status=201, conditional=False))
async def create_mission(body: NewMission, request: Request, principal: Creator) -> Response:
    """Put a new mission on a board; a title alone is enough."""
    content = Content(
        body.title,
        body.description,
        body.priority,
        body.labels,
        body.due,
        body.required_capabilities,
    )
    command = missions.CreateMission(content, body.board_id, body.column_id, body.assignees)
    return await run(request, principal, command)


@router.put("/{mission_id}", responses=done())
async def edit_mission(
    mission_id: UUID, body: MissionEdit, request: Request, principal: Editor
) -> Response:
    """Change what is written about a mission."""
    changes = {name: getattr(body, name) for name in body.model_fields_set}
    return await run(request, principal, missions.EditMission(mission_id, changes))


@router.delete("/{mission_id}", responses=done())
async def delete_mission(mission_id: UUID, request: Request, principal: Editor) -> Response:
    """Take a mission off its board."""
    return await run(request, principal, missions.DeleteMission(mission_id))


@router.put("/{mission_id}/move", responses=done())
async def move_mission(
    mission_id: UUID, body: Move, request: Request, principal: Editor
) -> Response:
    """Move a card to a column, next to another card or to its end."""
    command = missions.MoveMission(
        mission_id, body.column_id, body.board_id, body.before, body.after
    )
    try:
        return await run(request, principal, command)
    except RankExhausted:
        context = await context_of(request, principal)
        services = request.app.state
        await services.bus.execute(missions.RebalanceColumn(body.column_id), context.internally())
        return await run(request, principal, command)


@router.post("/{mission_id}/assign", responses=done())
async def assign_mission(
    mission_id: UUID, body: Assignment, request: Request, principal: Editor
) -> Response:
    """Make a person or an agent responsible."""
    return await run(request, principal, missions.AssignMission(mission_id, body.assignee_id))


@router.post("/{mission_id}/unassign", responses=done())
async def unassign_mission(
    mission_id: UUID, body: Assignment, request: Request, principal: Editor
) -> Response:
    """Take the responsibility away."""
    return await run(request, principal, missions.UnassignMission(mission_id, body.assignee_id))


@router.post("/{mission_id}/block", responses=done())
async def block_mission(
    mission_id: UUID, body: Block, request: Request, principal: Creator
) -> Response:
    """Keep everybody from claiming a mission."""
    token = lease_token(request, body.lease_token)
    return await run(request, principal, missions.BlockMission(mission_id, body.reason, token))


@router.post("/{mission_id}/unblock", responses=done())
async def unblock_mission(mission_id: UUID, request: Request, principal: Editor) -> Response:
    """Let a mission be claimed again."""
    return await run(request, principal, missions.UnblockMission(mission_id))


@router.post("/{mission_id}/dependencies", responses=done())
async def add_dependency(
    mission_id: UUID, body: Dependency, request: Request, principal: Editor
) -> Response:
    """Let a mission wait for another."""
    return await run(request, principal, missions.AddDependency(mission_id, body.depends_on_id))


@router.delete("/{mission_id}/dependencies/{depends_on_id}", responses=done())
async def remove_dependency(
    mission_id: UUID, depends_on_id: UUID, request: Request, principal: Editor
) -> Response:
    """Stop waiting for another mission."""
    return await run(request, principal, missions.RemoveDependency(mission_id, depends_on_id))


@router.post(
    "/claim", responses={**done(Claimed, conditional=False), 204: {"description": "Nothing fits"}}
)
async def claim_next(
    request: Request, principal: WorkerOnly, body: ClaimNext | None = None
) -> Response:
    """Give the agent the next mission that fits, with a lease."""
    _require_agent(principal)
    wish = body or ClaimNext()
    context = await context_of(request, principal)
    services = request.app.state
    wanted = missions.next_mission(wish.board_id, wish.ttl_s, context, services.bus.tools)
    answer = await services.bus.claim_next(wanted, context)
    await services.signs.acted(context, holds=None if answer is None else True)
    return Response(status_code=204) if answer is None else respond(answer)


@router.post("/{mission_id}/claim", responses=done(Claimed, conditional=False))
async def claim_mission(
    mission_id: UUID, request: Request, principal: WorkerOnly, body: Claim | None = None
) -> Response:
    """Give the agent this very mission, with a lease."""
    _require_agent(principal)
    ttl_s = body.ttl_s if body else None
    command = missions.ClaimMission(mission_id, ttl_s)
    return await run(request, principal, command, holds=True)


@router.post("/{mission_id}/renew", responses={**answer(Renewed, "Done"), **refusals(409)})
async def renew_lease(
    mission_id: UUID, request: Request, principal: WorkerOnly, body: Renewal | None = None
) -> Response:
    """Prolong a lease; no event is recorded."""
    body = body or Renewal()
    context = await context_of(request, principal)
    token = lease_token(request, body.lease_token)
    tools = request.app.state.bus.tools
    expires_at = await missions.renew_lease(mission_id, token, body.ttl_s, context, tools)
    await request.app.state.signs.acted(context)
    return respond(
        Answer(200, {"id": mission_id, "lease": {"token": token, "expires_at": expires_at}})
    )


@router.post("/{mission_id}/release", responses=done(conditional=False))
async def release_mission(
    mission_id: UUID, request: Request, principal: Releaser, body: Lease | None = None
) -> Response:
    """Give a mission back. An agent may that was deactivated meanwhile."""
    token = lease_token(request, body.lease_token if body else None)
    command = missions.ReleaseMission(mission_id, token)
    return await run(request, principal, command, holds=False)


@router.post("/{mission_id}/progress", responses=done(conditional=False))
async def report_progress(
    mission_id: UUID, body: Progress, request: Request, principal: WorkerOnly
) -> Response:
    """Say how far the work is."""
    token = lease_token(request, body.lease_token)
    command = missions.ReportProgress(mission_id, token, body.percent, body.note)
    return await run(request, principal, command)


@router.post("/{mission_id}/submit", responses=done(conditional=False))
async def submit_mission(
    mission_id: UUID, body: Submission, request: Request, principal: WorkerOnly
) -> Response:
    """Hand the work in for review."""
    token = lease_token(request, body.lease_token)
    command = missions.SubmitMission(mission_id, token, body.summary)
    return await run(request, principal, command, holds=False)


@router.post("/{mission_id}/fail", responses=done(conditional=False))
async def fail_mission(
    mission_id: UUID, body: Failure, request: Request, principal: WorkerOnly
) -> Response:
    """Give up and say why."""
    token = lease_token(request, body.lease_token)
    command = missions.FailMission(mission_id, token, body.reason)
    return await run(request, principal, command, holds=False)


@router.post("/{mission_id}/approve", responses=done())
async def approve_mission(mission_id: UUID, request: Request, principal: Editor) -> Response:
    """Accept submitted work."""
    return await run(request, principal, missions.ApproveMission(mission_id))


@router.post("/{mission_id}/reject", responses=done())
async def reject_mission(
    mission_id: UUID, body: Rejection, request: Request, principal: Editor
) -> Response:
    """Send submitted work back."""
    return await run(request, principal, missions.RejectMission(mission_id, body.reason))


def _require_agent(principal: Principal) -> None:
    if principal.actor.kind != ActorKind.AGENT:
        raise Forbidden("only agents claim work; use an agent's key")
