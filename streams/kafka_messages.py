"""Events as messages of Kafka: CloudEvents 1.0, binary mode. The envelope is in headers, the value is
the data byte for byte as it was recorded, personal fields sealed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from infra.codec import EventCodec
from infra.envelopes import Envelope
from streams.topics import PREFIX, topic_of

SOURCE = "/logs/"
MARK_TYPE = "mc.mark.v1"
CONTENT_TYPE = "application/json"

Headers = list[tuple[str, bytes]]


class Message(NamedTuple):
    """What is sent to a topic. Without a key it goes to whichever partition the sender names."""

    topic: str
    key: bytes | None
    value: bytes
    headers: Headers


@dataclass(frozen=True)
class Mark:
    """Whoever reads this in a partition has read all of that partition's events up to `position`."""

    log_id: UUID
    position: int


class NotOurs(Exception):
    """A message that the relay did not write."""


def to_message(envelope: Envelope, log_id: UUID, prefix: str = PREFIX) -> Message:
    """Return an event's message; its key is its stream, so that a stream stays in one partition."""
    stream = str(envelope.stream_id)
    optional = {
        "ce_onbehalfof": envelope.on_behalf_of,
        "ce_causationid": envelope.causation_id,
        "ce_traceparent": envelope.traceparent,
    }
    headers = {
        "ce_specversion": "1.0",
        "ce_id": envelope.event_id,
        "ce_source": f"{SOURCE}{log_id}",
        "ce_type": envelope.type,
        "ce_subject": stream,
        "ce_time": envelope.recorded_at.astimezone(UTC).isoformat(),
        "content-type": CONTENT_TYPE,
        "ce_position": envelope.position,
        "ce_prev": envelope.prev,
        "ce_workspaceid": envelope.workspace_id,
        "ce_streamversion": envelope.stream_version,
        "ce_actorkind": envelope.actor_kind,
        "ce_actorid": envelope.actor_id,
        "ce_commandid": envelope.command_id,
        "ce_correlationid": envelope.correlation_id,
        **{name: value for name, value in optional.items() if value is not None},
    }
    return Message(
        topic_of(envelope.type, prefix),
        stream.encode(),
        envelope.data.encode(),
        _encoded(headers),
    )


def to_mark_message(mark: Mark, topic: str) -> Message:
    """Return the message that tells one partition of a topic how far the log is in Kafka."""
    headers = {
        "ce_specversion": "1.0",
        "ce_id": f"mark-{mark.position}",
        "ce_source": f"{SOURCE}{mark.log_id}",
        "ce_type": MARK_TYPE,
        "content-type": CONTENT_TYPE,
        "ce_position": mark.position,
    }
    # A value of null would be a tombstone to some consumers.
    value = msgspec.json.encode({"position": mark.position})
    return Message(topic, None, value, _encoded(headers))


def log_id_of(headers: Mapping[str, bytes]) -> UUID:
    """Return which log a message is of; raises `NotOurs`."""
    source = headers.get("ce_source", b"").decode()
    if not source.startswith(SOURCE):
        raise NotOurs(f"a message's ce_source is no log's: {source[:80]!r}")
    return UUID(source.removeprefix(SOURCE))


def of_message(headers: Mapping[str, bytes], value: bytes, codec: EventCodec) -> Envelope | Mark:
    """Return what a message says. Raises `NotOurs`."""
    try:
        if headers["ce_type"] == MARK_TYPE.encode():
            return Mark(log_id_of(headers), int(headers["ce_position"]))
        return _envelope(headers, value, codec)
    except (KeyError, ValueError) as error:
        raise NotOurs(f"a message can't be read: {type(error).__name__} {error}") from error


def _envelope(headers: Mapping[str, bytes], value: bytes, codec: EventCodec) -> Envelope:
    text = {name: header.decode() for name, header in headers.items()}
    on_behalf_of, causation_id = text.get("ce_onbehalfof"), text.get("ce_causationid")
    return Envelope(
        position=int(text["ce_position"]),
        event_id=UUID(text["ce_id"]),
        workspace_id=UUID(text["ce_workspaceid"]),
        prev=int(text["ce_prev"]),
        stream_id=UUID(text["ce_subject"]),
        stream_version=int(text["ce_streamversion"]),
        type=text["ce_type"],
        recorded_at=datetime.fromisoformat(text["ce_time"]),
        actor_kind=text["ce_actorkind"],
        actor_id=UUID(text["ce_actorid"]),
        on_behalf_of=UUID(on_behalf_of) if on_behalf_of else None,
        command_id=UUID(text["ce_commandid"]),
        correlation_id=UUID(text["ce_correlationid"]),
        causation_id=UUID(causation_id) if causation_id else None,
        traceparent=text.get("ce_traceparent"),
        data=value.decode(),
        codec=codec,
    )


def _encoded(headers: Mapping[str, object]) -> Headers:
    return [(name, str(value).encode()) for name, value in headers.items()]
