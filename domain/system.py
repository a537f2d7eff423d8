"""A read model's troubles in one workspace: which streams it could not fold, and what became of them."""

from dataclasses import dataclass
from uuid import UUID

from eventsourcing.domain import event

from domain import base


class NotParked(base.NotFound):
    """The read model has not parked this stream."""

    code = "not_parked"


@dataclass(frozen=True)
class ParkedEvent:
    """The first event of a stream that could not be folded; `error` is its kind, `place` where it rose."""

    stream_id: UUID
    stream_version: int
    position: int
    type: str
    error: str
    place: str


class Projection(base.Aggregate):
    """A read model as one workspace knows it."""

    TOPIC = "system"

    model: str
    parked: dict[UUID, int]

    class Event(base.Aggregate.Event):
        pass

    class Created(Event, base.Aggregate.Created):
        TOPIC = "system.projection_noticed.v1"
        model: str

    class Parked(Event):
        TOPIC = "system.projection_parked.v1"
        model: str
        event: ParkedEvent

    class Drained(Event):
        TOPIC = "system.projection_drained.v1"
        model: str
        parked_stream_id: UUID

    class Discarded(Event):
        TOPIC = "system.projection_discarded.v1"
        model: str
        parked_stream_id: UUID
        stream_version: int

    @event(Created)
    def __init__(self, workspace_id: UUID, model: str) -> None:
        self.workspace_id = workspace_id
        self.model = model
        self.parked = {}

    def park(self, parked: ParkedEvent) -> None:
        """Note that a stream waits at an event; silent when that is known."""
        if self.parked.get(parked.stream_id) != parked.stream_version:
            self._parked(self.model, parked)

    def drain(self, stream_id: UUID) -> None:
        """Note that a stream waits no more; silent when that is known."""
        if stream_id in self.parked:
            self._drained(self.model, stream_id)

    def discard(self, stream_id: UUID) -> int:
        """Decide that the event at which a stream waits is passed over; return its version."""
        if stream_id not in self.parked:
            raise NotParked("no such stream is parked")
        version = self.parked[stream_id]
        self._discarded(self.model, stream_id, version)
        return version

    @event(Parked)
    def _parked(self, model: str, event: ParkedEvent) -> None:
        self.parked = {**self.parked, event.stream_id: event.stream_version}

    @event(Drained)
    def _drained(self, model: str, parked_stream_id: UUID) -> None:
        self.parked = {key: at for key, at in self.parked.items() if key != parked_stream_id}

    @event(Discarded)
    def _discarded(self, model: str, parked_stream_id: UUID, stream_version: int) -> None:
        """The stream waits until it is drained, which may fail at its next event."""
