"""The log as the `eventsourcing` library sees it: its Repository and EventStore work on it.

Synchronous and one aggregate at a time: for tools and tests. The server uses `infra.aggregates`.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from eventsourcing.persistence import (
    AggregateRecorder,
    IntegrityError,
    JSONTranscoder,
    Mapper,
    StoredEvent,
)

from commands.append import Answer, Append, Appended, CommandMeta, Refused, StreamAppend, Verdict
from domain.base import Event
from infra.codec import EventCodec, SnapshotCodec

SELECT = """SELECT stream_id, stream_version, type, workspace_id, recorded_at, data::text FROM events
WHERE stream_id = %(id)s AND stream_version > %(gt)s AND stream_version <= %(lte)s"""
SELECT_SNAPSHOTS = """SELECT stream_id, version, topic, workspace_id, NULL, state::text FROM snapshots
WHERE stream_id = %(id)s AND version > %(gt)s AND version <= %(lte)s"""
VERSION_MAX = 2**31 - 1
NO_WORKSPACE = UUID(int=0)


class _State(msgspec.Struct):
    """What the library carries between recorder and mapper, besides stream, version and type."""

    workspace_id: UUID | None
    """None for an event on its way to the log that is not a stream's first."""
    recorded_at: datetime | None
    """None for a snapshot."""
    data: msgspec.Raw


class LogMapper(Mapper[UUID]):
    """Between domain events and the rows of the log."""

    def __init__(self, codec: EventCodec) -> None:
        super().__init__(JSONTranscoder())
        self._codec = codec

    def to_stored_event(self, domain_event: Any) -> StoredEvent:
        """Return the event as a row; its workspace is the command's business."""
        workspace_id = getattr(domain_event, "workspace_id", None)
        data = msgspec.Raw(self._codec.encode(domain_event))
        state = msgspec.json.encode(_State(workspace_id, domain_event.timestamp, data))
        return StoredEvent(
            domain_event.originator_id, domain_event.originator_version, domain_event.TOPIC, state
        )

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        """Return the event that a row holds."""
        state = msgspec.json.decode(stored_event.state, type=_State)
        assert isinstance(stored_event.originator_id, UUID)
        assert state.recorded_at is not None
        return self._codec.decode(
            stored_event.topic,
            bytes(state.data),
            stream_id=stored_event.originator_id,
            version=stored_event.originator_version,
            workspace_id=state.workspace_id or NO_WORKSPACE,
            recorded_at=state.recorded_at,
        )


class LogRecorder(AggregateRecorder):
    """Reads with a connection that sees the workspaces wanted; writes through the append port.

    `append` is the port made synchronous, as by `asyncio.run_coroutine_threadsafe`. Store with
    `event_store.put(events, meta=...)`: all events are one command.
    """

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        mapper: LogMapper,
        append: Callable[[Append], Verdict],
    ) -> None:
        self._connection = connection
        self._mapper = mapper
        self._append = append

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int]:
        """Append; raise the library's `IntegrityError` where a stream has moved on."""
        meta: CommandMeta = kwargs["meta"]
        streams = [
            _stream([self._mapper.to_domain_event(stored) for stored in group])
            for _, group in groupby(stored_events, key=lambda stored: stored.originator_id)
        ]
        verdict = self._append(Append(meta, streams, lambda _: Answer(200, {})))
        match verdict:
            case Appended(position=last):
                return range(last - len(stored_events) + 1, last + 1)
            case Refused(refusal=refusal):
                raise refusal
            case _:
                raise IntegrityError(str(verdict))

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Return a stream's events with `gt < version <= lte`."""
        return _select(
            self._connection, SELECT, "stream_version", originator_id, gt, lte, limit, desc=desc
        )


class SnapshotRecorder(AggregateRecorder):
    """Reads the repository's snapshots. They are written by `infra.aggregates` alone."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> None:
        """Refuse."""
        raise NotImplementedError("snapshots are taken by the server's repository")

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Return the aggregate's one snapshot, if it is in that range of versions."""
        return _select(
            self._connection, SELECT_SNAPSHOTS, "version", originator_id, gt, lte, limit, desc=desc
        )


class SnapshotMapper(Mapper[UUID]):
    """From snapshot rows to what the library's repository applies first."""

    def __init__(self) -> None:
        super().__init__(JSONTranscoder())
        self._codec = SnapshotCodec()

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        """Return a snapshot whose `mutate` gives the aggregate."""
        return _Snapshot(stored_event, self._codec)


class _Snapshot:
    def __init__(self, stored: StoredEvent, codec: SnapshotCodec) -> None:
        assert isinstance(stored.originator_id, UUID)
        self._stored = stored
        self._codec = codec
        self.originator_id = stored.originator_id
        self.originator_version = stored.originator_version

    def mutate(self, _: None) -> Any:
        state = msgspec.json.decode(self._stored.state, type=_State)
        return self._codec.decode(
            self._stored.topic, bytes(state.data), stream_id=self.originator_id,
            version=self._stored.originator_version,
        )  # fmt: skip


def _stream(events: list[Event]) -> StreamAppend:
    first = events[0]
    return StreamAppend(first.originator_id, first.originator_version - 1, events)


def _select(
    connection: psycopg.Connection[Any], select: str, version: str, stream_id: UUID | str,
    gt: int | None, lte: int | None, limit: int | None, *, desc: bool,
) -> list[StoredEvent]:  # fmt: skip
    statement = f"{select} ORDER BY {version} {'DESC' if desc else 'ASC'} LIMIT %(limit)s"
    parameters = {
        "id": stream_id,
        "gt": gt or 0,
        "lte": VERSION_MAX if lte is None else lte,
        "limit": limit,
    }
    return [
        StoredEvent(stream, number, topic, _state(workspace_id, recorded_at, data))
        for stream, number, topic, workspace_id, recorded_at, data in connection.execute(
            statement, parameters
        )
    ]


def _state(workspace_id: UUID, recorded_at: datetime | None, data: str) -> bytes:
    return msgspec.json.encode(_State(workspace_id, recorded_at, msgspec.Raw(data.encode())))
