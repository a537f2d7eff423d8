"""The activity timeline: what happened, newest first."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import StringConstraints

from domain.permissions import Permission
from infra.http.fields import Time
from projections.activity import ACTIVITY, ActivityRow
from projections.missions import MISSIONS
from read_api.lists import (
    ActorKind,
    Listing,
    Order,
    Page,
    Reader,
    columns_of,
    item_of,
    list_answer,
    page,
    require_in_order,
)

router = APIRouter(prefix="/api/activity", tags=["activity"])

HIDDEN = frozenset({"workspace_id", "version", "admin_only"})
ID = "0192f0c1-7a3e-7cc1-9b0e-5d1f6a2b3c4d"
EXAMPLE: dict[str, Any] = {
    "id": ID, "position": 1041, "type": "mission.submitted.v1", "recorded_at": "2026-03-01T09:05:00Z",
    "actor_kind": "agent", "actor_id": ID, "on_behalf_of": ID, "stream_id": ID, "mission_id": ID,
    "board_id": ID, "from_board_id": None, "agent_id": ID, "comment_id": None, "subject_id": None,
    "details": {"title": None, "name": None, "role": None, "stage": "review", "percent": None,
                "text": "Three incidents, one cause.", "changed": []},
    "mission_title": "Summarise the incidents",
}  # fmt: skip
EventType = Annotated[
    str, StringConstraints(pattern=r"^[a-z]+\.[a-z_]+\.v[0-9]{1,3}$", max_length=80)
]
Position = Annotated[int | None, Query(ge=0, le=2**53)]
# The log's order is the order of time: a time is turned into a position by one look into an index. Where
# there is none, the comparison with NULL finds nothing, as it should.
SINCE = """t.position >= (SELECT s.position FROM read_activity s
    WHERE s.workspace_id = %(workspace)s AND s.recorded_at >= %(since)s
    ORDER BY s.recorded_at, s.position LIMIT 1)"""
UNTIL = """t.position <= (SELECT s.position FROM read_activity s
    WHERE s.workspace_id = %(workspace)s AND s.recorded_at <= %(until)s
    ORDER BY s.recorded_at DESC, s.position DESC LIMIT 1)"""

TIMELINE: Listing[Any] = Listing(
    item_of(ActivityRow, omit=HIDDEN, actor_kind=ActorKind, mission_title=str | None),
    source="read_activity t LEFT JOIN read_missions m ON m.id = t.mission_id",
    columns=f"{columns_of(ActivityRow, omit=HIDDEN)}, m.title AS mission_title",
    orders={"position": Order("t.position", "bigint", "t.position", "bigint")},
    default="-position",
    models=(ACTIVITY.name, MISSIONS.name),
    filters={
        "board_id": "t.board_id = %(board_id)s",
        "from_board_id": "t.from_board_id = %(from_board_id)s",
        "mission_id": "t.mission_id = %(mission_id)s",
        "agent_id": "t.agent_id = %(agent_id)s",
        "actor_id": "t.actor_id = %(actor_id)s",
        "type": "t.type = %(type)s",
        "since": SINCE,
        "until": UNTIL,
        "after": "t.position > %(after)s",
        "upto": "t.position <= %(upto)s",
        "admin_only": "t.admin_only = %(admin_only)s",
    },
)


@router.get("", responses=list_answer(TIMELINE.item, EXAMPLE))
async def activity(
    request: Request,
    principal: Reader,
    page: Annotated[Page, Depends(page)],
    board_id: UUID | None = None,
    from_board_id: UUID | None = None,
    mission_id: UUID | None = None,
    agent_id: UUID | None = None,
    actor_id: UUID | None = None,
    type_: Annotated[EventType | None, Query(alias="type")] = None,
    since: Time | None = None,
    until: Time | None = None,
    after: Position = None,
    upto: Position = None,
) -> Response:
    """List what happened, newest first; `sort=position` for oldest first.

    `since` and `until` include their own moment, which many events may share: what was recorded at once has one
    time. Positions tell them apart: behind `after`, at most `upto`.

    A mission that went to another board is told of that board, with `from_board_id`. `agent_id` finds
    what an agent did and what was done to it. Events of keys are for admins.
    """
    require_in_order(since=since, until=until)
    require_in_order(after=after, upto=upto)
    admin = Permission.ADMIN_ACCESS in principal.permissions
    return await TIMELINE.respond(
        request, principal, page, board_id=board_id, from_board_id=from_board_id,
        mission_id=mission_id, agent_id=agent_id, actor_id=actor_id, type=type_, since=since,
        until=until, after=after, upto=upto, admin_only=None if admin else False,
    )  # fmt: skip
