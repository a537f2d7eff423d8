"""Is the process alive, and can it do its work?"""

from typing import Any, Literal, NamedTuple

import msgspec
import psycopg
from fastapi import APIRouter, Request, Response
from msgspec import UNSET, UnsetType

from infra.http.openapi import answer
from infra.http.principal import public
from infra.marks import FOLLOWERS, INDEXES, LAG_EVENTS_MAX, STILL_S_MAX, Marks, stands_still
from infra.postgres import Database, within
from infra.stores import in_elasticsearch, names

router = APIRouter(prefix="/health", tags=["health"])

ANSWER_S_MAX = 3.0
STANDING = f"""
SELECT (SELECT position FROM log_head),
    (SELECT json_agg(json_build_array(name, position, still_s)) FROM ({FOLLOWERS}) AS f),
    (SELECT coalesce(json_object_agg(model, streams), '{{}}')
        FROM (SELECT model, count(*) AS streams FROM parked_events GROUP BY model) p)"""


class Alive(msgspec.Struct):
    """The process runs."""

    status: Literal["ok"]


class Ready(msgspec.Struct):
    """How far the log is, how many events what follows it is behind, what has not moved for how many seconds
    although there is more, and streams that are parked."""

    status: Literal["ok", "degraded"]
    position: int
    lag: dict[str, int]
    still_s: dict[str, int]
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
        found = await standing(request)
        services = {name: await state() for name, state in request.app.state.services.items()}
    except (psycopg.Error, TimeoutError) as error:
        gone = {"status": "unavailable", "database": type(error).__name__}
        return Response(msgspec.json.encode(gone), 503, media_type="application/json")
    ailing = any(service["status"] != "ok" for service in services.values())
    behind = bool(found.still_s) or any(lag > LAG_EVENTS_MAX for lag in found.lag.values())
    body: dict[str, Any] = {
        "status": "degraded" if ailing or behind or found.parked else "ok",
        "position": found.head,
        "lag": found.lag,
        "still_s": found.still_s,
        "parked": found.parked,
        "services": services,
    }
    return Response(msgspec.json.encode(body), 200, media_type="application/json")


class Standing(NamedTuple):
    """Where the log ends; by name how far what follows it is behind, what stands still, and what is parked."""

    head: int
    lag: dict[str, int]
    still_s: dict[str, int]
    parked: dict[str, int]


async def standing(request: Request) -> Standing:
    """Ask the database how the log stands, and what follows it."""
    state = request.app.state
    database: Database = state.primary
    marks: Marks = state.marks
    asked = [[*names(state.settings), *INDEXES], list(in_elasticsearch(state.settings))]
    ((head, followers, parked),) = await within(ANSWER_S_MAX, database.look_up(STANDING, asked))
    # What is stored follows what this process has done: where it projects itself, it knows better.
    lag = {name: max(0, head - marks.noted.get(name, at)) for name, at, _ in followers}
    is_young = marks.age_s < STILL_S_MAX  # as may be what follows the log
    still = {name: s for name, _, s in followers if lag[name] and stands_still(s) and not is_young}
    return Standing(head, lag, still, parked)
