"""The event log: a group commit under one row lock, so that positions are gapless.

One writer task per process takes every command that waits, locks `log_head`, looks at idempotency
keys, stream versions and guards for the whole batch, gives each command a verdict of its own and
commits once. Nothing of the log is kept in memory between batches, so many processes may write.

A batch is two messages, whatever its size, and one more where there are claims: lock and look, then
write and commit.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Self
from uuid import UUID

import msgspec
import psycopg
from uuid_utils.compat import uuid7

from commands.append import (
    Answer,
    Append,
    Appended,
    Candidate,
    ClaimNext,
    Command,
    CommandMeta,
    Conflict,
    Duplicate,
    ExpireLease,
    KeyReused,
    LogUnavailable,
    Nothing,
    OutcomeUnknown,
    Recorded,
    Refused,
    Verdict,
)
from domain.base import NotFound, Refusal
from domain.guards import GuardState, Needs, Stale
from infra import event_log_sql as sql
from infra import guards
from infra.codec import EventCodec
from infra.postgres import Connection, Database, hung_up_after
from infra.postgres_checks import READ_ONLY, reason_of, why_read_only
from infra.statements import Messages

BATCH_COMMANDS_MAX = 128
BATCH_BYTES_MAX = 4_000_000
QUEUE_COMMANDS_MAX = 20_000
ROUNDS_MAX = 8
RETRY_PAUSE_S = 0.2
OUTAGE_GRACE_S = 5.0
SILENCE_S_MAX = 15.0
"""More than a server lets a batch's transaction take."""
FAILURE_TOLD_S = 60.0
"""Where no command comes that could succeed, the last one's failure says nothing after this time."""
SPARE_CANDIDATES = 8
"""How many more missions than claims are looked at, should a mission say no after all."""


class _EventRow(msgspec.Struct, omit_defaults=True):
    """An event's row but for what the batch decides: position, prev and time."""

    event_id: UUID
    workspace_id: UUID
    stream_id: UUID
    stream_version: int
    type: str
    actor_kind: str
    actor_id: UUID
    command_id: UUID
    correlation_id: UUID
    data: msgspec.Raw
    on_behalf_of: UUID | None = None
    causation_id: UUID | None = None
    traceparent: str | None = None


class _CommandRow(msgspec.Struct):
    command_id: UUID
    workspace_id: UUID
    request_hash: str | None
    status: int
    answer: msgspec.Raw


class _Looked(msgspec.Struct):
    """What the log knew of a batch before it. Stream versions go on with the batch."""

    now: datetime
    heads: dict[UUID, int]
    streams: dict[UUID, tuple[int, UUID]]
    answers: dict[UUID, tuple[str, int, msgspec.Raw]]
    guards: dict[str, msgspec.Raw]


class _Chosen(msgspec.Struct):
    """What the log knew of a batch's claims and expiries, before they were decided."""

    answers: dict[UUID, tuple[str, int, msgspec.Raw]]
    fitting: list[tuple[int, UUID, UUID, frozenset[str]]]
    """The number of a wish, and a mission that fits it; in the order in which they are to be taken."""
    due: list[UUID]


class _Wish(NamedTuple):
    """What a claim asks for. Claims that ask for the same share one look at the missions."""

    workspace_id: UUID
    board_id: UUID | None
    agent_id: UUID


@dataclass(slots=True, eq=False)
class _Waiting:
    """A command in the queue, and whoever awaits its verdict."""

    command: Command
    verdict: asyncio.Future[Verdict]
    events: list[bytes]
    rounds: int = 0

    @property
    def size(self) -> int:
        return sum(map(len, self.events))

    def settle(self, outcome: Verdict | Exception) -> None:
        """Tell whoever awaits, if still there."""
        if self.verdict.done():
            return
        if isinstance(outcome, Exception):
            self.verdict.set_exception(outcome)
        else:
            self.verdict.set_result(outcome)


_Outcome = tuple[_Waiting, Append | BaseException | None]
"""A claim or an expiry, and what came of asking the mission: None where there was nothing to ask."""


@dataclass(slots=True)
class _Decided:
    """A command whose events are known, as encoded rows that lack their end."""

    asker: _Waiting
    append: Append
    events: list[bytes]


@dataclass(slots=True)
class _Batch:
    """What a batch writes, as far as its commands were accepted."""

    position: int
    now: datetime
    looked: _Looked
    state: GuardState
    events: list[bytes] = field(default_factory=list)
    commands: list[_CommandRow] = field(default_factory=list)
    rows: list[tuple[str, Any]] = field(default_factory=list)
    heads: dict[UUID, int] = field(default_factory=dict)
    accepted: int = 0
    verdicts: list[tuple[_Waiting, Verdict | Exception]] = field(default_factory=list)


class _CommitLost(Exception):
    """The connection broke in the COMMIT: only the log knows what became of the batch."""

    def __init__(self, batch: _Batch) -> None:
        super().__init__("the connection broke in the COMMIT")
        self.batch = batch


class EventLog:
    """The append port on PostgreSQL.

    `ring` is called with the log's new position after each COMMIT, and must not wait. To seed a
    history, `as_decided` records each command at the time that it was decided at, in place of the
    database's clock, and never before the one in front of it.
    """

    def __init__(
        self,
        database: Database,
        codec: EventCodec,
        *,
        as_decided: bool = False,
        ring: Callable[[int], None] | None = None,
    ) -> None:
        self._database = database
        self._codec = codec
        self._ring = ring
        self._as_decided = as_decided
        self._queue: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        self._failure: tuple[str, float] | None = None
        self._connection: Connection | None = None
        self._messages: Messages | None = None
        self._writer: asyncio.Task[None] | None = None
        self._encoder = msgspec.json.Encoder()
        self._looked_decoder = msgspec.json.Decoder(_Looked)
        self._chosen_decoder = msgspec.json.Decoder(_Chosen)

    async def __aenter__(self) -> Self:
        await self._connect()
        self._writer = asyncio.create_task(self._write_for_ever(), name="log writer")
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Write what waits, then stop."""
        self._closing = True
        self._wake.set()
        if self._writer:
            await self._writer
        if self._connection:
            await self._connection.close()

    async def append(self, command: Command) -> Verdict:
        """Record a command, and answer only when it is durable.

        Raises `LogUnavailable`, or `OutcomeUnknown`, when the log can't be written; asking again may help.
        """
        if self._closing:
            raise LogUnavailable("the log is being closed")
        if len(self._queue) >= QUEUE_COMMANDS_MAX:
            raise LogUnavailable("too many commands are waiting")
        # Encoded here, while an earlier batch is on its way: what can't be encoded fails alone.
        events = self._encode(command) if isinstance(command, Append) else []
        waiting = _Waiting(command, asyncio.get_running_loop().create_future(), events)
        self._queue.append(waiting)
        self._wake.set()
        return await waiting.verdict

    async def look_up(self, meta: CommandMeta) -> Duplicate | KeyReused | None:
        """Return what a command of this id was answered, if it is in the log."""
        async with self._database.briefly() as connection:
            cursor = await connection.execute(
                "SELECT request_hash, status, answer FROM commands WHERE command_id = %s",
                [meta.command_id],
            )
            row = await cursor.fetchone()
        if row is None:
            return None
        request_hash, status, answer = row
        return (
            Duplicate(Answer(status, answer)) if request_hash == meta.request_hash else KeyReused()
        )

    async def state(self) -> dict[str, Any]:
        """Return what health says of it: commands may fail where all else works, as on a disk that is full.

        Raises what the database's absence raises.
        """
        # Asked, since where no command comes nobody would notice.
        (found,) = await self._database.look_up(READ_ONLY)
        if (read_only := why_read_only(found)) is not None:
            return {"status": "away", "reason": read_only}
        if self._failure is None:
            return {"status": "ok"}
        reason, at = self._failure
        if asyncio.get_running_loop().time() - at > FAILURE_TOLD_S:
            return {"status": "ok"}
        return {"status": "away", "reason": reason}

    def _encode(self, append: Append) -> list[bytes]:
        meta = append.meta
        return [
            self._encoder.encode(
                _EventRow(
                    event_id=uuid7(), workspace_id=meta.workspace_id, stream_id=stream.stream_id,
                    stream_version=event.originator_version, type=event.TOPIC,
                    actor_kind=meta.actor.kind, actor_id=meta.actor.id, on_behalf_of=meta.on_behalf_of,
                    command_id=meta.command_id, correlation_id=meta.correlation_id,
                    causation_id=meta.causation_id, traceparent=meta.traceparent,
                    data=msgspec.Raw(self._codec.encode(event)),
                )
            )
            for stream in append.streams
            for event in stream.events
        ]  # fmt: skip

    # The writer

    async def _connect(self) -> None:
        connection = await self._database.connect(**sql.WRITER_SETTINGS)
        # What psycopg prepares by itself it forgets after a ROLLBACK, by DEALLOCATE ALL: ours too.
        connection.prepare_threshold = None
        if connection.info.server_version >= sql.POSTGRES_WITH_TRANSACTION_TIMEOUT:
            with hung_up_after(SILENCE_S_MAX, connection):
                await connection.execute(f"SET transaction_timeout = '{sql.TRANSACTION_TIMEOUT}'")
        self._connection, self._messages = connection, Messages(connection)

    async def _write_for_ever(self) -> None:
        while self._queue or not self._closing:
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
                continue
            batch = self._take()
            try:
                await self._write_or_explain(batch)
            except Exception as error:  # noqa: BLE001 - whoever waits must hear of it, the writer goes on
                for asker in batch:
                    asker.settle(error)
                await self._reconnect()

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size = 0
        while self._queue and len(batch) < BATCH_COMMANDS_MAX and size < BATCH_BYTES_MAX:
            waiting = self._queue.popleft()
            if not waiting.verdict.done():  # whoever asked may be gone
                batch.append(waiting)
                size += waiting.size
        return batch

    async def _decide(self, waiting: list[_Waiting]) -> _Batch:
        """Lock the log, look at what rules need, and give each command its verdict."""
        messages = self._open_messages()
        decided = [
            _Decided(w, w.command, w.events) for w in waiting if isinstance(w.command, Append)
        ]
        late = [w for w in waiting if not isinstance(w.command, Append)]
        idle: list[tuple[_Waiting, Verdict | Exception]] = []
        if late:
            choose = await self._choose(messages, late)
            _, head, found = await messages.send(b"BEGIN", sql.LOCK, choose)
            chosen = self._chosen_decoder.decode(found[0][0])
            decided_late, idle = await self._decide_late(late, chosen)
            # All commands of a batch wait at the same time, so any order is right; in this one a
            # claim sees nothing but what is committed.
            decided = [*decided_late, *decided]
            (found,) = await messages.send(await self._look(messages, decided))
        else:
            look = await self._look(messages, decided)
            _, head, found = await messages.send(b"BEGIN", sql.LOCK, look)
        position, last = head[0]
        looked = self._looked_decoder.decode(found[0][0])
        now = last if self._as_decided else max(looked.now, last)
        batch = _Batch(position, now, looked, GuardState(guards.read_rows(looked.guards)))
        batch.verdicts.extend(idle)
        for each in decided:
            batch.verdicts.append((each.asker, self._accept(batch, each)))
        return batch

    def _open_messages(self) -> Messages:
        assert self._messages is not None, "the log is open"
        return self._messages

    async def _look(self, messages: Messages, decided: Sequence[_Decided]) -> bytes:
        """Return the call that looks up what the rules for these commands need."""
        appends = [each.append for each in decided]
        needs = Needs()
        for append in appends:
            for stream in append.streams:
                for event in stream.events:
                    needs.add(event, append.meta.workspace_id)
        tables = tuple(guards.tables_needed(needs))
        statement = sql.look_up(tables)
        await messages.prepare(statement)
        return messages.call(
            statement,
            {
                "workspaces": guards.id_array({append.meta.workspace_id for append in appends}),
                "streams": guards.id_array(
                    {s.stream_id for append in appends for s in append.streams}
                ),
                "commands": _keyed(append.meta for append in appends),
                **(guards.keys_of(needs) if tables else {}),
            },
        )

    def _accept(self, batch: _Batch, decided: _Decided) -> Verdict | Exception:
        append = decided.append
        verdict = _known(append.meta, batch.looked.answers) or self._stale(append, batch.looked)
        if verdict is not None:
            return verdict
        outcome: Verdict | Exception
        if self._as_decided:
            batch.now = max([batch.now, *(s.events[0].timestamp for s in append.streams)])
        try:
            for stream in append.streams:
                for event in stream.events:
                    batch.state.admit(event, append.meta.workspace_id, batch.now)
            outcome = self._record(batch, decided)
        except Refusal as refusal:
            outcome = Refused(refusal)
        except Stale:
            outcome = Conflict(append.streams[0].stream_id)
        except Exception as error:  # noqa: BLE001 - one command's mistake is not its neighbours'
            outcome = error
        if isinstance(outcome, Appended):
            batch.state.commit()
        else:
            batch.state.rollback()
        return outcome

    def _stale(self, append: Append, looked: _Looked) -> Verdict | None:
        for stream in append.streams:
            version, workspace_id = looked.streams.get(stream.stream_id, (0, None))
            if workspace_id is not None and workspace_id != append.meta.workspace_id:
                return Refused(NotFound("no such thing in this workspace"))
            if version != stream.expected_version:
                return Conflict(stream.stream_id)
        return None

    def _record(self, batch: _Batch, decided: _Decided) -> Appended:
        append, meta = decided.append, decided.append.meta
        position = batch.position + len(decided.events)
        versions = {s.stream_id: s.expected_version + len(s.events) for s in append.streams}
        answer = append.answer(Recorded(position, versions, batch.now))
        body = msgspec.Raw(self._encoder.encode(answer.body))
        # Nothing may fail from here on: the batch has the command as a whole or not at all.
        if meta.request_hash is not None or not decided.events:
            hash_hex = None if meta.request_hash is None else meta.request_hash.hex()
            batch.commands.append(
                _CommandRow(meta.command_id, meta.workspace_id, hash_hex, answer.status, body)
            )
            if hash_hex is not None:
                batch.looked.answers[meta.command_id] = (hash_hex, answer.status, body)
        prev = batch.heads.get(meta.workspace_id, batch.looked.heads.get(meta.workspace_id, 0))
        when = b',"recorded_at":"%b"' % batch.now.isoformat().encode() if self._as_decided else b""
        for number, row in enumerate(decided.events, batch.position + 1):
            batch.events.append(b'%b,"position":%d,"prev":%d%b}' % (row[:-1], number, prev, when))
            prev = number
        if decided.events:
            batch.heads[meta.workspace_id] = position
        for stream_id, version in versions.items():
            batch.looked.streams[stream_id] = (version, meta.workspace_id)
        batch.rows.extend((row.statement, row.parameters) for row in append.rows)
        batch.position = position
        batch.accepted += 1
        return Appended(answer, position)

    async def _save(self, batch: _Batch) -> None:
        messages, connection = self._open_messages(), self._connection
        assert connection is not None
        if not batch.accepted:
            await messages.send(b"ROLLBACK")
            return
        documents = guards.writes(batch.state)
        if batch.events:
            heads = [{"workspace_id": w, "position": p} for w, p in batch.heads.items()]
            documents["events"] = (b"[" + b",".join(batch.events) + b"]").decode()
            documents["heads"] = self._encoder.encode(heads).decode()
        if batch.commands:
            documents["commands"] = self._encoder.encode(batch.commands).decode()
        statement = sql.append(tuple(sorted(documents)))
        await messages.prepare(statement)
        parameters = {**documents, "position": batch.position, "now": batch.now}
        write = [messages.call(statement, parameters)]
        if batch.rows:
            await messages.send(*write)
            write = []
        for text, values in batch.rows:
            await connection.execute(text, values)
        await self._commit(batch, *write)

    async def _commit(self, batch: _Batch, *write: bytes) -> None:
        connection = self._connection
        assert connection is not None
        try:
            await self._open_messages().send(*write, b"COMMIT")
        except psycopg.Error as error:
            # Also where the server says it ends the connection: it may have committed before.
            if connection.broken:
                raise _CommitLost(batch) from error
            raise

    def _tell(self, batch: _Batch) -> None:
        if batch.events and self._ring is not None:
            self._ring(batch.position)
        if batch.accepted:
            self._failure = None
        for asker, verdict in batch.verdicts:
            again = isinstance(verdict, (Refused, Conflict)) and not isinstance(
                asker.command, Append
            )
            if again and asker.rounds < ROUNDS_MAX:
                # Somebody in this very batch was quicker: look for another one in the next.
                asker.rounds += 1
                self._queue.append(asker)
            else:
                asker.settle(Nothing() if again else verdict)

    # Claims and expiries, which the writer itself decides

    async def _choose(self, messages: Messages, late: Sequence[_Waiting]) -> bytes:
        """Return the call that finds what claims may be given, and which leases are due."""
        wishes = [{"claim": number, **wish._asdict()} for number, wish in enumerate(_alike(late))]
        leases = [
            {"mission_id": w.command.mission_id, "token": w.command.token}
            for w in late
            if isinstance(w.command, ExpireLease)
        ]
        await messages.prepare(sql.CHOOSE)
        return messages.call(
            sql.CHOOSE,
            {
                "claims": self._encoder.encode(wishes).decode(),
                "most": len(late) + SPARE_CANDIDATES,
                "leases": self._encoder.encode(leases).decode(),
                "commands": _keyed(w.command.meta for w in late),
            },
        )

    async def _decide_late(
        self, late: Sequence[_Waiting], chosen: _Chosen
    ) -> tuple[list[_Decided], list[tuple[_Waiting, Verdict | Exception]]]:
        decided: list[_Decided] = []
        idle: list[tuple[_Waiting, Verdict | Exception]] = []
        new = []
        for asker in late:
            known = _known(asker.command.meta, chosen.answers)
            if known is None:
                new.append(asker)
            else:
                idle.append((asker, known))
        outcomes = [*await self._expire(new, set(chosen.due)), *await self._serve(new, chosen)]
        for asker, outcome in outcomes:
            if isinstance(outcome, Append):
                decided.append(_Decided(asker, outcome, self._encode(outcome)))
            elif outcome is None or isinstance(outcome, Refusal):
                idle.append((asker, Nothing()))
            elif isinstance(outcome, Exception):
                idle.append((asker, outcome))
            else:
                raise outcome
        return decided, idle

    async def _expire(self, late: Sequence[_Waiting], due: set[UUID]) -> list[_Outcome]:
        """Let the leases decide that are due still."""
        asked: list[tuple[_Waiting, Awaitable[Append | None]]] = []
        outcomes: list[_Outcome] = []
        for asker in late:
            if isinstance(asker.command, ExpireLease):
                if asker.command.mission_id in due:
                    asked.append((asker, asker.command.decide()))
                else:
                    outcomes.append((asker, None))
        decisions = await asyncio.gather(*(each for _, each in asked), return_exceptions=True)
        return outcomes + [
            (asker, decision) for (asker, _), decision in zip(asked, decisions, strict=True)
        ]

    async def _serve(self, late: Sequence[_Waiting], chosen: _Chosen) -> list[_Outcome]:
        """Give each claim the first mission that fits, that no claim before it got and that agrees."""
        fitting: dict[int, list[Candidate]] = {}
        for number, mission_id, board_id, capabilities in chosen.fitting:
            candidate = Candidate(mission_id, board_id, capabilities)
            fitting.setdefault(number, []).append(candidate)
        # Claims that ask for the same take from the same line.
        lines = {wish: iter(fitting.get(number, ())) for number, wish in enumerate(_alike(late))}
        taken: set[UUID] = set()
        outcomes: list[_Outcome] = []
        waiting = [w for w in late if isinstance(w.command, ClaimNext)]
        while waiting:
            asked: list[tuple[_Waiting, Awaitable[Append | None]]] = []
            for asker in waiting:
                assert isinstance(asker.command, ClaimNext)
                line = lines[_wish(asker.command)]
                offer = next((c for c in line if c.mission_id not in taken), None)
                if offer is None:
                    outcomes.append((asker, None))
                else:
                    taken.add(offer.mission_id)
                    asked.append((asker, asker.command.decide(offer)))
            decisions = await asyncio.gather(*(each for _, each in asked), return_exceptions=True)
            waiting = []
            for (asker, _), decision in zip(asked, decisions, strict=True):
                if decision is None or isinstance(decision, Refusal):
                    waiting.append(asker)
                else:
                    outcomes.append((asker, decision))
        return outcomes

    # When something goes wrong

    async def _write_or_explain(self, batch: list[_Waiting]) -> None:
        connection = self._connection
        assert connection is not None
        try:
            decided = await self._write(batch, connection)
        except _CommitLost as lost:
            await self._reconnect(in_doubt=batch)
            await self._find_out(lost.batch, batch)
        except psycopg.Error as error:
            if connection.broken or connection.closed:
                # In the queue again, so that a long outage does not keep them waiting either.
                self._ask_again(batch, error)
                await self._reconnect()
            elif isinstance(error, psycopg.errors.LockNotAvailable):
                for asker in batch:
                    asker.settle(self._unavailable("another writer holds the log"))
            elif isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
                for asker in batch:
                    asker.settle(self._unavailable(self._reason(error)))
                # Another server may be the primary by now, and answer where this one was.
                await self._reconnect()
            else:
                await self._blame(batch, error)
        except Exception as error:  # noqa: BLE001 - one command's mistake is not its neighbours'
            await self._blame(batch, error)
        else:
            self._tell(decided)

    async def _write(self, batch: list[_Waiting], connection: Connection) -> _Batch:
        """Decide and commit; where that fails, no transaction is left, or no connection."""
        with hung_up_after(SILENCE_S_MAX, connection):
            try:
                decided = await self._decide(batch)
                await self._save(decided)
            except Exception:
                if not (connection.broken or connection.closed):
                    await connection.execute("ROLLBACK")
                raise
        return decided

    async def _blame(self, batch: list[_Waiting], error: Exception) -> None:
        """Something in the batch can't be written, or decided: write one by one, so that it fails alone."""
        if len(batch) > 1:
            for asker in batch:
                if not asker.verdict.done():
                    await self._write_or_explain([asker])
        elif isinstance(error, psycopg.OperationalError):
            batch[0].settle(self._unavailable(self._reason(error)))
        else:
            batch[0].settle(error)

    def _ask_again(self, batch: list[_Waiting], error: Exception) -> None:
        """Nothing of the batch was recorded: put it back in front."""
        for asker in reversed(batch):
            asker.rounds += 1
            if asker.rounds > ROUNDS_MAX:
                asker.settle(self._unavailable(self._reason(error)))
            elif not asker.verdict.done():
                self._queue.appendleft(asker)

    async def _find_out(self, batch: _Batch, waiting: list[_Waiting]) -> None:
        """Ask the log whether a COMMIT succeeded, behind the lock: the lost transaction is over then."""
        first = (
            msgspec.json.decode(batch.events[0])
            if batch.events
            else {"position": 0, "event_id": None}
        )
        parameters = {
            "position": first["position"], "event_id": first["event_id"],
            "commands": [row.command_id for row in batch.commands],
        }  # fmt: skip
        for _ in range(ROUNDS_MAX):
            connection = self._connection
            assert connection is not None
            try:
                with hung_up_after(SILENCE_S_MAX, connection):
                    await self._open_messages().send(b"BEGIN", sql.LOCK)
                    cursor = await connection.execute(sql.WAS_RECORDED, parameters)
                    row = await cursor.fetchone()
                    await connection.execute("ROLLBACK")
            except psycopg.errors.LockNotAvailable:
                # The lost transaction may hold it still, on a disk that hangs.
                self._leave_in_doubt(waiting)
                await self._reconnect()
                return
            except psycopg.Error:
                await self._reconnect(in_doubt=waiting)
                continue
            if row is not None and row[0]:
                self._tell(batch)
            else:
                self._ask_again(waiting, LogUnavailable("the COMMIT failed"))
            return
        self._leave_in_doubt(waiting)

    def _unavailable(self, reason: str) -> LogUnavailable:
        """Return what whoever waits is told; `state` tells it too."""
        self._failure = (reason, asyncio.get_running_loop().time())
        return LogUnavailable(reason)

    def _reason(self, error: Exception) -> str:
        return reason_of(error, self._database.dsn)

    def _leave_in_doubt(self, waiting: Iterable[_Waiting]) -> None:
        for asker in waiting:
            asker.settle(OutcomeUnknown("the log was lost in a COMMIT"))

    async def _reconnect(self, in_doubt: Sequence[_Waiting] = ()) -> None:
        """Open a new connection; once that takes long, nobody is kept waiting.

        Nor are those whose COMMIT may have succeeded, who are in no queue meanwhile.
        """
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error, OSError):
                await self._connection.close()
        loop = asyncio.get_running_loop()
        patience_ends = loop.time() + OUTAGE_GRACE_S
        while True:
            try:
                await self._connect()
                self._failure = None
                return
            except (psycopg.Error, OSError) as error:
                if self._closing or loop.time() > patience_ends:
                    self._leave_in_doubt(in_doubt)
                    reason = self._reason(error)
                    self._unavailable(reason)
                    while self._queue:
                        self._queue.popleft().settle(self._unavailable(reason))
                if self._closing:
                    return
                await asyncio.sleep(RETRY_PAUSE_S)


def _wish(command: Command) -> _Wish:
    assert isinstance(command, ClaimNext)
    return _Wish(command.meta.workspace_id, command.board_id, command.agent_id)


def _alike(late: Iterable[_Waiting]) -> dict[_Wish, None]:
    """Return the different wishes among these commands, in a fixed order."""
    return dict.fromkeys(_wish(w.command) for w in late if isinstance(w.command, ClaimNext))


def _keyed(metas: Iterable[CommandMeta]) -> str:
    """Return the ids of those commands that may have been recorded before, as an array."""
    return guards.id_array(meta.command_id for meta in metas if meta.request_hash is not None)


def _known(
    meta: CommandMeta, answers: Mapping[UUID, tuple[str, int, msgspec.Raw]]
) -> Duplicate | KeyReused | None:
    """Return what a command was answered when it was recorded before."""
    found = answers.get(meta.command_id)
    if found is None or meta.request_hash is None:
        return None
    request_hash, status, body = found
    if request_hash != meta.request_hash.hex():
        return KeyReused()
    return Duplicate(Answer(status, msgspec.json.decode(body)))
