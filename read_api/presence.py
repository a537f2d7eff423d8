"""Who of the agents is there now."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from projections.agents import AGENTS, Presence
from projections.missions import MISSIONS
from read_api.agents import WORKS_ON
from read_api.lists import Listing, Order, Page, Reader, list_answer, page

router = APIRouter(prefix="/api/presence", tags=["agents"])

ID = "0192f0c1-7a3e-7cc1-9b0e-5d1f6a2b3c4d"


class Present(msgspec.Struct):
    """An agent that is not offline, when it last gave a sign of life, and what it works on."""

    id: UUID
    name: str
    presence: Presence
    seen_at: datetime | None
    mission_id: UUID | None


PRESENT = Listing(
    Present,
    source="read_agents t LEFT JOIN presence p ON p.agent_id = t.id",
    columns=f"t.id, t.name, t.presence, p.seen_at, {WORKS_ON}",
    orders={"name": Order("t.name_folded", "text")},
    default="name",
    models=(AGENTS.name, MISSIONS.name),
    filters={"presence": "t.presence = %(presence)s"},
    always="t.presence <> 'offline'",
)


@router.get(
    "",
    responses=list_answer(
        Present,
        {"id": ID, "name": "scribe", "presence": "busy", "seen_at": "2026-03-01T09:05:30Z",
         "mission_id": ID}
    ),
)  # fmt: skip
async def present_agents(
    request: Request,
    principal: Reader,
    page: Annotated[Page, Depends(page)],
    presence: Presence | None = None,
) -> Response:
    """List the agents that are available or busy."""
    return await PRESENT.respond(request, principal, page, presence=presence)
