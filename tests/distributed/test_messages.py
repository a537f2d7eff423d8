"""An event and its message say the same."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2 as reference

from domain.catalogue import EVENTS
from infra.codec import EventCodec, UnknownEventType
from infra.envelopes import Envelope
from streams.kafka_messages import (
    Mark,
    NotOurs,
    log_id_of,
    of_message,
    to_mark_message,
    to_message,
)
from streams.topics import PARTITIONS, murmur2, partition_of, topic_of, topics

CODEC = EventCodec()
LOG = UUID(int=5)
POSITIONS = st.integers(1, 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
TIMES = st.datetimes(
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45))]),
    min_value=datetime(1970, 1, 2),  # noqa: DTZ001 - the strategy adds the zone
)
ENVELOPES = st.builds(
    Envelope,
    position=POSITIONS,
    event_id=st.uuids(),
    workspace_id=st.uuids(),
    prev=st.integers(0, 2**63 - 1),
    stream_id=st.uuids(),
    stream_version=st.integers(1, 2**31 - 1),
    type=st.sampled_from(sorted(EVENTS)),
    recorded_at=TIMES,
    actor_kind=st.sampled_from(["user", "agent", "system"]),
    actor_id=st.uuids(),
    on_behalf_of=st.none() | st.uuids(),
    command_id=st.uuids(),
    correlation_id=st.uuids(),
    causation_id=st.none() | st.uuids(),
    traceparent=st.none() | TEXT,
    data=TEXT,
    codec=st.just(CODEC),
)


@given(ENVELOPES)
def test_an_event_comes_back_from_its_message(envelope: Envelope) -> None:
    message = to_message(envelope, LOG)
    headers = dict(message.headers)
    assert of_message(headers, message.value, CODEC) == envelope
    assert log_id_of(headers) == LOG
    assert len(headers) == len(message.headers)


@given(POSITIONS, st.uuids())
def test_a_mark_comes_back_from_its_message(position: int, log_id: UUID) -> None:
    mark = Mark(log_id, position)
    message = to_mark_message(mark, "mc.mission")
    assert of_message(dict(message.headers), message.value, CODEC) == mark
    assert (message.topic, message.key) == ("mc.mission", None)


@given(ENVELOPES)
def test_attributes_are_named_as_cloudevents_wants_and_all_required_ones_are_there(
    envelope: Envelope,
) -> None:
    headers = dict(to_message(envelope, LOG).headers)
    names = {name.removeprefix("ce_") for name in headers if name != "content-type"}
    assert names >= {"specversion", "id", "source", "type"}
    assert all(name.isalnum() and name.islower() and len(name) <= 20 for name in names)
    assert headers["content-type"] == b"application/json"


@given(ENVELOPES)
def test_a_message_holds_the_recorded_bytes_and_lies_with_its_stream(envelope: Envelope) -> None:
    message = to_message(envelope, LOG, "cell7")
    assert message.value == envelope.data.encode()
    assert message.key == str(envelope.stream_id).encode()
    assert message.topic == f"cell7.{envelope.type.partition('.')[0]}"
    assert message.topic in topics("cell7")


@given(st.binary(max_size=80))
def test_a_key_goes_where_every_client_of_kafka_puts_it(key: bytes) -> None:
    assert murmur2(key) == reference(key)
    assert partition_of(key) == (reference(key) & 0x7FFFFFFF) % PARTITIONS


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"ce_type": b"mission.moved.v1"},
        {"ce_type": b"mc.mark.v1", "ce_position": b"7", "ce_source": b"/elsewhere"},
        {"ce_type": b"mc.mark.v1", "ce_position": b"seven", "ce_source": f"/logs/{LOG}".encode()},
    ],
)
def test_a_message_of_somebody_else_is_refused(headers: dict[str, bytes]) -> None:
    with pytest.raises(NotOurs):
        of_message(headers, b"{}", CODEC)


def test_an_event_of_no_known_category_has_no_topic() -> None:
    with pytest.raises(UnknownEventType):
        topic_of("invoice.sent.v1")
