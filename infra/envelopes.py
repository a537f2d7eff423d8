"""Events as the log holds them: the envelope, and its two public forms."""

from copy import copy
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cached_property
from typing import Any, Self
from uuid import UUID

import msgspec

from domain.base import Event
from infra.codec import EventCodec

COLUMNS = (
    "position, event_id, workspace_id, prev, stream_id, stream_version, type, recorded_at, actor_kind,"
    " actor_id, on_behalf_of, command_id, correlation_id, causation_id, traceparent, data::text"
)


@dataclass(frozen=True)
class Envelope:
    """One event of the log. `data` is its JSON exactly as recorded, personal fields sealed."""

    position: int
    event_id: UUID
    workspace_id: UUID
    prev: int
    stream_id: UUID
    stream_version: int
    type: str
    recorded_at: datetime
    actor_kind: str
    actor_id: UUID
    on_behalf_of: UUID | None
    command_id: UUID
    correlation_id: UUID
    causation_id: UUID | None
    traceparent: str | None
    data: str
    codec: EventCodec

    @classmethod
    def of(cls, row: tuple[Any, ...], codec: EventCodec) -> Self:
        """Return the envelope of a row of `COLUMNS`."""
        # Frozen by its dataclass; made in one go instead of one checked attribute after the other.
        envelope = object.__new__(cls)
        envelope.__dict__.update(zip(_NAMES, row, strict=True), codec=codec)
        return envelope

    @cached_property
    def event(self) -> Event:
        """The domain event, decoded when somebody first asks."""
        return self.codec.decode(
            self.type,
            self.data,
            stream_id=self.stream_id,
            version=self.stream_version,
            workspace_id=self.workspace_id,
            recorded_at=self.recorded_at,
        )

    def with_event(self, event: Event) -> Self:
        """Return this envelope around another form of its event: one whose texts were opened."""
        other = copy(self)
        other.__dict__["event"] = event
        return other

    @cached_property
    def payload(self) -> dict[str, Any]:
        """The data as plain JSON values."""
        decoded: dict[str, Any] = msgspec.json.decode(self.data)
        return decoded

    def to_dict(self, log_id: UUID, data: dict[str, Any]) -> dict[str, Any]:
        """Return the whole envelope with its data opened or sealed, as `/api/events` gives it."""
        return {
            "log_id": log_id,
            "position": self.position,
            "event_id": self.event_id,
            "workspace_id": self.workspace_id,
            "prev": self.prev,
            "stream_id": self.stream_id,
            "stream_version": self.stream_version,
            "type": self.type,
            "recorded_at": self.recorded_at,
            "actor": {"kind": self.actor_kind, "id": self.actor_id},
            "on_behalf_of": self.on_behalf_of,
            "command_id": self.command_id,
            "correlation_id": self.correlation_id,
            "causation_id": self.causation_id,
            "traceparent": self.traceparent,
            "data": data,
        }


_NAMES = tuple(field.name for field in fields(Envelope) if field.name != "codec")
