"""The event log: a group commit under one row lock, so that positions are gapless.

One writer task per process takes every command that waits, locks `log_head`, looks at idempotency
keys, stream versions and guards for the whole batch, gives each command a verdict of its own and
commits once. Nothing of the log is kept in memory between batches, so many processes may write.

Nothing here uses psycopg's pipeline, which can hang when much is unsent: a batch is four round
trips, whatever its size.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple, Self
from uuid import UUID

import msgspec
import psycopg
from uuid_utils.compat import uuid7

from commands.append import (
    Answer,
    Append,
    Appended,
    ClaimNext,
    Command,
    CommandMeta,
    Conflict,
    Duplicate,
    ExpireLease,
    KeyReused,
    LogUnavailable,
    Nothing,
    Recorded,
    Refused,
    Verdict,
)
from domain.base import NotFound, Refusal
from domain.guards import GuardState, Needs, Stale
from infra import guards
from infra.codec import EventCodec
from infra.postgres import Connection, Database

BATCH_COMMANDS_MAX = 128
BATCH_BYTES_MAX = 4_000_000
QUEUE_COMMANDS_MAX = 20_000
ROUNDS_MAX = 8
RETRY_PAUSE_S = 0.2
OUTAGE_GRACE_S = 5.0
CHANNEL = "mc_log"
# A writer that is paused while it holds the lock is ended by the server, so that the others go on.
# It looks for keys only: one plan by index fits all, and isn't made anew for each batch.
WRITER_SETTINGS = {
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "10s",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",  # the claim queue's index is in its order: never sort all that is ready
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
}
TRANSACTION_TIMEOUT = "12s"
POSTGRES_WITH_TRANSACTION_TIMEOUT = 170_000

LOCK = """BEGIN; SELECT position, CASE WHEN recorded_at = '-infinity' THEN '0001-01-02'::timestamptz
    ELSE recorded_at END, clock_timestamp() FROM log_head FOR UPDATE"""
# A statement of its own, behind the lock: its snapshot must be younger than the wait.
LOOK_UP = """
SELECT json_build_object(
    'now', clock_timestamp(),
    'heads', (SELECT coalesce(json_object_agg(workspace_id, position), '{{}}') FROM workspace_heads
        WHERE workspace_id = ANY (%(workspaces)s::uuid[])),
    'streams', (SELECT coalesce(json_object_agg(s.id, json_build_array(e.stream_version, e.workspace_id)), '{{}}')
        FROM unnest(%(streams)s::uuid[]) AS s(id)
        CROSS JOIN LATERAL (SELECT stream_version, workspace_id FROM events
            WHERE stream_id = s.id ORDER BY stream_version DESC LIMIT 1) e),
    'answers', (SELECT coalesce(json_object_agg(command_id,
            json_build_array(encode(request_hash, 'hex'), status, answer)), '{{}}')
        FROM commands WHERE command_id = ANY (%(commands)s::uuid[]) AND request_hash IS NOT NULL),
    'guards', {guards})::text"""
APPEND = {
    "events": """
        INSERT INTO events (position, event_id, workspace_id, prev, stream_id, stream_version, type, recorded_at,
            actor_kind, actor_id, on_behalf_of, command_id, correlation_id, causation_id, traceparent, data)
        SELECT position, event_id, workspace_id, prev, stream_id, stream_version, type,
            coalesce(recorded_at, %(now)s::timestamptz), actor_kind, actor_id, on_behalf_of, command_id,
            correlation_id, causation_id, traceparent, data
        FROM json_to_recordset(%(events)s) AS e(position bigint, event_id uuid, workspace_id uuid, prev bigint,
            stream_id uuid, stream_version integer, type text, recorded_at timestamptz, actor_kind text,
            actor_id uuid, on_behalf_of uuid, command_id uuid, correlation_id uuid, causation_id uuid, traceparent text,
            data json)""",
    "commands": """
        INSERT INTO commands (command_id, workspace_id, request_hash, status, answer, recorded_at)
        SELECT command_id, workspace_id, decode(request_hash, 'hex'), status, answer, %(now)s::timestamptz
        FROM json_to_recordset(%(commands)s) AS c(command_id uuid, workspace_id uuid, request_hash text,
            status smallint, answer json)""",
    "heads": """
        INSERT INTO workspace_heads (workspace_id, position)
        SELECT h.workspace_id, h.position
        FROM json_to_recordset(%(heads)s) AS h(workspace_id uuid, position bigint)
        ON CONFLICT (workspace_id) DO UPDATE SET position = excluded.position""",
    **guards.WRITES,
}
ADVANCE = """UPDATE log_head SET position = %(position)s, recorded_at = %(now)s::timestamptz
RETURNING pg_notify('mc_log', position::text)"""
WAS_RECORDED = """SELECT EXISTS (SELECT FROM events WHERE position = %(position)s AND event_id = %(event_id)s)
    OR EXISTS (SELECT FROM commands WHERE command_id = ANY (%(commands)s::uuid[]))"""
CANDIDATES = """
SELECT c.claim, m.mission_id FROM json_to_recordset(%(claims)s::json)
    AS c(claim integer, workspace_id uuid, board_id uuid, agent_id uuid, capabilities text[])
CROSS JOIN LATERAL (
    SELECT mission_id, urgency, due, rank FROM guard_missions m
    WHERE m.workspace_id = c.workspace_id AND stage = 'ready' AND NOT blocked AND unmet_dependencies = 0
        AND (c.board_id IS NULL OR m.board_id = c.board_id)
        AND required_capabilities <@ c.capabilities AND (assignees = '{}' OR c.agent_id = ANY (assignees))
        AND m.board_id NOT IN (
            SELECT full_board.board_id FROM guard_columns full_board
            WHERE full_board.workspace_id = c.workspace_id AND full_board.stage = 'active'
                AND full_board.wip_limit IS NOT NULL AND full_board.cards >= full_board.wip_limit
                AND NOT EXISTS (SELECT 1 FROM guard_columns o WHERE o.board_id = full_board.board_id
                    AND o.stage = 'active' AND o.rank < full_board.rank))
    ORDER BY urgency DESC, due, rank, mission_id LIMIT %(most)s) m
ORDER BY c.claim, m.urgency DESC, m.due, m.rank, m.mission_id"""
DUE = """SELECT mission_id FROM leases
WHERE mission_id = %s AND token = %s AND expires_at <= clock_timestamp() FOR UPDATE"""


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


class _Wish(NamedTuple):
    """What a claim asks for. Claims that ask for the same share one look at the missions."""

    workspace_id: UUID
    board_id: UUID | None
    agent_id: UUID
    capabilities: tuple[str, ...]


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

    To seed a history, `as_decided` records each command at the time that it was decided at, in
    place of the database's clock, and never before the one in front of it.
    """

    def __init__(self, database: Database, codec: EventCodec, *, as_decided: bool = False) -> None:
        self._database = database
        self._codec = codec
        self._as_decided = as_decided
        self._queue: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        self._connection: Connection | None = None
        self._writer: asyncio.Task[None] | None = None
        self._encoder = msgspec.json.Encoder()
        self._looked_decoder = msgspec.json.Decoder(_Looked)

    async def __aenter__(self) -> Self:
        self._connection = await self._connect()
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

        Raises `LogUnavailable` when the log can't be written; asking again may help.
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
        async with self._database.system() as connection:
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

    async def _connect(self) -> Connection:
        connection = await self._database.connect(**WRITER_SETTINGS)
        if connection.info.server_version >= POSTGRES_WITH_TRANSACTION_TIMEOUT:
            await connection.execute(f"SET transaction_timeout = '{TRANSACTION_TIMEOUT}'")
        return connection

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

    async def _write(self, waiting: list[_Waiting]) -> None:
        connection = self._connection
        assert connection is not None
        position, last = await self._lock(connection)
        decided, idle = await self._decide_late(connection, waiting)
        looked, state = await self._look(connection, [d.append for d in decided])
        now = last if self._as_decided else max(looked.now, last)
        batch = _Batch(position, now, looked, state)
        batch.verdicts.extend(idle)
        for each in decided:
            batch.verdicts.append((each.asker, self._accept(batch, each)))
        await self._save(connection, batch)
        self._tell(batch)

    async def _lock(self, connection: Connection) -> tuple[int, datetime]:
        # One message with a Sync behind it: paused from here on, we are idle in transaction, and ended.
        cursor = await connection.execute(LOCK, prepare=False)
        cursor.nextset()
        row = await cursor.fetchone()
        assert row is not None
        return row[0], row[1]

    async def _look(
        self, connection: Connection, appends: Sequence[Append]
    ) -> tuple[_Looked, GuardState]:
        needs = Needs()
        for append in appends:
            for stream in append.streams:
                for event in stream.events:
                    needs.add(event, append.meta.workspace_id)
        tables = tuple(guards.tables_needed(needs))
        keys = {
            "workspaces": guards.id_array({append.meta.workspace_id for append in appends}),
            "streams": guards.id_array({s.stream_id for append in appends for s in append.streams}),
            "commands": guards.id_array(
                a.meta.command_id for a in appends if a.meta.request_hash is not None
            ),
            **(guards.keys_of(needs) if tables else {}),
        }
        cursor = await connection.execute(_look_up(tables), keys, prepare=True)
        row = await cursor.fetchone()
        assert row is not None
        looked = self._looked_decoder.decode(row[0])
        return looked, GuardState(guards.read_rows(looked.guards))

    def _accept(self, batch: _Batch, decided: _Decided) -> Verdict | Exception:
        append = decided.append
        verdict = self._known(append, batch.looked) or self._stale(append, batch.looked)
        if verdict is not None:
            return verdict
        outcome: Verdict | Exception
        if self._as_decided:
            batch.now = max(batch.now, *(s.events[0].timestamp for s in append.streams))
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

    def _known(self, append: Append, looked: _Looked) -> Verdict | None:
        meta = append.meta
        found = looked.answers.get(meta.command_id)
        if found is None or meta.request_hash is None:
            return None
        request_hash, status, body = found
        if request_hash != meta.request_hash.hex():
            return KeyReused()
        return Duplicate(Answer(status, msgspec.json.decode(body)))

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

    async def _save(self, connection: Connection, batch: _Batch) -> None:
        if not batch.accepted:
            await connection.execute("ROLLBACK")
            return
        documents = guards.writes(batch.state)
        if batch.events:
            heads = [{"workspace_id": w, "position": p} for w, p in batch.heads.items()]
            documents["events"] = (b"[" + b",".join(batch.events) + b"]").decode()
            documents["heads"] = self._encoder.encode(heads).decode()
        if batch.commands:
            documents["commands"] = self._encoder.encode(batch.commands).decode()
        parameters = {**documents, "position": batch.position, "now": batch.now}
        await connection.execute(_append(tuple(sorted(documents))), parameters, prepare=True)
        for statement, values in batch.rows:
            await connection.execute(statement, values)
        await self._commit(connection, batch)

    async def _commit(self, connection: Connection, batch: _Batch) -> None:
        try:
            await connection.execute("COMMIT")
        except psycopg.Error as error:
            # Also where the server says it ends the connection: it may have committed before.
            if connection.broken:
                raise _CommitLost(batch) from error
            raise

    def _tell(self, batch: _Batch) -> None:
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

    async def _decide_late(
        self, connection: Connection, waiting: list[_Waiting]
    ) -> tuple[list[_Decided], list[tuple[_Waiting, Verdict | Exception]]]:
        """Decide claims and expiries first: all commands of a batch wait at the same time, so any
        order is right, and in this one a claim sees nothing but what is committed."""
        plain = [_Decided(w, w.command, w.events) for w in waiting if isinstance(w.command, Append)]
        late = [w for w in waiting if not isinstance(w.command, Append)]
        if not late:
            return plain, []
        chosen = await self._choose(connection, late)
        decisions = await asyncio.gather(
            *(
                w.command.decide(mission_id)
                for w, mission_id in chosen
                if not isinstance(w.command, Append)
            ),
            return_exceptions=True,
        )
        decided: list[_Decided] = []
        idle: list[tuple[_Waiting, Verdict | Exception]] = []
        for (asker, _), append in zip(chosen, decisions, strict=True):
            if isinstance(append, Append):
                decided.append(_Decided(asker, append, self._encode(append)))
            elif append is None or isinstance(append, Refusal):
                idle.append((asker, Nothing()))
            elif isinstance(append, Exception):
                idle.append((asker, append))
            else:
                raise append
        served = {asker for asker, _ in chosen}
        idle.extend((asker, Nothing()) for asker in late if asker not in served)
        return [*decided, *plain], idle

    async def _choose(
        self, connection: Connection, late: list[_Waiting]
    ) -> list[tuple[_Waiting, UUID]]:
        chosen: list[tuple[_Waiting, UUID]] = []
        claims = [w for w in late if isinstance(w.command, ClaimNext)]
        if claims:
            chosen.extend(await self._choose_claims(connection, claims))
        for asker in late:
            if isinstance(asker.command, ExpireLease):
                lease = [asker.command.mission_id, asker.command.token]
                cursor = await connection.execute(DUE, lease)
                if await cursor.fetchone():
                    chosen.append((asker, asker.command.mission_id))
        return chosen

    async def _choose_claims(
        self, connection: Connection, claims: list[_Waiting]
    ) -> list[tuple[_Waiting, UUID]]:
        """Give each claim the first mission that fits and that no claim before it got."""
        alike: dict[_Wish, list[_Waiting]] = {}
        for asker in claims:
            assert isinstance(asker.command, ClaimNext)
            alike.setdefault(_wish(asker.command), []).append(asker)
        wishes = [{"claim": index, **wish._asdict()} for index, wish in enumerate(alike)]
        asked = {"claims": self._encoder.encode(wishes).decode(), "most": len(claims)}
        cursor = await connection.execute(CANDIDATES, asked, prepare=True)
        fitting: dict[int, list[UUID]] = {}
        for index, mission_id in await cursor.fetchall():
            fitting.setdefault(index, []).append(mission_id)
        chosen: dict[UUID, _Waiting] = {}
        for index, askers in enumerate(alike.values()):
            free = [mission_id for mission_id in fitting.get(index, ()) if mission_id not in chosen]
            chosen.update(zip(free, askers, strict=False))
        return [(asker, mission_id) for mission_id, asker in chosen.items()]

    # When something goes wrong

    async def _write_or_explain(self, batch: list[_Waiting]) -> None:
        connection = self._connection
        assert connection is not None
        try:
            await self._write(batch)
        except _CommitLost as lost:
            await self._reconnect()
            await self._find_out(lost.batch, batch)
        except psycopg.Error as error:
            if connection.broken or connection.closed:
                await self._reconnect()
                self._ask_again(batch, error)
                return
            await connection.execute("ROLLBACK")
            if isinstance(error, psycopg.errors.LockNotAvailable):
                for asker in batch:
                    asker.settle(LogUnavailable("another writer holds the log"))
            else:
                await self._blame(batch, error)

    async def _blame(self, batch: list[_Waiting], error: psycopg.Error) -> None:
        """The database refuses something in the batch: write one by one, so that it fails alone."""
        if len(batch) > 1:
            for asker in batch:
                if not asker.verdict.done():
                    await self._write_or_explain([asker])
        elif isinstance(error, psycopg.OperationalError):
            batch[0].settle(LogUnavailable(str(error)))
        else:
            batch[0].settle(error)

    def _ask_again(self, batch: list[_Waiting], error: Exception) -> None:
        """Nothing of the batch was recorded: put it back in front."""
        for asker in reversed(batch):
            asker.rounds += 1
            if asker.rounds > ROUNDS_MAX:
                asker.settle(LogUnavailable(str(error)))
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
                await self._lock(connection)
                cursor = await connection.execute(WAS_RECORDED, parameters)
                row = await cursor.fetchone()
                await connection.execute("ROLLBACK")
            except psycopg.Error:
                await self._reconnect()
                continue
            if row is not None and row[0]:
                self._tell(batch)
            else:
                self._ask_again(waiting, LogUnavailable("the COMMIT failed"))
            return
        for asker in waiting:
            asker.settle(LogUnavailable("the outcome is unknown: ask again with the same key"))

    async def _reconnect(self) -> None:
        """Open a new connection; once that takes long, nobody is kept waiting."""
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error, OSError):
                await self._connection.close()
        loop = asyncio.get_running_loop()
        patience_ends = loop.time() + OUTAGE_GRACE_S
        while True:
            try:
                self._connection = await self._connect()
                return
            except (psycopg.Error, OSError) as error:
                if self._closing or loop.time() > patience_ends:
                    while self._queue:
                        self._queue.popleft().settle(LogUnavailable(str(error)))
                if self._closing:
                    return
                await asyncio.sleep(RETRY_PAUSE_S)


def _wish(claim: ClaimNext) -> _Wish:
    capabilities = tuple(sorted(claim.capabilities))
    return _Wish(claim.meta.workspace_id, claim.board_id, claim.agent_id, capabilities)


@cache
def _look_up(tables: tuple[str, ...]) -> str:
    return LOOK_UP.format(guards=guards.load_query(tables))


@cache
def _append(parts: tuple[str, ...]) -> str:
    steps = ", ".join(f"{part} AS ({APPEND[part]})" for part in parts)
    return f"WITH {steps} {ADVANCE}" if steps else ADVANCE
