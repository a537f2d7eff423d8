"""Is the process alive, and can it do its work?"""

from typing import Any

import msgspec
import psycopg
from fastapi import APIRouter, Request, Response

from infra.http.principal import public
from infra.marks import INDEXES, LAG_EVENTS_MAX, Marks
from infra.postgres import Database, within
from infra.stores import names

router = APIRouter(prefix="/health", tags=["health"])

ANSWER_S_MAX = 3.0
STANDING = """
SELECT (SELECT position FROM log_head),
    (SELECT coalesce(json_object_agg(name, c.position), '{}')
        FROM checkpoints c JOIN log_head h USING (log_id)),
    (SELECT coalesce(json_object_agg(model, streams), '{}')
        FROM (SELECT model, count(*) AS streams FROM parked_events GROUP BY model) p)"""


@router.get("/live", dependencies=[public()])
async def live() -> Response:
    """Answer as long as the process runs."""
    return Response(b'{"status":"ok"}', media_type="application/json")


@router.get("/ready", dependencies=[public()])
async def ready(request: Request) -> Response:
    """Answer 503 only without what this process can't work without, its database, and when it leaves."""
    if request.app.state.leaving:
        return Response(b'{"status":"leaving"}', 503, media_type="application/json")
    database: Database = request.app.state.primary
    try:
        (row,) = await within(ANSWER_S_MAX, database.look_up(STANDING))
    except (psycopg.Error, TimeoutError) as error:
        gone = {"status": "unavailable", "database": type(error).__name__}
        return Response(msgspec.json.encode(gone), 503, media_type="application/json")
    head, stored, parked = row
    # What is stored follows what this process has done: where it projects itself, it knows better.
    marks: Marks = request.app.state.marks
    positions = {**stored, **marks.noted}
    followed = (*names(request.app.state.settings), *INDEXES)
    lags = {name: max(0, head - positions.get(name, 0)) for name in followed}
    services = {name: await state() for name, state in request.app.state.services.items()}
    ailing = any(service["status"] != "ok" for service in services.values())
    degraded = ailing or bool(parked) or any(lag > LAG_EVENTS_MAX for lag in lags.values())
    body: dict[str, Any] = {
        "status": "degraded" if degraded else "ok",
        "position": head,
        "lag": lags,
        "parked": parked,
        "services": services,
    }
    return Response(msgspec.json.encode(body), 200, media_type="application/json")
