"""Connections. Requests see one workspace, the program's own connections see all."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Self
from uuid import UUID

from psycopg import AsyncConnection, InterfaceError, OperationalError
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import ReadOnlySqlTransaction
from psycopg.pq import PipelineStatus
from psycopg_pool import AsyncConnectionPool

REQUEST_CONNECTIONS_MAX = 12
SYSTEM_CONNECTIONS_MAX = 8
WAIT_S_MAX = 10.0
"""How long a request waits for a connection."""
SILENCE_S_MAX = 20.0
"""How long a request waits for an answer, of a server that is there and says nothing."""
SYSTEM_OPTIONS = "-c mc.system=on"
# A host that vanished hangs up on nobody: else TCP notices after a quarter of an hour, or after two hours of silence.
VANISHED_AFTER = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""In seconds, the last one in milliseconds; a DSN may say otherwise."""
# The same for the server: what a vanished process has locked is free after half a minute.
LEAVES_VANISHED = (
    "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"
    " -c tcp_user_timeout=20000"
)

Connection = AsyncConnection[tuple[Any, ...]]
Rows = list[tuple[Any, ...]]
NO_SETTINGS: Mapping[str, str] = {}


class Database:
    """Two pools on one database: `fetch` for requests, `system` for the program itself.

    `options` are server settings for every connection, as PostgreSQL's `-c name=value`. Each pool keeps
    `kept` connections open; a process that needs one now and then keeps none.
    """

    is_replica = False

    def __init__(self, dsn: str, options: str = "", kept: int = 2) -> None:
        self.dsn = dsn
        said = conninfo_to_dict(dsn)
        unsaid = {name: value for name, value in VANISHED_AFTER.items() if name not in said}
        self._conninfo = make_conninfo(dsn, **unsaid)
        options = f"{LEAVES_VANISHED} {options}".strip()
        self._system_options = f"{SYSTEM_OPTIONS} {options}"
        self._requests = _pool(self._conninfo, REQUEST_CONNECTIONS_MAX, kept, options=options)
        self._system = _pool(
            self._conninfo, SYSTEM_CONNECTIONS_MAX, kept, options=self._system_options
        )

    async def __aenter__(self) -> Self:
        await self._requests.open()
        await self._system.open()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._requests.close()
        await self._system.close()

    async def fetch(
        self,
        workspace_id: UUID,
        statement: str,
        parameters: Sequence[Any] | Mapping[str, Any] = (),
        *,
        prepare: bool | None = None,
        planner: Mapping[str, str] = NO_SETTINGS,
    ) -> Rows:
        """Run one query in the eyes of a workspace: row-level security hides every other one.

        The workspace is set in the query's own implicit transaction, which ends with the pipeline.
        `prepare=False` plans it each time for its very values, where these decide which plan is good;
        `planner` are server settings that hold for this query.
        """
        asked = time.monotonic()
        try:
            return await self._fetch(workspace_id, statement, parameters, prepare, planner)
        except OperationalError:
            if _was_silent_since(asked):
                raise
            # A server that was started again leaves dead connections in the pool, one for each try.
            await drop_dead(self._requests)
            return await self._fetch(workspace_id, statement, parameters, prepare, planner)

    async def _fetch(
        self,
        workspace_id: UUID,
        statement: str,
        parameters: Sequence[Any] | Mapping[str, Any],
        prepare: bool | None,
        planner: Mapping[str, str],
    ) -> Rows:
        settings = {"mc.workspace": str(workspace_id), **planner}
        async with self._requests.connection() as connection:
            with hung_up_after(SILENCE_S_MAX, connection):
                async with connection.pipeline():
                    for setting in settings.items():
                        await connection.execute("SELECT set_config(%s, %s, true)", setting)
                    cursor = await connection.execute(statement, parameters, prepare=prepare)
                return await cursor.fetchall()

    @asynccontextmanager
    async def system(self) -> AsyncIterator[Connection]:
        """Lend a connection (autocommit) that sees every workspace."""
        try:
            async with self._system.connection() as connection:
                yield connection
        except ReadOnlySqlTransaction as error:
            # It is the server's state and nobody's mistake: who asks may come again.
            raise OperationalError(str(error)) from error

    @asynccontextmanager
    async def briefly(self) -> AsyncIterator[Connection]:
        """Lend a connection as `system` does, to a request: it is broken where the server says nothing."""
        async with self.system() as connection:
            with hung_up_after(SILENCE_S_MAX, connection):
                yield connection

    async def look_up(self, statement: str, parameters: Sequence[Any] = ()) -> Rows:
        """Run one query that sees every workspace, on the server that `fetch` reads from."""
        asked = time.monotonic()
        try:
            return await self._look_up(statement, parameters)
        except OperationalError:
            if _was_silent_since(asked):
                raise
            await drop_dead(self._system)  # as with `fetch`
            return await self._look_up(statement, parameters)

    async def _look_up(self, statement: str, parameters: Sequence[Any]) -> Rows:
        async with self._system.connection() as connection:
            with hung_up_after(SILENCE_S_MAX, connection):
                return await (await connection.execute(statement, parameters)).fetchall()

    async def connect(self, **settings: str) -> Connection:
        """Open a connection of its own for a follower or a writer, with server settings."""
        options = " ".join(
            [self._system_options, *(f"-c {key}={value}" for key, value in settings.items())]
        )
        return await AsyncConnection.connect(self._conninfo, autocommit=True, options=options)


def _was_silent_since(asked: float) -> bool:
    """Tell whether a failure is that of a server which says nothing: to ask it again would take as long."""
    return time.monotonic() - asked >= SILENCE_S_MAX


def _pool(dsn: str, size: int, kept: int, **settings: str) -> AsyncConnectionPool[Connection]:
    return AsyncConnectionPool(
        dsn,
        min_size=kept,
        max_size=size,
        open=False,
        kwargs={"autocommit": True, **settings},
        timeout=WAIT_S_MAX,
        reset=_refuse_pipeline,
        # The pool waits twice as long before each try. Whoever asks after this time makes it begin anew, else
        # a server that comes back after minutes would be found minutes later.
        reconnect_timeout=WAIT_S_MAX,
    )


async def drop_dead(pool: AsyncConnectionPool[Connection]) -> None:
    """Throw a pool's dead connections away. It takes no cancellation for a dead one: whoever asked may go."""
    await asyncio.shield(asyncio.create_task(pool.check()))


async def _refuse_pipeline(connection: Connection) -> None:
    """Have the pool close a connection that comes back in pipeline mode.

    psycopg 3.3.9 leaves it so where a task is cancelled on entering a pipeline. Whoever works on it next
    would not be told what a statement did, or that it failed.
    """
    if connection.pgconn.pipeline_status != PipelineStatus.OFF:
        raise InterfaceError("left in pipeline mode")


def hang_up(connection: Connection) -> None:
    """Break a connection, unless it is closed: whoever waits for an answer hears of it at once."""
    with (
        suppress(OSError, OperationalError),
        socket.socket(fileno=os.dup(connection.fileno())) as line,
    ):
        line.shutdown(socket.SHUT_RDWR)


@contextmanager
def hung_up_after(seconds: float, connection: Connection) -> Iterator[None]:
    """Break the connection where the block takes longer, so that whoever waits in it hears of it.

    To cancel a query, the driver would wait for the very server that is silent.
    """

    timer = asyncio.get_running_loop().call_later(seconds, hang_up, connection)
    try:
        yield
    finally:
        timer.cancel()


async def within(seconds: float, query: Coroutine[Any, Any, Rows]) -> Rows:
    """Return a query's rows; raises `TimeoutError` when they take too long.

    Such a query is left to itself: to cancel it, the driver would wait for the very server that is silent.
    """
    asking = asyncio.create_task(query)
    asking.add_done_callback(_taken_note_of)
    try:
        await asyncio.wait({asking}, timeout=seconds)
    finally:
        if not asking.done():
            asking.cancel()
    if not asking.done():
        raise TimeoutError(f"no answer within {seconds:.0f} s")
    return asking.result()


def _taken_note_of(asked: "asyncio.Task[Rows]") -> None:
    if not asked.cancelled():
        asked.exception()
