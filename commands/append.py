"""The append port: what a decided command asks of the log, and what the log answers."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from domain.base import Event, Refusal


class ActorKind(StrEnum):
    """Who acts."""

    USER = "user"
    AGENT = "agent"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, by kind and id."""

    kind: ActorKind
    id: UUID


@dataclass(frozen=True, slots=True)
class CommandMeta:
    """What all events of a command share in their envelopes."""

    command_id: UUID
    workspace_id: UUID
    actor: Actor
    correlation_id: UUID
    on_behalf_of: UUID | None = None
    causation_id: UUID | None = None
    traceparent: str | None = None
    request_hash: bytes | None = None
    """Of method, path and body; None where no Idempotency-Key was sent."""


@dataclass(frozen=True, slots=True)
class StreamAppend:
    """Events for one stream, whose version must still be `expected_version` (0: a new stream)."""

    stream_id: UUID
    expected_version: int
    events: Sequence[Event]


@dataclass(frozen=True, slots=True)
class RowWrite:
    """A row outside the log that belongs to the command: one statement and its parameters."""

    statement: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Recorded:
    """Where the log put a command: its last position, and the new version of each stream."""

    position: int
    versions: Mapping[UUID, int]
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client is told, now and when it asks again: an HTTP status and a JSON object."""

    status: int
    body: Mapping[str, Any]
    repeated: bool = False
    """True where the command was recorded before."""


@dataclass(frozen=True, slots=True)
class Append:
    """A decided command. It is recorded whole or not at all, whatever happens to its neighbours."""

    meta: CommandMeta
    streams: Sequence[StreamAppend]
    answer: Callable[[Recorded], Answer]
    rows: Sequence[RowWrite] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A mission that fits a claim as far as the claim queue knows, and what the agent can do."""

    mission_id: UUID
    board_id: UUID
    capabilities: frozenset[str]


@dataclass(frozen=True, slots=True)
class ClaimNext:
    """A claim that names no mission: the writer takes the next fitting one and lets it decide.

    `decide` gets a candidate and returns the append, or None where the mission says no after all:
    then the next one is tried. It runs in the append's transaction.
    """

    meta: CommandMeta
    agent_id: UUID
    board_id: UUID | None
    decide: Callable[[Candidate], Awaitable["Append | None"]]


@dataclass(frozen=True, slots=True)
class ExpireLease:
    """A lease that ran out, to be ended unless it was renewed meanwhile."""

    meta: CommandMeta
    mission_id: UUID
    token: int
    decide: Callable[[], Awaitable["Append | None"]]


Command = Append | ClaimNext | ExpireLease


@dataclass(frozen=True, slots=True)
class Appended:
    """The command is in the log."""

    answer: Answer
    position: int


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The command was recorded before; this is what was answered then."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class KeyReused:
    """The Idempotency-Key was used for another request."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """A stream has moved on since the command was decided."""

    stream_id: UUID


@dataclass(frozen=True, slots=True)
class Refused:
    """A guard says no."""

    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nothing fits the claim, or nothing was due."""


Verdict = Appended | Duplicate | KeyReused | Conflict | Refused | Nothing


class LogUnavailable(Exception):
    """The log can't be written right now, and nothing was recorded. Ask again, with the same command id."""


class OutcomeUnknown(LogUnavailable):
    """The log was lost while the command was being recorded. Ask again, with the same command id, to find out."""


class Log(Protocol):
    """The event log as commands see it."""

    async def append(self, command: Command) -> Verdict: ...

    async def look_up(self, meta: CommandMeta) -> Duplicate | KeyReused | None:
        """Return what a command of this id was answered, if it is in the log."""
        ...
