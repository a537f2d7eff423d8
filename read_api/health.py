"""Is the process alive, and can it do its work?"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
import psycopg
from fastapi import APIRouter, Request, Response
from msgspec import UNSET, UnsetType

from infra.http.openapi import answer
from infra.http.principal import public
from infra.marks import INDEXES, LAG_EVENTS_MAX, OF_ITS_STORE, Marks
from infra.postgres import Database, within
from infra.stores import in_elasticsearch, names

router = APIRouter(prefix="/health", tags=["health"])

ANSWER_S_MAX = 3.0
STANDING = f"""
SELECT (SELECT position FROM log_head),
    (SELECT coalesce(json_object_agg(name, c.position), '{{}}')
        FROM checkpoints c JOIN log_head h USING (log_id) WHERE {OF_ITS_STORE}),
    (SELECT coalesce(json_object_agg(model, streams), '{{}}')
        FROM (SELECT model, count(*) AS streams FROM parked_events GROUP BY model) p)"""


class Alive(msgspec.Struct):
    """The process runs."""

    status: Literal["ok"]


class Ready(msgspec.Struct):
    """How far the log is, how many events what follows it is behind, and streams that are parked."""

    status: Literal["ok", "degraded"]
    position: int
    lag: dict[str, int]
    parked: dict[str, int]
    services: dict[str, dict[str, Any]]


class NotReady(msgspec.Struct):
    """The process ends, or lacks its database: `database` names the error."""

    status: Literal["leaving", "unavailable"]
    database: str | UnsetType = UNSET


@router.get("/live", dependencies=[public()], responses=answer(Alive, "Alive"))
async def live() -> Response:
    """Answer as long as the process runs."""
    return Response(b'{"status":"ok"}', media_type="application/json")


@router.get(
    "/ready",
    dependencies=[public()],
    responses={**answer(Ready, "Ready"), **answer(NotReady, "Not ready", status=503)},
)
async def ready(request: Request) -> Response:
    """Answer 503 only without what this process can't work without, its database, and when it leaves."""
    if request.app.state.leaving:
        return Response(b'{"status":"leaving"}', 503, media_type="application/json")
    try:
        head, stored, parked = await standing(request)
    except (psycopg.Error, TimeoutError) as error:
        gone = {"status": "unavailable", "database": type(error).__name__}
        return Response(msgspec.json.encode(gone), 503, media_type="application/json")
    lags = lags_of(request, head, stored)
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


async def standing(request: Request) -> tuple[Any, ...]:
    """Return the log's head, checkpoints by name, and how many streams are parked by model."""
    database: Database = request.app.state.primary
    elsewhere = list(in_elasticsearch(request.app.state.settings))
    (row,) = await within(ANSWER_S_MAX, database.look_up(STANDING, [elsewhere]))
    return row


def lags_of(request: Request, head: int, stored: Mapping[str, int]) -> dict[str, int]:
    """Return by name how many events each read model and index is behind; `stored` are checkpoints."""
    # What is stored follows what this process has done: where it projects itself, it knows better.
    marks: Marks = request.app.state.marks
    positions = {**stored, **marks.noted}
    followed = (*names(request.app.state.settings), *INDEXES)
    return {name: max(0, head - positions.get(name, 0)) for name in followed}
