"""The event log: a group commit under one row lock, so that positions are gapless.

One writer task per process takes every command that waits, locks `log_head`, looks at idempotency
keys, stream versions and guards for the whole batch, gives each command a verdict of its own and
commits once. Nothing of the log is kept in memory between batches, so many processes may write.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self
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

BATCH_COMMANDS_MAX = 512
BATCH_BYTES_MAX = 400_000
PIPELINE_BYTES_MAX = 150_000  # psycopg's pipeline can hang with much more unsent at once
QUEUE_COMMANDS_MAX = 20_000
CLAIM_ROUNDS_MAX = 8
RETRY_PAUSE_S = 0.2
CHANNEL = "mc_log"
WRITER_SETTINGS = {"lock_timeout": "5s", "idle_in_transaction_session_timeout": "10s"}

# A statement of its own, behind the lock: its snapshot must be younger than the wait.
LOOK_UP = """
SELECT json_build_object(
    'now', clock_timestamp(),
    'heads', (SELECT coalesce(json_object_agg(workspace_id, position), '{{}}') FROM workspace_heads
        WHERE workspace_id IN (SELECT value::uuid FROM json_array_elements_text(%(keys)s::json->'workspaces'))),
    'streams', (SELECT coalesce(json_object_agg(s.value, json_build_array(e.stream_version, e.workspace_id)), '{{}}')
        FROM json_array_elements_text(%(keys)s::json->'streams') s
        CROSS JOIN LATERAL (SELECT stream_version, workspace_id FROM events
            WHERE stream_id = s.value::uuid ORDER BY stream_version DESC LIMIT 1) e),
    'commands', (SELECT coalesce(json_agg(c), '[]') FROM (
        SELECT command_id, encode(request_hash, 'hex') AS request_hash, status, answer FROM commands
        WHERE command_id IN (SELECT value::uuid FROM json_array_elements_text(%(keys)s::json->'commands'))) c),
    'guards', {guards})::text"""
APPEND = """
WITH batch AS (SELECT %(batch)s::json AS doc),
appended AS (
    INSERT INTO events SELECT e.* FROM batch, json_populate_recordset(NULL::events, doc->'events') e),
answered AS (
    INSERT INTO commands SELECT c.* FROM batch, json_populate_recordset(NULL::commands, doc->'commands') c),
heads AS (
    INSERT INTO workspace_heads SELECT h.* FROM batch, json_populate_recordset(NULL::workspace_heads, doc->'heads') h
    ON CONFLICT (workspace_id) DO UPDATE SET position = excluded.position)
UPDATE log_head SET position = (doc->>'position')::bigint, recorded_at = (doc->>'now')::timestamptz FROM batch
RETURNING pg_notify('mc_log', log_head.position::text)"""
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

Clock = Callable[[], datetime]


@dataclass(slots=True)
class _Waiting:
    """A command in the queue, and whoever awaits its verdict."""

    command: Command
    verdict: asyncio.Future[Verdict]
    rounds: int = 0


@dataclass(slots=True)
class _Batch:
    """What a batch writes, as far as its commands were accepted."""

    position: int
    now: datetime
    heads: dict[str, int]
    events: list[dict[str, Any]] = field(default_factory=list)
    commands: list[dict[str, Any]] = field(default_factory=list)
    rows: list[tuple[str, Any]] = field(default_factory=list)
    verdicts: list[tuple[_Waiting, Verdict]] = field(default_factory=list)


class _Looked(msgspec.Struct):
    now: datetime
    heads: dict[str, int]
    streams: dict[str, tuple[int, UUID]]
    commands: list[dict[str, Any]]
    guards: dict[str, Any]


class EventLog:
    """The append port on PostgreSQL. `clock` stands in for the database's, to seed a history."""

    def __init__(self, database: Database, codec: EventCodec, clock: Clock | None = None) -> None:
        self._database = database
        self._codec = codec
        self.clock = clock
        self._queue: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._connection: Connection | None = None
        self._writer: asyncio.Task[None] | None = None
        self._looked_decoder = msgspec.json.Decoder(_Looked)

    async def __aenter__(self) -> Self:
        self._connection = await self._connect()
        self._writer = asyncio.create_task(self._write_for_ever(), name="log writer")
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Write what waits, then stop."""
        while self._queue and self._writer and not self._writer.done():
            await asyncio.sleep(0)
            await asyncio.gather(*(w.verdict for w in self._queue), return_exceptions=True)
        if self._writer:
            self._writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._writer
        if self._connection:
            await self._connection.close()

    async def append(self, command: Command) -> Verdict:
        """Record a command, and answer only when it is durable.

        Raises `LogUnavailable` when nothing was recorded and asking again may help.
        """
        if len(self._queue) >= QUEUE_COMMANDS_MAX:
            raise LogUnavailable("too many commands are waiting")
        waiting = _Waiting(command, asyncio.get_running_loop().create_future())
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

    # The writer

    async def _connect(self) -> Connection:
        connection = await self._database.connect(**WRITER_SETTINGS)
        if connection.info.server_version >= 170000:
            await connection.execute("SET transaction_timeout = '12s'")
        return connection

    async def _write_for_ever(self) -> None:
        while True:
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
            batch = self._take()
            try:
                await self._write(batch)
            except psycopg.errors.LockNotAvailable:
                await self._abandon(batch, LogUnavailable("another writer holds the log"))
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                await self._recover(batch, error)
            except Exception as error:  # noqa: BLE001 - whoever waits must hear of it, the writer goes on
                await self._abandon(batch, error)

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        while self._queue and len(batch) < BATCH_COMMANDS_MAX:
            waiting = self._queue.popleft()
            if not waiting.verdict.done():  # whoever asked may be gone
                batch.append(waiting)
        return batch

    async def _write(self, waiting: list[_Waiting]) -> None:
        connection = self._connection
        assert connection is not None
        position, last = await self._lock(connection)
        decided, idle = await self._decide_late(connection, waiting)
        looked, state = await self._look(connection, [append for _, append in decided])
        now = max(self.clock() if self.clock else looked.now, last)
        batch = _Batch(position, now, looked.heads)
        batch.verdicts.extend(idle)
        for asker, append in decided:
            self._accept(batch, asker, append, looked, state)
        await self._commit(connection, batch, state)
        self._tell(batch)

    async def _lock(self, connection: Connection) -> tuple[int, datetime]:
        # A Sync follows the lock: a writer paused from here on is idle in transaction, and is ended.
        async with connection.pipeline():
            await connection.execute("BEGIN")
            cursor = await connection.execute(
                "SELECT position, CASE WHEN recorded_at = '-infinity' THEN '0001-01-02'::timestamptz"
                " ELSE recorded_at END FROM log_head FOR UPDATE"
            )
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
        tables = guards.tables_needed(needs)
        keys = {
            "workspaces": list({append.meta.workspace_id for append in appends}),
            "streams": list({s.stream_id for append in appends for s in append.streams}),
            "commands": [a.meta.command_id for a in appends if a.meta.request_hash is not None],
            **(guards.keys_of(needs) if tables else {}),
        }
        statement = LOOK_UP.format(guards=guards.load_query(tables))
        cursor = await connection.execute(statement, {"keys": msgspec.json.encode(keys).decode()})
        row = await cursor.fetchone()
        assert row is not None
        looked = self._looked_decoder.decode(row[0])
        return looked, GuardState(guards.read_rows(looked.guards))

    def _accept(
        self, batch: _Batch, asker: _Waiting, append: Append, looked: _Looked, state: GuardState
    ) -> None:
        verdict = self._known(append, batch, looked) or self._stale(append, looked)
        if verdict is None:
            try:
                for stream in append.streams:
                    for event in stream.events:
                        state.admit(event, append.meta.workspace_id, batch.now)
            except Refusal as refusal:
                verdict = Refused(refusal)
            except Stale:
                verdict = Conflict(append.streams[0].stream_id)
        if verdict is not None:
            state.rollback()
            batch.verdicts.append((asker, verdict))
            return
        state.commit()
        batch.verdicts.append((asker, self._record(batch, append, looked)))

    def _known(self, append: Append, batch: _Batch, looked: _Looked) -> Verdict | None:
        if append.meta.request_hash is None:
            return None
        wanted = str(append.meta.command_id)
        for row in (*looked.commands, *batch.commands):
            if str(row["command_id"]) == wanted:
                recorded = row["request_hash"].removeprefix("\\x")
                if recorded != append.meta.request_hash.hex():
                    return KeyReused()
                return Duplicate(Answer(row["status"], _plain(row["answer"])))
        return None

    def _stale(self, append: Append, looked: _Looked) -> Verdict | None:
        for stream in append.streams:
            version, workspace_id = looked.streams.get(str(stream.stream_id), (0, None))
            if workspace_id is not None and workspace_id != append.meta.workspace_id:
                return Refused(NotFound("no such thing in this workspace"))
            if version != stream.expected_version:
                return Conflict(stream.stream_id)
        return None

    def _record(self, batch: _Batch, append: Append, looked: _Looked) -> Appended:
        meta = append.meta
        workspace = str(meta.workspace_id)
        versions: dict[UUID, int] = {}
        for stream in append.streams:
            for event in stream.events:
                batch.position += 1
                batch.events.append({
                    "position": batch.position, "event_id": uuid7(), "workspace_id": meta.workspace_id,
                    "prev": batch.heads.get(workspace, 0), "stream_id": stream.stream_id,
                    "stream_version": event.originator_version, "type": event.TOPIC,
                    "recorded_at": batch.now, "actor_kind": meta.actor.kind, "actor_id": meta.actor.id,
                    "on_behalf_of": meta.on_behalf_of, "command_id": meta.command_id,
                    "correlation_id": meta.correlation_id, "causation_id": meta.causation_id,
                    "traceparent": meta.traceparent, "data": msgspec.Raw(self._codec.encode(event)),
                })  # fmt: skip
                batch.heads[workspace] = batch.position
            versions[stream.stream_id] = stream.expected_version + len(stream.events)
            looked.streams[str(stream.stream_id)] = (versions[stream.stream_id], meta.workspace_id)
        answer = append.answer(Recorded(batch.position, versions, batch.now))
        hash_hex = None if meta.request_hash is None else f"\\x{meta.request_hash.hex()}"
        batch.commands.append({
            "command_id": meta.command_id, "workspace_id": meta.workspace_id, "request_hash": hash_hex,
            "status": answer.status, "answer": answer.body, "recorded_at": batch.now,
        })  # fmt: skip
        batch.rows.extend((row.statement, row.parameters) for row in append.rows)
        return Appended(answer, batch.position)

    async def _commit(self, connection: Connection, batch: _Batch, state: GuardState) -> None:
        if not batch.commands:
            await connection.execute("ROLLBACK")
            return
        document = msgspec.json.encode({
            "position": batch.position, "now": batch.now, "events": batch.events,
            "commands": batch.commands,
            "heads": [{"workspace_id": w, "position": p} for w, p in batch.heads.items()],
        })  # fmt: skip
        statements = [
            (APPEND, {"batch": document.decode()}),
            *((statement, [rows]) for statement, rows in guards.writes(state)),
            *batch.rows,
            ("COMMIT", None),
        ]
        size = len(document)
        async with contextlib.AsyncExitStack() as stack:
            if size <= PIPELINE_BYTES_MAX:
                await stack.enter_async_context(connection.pipeline())
            for statement, parameters in statements:
                await connection.execute(statement, parameters)

    def _tell(self, batch: _Batch) -> None:
        for asker, verdict in batch.verdicts:
            again = isinstance(verdict, (Refused, Conflict)) and not isinstance(
                asker.command, Append
            )
            if again and asker.rounds < CLAIM_ROUNDS_MAX:
                # Somebody in this very batch was quicker: look for another one in the next.
                asker.rounds += 1
                self._queue.append(asker)
            elif not asker.verdict.done():
                asker.verdict.set_result(Nothing() if again else verdict)

    # Claims and expiries, which the writer itself decides

    async def _decide_late(
        self, connection: Connection, waiting: list[_Waiting]
    ) -> tuple[list[tuple[_Waiting, Append]], list[tuple[_Waiting, Verdict]]]:
        """Decide claims and expiries first: all commands of a batch wait at the same time, so any
        order is right, and in this one a claim sees nothing but what is committed."""
        late = [w for w in waiting if not isinstance(w.command, Append)]
        plain = [(w, w.command) for w in waiting if isinstance(w.command, Append)]
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
        decided: list[tuple[_Waiting, Append]] = []
        idle: list[tuple[_Waiting, Verdict]] = []
        for (asker, _), append in zip(chosen, decisions, strict=True):
            if isinstance(append, Append):
                decided.append((asker, append))
            elif append is None or isinstance(append, Refusal):
                idle.append((asker, Nothing()))
            else:
                asker.verdict.set_exception(append)
        served = {id(asker) for asker, _ in chosen}
        idle.extend((asker, Nothing()) for asker in late if id(asker) not in served)
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
        wanted = [
            {
                "claim": index, "workspace_id": claim.meta.workspace_id, "board_id": claim.board_id,
                "agent_id": claim.agent_id, "capabilities": list(claim.capabilities),
            }
            for index, asker in enumerate(claims)
            if isinstance(claim := asker.command, ClaimNext)
        ]  # fmt: skip
        cursor = await connection.execute(
            CANDIDATES, {"claims": msgspec.json.encode(wanted).decode(), "most": len(claims)}
        )
        taken: set[UUID] = set()
        by_claim: dict[int, UUID] = {}
        for index, mission_id in await cursor.fetchall():
            if index not in by_claim and mission_id not in taken:
                by_claim[index] = mission_id
                taken.add(mission_id)
        return [(claims[index], mission_id) for index, mission_id in by_claim.items()]

    # When something goes wrong

    async def _abandon(self, batch: list[_Waiting], error: Exception) -> None:
        connection = self._connection
        assert connection is not None
        try:
            await connection.rollback() if not connection.autocommit else await connection.execute(
                "ROLLBACK"
            )
        except psycopg.Error:
            await self._reconnect()
        for asker in batch:
            if not asker.verdict.done():
                asker.verdict.set_exception(error)

    async def _recover(self, batch: list[_Waiting], error: Exception) -> None:
        """The connection broke, perhaps in the COMMIT: ask the log what became of each command."""
        await self._reconnect()
        for asker in batch:
            if asker.verdict.done():
                continue
            try:
                found = await self._find(asker.command.meta.command_id)
            except psycopg.Error as second:
                asker.verdict.set_exception(LogUnavailable(str(second)))
                continue
            if found is not None:
                asker.verdict.set_result(found)
            elif asker.rounds < CLAIM_ROUNDS_MAX:
                asker.rounds += 1
                self._queue.append(asker)
            else:
                asker.verdict.set_exception(LogUnavailable(str(error)))

    async def _find(self, command_id: UUID) -> Appended | None:
        async with self._database.system() as connection:
            cursor = await connection.execute(
                "SELECT status, answer, (SELECT position FROM log_head) FROM commands"
                " WHERE command_id = %s",
                [command_id],
            )
            row = await cursor.fetchone()
        return None if row is None else Appended(Answer(row[0], row[1]), row[2])

    async def _reconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error, OSError):
                await self._connection.close()
        while True:
            try:
                self._connection = await self._connect()
                return
            except psycopg.OperationalError:
                await asyncio.sleep(RETRY_PAUSE_S)


def _plain(answer: Any) -> dict[str, Any]:
    """Return an answer as a later reader gets it: JSON's types only."""
    plain: dict[str, Any] = msgspec.to_builtins(answer)
    return plain
