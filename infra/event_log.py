"""The event log: a group commit under one row lock, so that positions are gapless.

One writer task per process takes every command that waits, locks `log_head`, looks at idempotency
keys, stream versions and guards for the whole batch, gives each command a verdict of its own and
commits once. Nothing of the log is kept in memory between batches, so many processes may write.

A batch is two messages, whatever its size, and one more where there are claims: lock and look, then
write and commit. This is the writer, and what it does when something goes wrong; what a batch looks up,
decides and writes is `infra/event_log_batch.py`.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

import msgspec
import psycopg

from commands.append import (
    Answer,
    Append,
    Command,
    CommandMeta,
    Conflict,
    Duplicate,
    KeyReused,
    LogUnavailable,
    Nothing,
    OutcomeUnknown,
    Refused,
    Verdict,
)
from infra import event_log_sql as sql
from infra.codec import EventCodec
from infra.event_log_batch import Batch, Batches, Waiting
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


class _CommitLost(Exception):
    """The connection broke in the COMMIT: only the log knows what became of the batch."""

    def __init__(self, batch: Batch) -> None:
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
        self._batches = Batches(codec, as_decided=as_decided)
        self._ring = ring
        self._queue: deque[Waiting] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        self._failure: tuple[str, float] | None = None
        self._connection: Connection | None = None
        self._messages: Messages | None = None
        self._writer: asyncio.Task[None] | None = None

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
        events = self._batches.encode(command) if isinstance(command, Append) else []
        waiting = Waiting(command, asyncio.get_running_loop().create_future(), events)
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

    def _take(self) -> list[Waiting]:
        batch: list[Waiting] = []
        size = 0
        while self._queue and len(batch) < BATCH_COMMANDS_MAX and size < BATCH_BYTES_MAX:
            if batch and (batch[-1].alone or self._queue[0].alone):
                break
            waiting = self._queue.popleft()
            if not waiting.verdict.done():  # whoever asked may be gone
                batch.append(waiting)
                size += waiting.size
        return batch

    def _open_messages(self) -> Messages:
        assert self._messages is not None, "the log is open"
        return self._messages

    async def _save(self, batch: Batch) -> None:
        messages, connection = self._open_messages(), self._connection
        assert connection is not None
        if not batch.accepted:
            await messages.send(b"ROLLBACK")
            return
        write = await self._batches.writing(messages, batch)
        if not batch.rows:
            await self._commit(batch, write)
            return
        await messages.send(write)
        for text, values in batch.rows:
            await connection.execute(text, values)
        await self._commit(batch)

    async def _commit(self, batch: Batch, *write: bytes) -> None:
        connection = self._connection
        assert connection is not None
        try:
            await self._open_messages().send(*write, b"COMMIT")
        except psycopg.Error as error:
            # Also where the server says it ends the connection: it may have committed before.
            if connection.broken:
                raise _CommitLost(batch) from error
            raise

    def _tell(self, batch: Batch) -> None:
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

    # When something goes wrong

    async def _write_or_explain(self, batch: list[Waiting]) -> None:
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
                self._blame(batch, error)
        except Exception as error:  # noqa: BLE001 - one command's mistake is not its neighbours'
            self._blame(batch, error)
        else:
            self._tell(decided)

    async def _write(self, batch: list[Waiting], connection: Connection) -> Batch:
        """Decide and commit; where that fails, no transaction is left, or no connection."""
        with hung_up_after(SILENCE_S_MAX, connection):
            try:
                decided = await self._batches.decide(self._open_messages(), batch)
                await self._save(decided)
            except Exception:
                if not (connection.broken or connection.closed):
                    await connection.execute("ROLLBACK")
                raise
        return decided

    def _blame(self, batch: list[Waiting], error: Exception) -> None:
        """Something in the batch can't be written, or decided: write one by one, so that it fails alone."""
        if len(batch) > 1:
            # By way of the queue: where the database goes away meanwhile, whoever waits in it is told.
            for asker in batch:
                asker.alone = True
            self._queue.extendleft(reversed(batch))
        elif isinstance(error, psycopg.OperationalError):
            batch[0].settle(self._unavailable(self._reason(error)))
        else:
            batch[0].settle(error)

    def _ask_again(self, batch: list[Waiting], error: Exception) -> None:
        """Nothing of the batch was recorded: put it back in front."""
        for asker in reversed(batch):
            asker.rounds += 1
            if asker.rounds > ROUNDS_MAX:
                asker.settle(self._unavailable(self._reason(error)))
            elif not asker.verdict.done():
                self._queue.appendleft(asker)

    async def _find_out(self, batch: Batch, waiting: list[Waiting]) -> None:
        """Ask the log whether a COMMIT succeeded, behind the lock: the lost transaction is over then."""
        first = (
            msgspec.json.decode(batch.events[0])
            if batch.events
            else {"position": 0, "event_id": None}
        )
        parameters = {
            "position": first["position"], "event_id": first["event_id"],
            "commands": [] if batch.events else [row.command_id for row in batch.commands],
            "now": batch.now,
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

    def _leave_in_doubt(self, waiting: Iterable[Waiting]) -> None:
        for asker in waiting:
            asker.settle(OutcomeUnknown("the log was lost in a COMMIT"))

    async def _reconnect(self, in_doubt: Sequence[Waiting] = ()) -> None:
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
