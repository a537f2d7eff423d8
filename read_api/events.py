"""The log itself, for auditors: NDJSON from any position, one event with its causes, a timeline."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Protocol
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import StringConstraints

from domain.base import InvalidValue, NotFound
from domain.permissions import Permission
from infra.envelopes import COLUMNS, Envelope
from infra.history import BeyondTheLog, History
from infra.http.fields import Time
from infra.http.limits import OpenStreams
from infra.http.openapi import answer, refusals
from infra.http.principal import Principal, Unauthenticated, bearer_of, identity_of, requires
from infra.marks import KEYFRAMES, ROOM_INDEX, Marks
from infra.postgres import Database
from infra.vault import Vault, subjects
from read_api.lists import ActorKind, require_in_order

router = APIRouter(prefix="/api/events", tags=["events"])

PAGE_EVENTS_MIN = 10
PAGE_EVENTS_MAX = 200
PAGE_CHARS = 262_144
CHUNK_BYTES = 65_536
SCAN_POSITIONS = 20_000
HEARTBEAT_S = 15.0
LOOK_UP_S = 1.0  # how long a follower that waits does not notice the end of the process
TYPES_MAX = 20
RELATED_EVENTS_MAX = 200
BUCKETS_MAX = 1000
MINUTE_S = 60
CLOUDEVENTS = "application/cloudevents+json"
MEDIA_TYPE = "application/x-ndjson"
LINE_ENDS = [(end.encode(), b"\\u%04x" % ord(end)) for end in "\x85\u2028\u2029"]

Auditor = Annotated[Principal, requires(Permission.ADMIN_ACCESS)]


EventType = Annotated[
    str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*(\.[a-z0-9_]+)*(\.\*)?$", max_length=80)
]

PAGE = f"""
SELECT {COLUMNS} FROM events
WHERE workspace_id = %(workspace)s AND position > %(after)s AND position <= %(upto)s {{filters}}
ORDER BY {{order}} LIMIT %(limit)s"""
FILTERS = {
    "actor": "AND actor_id = %(actor)s",
    "types": r"AND type LIKE ANY (%(types)s)",
    "stream": "AND stream_id = %(stream)s",
}
HEAD = "SELECT log_id, position FROM log_head"
ONE = f"SELECT {COLUMNS} FROM events WHERE position = %s AND workspace_id = %s"
# A chain of causes shares its first command's correlation id, whose index serves all three.
CAUSED_BY = f"""
SELECT {COLUMNS} FROM events
WHERE correlation_id = %(correlation)s AND workspace_id = %(workspace)s
    AND (event_id = %(cause)s OR command_id = %(cause)s)
ORDER BY position LIMIT %(limit)s"""
SAME_COMMAND = f"""
SELECT {COLUMNS} FROM events
WHERE correlation_id = %(correlation)s AND workspace_id = %(workspace)s AND command_id = %(command)s
ORDER BY position LIMIT %(limit)s"""
SAME_CORRELATION = f"""
SELECT {COLUMNS} FROM events WHERE correlation_id = %(correlation)s AND workspace_id = %(workspace)s
ORDER BY position LIMIT %(limit)s"""
CAUSED = f"""
SELECT {COLUMNS} FROM events
WHERE causation_id IN (%(event)s, %(command)s) AND workspace_id = %(workspace)s
ORDER BY position LIMIT %(limit)s"""
# Each is what follows FROM: a board has minutes of its own, or its line would have to read all its events.
OF_WORKSPACE = "read_event_minutes WHERE workspace_id = %(workspace)s"
OF_BOARD = "read_board_minutes WHERE workspace_id = %(workspace)s AND board_id = %(board)s"
DENSITY = """
SELECT floor(extract(epoch FROM minute - %(since)s) / %(bucket_s)s)::integer AS bucket,
    sum(events)::bigint, min(first_position), max(last_position)
FROM {minutes} AND minute >= %(since)s AND minute < %(until)s
GROUP BY bucket"""
BOUNDS = """
SELECT min(minute) AS first, max(minute) AS last,
    (SELECT last_position FROM {minutes} AND minute < %(since)s ORDER BY minute DESC LIMIT 1)
FROM {minutes}"""


class EventActor(msgspec.Struct):
    """Who caused an event."""

    kind: ActorKind
    id: UUID


class RecordedEvent(msgspec.Struct):
    """An event as `Envelope.to_dict` gives it; `data` has the members of its type."""

    log_id: UUID
    position: int
    event_id: UUID
    workspace_id: UUID
    prev: int
    stream_id: UUID
    stream_version: int
    type: str
    recorded_at: datetime
    actor: EventActor
    on_behalf_of: UUID | None
    command_id: UUID
    correlation_id: UUID
    causation_id: UUID | None
    traceparent: str | None
    data: dict[str, Any]


class EventInFull(msgspec.Struct):
    """An event and those around it; `more` names the lists that are longer than what is given."""

    event: RecordedEvent
    more: list[Literal["caused_by", "caused", "command", "correlation"]]
    caused_by: list[RecordedEvent]
    caused: list[RecordedEvent]
    command: list[RecordedEvent]
    correlation: list[RecordedEvent]


class EventBucket(msgspec.Struct):
    """How many events there were from `start` on; `as_of` is the newest position at the end."""

    start: datetime
    events: int
    first_position: int | None
    last_position: int | None
    as_of: int


class Density(msgspec.Struct):
    """Events over time, in buckets of `bucket_s` seconds."""

    position: int
    bucket_s: int
    buckets: list[EventBucket]


LINES = answer(RecordedEvent, "One event a line", media_type=MEDIA_TYPE)


class Following(Protocol):
    """What is asked of the process's follower of the log."""

    @property
    def position(self) -> int: ...

    def wait_beyond(self, position: int) -> Awaitable[None]: ...


class Ending(Protocol):
    """What tells that the process is about to end."""

    @property
    def is_draining(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events of a workspace an auditor asks for: behind `after`, at most `upto`."""

    workspace_id: UUID
    after: int
    upto: int
    limit: int | None
    actor_id: UUID | None = None
    types: tuple[str, ...] = ()
    stream_id: UUID | None = None
    since: datetime | None = None
    """May be yet to come: then `after` can't tell yet which events are before it."""

    @property
    def is_sparse(self) -> bool:
        """Whether the filter has no index: then a query looks at so many positions at most."""
        return self.stream_id is None and (self.actor_id is not None or bool(self.types))

    def page(self, after: int, upto: int, limit: int) -> tuple[str, dict[str, Any]]:
        """Return the query for the next events."""
        values = {
            "actor": self.actor_id,
            "types": [_pattern(kind) for kind in self.types] or None,
            "stream": self.stream_id,
        }
        chosen = " ".join(FILTERS[name] for name, value in values.items() if value is not None)
        order = "position" if self.stream_id is None else "stream_version"
        place = {"workspace": self.workspace_id, "after": after, "upto": upto, "limit": limit}
        return PAGE.format(filters=chosen, order=order), {**values, **place}


@router.get("", response_class=StreamingResponse, responses={**LINES, **refusals(429)})
async def events(
    request: Request,
    principal: Auditor,
    from_: Annotated[int, Query(alias="from", ge=0, le=2**53)] = 0,
    limit: Annotated[int | None, Query(ge=1, le=10_000_000)] = None,
    actor_id: UUID | None = None,
    type_: Annotated[list[EventType], Query(alias="type", max_length=TYPES_MAX)] = [],  # noqa: B006 - never changed
    stream_id: UUID | None = None,
    since: Time | None = None,
    until: Time | None = None,
    follow: bool = False,
    log_id: UUID | None = None,
) -> Response:
    """Stream the workspace's events behind position `from`, one JSON envelope a line.

    `type` is an event's type or, like `mission.*`, the beginning of some; it may repeat. `since` and `until`
    include their own moment. `prev` is the workspace's previous position, whatever is filtered out: without
    filters it proves that nothing is missing. A `from` that the log has not reached is refused, as is one of
    another log than `log_id`: after a restore, positions mean something else. With `follow` new events go on to
    come, and an empty line now and then; the answer ends when the caller's rights do, and a caller has at most
    20 of them and of `/api/stream` open at a time (429). `Accept: application/cloudevents+json` gives
    CloudEvents.
    """
    if follow and until is not None:
        raise InvalidValue("an end makes no sense where the log is followed", field="until")
    require_in_order(since=since, until=until)
    of_log, head = await _head(request)
    if log_id not in {None, of_log}:
        raise InvalidValue(f"the log is {of_log} now; begin again", field="log_id")
    if from_ > head:
        raise InvalidValue(f"is yet to come: the log ends at position {head}", field="from")
    after, upto = await _between(request, since, until, head)
    wanted = Wanted(
        principal.workspace_id, max(from_, after), upto, limit, actor_id, tuple(type_), stream_id,
        since,
    )  # fmt: skip
    in_cloudevents = CLOUDEVENTS in request.headers.get("accept", "")
    lines = Lines(request, of_log, wanted, in_cloudevents=in_cloudevents)
    if not follow:
        return StreamingResponse(lines.known(), media_type=MEDIA_TYPE)
    streams: OpenStreams = request.app.state.open_streams
    return streams.bounded(principal, StreamingResponse(lines.followed(), media_type=MEDIA_TYPE))


class Lines:
    """One auditor's stream. It reads on only when what it sent was taken: its memory is one page."""

    def __init__(
        self, request: Request, log_id: UUID, wanted: Wanted, *, in_cloudevents: bool
    ) -> None:
        self._request = request
        # Read up to what this process has heard of, which a replica may not have yet.
        self._database: Database = request.app.state.primary
        self._log_id = log_id
        self._wanted = wanted
        self._in_cloudevents = in_cloudevents
        self._after = wanted.after
        self._since = wanted.since
        self._page_events = PAGE_EVENTS_MIN
        self._left: float = wanted.limit if wanted.limit is not None else float("inf")

    async def known(self) -> AsyncIterator[bytes]:
        """Give what the log holds."""
        async for lines in self._upto(self._wanted.upto):
            yield lines

    async def followed(self) -> AsyncIterator[bytes]:
        """Give what the log holds, and then what it comes to hold, while the caller may have it."""
        follower: Following = self._request.app.state.follower
        live: Ending = self._request.app.state.live
        upto, beat = self._wanted.upto, time.monotonic()
        while self._left > 0 and not live.is_draining and await self._may_go_on():
            async for lines in self._upto(upto):
                yield lines
                beat = time.monotonic()
                if not await self._may_go_on():
                    return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_UP_S):
                    await follower.wait_beyond(max(upto, self._after))
            upto = max(upto, follower.position)
            if time.monotonic() - beat > HEARTBEAT_S:
                yield b"\n"
                beat = time.monotonic()

    async def _upto(self, upto: int) -> AsyncIterator[bytes]:
        wanted = self._wanted
        while self._after < upto and self._left > 0:
            reach = min(upto, self._after + SCAN_POSITIONS) if wanted.is_sparse else upto
            limit = int(min(self._left, self._page_events))
            query, values = wanted.page(self._after, reach, limit)
            rows = await self._database.fetch(wanted.workspace_id, query, values)
            envelopes = [Envelope.of(row, self._request.app.state.codec) for row in rows]
            self._after = envelopes[-1].position if len(envelopes) == limit else reach
            envelopes = self._in_time(envelopes)
            self._left -= len(envelopes)
            if envelopes:
                # The next page is as long as these events, on average, let it be.
                fitting = PAGE_CHARS * len(envelopes) // sum(len(e.data) for e in envelopes)
                self._page_events = min(PAGE_EVENTS_MAX, max(PAGE_EVENTS_MIN, fitting))
            async for lines in self._encoded(envelopes):
                yield lines

    def _in_time(self, envelopes: list[Envelope]) -> list[Envelope]:
        """Leave out what was recorded before the time that is asked for."""
        if self._since is None:
            return envelopes
        found = [envelope for envelope in envelopes if envelope.recorded_at >= self._since]
        if found:
            self._since = None  # times never fall: so are all that follow
        return found

    async def _encoded(self, envelopes: Sequence[Envelope]) -> AsyncIterator[bytes]:
        lines = bytearray()
        for document in await _opened(self._request, self._log_id, envelopes):
            shown = cloudevent(document) if self._in_cloudevents else document
            lines += _line(shown)
            if len(lines) >= CHUNK_BYTES:
                yield bytes(lines)
                lines.clear()
        if lines:
            yield bytes(lines)

    async def _may_go_on(self) -> bool:
        # The rights of now, which this process forgets when an event may have changed them.
        identity, scope = identity_of(self._request), self._request.scope
        credential = bearer_of(scope)
        principal = identity.recall(credential)
        try:
            principal = principal or await identity.authenticate(credential, scope)
        except Unauthenticated:
            return False
        return Permission.ADMIN_ACCESS in principal.permissions


def _line(shown: Any) -> bytes:
    """Return a document as a line, whatever its reader takes for an end of one: JSON allows these as they are."""
    line = msgspec.json.encode(shown)
    for end, written in LINE_ENDS:
        line = line.replace(end, written)
    return line + b"\n"


@router.get("/density", responses=answer(Density))
async def density(
    request: Request,
    principal: Annotated[Principal, requires(Permission.READ)],
    board_id: UUID | None = None,
    since: Time | None = None,
    until: Time | None = None,
    buckets: Annotated[int, Query(ge=1, le=BUCKETS_MAX)] = 100,
    min_position: Annotated[int, Query(ge=0, le=2**53)] = 0,
) -> Response:
    """Count the workspace's events over time, in at most so many buckets of whole minutes.

    With `board_id` only those of a board's room count: the board's own, its missions', and their comments'.
    `as_of` of a bucket is the newest position of them at its end, also where the bucket itself is empty, and
    0 before the first: what a slider asks the board for. Without bounds it is all the time there is.
    """
    if since is not None and until is not None and until <= since:
        raise InvalidValue("must be later than since", field="until")
    marks: Marks = request.app.state.marks
    database: Database = request.app.state.database
    minutes, mark = (OF_WORKSPACE, KEYFRAMES) if board_id is None else (OF_BOARD, ROOM_INDEX)
    position = await marks.wait(min_position, mark)
    workspace = principal.workspace_id
    earliest = datetime.min.replace(tzinfo=UTC)
    whose: dict[str, Any] = {"workspace": workspace, "board": board_id}
    values = {**whose, "since": _minute(since) if since else earliest}
    rows = await database.fetch(workspace, BOUNDS.format(minutes=minutes), values)
    first, last, before = rows[0]
    start = _minute(since) if since else first
    end = _minute(until or last, up=True) if until or last else None
    if start is None or end is None or end <= start:
        return _density(position, [], MINUTE_S)
    span_s = (end - start).total_seconds()
    bucket_s = MINUTE_S * max(1, -(-int(span_s) // (buckets * MINUTE_S)))
    values = {**whose, "since": start, "until": end, "bucket_s": bucket_s}
    counted = await database.fetch(workspace, DENSITY.format(minutes=minutes), values)
    found = {row[0]: row[1:] for row in counted}
    items: list[dict[str, Any]] = []
    newest = before or 0
    for number in range(-(-int(span_s) // bucket_s)):
        count, low, high = found.get(number, (0, None, None))
        newest = high or newest
        at = start + timedelta(seconds=number * bucket_s)
        items.append(
            {"start": at, "events": count, "first_position": low, "last_position": high, "as_of": newest}
        )  # fmt: skip
    return _density(position, items, bucket_s)


def _density(position: int, items: list[dict[str, Any]], bucket_s: int) -> Response:
    body = {"position": position, "bucket_s": bucket_s, "buckets": items}
    return Response(msgspec.json.encode(body), media_type="application/json")


@router.get("/{position}", responses=answer(EventInFull))
async def event(
    request: Request,
    principal: Auditor,
    position: int,
) -> Response:
    """Return one event, what caused it, what it caused, and what else its command and its chain did.

    Of each list at most 200 events are given, and `more` says which of them are longer.
    """
    database: Database = request.app.state.primary
    workspace = principal.workspace_id
    if not 0 < position <= 2**53:
        raise NotFound("no such event in this workspace")
    rows = await database.fetch(workspace, ONE, [position, workspace])
    if not rows:
        raise NotFound("no such event in this workspace")
    codec = request.app.state.codec
    envelope = Envelope.of(rows[0], codec)
    values = {
        "workspace": workspace, "correlation": envelope.correlation_id, "event": envelope.event_id,
        "command": envelope.command_id, "cause": envelope.causation_id,
        "limit": RELATED_EVENTS_MAX + 1,
    }  # fmt: skip
    queries = {
        "caused_by": CAUSED_BY, "caused": CAUSED, "command": SAME_COMMAND, "correlation": SAME_CORRELATION,
    }  # fmt: skip
    found = await asyncio.gather(
        *(database.fetch(workspace, query, values) for query in queries.values())
    )
    log_id, _ = await _head(request)
    body: dict[str, Any] = {
        "event": (await _opened(request, log_id, [envelope]))[0],
        "more": [name for name, rows in zip(queries, found, strict=True) if len(rows) > RELATED_EVENTS_MAX],
    }  # fmt: skip
    for name, related in zip(queries, found, strict=True):
        envelopes = [Envelope.of(row, codec) for row in related[:RELATED_EVENTS_MAX]]
        others = [other for other in envelopes if other.position != position]
        body[name] = await _opened(request, log_id, others)
    return Response(msgspec.json.encode(body), media_type="application/json")


def cloudevent(document: dict[str, Any]) -> dict[str, Any]:
    """Return an envelope as a CloudEvent 1.0: what it has no attribute for is an extension."""
    extensions = {
        "position": document["position"],
        "prev": document["prev"],
        "workspaceid": document["workspace_id"],
        "streamversion": document["stream_version"],
        "actorkind": document["actor"]["kind"],
        "actorid": document["actor"]["id"],
        "onbehalfof": document["on_behalf_of"],
        "commandid": document["command_id"],
        "correlationid": document["correlation_id"],
        "causationid": document["causation_id"],
        "traceparent": document["traceparent"],
    }
    return {
        "specversion": "1.0",
        "id": document["event_id"],
        "source": f"urn:mission-control:log:{document['log_id']}",
        "type": document["type"],
        "subject": document["stream_id"],
        "time": document["recorded_at"],
        "datacontenttype": "application/json",
        **{name: value for name, value in extensions.items() if value is not None},
        "data": document["data"],
    }


async def _opened(
    request: Request, log_id: UUID, envelopes: Sequence[Envelope]
) -> list[dict[str, Any]]:
    vault: Vault = request.app.state.vault
    await vault.load(set[UUID]().union(*(subjects(e.type, e.payload) for e in envelopes)))
    return [e.to_dict(log_id, vault.open_event(e.type, e.payload, e.stream_id)) for e in envelopes]


async def _head(request: Request) -> tuple[UUID, int]:
    database: Database = request.app.state.database
    async with database.briefly() as connection:
        row = await (await connection.execute(HEAD)).fetchone()
    assert row is not None, "the schema has this row from the first migration on"
    return row[0], row[1]


async def _between(
    request: Request, since: datetime | None, until: datetime | None, head: int
) -> tuple[int, int]:
    """Return the position before `since` and the last one at `until`."""
    history: History = request.app.state.history
    after, upto = 0, head
    if since is not None:
        try:
            after = (await history.at(since, inclusive=False)).position
        except BeyondTheLog as beyond:
            after = beyond.head
    if until is not None:
        try:
            upto = min(head, (await history.at(until)).position)
        except BeyondTheLog:
            upto = head
    return after, upto


def _pattern(kind: str) -> str:
    """Return the LIKE pattern of a type or of the beginning of some."""
    escaped = kind.replace("_", r"\_")
    return escaped.removesuffix("*") + "%" if kind.endswith("*") else escaped


def _minute(moment: datetime, *, up: bool = False) -> datetime:
    """Return the minute that a moment is in, or with `up` the end of it."""
    minute = moment.replace(second=0, microsecond=0)
    return minute + timedelta(seconds=MINUTE_S) if up else minute
