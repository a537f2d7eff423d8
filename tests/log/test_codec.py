"""Events and snapshots come back from JSON as they were."""

from datetime import UTC, datetime
from typing import Any, get_args
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.catalogue import AGGREGATES, EVENTS
from domain.mission import Mission
from infra.codec import EventCodec, SnapshotCodec, UnknownEventType, _state_fields, data_fields

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
st.register_type_strategy(datetime, st.datetimes(timezones=st.just(UTC)))
st.register_type_strategy(int, st.integers(-(2**31), 2**31 - 1))

CODEC, SNAPSHOTS = EventCodec(), SnapshotCodec()
WHERE = {
    "stream_id": UUID(int=7), "version": 3, "workspace_id": UUID(int=8), "recorded_at": datetime.now(UTC),
}  # fmt: skip
PATIENT = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))


def _values(hints: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({name: _value(hint) for name, hint in hints.items()})


def _value(hint: Any) -> st.SearchStrategy[Any]:
    if Any in get_args(hint):
        return st.dictionaries(st.text(max_size=5), JSON, max_size=3)
    return st.from_type(hint)


@pytest.mark.parametrize("topic", EVENTS)
@PATIENT
@given(data=st.data())
def test_an_event_comes_back(topic, data):
    kind = EVENTS[topic]
    values = data.draw(_values(data_fields(kind)))
    event = object.__new__(kind)
    event.__dict__.update(values)
    back = CODEC.decode(topic, CODEC.encode(event), **WHERE)
    assert type(back) is kind
    assert {name: getattr(back, name) for name in values} == values
    assert (back.originator_id, back.originator_version) == (WHERE["stream_id"], 3)
    assert back.timestamp == WHERE["recorded_at"]


@pytest.mark.parametrize("topic", AGGREGATES)
@PATIENT
@given(data=st.data())
def test_a_snapshot_comes_back(topic, data):
    kind = AGGREGATES[topic]
    values = data.draw(_values(_state_fields(kind)))
    aggregate = object.__new__(kind)
    state = {name.replace("at_", "_", 1): value for name, value in values.items()}
    aggregate.__dict__.update(state, _id=UUID(int=7), _version=3, _pending_events=[])
    back = SNAPSHOTS.decode(topic, SNAPSHOTS.encode(aggregate), stream_id=UUID(int=7), version=3)
    assert back.__dict__ == aggregate.__dict__


def test_an_old_type_is_read_through_its_upcaster():
    def from_v0(data):
        return "mission.blocked.v1", {"board_id": data["board_id"], "reason": data["why"]}

    codec = EventCodec(upcasters={"mission.blocked.v0": from_v0})
    data = b'{"board_id":"00000000-0000-0000-0000-000000000001","why":"no keys"}'
    event = codec.decode("mission.blocked.v0", data, **WHERE)
    assert isinstance(event, Mission.Blocked)
    assert event.reason == "no keys"


def test_a_type_of_a_newer_program_is_named():
    with pytest.raises(UnknownEventType, match=r"mission.teleported.v1"):
        CODEC.decode("mission.teleported.v1", b"{}", **WHERE)
