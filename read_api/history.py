"""`as_of`: what the board, a mission or an agent were at a moment of the log."""

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

import msgspec
from fastapi import Query, Request, Response
from msgspec import UnsetType

from domain.base import InvalidValue, NotFound
from infra.history import BeyondTheLog, History, Moment
from infra.http.etags import is_known
from infra.marks import Marks
from infra.postgres import Database
from projections.activity import ACTIVITY
from projections.boards import BoardRow
from projections.missions import CLAIM_ENDS, MISSIONS, MissionRow
from projections.read_model import ReadModel

R = TypeVar("R", bound=Any)

POSITION = re.compile(r"[0-9]{1,16}")
POSITION_MAX = 2**53
AsOf = Annotated[
    str | None,
    Query(
        max_length=40,
        description="the state at this position of the log, or at this time (ISO 8601 with offset)",
    ),
]
RecordedAt = datetime | UnsetType | None
"""When the event at the moment asked for was recorded; null before the first, absent of now."""

AGENT_IDS = "SELECT id FROM read_agents WHERE workspace_id = %s"
CLAIMS_MAX = 100
"""Of an agent's claims before a moment so many are looked at, the newest first."""
# A subquery of one row is never made a join of: each claim costs one look at its mission's next events.
HELD = """
SELECT c.mission_id FROM unnest(%(agents)s::uuid[]) AS a (id)
CROSS JOIN LATERAL (SELECT mission_id, position FROM read_activity
    WHERE agent_id = a.id AND workspace_id = %(workspace)s AND type = 'mission.claimed.v1'
        AND position <= %(position)s ORDER BY position DESC LIMIT %(claims)s) c
WHERE (SELECT 1 FROM read_activity e WHERE e.mission_id = c.mission_id AND e.position > c.position
    AND e.position <= %(position)s AND e.type = ANY (%(ends)s) LIMIT 1) IS NULL"""
DEFAULT_BOARD = "SELECT default_board_id FROM read_workspaces WHERE id = %s AND workspace_id = %s"


@dataclass(frozen=True, slots=True)
class Past(Generic[R]):
    """Something as it was, and when that is."""

    moment: Moment
    found: R

    def respond(self, request: Request, document: dict[str, Any]) -> Response:
        """Answer with a document of this moment.

        The ETag is made of what is told: the same position is another moment in another log, and other
        people see other things of it.
        """
        body = msgspec.json.encode({**document, "as_of": self.moment.recorded_at})
        headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"'}
        if is_known(request, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        return Response(body, 200, headers, "application/json")


async def moment_of(request: Request, as_of: str) -> Moment:
    """Return the moment that `as_of` names; raises `InvalidValue` for nonsense and for the future."""
    history: History = request.app.state.history
    when = parse_moment(as_of)
    try:
        return await history.at(when)
    except BeyondTheLog as beyond:
        what = "this position" if isinstance(when, int) else "this time"
        raise InvalidValue(
            f"{what} is yet to come: the log ends at position {beyond.head}", field="as_of"
        ) from None


def parse_moment(as_of: str) -> int | datetime:
    """Read a position or a time; raises `InvalidValue` that names `as_of`."""
    if POSITION.fullmatch(as_of) and int(as_of) <= POSITION_MAX:
        return int(as_of)
    try:
        time = datetime.fromisoformat(as_of)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise InvalidValue(
            "a position, or a time with its offset like 2026-01-31T09:30:00Z (a plus sign in a URL"
            " is written %2B)",
            field="as_of",
        )
    return time


async def board_as_of(
    request: Request, workspace_id: UUID, board_id: UUID | None, as_of: str
) -> Past[tuple[BoardRow, list[MissionRow]]]:
    """Return a board and its cards in the order of the live ones; the workspace's own when none is named."""
    history: History = request.app.state.history
    moment = await moment_of(request, as_of)
    if board_id is None:
        board_id = await _default_board(request, workspace_id)
    missing = NotFound("no such board in this workspace at that moment", field="board_id")
    if board_id is None:
        raise missing
    state = await history.board(workspace_id, board_id, moment.position)
    if state.board is None:
        raise missing
    cards = sorted(state.cards.values(), key=lambda card: (card.rank, card.id))
    return Past(moment, (state.board, cards))


async def mission_as_of(
    request: Request, workspace_id: UUID, mission_id: UUID, as_of: str
) -> Past[MissionRow]:
    """Return a mission; raises `NotFound` where it did not exist yet, or no more."""
    past = await row_as_of(request, MISSIONS, workspace_id, mission_id, as_of)
    if past is None or past.found.deleted:
        raise NotFound("no such mission in this workspace at that moment")
    return past


async def agent_as_of(
    request: Request, agents: ReadModel[R], workspace_id: UUID, agent_id: UUID, as_of: str
) -> Past[R]:
    """Return an agent's row of the read model `agents`; raises `NotFound` where there was none yet."""
    past = await row_as_of(request, agents, workspace_id, agent_id, as_of)
    if past is None:
        raise NotFound("no such agent in this workspace at that moment")
    return past


async def agents_as_of(
    request: Request, agents: ReadModel[R], workspace_id: UUID, as_of: str
) -> Past[list[R]]:
    """Return every agent that there was at a moment, by name."""
    database: Database = request.app.state.database
    history: History = request.app.state.history
    moment = await moment_of(request, as_of)
    ids = {row[0] for row in await database.fetch(workspace_id, AGENT_IDS, [workspace_id])}
    found = await history.rows(agents, workspace_id, ids, moment.position)
    rows = [row for row in found.values() if row is not None]
    return Past(moment, sorted(rows, key=lambda row: (row.name.casefold(), row.id)))


async def held_as_of(
    request: Request, workspace_id: UUID, agents: Collection[UUID], position: int
) -> dict[UUID, list[MissionRow]]:
    """Return the missions that agents held as of a position, by agent, what changed last first."""
    database: Database = request.app.state.database
    history: History = request.app.state.history
    marks: Marks = request.app.state.marks
    await marks.wait(position, ACTIVITY.name)
    values = {
        "agents": list(agents), "workspace": workspace_id, "position": position, "claims": CLAIMS_MAX,
        "ends": CLAIM_ENDS,
    }  # fmt: skip
    claimed = {row[0] for row in await database.fetch(workspace_id, HELD, values)}
    missions = await history.rows(MISSIONS, workspace_id, claimed, position)
    held: dict[UUID, list[MissionRow]] = {}
    for row in sorted(
        filter(None, missions.values()), key=lambda row: row.updated_at, reverse=True
    ):
        if row.holder is not None:
            held.setdefault(row.holder, []).append(row)
    return held


async def row_as_of(
    request: Request, model: ReadModel[R], workspace_id: UUID, stream_id: UUID, as_of: str
) -> Past[R] | None:
    """Return a read model's row of one stream, or None before its first event."""
    history: History = request.app.state.history
    moment = await moment_of(request, as_of)
    row = await history.row(model, workspace_id, stream_id, moment.position)
    return None if row is None else Past(moment, row)


async def _default_board(request: Request, workspace_id: UUID) -> UUID | None:
    database: Database = request.app.state.database
    rows = await database.fetch(workspace_id, DEFAULT_BOARD, [workspace_id, workspace_id])
    return rows[0][0] if rows else None
