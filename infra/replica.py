"""A read replica for the queries of requests, and the primary in its place while it is away."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, Self
from uuid import UUID

import psycopg
from psycopg import OperationalError
from psycopg.errors import SerializationFailure

from infra.logging import log
from infra.postgres import NO_SETTINGS, Connection, Database, Rows, drop_dead, within
from infra.postgres_checks import reason_of
from infra.tasks import end

NAME = "MC_READ_DATABASE_URL"
LOOK_S = 1.0
LOOK_S_MAX = 3.0
ANSWER_S_MAX = 3.0
"""How long the replica may take for a query, before the primary is asked."""

PRIMARY = "SELECT log_id, (SELECT max(version) FROM schema_migrations), position FROM log_head"
REPLICA = """
SELECT log_id, (SELECT max(version) FROM schema_migrations), position,
    (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user)
FROM log_head"""
NOTHING = (None, None, 0, False)

# A request reads where it was told how far the read models are: what the primary has reached, a replica
# that has just come back may not have.
_on_primary: ContextVar[bool] = ContextVar("on_primary", default=False)


class Replica(Database):
    """A database whose `fetch` and `look_up` are a replica's, and everything else the primary's.

    It is looked at every second: one that does not answer, holds another log or another schema, or would
    show one workspace to another, is away. Being behind is not: `min_position` waits for it.
    """

    is_replica = True

    def __init__(self, dsn: str, primary: Database) -> None:
        super().__init__(dsn)
        self._primary = primary
        self._away: str | None = "not looked at yet"
        self._position, self._head = 0, 0
        self._watch: asyncio.Task[None] | None = None
        self._looking: Connection | None = None

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        with contextlib.suppress(OSError, psycopg.Error, TimeoutError):
            self._looking = await self._watched(None)
        self._watch = asyncio.create_task(self._look_after(), name="replica")
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._watch is not None:
            await end([self._watch])
        if self._looking is not None:
            await self._looking.close()
        await super().__aexit__(*exception)

    async def fetch(
        self,
        workspace_id: UUID,
        statement: str,
        parameters: Sequence[Any] | Mapping[str, Any] = (),
        *,
        prepare: bool | None = None,
        planner: Mapping[str, str] = NO_SETTINGS,
    ) -> Rows:
        """Run one query in the eyes of a workspace: on the replica, else on the primary."""
        if self._away is None and not _on_primary.get():
            with self._or_away():
                query = self._fetch(workspace_id, statement, parameters, prepare, planner)
                return await within(ANSWER_S_MAX, query)
        return await self._primary.fetch(
            workspace_id, statement, parameters, prepare=prepare, planner=planner
        )

    async def look_up(self, statement: str, parameters: Sequence[Any] = ()) -> Rows:
        """Run one query that sees every workspace: there, where this request will `fetch`."""
        _on_primary.set(False)
        if self._away is None:
            with self._or_away():
                return await within(ANSWER_S_MAX, self._look_up(statement, parameters))
        _on_primary.set(True)
        return await self._primary.look_up(statement, parameters)

    @asynccontextmanager
    async def system(self) -> AsyncIterator[Connection]:
        """Lend a connection (autocommit) to the primary that sees every workspace."""
        async with self._primary.system() as connection:
            yield connection

    async def connect(self, **settings: str) -> Connection:
        """Open a connection of its own to the primary."""
        return await self._primary.connect(**settings)

    async def state(self) -> dict[str, Any]:
        """Return what health says of the replica; `lag` in events."""
        if self._away is not None:
            return {"status": "away", "reason": self._away}
        return {"status": "ok", "position": self._position, "lag": self._head - self._position}

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            with contextlib.suppress(OSError, psycopg.Error, TimeoutError):
                self._looking = await self._watched(self._looking)

    async def _watched(self, connection: Connection | None) -> Connection | None:
        """Look at the replica once, by a connection that is kept while it answers.

        Raises what the primary's absence raises: then nothing can be said, and nothing is changed.
        """
        async with asyncio.timeout(LOOK_S_MAX), self._primary.system() as primary:
            expected = await (await primary.execute(PRIMARY)).fetchone()
        assert expected is not None, "the schema has this row from the first migration on"
        try:
            async with asyncio.timeout(LOOK_S_MAX):
                connection = connection or await super().connect()
                found = await (await connection.execute(REPLICA)).fetchone() or NOTHING
        except (OSError, psycopg.Error, TimeoutError) as error:
            if connection is not None:
                await connection.close()
            self._is_away(reason_of(error, self.dsn))
            return None
        log_id, schema, self._head = expected
        if (unfit := why_unfit(found, log_id, schema)) is not None:
            self._is_away(unfit)
        else:
            self._position = found[2]
            await self._is_there()
        return connection

    @contextlib.contextmanager
    def _or_away(self) -> Iterator[None]:
        """Swallow what says that the replica can't answer: the caller asks the primary."""
        try:
            yield
        except SerializationFailure:
            pass  # the replica replays what this query still read; the next one may do
        except (OperationalError, TimeoutError) as error:
            self._is_away(reason_of(error, self.dsn))

    def _is_away(self, reason: str) -> None:
        if self._away != reason:
            log.warning(
                "the read replica is away, the primary answers", setting=NAME, reason=reason
            )
        self._away = reason

    async def _is_there(self) -> None:
        if self._away is None:
            return
        # What was connected to a server that was started again is dead.
        await drop_dead(self._requests)
        await drop_dead(self._system)
        log.info("the read replica answers", setting=NAME, position=self._position)
        self._away = None


def why_unfit(found: Sequence[Any], log_id: UUID, schema: int) -> str | None:
    """Return of a row of `REPLICA` why nobody may read there; None where it is a replica of this log."""
    if (found[0], found[1]) != (log_id, schema):
        return "it holds another log, or another schema"
    return "its role bypasses row-level security" if found[3] else None
