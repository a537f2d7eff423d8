"""Agents, read: who there is, what each can do, and what it is doing now."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from msgspec import UnsetType

from domain.permissions import Permission
from infra.http.fields import ShortLine
from infra.http.openapi import answer
from infra.http.principal import Principal
from projections.agents import AGENTS, AgentKey, AgentRow, Lifecycle, Presence
from projections.missions import MISSIONS, MissionRow
from read_api.history import AsOf, RecordedAt, agent_as_of, agents_as_of, held_as_of
from read_api.lists import (
    Listing,
    MinPosition,
    Order,
    Page,
    Reader,
    columns_of,
    document,
    document_answer,
    item_of,
    list_answer,
    one,
    page,
)

router = APIRouter(prefix="/api/agents", tags=["agents"])

HELD_MAX = 200
HIDDEN = frozenset({"workspace_id", "keys"})
ID = "0192f0c1-7a3e-7cc1-9b0e-5d1f6a2b3c4d"
EXAMPLE: dict[str, Any] = {
    "id": ID, "version": 3, "name": "scribe", "role": "writer", "capabilities": ["write"], "config": {},
    "owner_id": ID, "lifecycle": "active", "presence": "busy",
    "created_at": "2026-03-01T09:00:00Z", "updated_at": "2026-03-01T09:05:00Z",
}  # fmt: skip
SEEN = {"seen_at": "2026-03-01T09:05:30Z", "mission_id": ID}


class Held(msgspec.Struct, omit_defaults=True):
    """A mission that an agent has; the token only for who may use or manage it.

    A lease is renewed without an event: until when one ran in the past is known to nobody.
    """

    id: UUID
    title: str
    board_id: UUID
    progress_percent: int
    expires_at: datetime | None
    lease_token: int | None = None


# What an agent that is there works on: of the missions that it holds the one that it named, or else the newest.
WORKS_ON = """CASE WHEN t.presence <> 'offline' THEN (
    SELECT m.id FROM read_missions m
    WHERE m.holder = t.id AND m.workspace_id = t.workspace_id AND NOT m.deleted
    ORDER BY m.id IS NOT DISTINCT FROM p.mission_id DESC, m.updated_at DESC, m.id LIMIT 1) END AS mission_id"""
AgentItem = item_of(
    AgentRow, omit=HIDDEN,
    seen_at=datetime | None, mission_id=UUID | None, holds=list[Held] | UnsetType,
)  # fmt: skip
# Presence rows are telemetry: they are joined, and no part of a version.
AGENT_LIST: Listing[Any] = Listing(
    AgentItem,
    source="read_agents t LEFT JOIN presence p ON p.agent_id = t.id",
    columns=f"{columns_of(AgentRow, omit=HIDDEN)}, p.seen_at, {WORKS_ON}",
    orders={
        "name": Order("t.name_folded", "text"),
        "created_at": Order("t.created_at", "timestamptz"),
        "updated_at": Order("t.updated_at", "timestamptz"),
    },
    default="name",
    models=(AGENTS.name, MISSIONS.name),
    filters={
        "lifecycle": "t.lifecycle = %(lifecycle)s",
        "presence": "t.presence = %(presence)s",
        "owner_id": "t.owner_id = %(owner_id)s",
        "capability": "t.capabilities::jsonb @> to_jsonb(%(capability)s::text)",
    },
)
AgentDocument = item_of(
    AgentRow, omit=HIDDEN, named="AgentDocument",
    position=int, keys=list[AgentKey] | UnsetType, as_of=RecordedAt,
)  # fmt: skip
AGENT = """
SELECT row_to_json(t)::text FROM read_agents t WHERE t.id = %(id)s AND t.workspace_id = %(workspace)s"""
# One round trip: the agent, its last heartbeat, and what it holds until when.
STATUS = f"""
SELECT t.id, t.version, t.name, t.lifecycle, t.presence, p.seen_at, {WORKS_ON},
    (SELECT coalesce(json_agg(h), '[]') FROM (
        SELECT m.id, m.title, m.board_id, m.progress_percent, m.lease_token, l.expires_at
        FROM read_missions m
        LEFT JOIN leases l ON l.mission_id = m.id AND l.token = m.lease_token
        WHERE m.holder = t.id AND m.workspace_id = t.workspace_id AND NOT m.deleted
        ORDER BY l.expires_at, m.id LIMIT {HELD_MAX}) h)::text
FROM read_agents t LEFT JOIN presence p ON p.agent_id = t.id
WHERE t.id = %(id)s AND t.workspace_id = %(workspace)s"""


class AgentStatus(msgspec.Struct):
    """What an agent does now. `seen_at` is its last sign of life, `mission_id` what it works on."""

    id: UUID
    version: int
    name: str
    lifecycle: Lifecycle
    presence: Presence
    seen_at: datetime | None
    mission_id: UUID | None
    holds: list[Held]
    position: int


HELD_LIST = msgspec.json.Decoder(list[Held])


@router.get("", responses=list_answer(AGENT_LIST.item, {**EXAMPLE, **SEEN}, as_of=RecordedAt))
async def agents(
    request: Request,
    principal: Reader,
    page: Annotated[Page, Depends(page)],
    lifecycle: Lifecycle | None = None,
    presence: Presence | None = None,
    capability: Annotated[ShortLine | None, Query()] = None,
    owner_id: UUID | None = None,
    as_of: AsOf = None,
) -> Response:
    """List the workspace's agents.

    With `as_of` it is the whole fleet of that moment on one page, whatever else is asked for, and `holds` says what
    each had in its hands. Heartbeats are telemetry and have no past: `mission_id` is what changed last of what it held.
    """
    if as_of is not None:
        past = await agents_as_of(request, AGENTS, principal.workspace_id, as_of)
        position = past.moment.position
        agents = [row.id for row in past.found]
        held = await held_as_of(request, principal.workspace_id, agents, position)
        items = [_as_it_was(row, held.get(row.id, [])) for row in past.found]
        return past.respond(request, {"items": items, "next_cursor": None, "position": position})
    return await AGENT_LIST.respond(
        request, principal, page, lifecycle=lifecycle, presence=presence, capability=capability,
        owner_id=owner_id,
    )  # fmt: skip


@router.get("/{agent_id}", responses=document_answer(AgentDocument, {**EXAMPLE, "position": 1041}))
async def agent(
    agent_id: UUID,
    request: Request,
    principal: Reader,
    min_position: MinPosition = None,
    as_of: AsOf = None,
) -> Response:
    """Return one agent, with its keys (never their secrets) for who manages agents."""
    keys = Permission.MANAGE_AGENTS in principal.permissions
    if as_of is not None:
        past = await agent_as_of(request, AGENTS, principal.workspace_id, agent_id, as_of)
        return past.respond(request, agent_document(past.found, past.moment.position, keys=keys))
    found, position = await one(
        request,
        principal,
        AGENT,
        {"id": agent_id},
        min_position=min_position,
        models=(AGENTS.name,),
    )
    row = msgspec.json.decode(found[0], type=AgentRow)
    return document(request, row.version, agent_document(row, position, keys=keys))


@router.get(
    "/{agent_id}/status",
    responses=answer(
        AgentStatus,
        example={"id": ID, "version": 3, "name": "scribe", "lifecycle": "active", "presence": "busy", **SEEN,
                 "holds": [{"id": ID, "title": "Summarise", "board_id": ID, "progress_percent": 40,
                            "expires_at": "2026-03-01T09:06:00Z"}],
                 "position": 1041},
    ),
)  # fmt: skip
async def agent_status(
    agent_id: UUID, request: Request, principal: Reader, min_position: MinPosition = None
) -> Response:
    """Say whether an agent may work, when it was last seen, and which missions it holds."""
    found, position = await one(
        request, principal, STATUS, {"id": agent_id},
        min_position=min_position, models=(AGENTS.name, MISSIONS.name),
    )  # fmt: skip
    id_, version, name, lifecycle, presence, seen_at, mission_id, holds = found
    held = HELD_LIST.decode(holds)
    if not _may_see_tokens(principal, agent_id):
        for mission in held:
            mission.lease_token = None
    body = {
        "id": id_, "version": version, "name": name, "lifecycle": lifecycle, "presence": presence,
        "seen_at": seen_at, "mission_id": mission_id, "holds": held, "position": position,
    }  # fmt: skip
    return Response(msgspec.json.encode(body), media_type="application/json")


def agent_document(row: AgentRow, position: int, *, keys: bool) -> dict[str, Any]:
    """Return an agent as clients see it; pure, so that history gives the same."""
    shown = _shown(row)
    if keys:
        shown["keys"] = row.keys
    return {**shown, "position": position}


def _shown(row: AgentRow) -> dict[str, Any]:
    return {name: value for name, value in vars(row).items() if name not in HIDDEN}


def _as_it_was(row: AgentRow, missions: Sequence[MissionRow]) -> dict[str, Any]:
    works_on = missions[0].id if missions and row.presence is not Presence.OFFLINE else None
    holds = [Held(m.id, m.title, m.board_id, m.progress_percent, None) for m in missions]
    return {**_shown(row), "seen_at": None, "mission_id": works_on, "holds": holds}


def _may_see_tokens(principal: Principal, agent_id: UUID) -> bool:
    return principal.actor.id == agent_id or Permission.MANAGE_AGENTS in principal.permissions
