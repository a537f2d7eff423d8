"""Typed JSON for events and snapshots: built once per class from its annotations, by msgspec."""

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, get_origin, get_type_hints
from uuid import UUID

import msgspec

from domain.base import Aggregate, Event
from domain.catalogue import AGGREGATES, EVENTS, UPCASTERS, Upcaster

# These are the envelope's business, and never part of an event's data.
ENVELOPE_FIELDS = {
    "originator_id", "originator_version", "timestamp", "originator_topic", "workspace_id",
}  # fmt: skip


class UnknownEventType(Exception):
    """The log holds an event type that this program does not know."""


class EventCodec:
    """Event → JSON data, and data with envelope facts → event."""

    def __init__(
        self,
        events: Mapping[str, type[Event]] = EVENTS,
        upcasters: Mapping[str, Upcaster] = UPCASTERS,
    ) -> None:
        self._encoder = msgspec.json.Encoder()
        self._types = events
        self._upcasters = upcasters
        self._fields = {kind: tuple(data_fields(kind)) for kind in events.values()}
        self._decoders = {
            topic: msgspec.json.Decoder(msgspec.defstruct(kind.__name__, data_fields(kind).items()))
            for topic, kind in events.items()
        }

    def encode(self, event: Event) -> bytes:
        """Return an event's data as JSON."""
        values = event.__dict__
        return self._encoder.encode({name: values[name] for name in self._fields[type(event)]})

    def decode(
        self,
        topic: str,
        data: bytes | str,
        *,
        stream_id: UUID,
        version: int,
        workspace_id: UUID,
        recorded_at: datetime,
    ) -> Event:
        """Return the event that was recorded; its timestamp is the log's."""
        while topic in self._upcasters:
            topic, upcast = self._upcasters[topic](msgspec.json.decode(data))
            data = self._encoder.encode(upcast)
        if topic not in self._types:
            raise UnknownEventType(topic)
        kind = self._types[topic]
        event = object.__new__(kind)
        values = msgspec.structs.asdict(self._decoders[topic].decode(data))
        values.update(originator_id=stream_id, originator_version=version, timestamp=recorded_at)
        if topic in _FIRST:
            values.update(originator_topic=_FIRST[topic], workspace_id=workspace_id)
        # Frozen by its dataclass; made in one go instead of one checked attribute after the other.
        event.__dict__.update(values)
        return event


class SnapshotCodec:
    """Aggregate ↔ JSON state, typed by the annotations of the aggregate's class."""

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder()
        self._fields = {kind: _state_fields(kind) for kind in AGGREGATES.values()}
        self._decoders = {
            kind: msgspec.json.Decoder(msgspec.defstruct(kind.__name__, list(fields.items())))
            for kind, fields in self._fields.items()
        }

    def encode(self, aggregate: Aggregate) -> bytes:
        """Return an aggregate's state as JSON."""
        state = aggregate.__dict__
        names = self._fields[type(aggregate)]
        return self._encoder.encode({name: state[name.replace("at_", "_", 1)] for name in names})

    def decode(self, topic: str, data: bytes | str, *, stream_id: UUID, version: int) -> Aggregate:
        """Return the aggregate as it was at that version."""
        kind = AGGREGATES[topic]
        state = self._decoders[kind].decode(data)
        aggregate = object.__new__(kind)
        aggregate.__dict__.update(
            {name.replace("at_", "_", 1): getattr(state, name) for name in self._fields[kind]},
            _id=stream_id,
            _version=version,
            _pending_events=[],
        )
        return aggregate


def data_fields(kind: type[Event]) -> dict[str, Any]:
    """Return the names and types of what an event says, without its envelope."""
    hints = get_type_hints(kind)
    names = (field.name for field in dataclasses.fields(kind))
    return {name: hints[name] for name in names if name not in ENVELOPE_FIELDS}


def _state_fields(kind: type[Aggregate]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    state = {
        name: hint
        for name, hint in hints.items()
        if get_origin(hint) is not ClassVar and name.islower()
    }
    # The library keeps these two in private attributes.
    return {**state, "at_created_on": datetime, "at_modified_on": datetime}


_FIRST = {kind.Created.TOPIC: topic for topic, kind in AGGREGATES.items()}
