"""Agents over HTTP: registration, lifecycle, keys, heartbeats."""

import asyncio
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import UNSET, UnsetType
from pydantic import Field, field_validator

from commands import agents, signs
from commands.append import ActorKind
from domain.agent import Presence
from domain.base import Refusal
from domain.permissions import DEFAULT_SCOPES, Permission, Scope, may_grant
from infra.http.caller import Done, context_of, done, run, run_with_secret
from infra.http.fields import LABELS_MAX, Body, Line, ShortLine, SmallJson, Words, not_null
from infra.http.openapi import answer, refusals
from infra.http.principal import Forbidden, Principal, requires
from infra.identity import new_agent_key
from infra.telemetry import Telemetry

router = APIRouter(prefix="/api/agents", tags=["agents"])

HEARTBEATS_MAX = 500
HEARTBEATS_AT_ONCE = 8
"""Of one request: each asks for a connection, and others ask too."""
# An agent that works, for itself; or who manages agents.
Beater = Annotated[Principal, requires(Permission.WORK_MISSIONS, Permission.MANAGE_AGENTS)]
Manager = Annotated[Principal, requires(Permission.MANAGE_AGENTS)]


class NewAgent(Body):
    name: Line
    role: Annotated[str, Field(max_length=200)] = ""
    capabilities: Words = Field(default=(), max_length=LABELS_MAX)
    config: SmallJson = Field(default_factory=dict)
    owner_id: UUID | None = None


class AgentEdit(Body):
    """Absent members stay as they are."""

    name: Line | None = None
    role: Annotated[str, Field(max_length=200)] | None = None
    capabilities: Words | None = Field(default=None, max_length=LABELS_MAX)
    config: SmallJson | None = None

    _nothing_is_null = field_validator("*", mode="before")(not_null)


class NewKey(Body):
    name: ShortLine = "key"
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1, max_length=len(Scope))] = (
        DEFAULT_SCOPES
    )


class Heartbeat(Body):
    state: Presence = Presence.AVAILABLE
    mission_id: UUID | None = None


class HeartbeatOf(Heartbeat):
    agent_id: UUID


class Heartbeats(Body):
    heartbeats: Annotated[tuple[HeartbeatOf, ...], Field(min_length=1, max_length=HEARTBEATS_MAX)]


class KeyIssued(Done):
    """A new key; `version` is its agent's."""

    agent_id: UUID
    scopes: tuple[Scope, ...]
    key: str


class Beaten(msgspec.Struct):
    """An agent, by its id, and what it is."""

    id: UUID
    state: Presence


class HeartbeatResult(msgspec.Struct):
    """An agent's state, or why its heartbeat counts for nothing."""

    id: UUID
    state: Presence | UnsetType = UNSET
    code: str | UnsetType = UNSET
    detail: str | UnsetType = UNSET


class HeartbeatResults(msgspec.Struct):
    """An answer to each heartbeat, in their order."""

    results: list[HeartbeatResult]


@router.post("", status_code=201, responses=done(status=201, conditional=False))
async def register_agent(body: NewAgent, request: Request, principal: Manager) -> Response:
    """Register an agent; it may work at once."""
    owner_id = body.owner_id or principal.actor.id
    command = agents.RegisterAgent(body.name, body.role, body.capabilities, body.config, owner_id)
    return await run(request, principal, command)


@router.put("/{agent_id}", responses=done())
async def update_agent(
    agent_id: UUID, body: AgentEdit, request: Request, principal: Manager
) -> Response:
    """Change an agent's description."""
    changes = {name: getattr(body, name) for name in body.model_fields_set}
    return await run(request, principal, agents.UpdateAgent(agent_id, changes))


@router.delete("/{agent_id}", responses=done())
async def retire_agent(agent_id: UUID, request: Request, principal: Manager) -> Response:
    """End an agent for good, and its keys with it."""
    return await run(request, principal, agents.RetireAgent(agent_id))


@router.post("/{agent_id}/activate", responses=done())
async def activate_agent(agent_id: UUID, request: Request, principal: Manager) -> Response:
    """Let an agent work."""
    return await run(request, principal, agents.ActivateAgent(agent_id))


@router.post("/{agent_id}/deactivate", responses=done())
async def deactivate_agent(agent_id: UUID, request: Request, principal: Manager) -> Response:
    """Stop an agent from working."""
    return await run(request, principal, agents.DeactivateAgent(agent_id))


@router.post("/{agent_id}/keys", status_code=201, responses=done(KeyIssued, status=201))
async def issue_key(
    agent_id: UUID, request: Request, principal: Manager, body: NewKey | None = None
) -> Response:
    """Make a key for an agent; it is shown in this answer, and never again."""
    wanted = body or NewKey()
    scopes = tuple(dict.fromkeys(wanted.scopes))
    if not may_grant(principal.permissions, scopes):
        raise Forbidden("nobody grants what they may not do themselves")
    key_id, text, row = new_agent_key(principal.workspace_id, agent_id, scopes)
    command = agents.IssueKey(agent_id, key_id, wanted.name, scopes, row)
    return await run_with_secret(request, principal, command, key=text)


@router.delete("/{agent_id}/keys/{key_id}", responses=done())
async def revoke_key(
    agent_id: UUID, key_id: UUID, request: Request, principal: Manager
) -> Response:
    """Make a key worthless."""
    return await run(request, principal, agents.RevokeKey(agent_id, key_id))


@router.post("/heartbeats", responses={**answer(HeartbeatResults, "Taken"), **refusals(409)})
async def heartbeats(body: Heartbeats, request: Request, principal: Beater) -> Response:
    """Take many heartbeats at once; each item has an answer of its own."""
    results: dict[int, dict[str, Any]] = {}
    turns: dict[UUID, list[int]] = {}
    for index, beat in enumerate(body.heartbeats):
        turns.setdefault(beat.agent_id, []).append(index)
    free = asyncio.Semaphore(HEARTBEATS_AT_ONCE)

    async def take(indices: list[int]) -> None:
        for index in indices:  # of one agent, the last one counts
            async with free:
                results[index] = await _item(request, principal, body.heartbeats[index])

    await asyncio.gather(*(take(indices) for indices in turns.values()))
    return _json({"results": [results[index] for index in range(len(body.heartbeats))]})


@router.post("/{agent_id}/heartbeat", responses={**answer(Beaten, "Taken"), **refusals(409)})
async def heartbeat(
    agent_id: UUID, request: Request, principal: Beater,
    body: Heartbeat | None = None,
) -> Response:  # fmt: skip
    """Say that an agent is alive; answers what it is: busy where it says so, or holds a lease.

    `mission_id`: the one it works on now. It is shown as long as the agent holds it.
    """
    return _json(await _beat(request, principal, agent_id, body or Heartbeat()))


async def _item(request: Request, principal: Principal, beat: HeartbeatOf) -> dict[str, Any]:
    try:
        return await _beat(request, principal, beat.agent_id, beat)
    except Refusal as refusal:
        return {"id": beat.agent_id, "code": refusal.code, "detail": refusal.detail}


async def _beat(
    request: Request, principal: Principal, agent_id: UUID, beat: Heartbeat
) -> dict[str, Any]:
    itself = principal.actor.kind == ActorKind.AGENT and principal.actor.id == agent_id
    if not itself and Permission.MANAGE_AGENTS not in principal.permissions:
        raise Forbidden("an agent's heartbeat is its own, or of who manages agents")
    known: signs.SignsOfLife = request.app.state.signs
    context = await context_of(request, principal)
    said = signs.Heartbeat(beat.state, beat.mission_id)
    state = await known.beat(agent_id, said, context)
    telemetry: Telemetry = request.app.state.telemetry
    telemetry.heartbeat(principal.workspace_id, agent_id, state)
    return {"id": agent_id, "state": state}


def _json(body: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")
