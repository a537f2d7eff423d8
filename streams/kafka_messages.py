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
CONTENT_TYPE = b"application/json"

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
    topic_id: str | None = None
    """Kafka's id of the topic that it was sent to: another one of the same name has another."""


class NotOurs(Exception):
    """A message that the relay did not write."""


def to_message(envelope: Envelope, log_id: UUID, prefix: str = PREFIX) -> Message:
    """Return an event's message; its key is its stream, so that a stream stays in one partition."""
    # One list in one go: this is done for every event, and half of the relay's work.
    stream = str(envelope.stream_id).encode()
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", str(envelope.event_id).encode()),
        ("ce_source", f"{SOURCE}{log_id}".encode()),
        ("ce_type", envelope.type.encode()),
        ("ce_subject", stream),
        ("ce_time", envelope.recorded_at.astimezone(UTC).isoformat().encode()),
        ("content-type", CONTENT_TYPE),
        ("ce_position", b"%d" % envelope.position),
        ("ce_prev", b"%d" % envelope.prev),
        ("ce_workspaceid", str(envelope.workspace_id).encode()),
        ("ce_streamversion", b"%d" % envelope.stream_version),
        ("ce_actorkind", envelope.actor_kind.encode()),
        ("ce_actorid", str(envelope.actor_id).encode()),
        ("ce_commandid", str(envelope.command_id).encode()),
        ("ce_correlationid", str(envelope.correlation_id).encode()),
    ]
    if envelope.on_behalf_of is not None:
        headers.append(("ce_onbehalfof", str(envelope.on_behalf_of).encode()))
    if envelope.causation_id is not None:
        headers.append(("ce_causationid", str(envelope.causation_id).encode()))
    if envelope.traceparent is not None:
        headers.append(("ce_traceparent", envelope.traceparent.encode()))
    return Message(topic_of(envelope.type, prefix), stream, envelope.data.encode(), headers)


def to_mark_message(mark: Mark, topic: str) -> Message:
    """Return the message that tells one partition of a topic how far the log is in Kafka."""
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"mark-%d" % mark.position),
        ("ce_source", f"{SOURCE}{mark.log_id}".encode()),
        ("ce_type", MARK_TYPE.encode()),
        ("content-type", CONTENT_TYPE),
        ("ce_position", b"%d" % mark.position),
    ]
    if mark.topic_id is not None:
        headers.append(("ce_topicid", mark.topic_id.encode()))
    # A value of null would be a tombstone to some consumers.
    value = msgspec.json.encode({"position": mark.position})
    return Message(topic, None, value, headers)


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
            topic_id = headers.get("ce_topicid", b"").decode() or None
            return Mark(log_id_of(headers), int(headers["ce_position"]), topic_id)
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
