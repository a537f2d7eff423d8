"""The command bus: look the handler up, decide, append, and decide afresh when the state moved on."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from uuid_utils.compat import uuid7

from commands.append import (
    Actor,
    Answer,
    Append,
    Appended,
    Candidate,
    ClaimNext,
    CommandMeta,
    Conflict,
    Duplicate,
    ExpireLease,
    KeyReused,
    Log,
    Nothing,
    Recorded,
    Refused,
    RowWrite,
    StreamAppend,
)
from domain.base import Aggregate, Refusal, command_time

if TYPE_CHECKING:
    from infra.aggregates import Aggregates
    from infra.vault import Vault
    from infra.write_side import WriteSide

DECISIONS_MAX = 5


class IdempotencyKeyReused(Exception):
    """The Idempotency-Key was sent before, with another request."""


class ConflictPersists(Exception):
    """Others kept changing the same thing; nothing was done."""


class PreconditionFailed(Exception):
    """The thing has changed since the version that the client named in If-Match."""

    def __init__(self, current: int) -> None:
        super().__init__(f"the current version is {current}")
        self.current = current


@dataclass(frozen=True, slots=True)
class Context:
    """Who asks, when, and on what condition."""

    meta: CommandMeta
    if_match: int | None = None
    moderator: bool = False
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def internally(self) -> "Context":
        """Return a context for a command that the program adds on the same actor's behalf."""
        meta = replace(
            self.meta, command_id=uuid7(), request_hash=None, causation_id=self.meta.command_id
        )
        return replace(self, meta=meta, if_match=None)

    @property
    def actor(self) -> Actor:
        return self.meta.actor

    @property
    def workspace_id(self) -> UUID:
        return self.meta.workspace_id


@dataclass(frozen=True, slots=True)
class Tools:
    """What handlers work with."""

    aggregates: "Aggregates"
    write_side: "WriteSide"
    vault: "Vault"
    lease_ttl_s: int
    default_boards: dict[UUID, UUID] = field(default_factory=dict)
    """By workspace; filled as they are asked for, since they never change."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a handler decided: aggregates with pending events, the subject first."""

    aggregates: Sequence[Aggregate]
    status: int = 200
    rows: Sequence[RowWrite] = ()
    members: Callable[[Recorded], Mapping[str, Any]] | None = None
    """More members of the answer, besides id, version and position."""

    def answer(self, recorded: Recorded) -> Answer:
        """Return what the client is told: `{id, version, position}` and more where asked."""
        subject = self.aggregates[0]
        body: dict[str, Any] = {
            "id": subject.id,
            "version": recorded.versions.get(subject.id, subject.version),
            "position": recorded.position,
        }
        if self.members is not None:
            body.update(self.members(recorded))
        return Answer(self.status, body)


Handler = Callable[[Any, Context, Tools], Awaitable[Decision]]
Listener = Callable[[str], None]
"""Takes the topic of an event."""


@dataclass(frozen=True, slots=True)
class NextMission:
    """A handler's wish to be given the next mission that fits, by the writer."""

    agent_id: UUID
    board_id: UUID | None
    decide: Callable[[Candidate], Awaitable[Decision]]


class Bus:
    """Executes commands by a table from command class to handler."""

    def __init__(self, log: Log, tools: Tools, handlers: Mapping[type[Any], Handler]) -> None:
        self.log = log
        self.tools = tools
        self._handlers = handlers
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Call a function with each event of a command, before its client hears that it was recorded.

        It must be quick and must not raise. Only this process's commands: for all, follow the log.
        """
        self._listeners.append(listener)

    async def execute(self, command: Any, context: Context) -> Answer:
        """Decide and record a command; return what to tell the client.

        Raises a `Refusal`, `PreconditionFailed`, `ConflictPersists`, `IdempotencyKeyReused` or
        `LogUnavailable`. A command that was recorded before is answered as then.
        """
        for _ in range(DECISIONS_MAX):
            try:
                decision = await self._decide(command, context)
            except (Refusal, PreconditionFailed):
                # Perhaps it is refused because it was done: the first answer counts.
                return await self._answer_of_first(context.meta)
            append = _append(decision, context.meta)
            match await self.log.append(append):
                case Appended(answer=answer):
                    self._remember(decision)
                    self._tell(append)
                    return answer
                case Duplicate(answer=answer):
                    return replace(answer, repeated=True)
                case KeyReused():
                    raise IdempotencyKeyReused
                case Refused(refusal=refusal):
                    raise refusal
                case Conflict():
                    continue
        raise ConflictPersists

    async def decide_ahead(self, command: Any, context: Context) -> tuple[Decision, Append]:
        """Decide a command as if all that was decided ahead before it were in the log already.

        For the only writer of a log, who appends the results in this order and gives up where one is
        not accepted: what follows was decided on it.
        """
        decision = await self._decide(command, context)
        append = _append(decision, context.meta)
        self._remember(decision)
        return decision, append

    async def _decide(self, command: Any, context: Context) -> Decision:
        with deciding_at(context.now):
            return await self._handlers[type(command)](command, context, self.tools)

    def _tell(self, append: Append) -> None:
        for stream in append.streams:
            for event in stream.events:
                for listener in self._listeners:
                    listener(event.TOPIC)

    def _remember(self, decision: Decision) -> None:
        for aggregate in decision.aggregates:
            self.tools.aggregates.remember(aggregate)

    async def claim_next(self, wish: NextMission, context: Context) -> Answer | None:
        """Give the agent the next mission that fits, or None."""

        async def decide(candidate: Candidate) -> Append | None:
            with deciding_at(context.now):
                return _append(await wish.decide(candidate), context.meta)

        command = ClaimNext(context.meta, wish.agent_id, wish.board_id, decide)
        match await self.log.append(command):
            case Appended(answer=answer):
                return answer
            case Duplicate(answer=answer):
                return replace(answer, repeated=True)
            case KeyReused():
                raise IdempotencyKeyReused
            case _:
                return None

    async def expire_lease(
        self,
        mission_id: UUID,
        token: int,
        context: Context,
        decide: Callable[[], Awaitable[Decision]],
    ) -> bool:
        """End a lease that ran out; False when it was renewed or ended otherwise."""

        async def late() -> Append | None:
            with deciding_at(context.now):
                decision = await decide()
                if not any(aggregate.pending_events for aggregate in decision.aggregates):
                    return None
                return _append(decision, context.meta)

        verdict = await self.log.append(ExpireLease(context.meta, mission_id, token, late))
        return not isinstance(verdict, Nothing)

    async def _answer_of_first(self, meta: CommandMeta) -> Answer:
        first = await self._first(meta) if meta.request_hash is not None else None
        if first is None:
            raise  # noqa: PLE0704 - called from an except clause only: the refusal stands
        return first

    async def _first(self, meta: CommandMeta) -> Answer | None:
        match await self.log.look_up(meta):
            case Duplicate(answer=answer):
                return replace(answer, repeated=True)
            case KeyReused():
                raise IdempotencyKeyReused
            case _:
                return None


@contextmanager
def deciding_at(now: datetime) -> Any:
    """Let domain events made inside take this time."""
    token = command_time.set(now)
    try:
        yield
    finally:
        command_time.reset(token)


def require_unchanged(aggregate: Aggregate, context: Context) -> None:
    """Raise `PreconditionFailed` if more than housekeeping came since the version in If-Match."""
    expected = context.if_match
    if expected is not None and not aggregate.substantive_version <= expected <= aggregate.version:
        raise PreconditionFailed(aggregate.version)


def _append(decision: Decision, meta: CommandMeta) -> Append:
    streams = [
        StreamAppend(a.id, a.version - len(a.pending_events), tuple(a.pending_events))  # type: ignore[arg-type]
        for a in decision.aggregates
        if a.pending_events
    ]
    return Append(meta, streams, decision.answer, decision.rows)
