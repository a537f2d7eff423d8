"""Several statements in one message: a transaction in as few round trips as it has decisions.

psycopg sends one statement at a time, or a pipeline, which can hang when much is unsent. PostgreSQL's
simple protocol takes any number of statements in one message and answers when all are done; each of
them sees what the one before has waited for. Parameters go through EXECUTE of a prepared statement,
quoted by libpq itself.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from psycopg.pq import Escaping

from infra.postgres import Connection

_PARAMETER = re.compile(r"%\((\w+)\)s")

Rows = list[tuple[Any, ...]]


class Statement:
    """A statement with `%(named)s` parameters, which are texts, numbers or times."""

    def __init__(self, text: str) -> None:
        self.parameters = tuple(dict.fromkeys(_PARAMETER.findall(text)))
        numbers = {name: f"${number}" for number, name in enumerate(self.parameters, 1)}
        body = _PARAMETER.sub(lambda found: numbers[found[1]], text)
        self.name = f"mc_{hashlib.sha256(body.encode()).hexdigest()[:16]}"
        self.preparation = f"PREPARE {self.name} AS {body}".encode()


class Messages:
    """Sends messages on one connection, on which it prepares what it needs."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._escaping = Escaping(connection.pgconn)
        self._prepared: set[str] = set()

    async def prepare(self, *statements: Statement) -> None:
        """Prepare statements, each once; best outside of a transaction, which this would prolong."""
        for statement in statements:
            if statement.name not in self._prepared:
                await self._connection.execute(statement.preparation, prepare=False)
                self._prepared.add(statement.name)

    def call(self, statement: Statement, values: Mapping[str, Any]) -> bytes:
        """Return the part of a message that runs a prepared statement."""
        if not statement.parameters:
            return b"EXECUTE %b" % statement.name.encode()
        literals = b",".join(self._literal(values[name]) for name in statement.parameters)
        return b"EXECUTE %b (%b)" % (statement.name.encode(), literals)

    async def send(self, *parts: bytes) -> list[Rows]:
        """Run the parts in order; return the rows of each, none for a part that has no rows."""
        cursor = await self._connection.execute(b";".join(parts), prepare=False)
        answers: list[Rows] = []
        while True:
            answers.append(await cursor.fetchall() if cursor.description else [])
            if not cursor.nextset():
                return answers

    def _literal(self, value: str | int | datetime) -> bytes:
        if isinstance(value, int):
            return b"%d" % value
        text = value if isinstance(value, str) else value.isoformat()
        return bytes(self._escaping.escape_literal(text.encode()))
