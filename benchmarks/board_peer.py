"""What reading a board is measured against: rows → pydantic models → JSON, as FastAPI does it.

`python -m benchmarks.board_peer` reads a DSN and a board's id from its input.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import FastAPI, Header
from psycopg.rows import class_row
from psycopg_pool import AsyncConnectionPool
from pydantic import BaseModel

from benchmarks.peers import authenticate, serve
from infra.postgres import SYSTEM_OPTIONS


class CardOut(BaseModel):
    """A card, with the fields that ours has."""

    id: UUID
    version: int
    board_id: UUID
    column_id: UUID
    stage: str
    rank: str
    title: str
    priority: str
    labels: list[str]
    due: datetime | None
    required_capabilities: list[str]
    assignees: list[UUID]
    holder: UUID | None
    lease_token: int | None
    progress_percent: int
    progress_note: str | None
    dependencies: list[UUID]
    unmet_dependencies: list[UUID]
    blocked_reason: str | None
    failures: int
    submitted_by: UUID | None
    summary: str | None
    completed: bool
    created_by: UUID
    created_at: datetime
    updated_at: datetime


class ColumnOut(BaseModel):
    id: UUID
    name: str
    stage: str
    wip_limit: int | None
    cards: list[CardOut] = []


class BoardOut(BaseModel):
    id: UUID
    name: str
    version: int
    columns: list[ColumnOut]


CARDS = (
    f"SELECT {', '.join(CardOut.model_fields)} FROM read_missions"
    " WHERE board_id = %s AND NOT deleted ORDER BY rank, id"
)
BOARD = "SELECT id, name, version, columns FROM read_boards WHERE id = %s"


def app(dsn: str, board_id: str) -> FastAPI:
    """Return the endpoint; it sets no workspace and keeps no log, which is to its favour."""
    pool = AsyncConnectionPool(
        dsn, min_size=4, max_size=12, open=False,
        kwargs={"autocommit": True, "options": SYSTEM_OPTIONS},
    )  # fmt: skip

    @asynccontextmanager
    async def opened(_: FastAPI) -> AsyncIterator[None]:
        async with pool:
            yield

    api = FastAPI(lifespan=opened)

    @api.get("/api/missions/board")
    async def board(authorization: Annotated[str, Header()]) -> BoardOut:
        authenticate(authorization)
        async with pool.connection() as connection:
            boards = connection.cursor(row_factory=class_row(BoardOut))
            found = await (await boards.execute(BOARD, [board_id])).fetchone()
            cards = connection.cursor(row_factory=class_row(CardOut))
            rows = await (await cards.execute(CARDS, [board_id])).fetchall()
        assert found is not None
        by_id = {column.id: column for column in found.columns}
        for card in rows:
            by_id[card.column_id].cards.append(card)
        return found

    return api


if __name__ == "__main__":
    serve(app(sys.stdin.readline().strip(), sys.stdin.readline().strip()))
