"""The log itself, for auditors: NDJSON of envelopes from any position."""

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from domain.permissions import Permission
from infra.envelopes import COLUMNS, Envelope
from infra.http.principal import Principal, requires
from infra.postgres import Database
from infra.vault import Vault, subjects

router = APIRouter(prefix="/api/events", tags=["events"])

PAGE_EVENTS = 500
PAGE = (
    f"SELECT {COLUMNS}, (SELECT log_id FROM log_head) FROM events"
    " WHERE workspace_id = %s AND position > %s ORDER BY position LIMIT %s"
)


@router.get("", response_class=StreamingResponse)
async def events(
    request: Request,
    principal: Annotated[Principal, requires(Permission.ADMIN_ACCESS)],
    from_: Annotated[int, Query(alias="from", ge=0, le=2**53)] = 0,
    limit: Annotated[int | None, Query(ge=1, le=10_000_000)] = None,
) -> StreamingResponse:
    """Stream the workspace's events behind position `from`, one JSON envelope a line."""
    lines = _lines(request, principal.workspace_id, from_, limit)
    return StreamingResponse(lines, media_type="application/x-ndjson")


async def _lines(
    request: Request, workspace_id: UUID, after: int, limit: int | None
) -> AsyncIterator[bytes]:
    database: Database = request.app.state.database
    vault: Vault = request.app.state.vault
    codec = request.app.state.codec
    left = limit if limit is not None else float("inf")
    while left > 0:
        rows = await database.fetch(
            workspace_id, PAGE, [workspace_id, after, int(min(left, PAGE_EVENTS))]
        )
        if not rows:
            return
        envelopes = [Envelope.of(row[:-1], codec) for row in rows]
        await vault.load(set().union(*(subjects(e.type, e.payload) for e in envelopes)))
        log_id = rows[0][-1]
        yield b"".join(
            msgspec.json.encode(e.to_dict(log_id, vault.open_event(e.type, e.payload, e.stream_id)))
            + b"\n"
            for e in envelopes
        )
        after = envelopes[-1].position
        left -= len(rows)
