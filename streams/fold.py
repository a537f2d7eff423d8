"""A read model's share of a batch: events folded into rows in memory, and what could not be folded.

Pure but for the vault's keys, which must be loaded. Nothing here knows where rows are kept.
"""

import traceback
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from domain.base import replace
from infra.envelopes import Envelope
from infra.vault import KeyNotLoaded, Vault, subjects_of
from projections.read_model import ReadModel


@dataclass(frozen=True, slots=True)
class Poison:
    """The first event of a stream that a model could not fold; named so that no text of it is told."""

    model: str
    stream_id: UUID
    workspace_id: UUID
    position: int
    stream_version: int
    event_type: str
    error: str
    place: str

    @classmethod
    def of(cls, model: str, envelope: Envelope, error: BaseException) -> "Poison":
        """Return what to note of an event and the error that it raised."""
        return cls(
            model, envelope.stream_id, envelope.workspace_id, envelope.position,
            envelope.stream_version, envelope.type, type(error).__name__, _place(error),
        )  # fmt: skip


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return "the database"
    ours = [frame for frame in frames if "/projections/" in frame.filename]
    frame = (ours or frames)[-1]
    return f"{'/'.join(frame.filename.split('/')[-2:])}:{frame.lineno} in {frame.name}"


def prefixes(model: ReadModel[Any]) -> frozenset[str]:
    """Return the nouns whose events concern a model: all of their streams' versions pass its gate."""
    return frozenset(kind.TOPIC.partition(".")[0] for kind in model.on)


async def load_keys(vault: Vault, envelopes: Iterable[Envelope]) -> None:
    """Fetch the keys that opening these events takes."""
    wanted: set[UUID] = set()
    for envelope in envelopes:
        try:
            if found := subjects_of(envelope.event):
                wanted |= found
        except Exception:  # noqa: BLE001, S112 - it can't be decoded: whoever folds it will see
            continue
    if wanted:
        await vault.load(wanted)


def opened(envelope: Envelope, vault: Vault) -> Envelope:
    """Return an event with its personal fields as text: read models hold what people read."""
    event = vault.opened(envelope.event)
    return envelope if event is envelope.event else envelope.with_event(event)


def key_of(model: ReadModel[Any], envelope: Envelope) -> UUID | None:
    """Return the key of the row that an event touches; None where the model can't tell."""
    try:
        return model.key(envelope)
    except Exception:  # noqa: BLE001 - folding it raises again, and parks its stream
        return None


@dataclass(slots=True)
class Fold:
    """Rows and gates as they were loaded, and as events change them."""

    model: ReadModel[Any]
    vault: Vault
    discarded: AbstractSet[tuple[UUID, int]] = frozenset()
    parked: AbstractSet[UUID] = frozenset()
    rows: dict[UUID, Any] = field(default_factory=dict)
    gates: dict[UUID, int] = field(default_factory=dict)
    changed: dict[UUID, Any] = field(default_factory=dict)
    """By key; None is a row that is gone."""
    streams: dict[UUID, UUID] = field(default_factory=dict)
    """Of which stream a changed row is."""
    advanced: dict[UUID, int] = field(default_factory=dict)
    boards: dict[UUID, UUID] = field(default_factory=dict)
    poisons: dict[UUID, Poison] = field(default_factory=dict)

    def take(self, envelope: Envelope) -> None:
        """Fold one event, in the order of its stream; a raising function parks the stream."""
        stream = envelope.stream_id
        if stream in self.parked or stream in self.poisons:
            return  # held back: it is in the log, and the gate says where to go on
        if envelope.stream_version <= self.gates.get(stream, 0):
            return  # seen before: a duplicate changes nothing
        if (stream, envelope.stream_version) not in self.discarded:
            try:
                self._apply(envelope)
            except KeyNotLoaded:
                raise  # our mistake, and none of the event
            except Exception as error:  # noqa: BLE001 - whatever it is, only this stream waits
                self.park(envelope, error)
                return
        self.gates[stream] = self.advanced[stream] = envelope.stream_version

    def take_stream(self, envelopes: Sequence[Envelope]) -> None:
        """Fold events of one stream whose row is that stream's: as `take` does, several times faster."""
        first = envelopes[0]
        stream = first.stream_id
        if stream in self.parked or stream in self.poisons:
            return
        model, vault = self.model, self.vault
        before = row = self.rows.get(stream)
        gate = begin = self.gates.get(stream, 0)
        failed: tuple[Envelope, Exception] | None = None
        for envelope in envelopes:
            version = envelope.stream_version
            if version <= gate:
                continue
            if not self.discarded or (stream, version) not in self.discarded:
                try:
                    row = model.apply(row, opened(envelope, vault))
                except KeyNotLoaded:
                    raise
                except Exception as error:  # noqa: BLE001 - whatever it is, only this stream waits
                    failed = envelope, error
                    break
            gate = version
        if gate > begin:
            self.gates[stream] = self.advanced[stream] = gate
        if row is not before:
            self.rows[stream] = self.changed[stream] = row
            self.streams[stream] = stream
            self._touch(row if row is not None else before, first)
        if failed is not None:
            self.park(*failed)

    def park(self, envelope: Envelope, error: BaseException) -> None:
        """Hold a stream back from this event on."""
        self.poisons[envelope.stream_id] = Poison.of(self.model.name, envelope, error)
        row = self.rows.get(envelope.stream_id)
        if row is not None and hasattr(row, "stale"):
            # It says so itself, and whoever has kept a board that shows it must hear of it.
            row = replace(row, stale=True)
            self.rows[envelope.stream_id] = self.changed[envelope.stream_id] = row
            self.streams[envelope.stream_id] = envelope.stream_id
            self._touch(row, envelope)

    def _apply(self, envelope: Envelope) -> None:
        fact = opened(envelope, self.vault)
        key = self.model.key(fact)
        before = self.rows.get(key)
        after = self.model.apply(before, fact)
        if after is before:
            return
        for row in (before, after):
            if row is not None:
                self._touch(row, envelope)
        self.rows[key] = self.changed[key] = after
        self.streams[key] = envelope.stream_id

    def _touch(self, row: Any, envelope: Envelope) -> None:
        for board in self.model.boards(row):
            self.boards[board] = envelope.workspace_id
