"""What the log is measured against: the library's own recorder, and HTTP endpoints on it and on nothing.

`python -m benchmarks.peers stock|none` serves `POST /api/missions`; the stock one reads a DSN from its input.
"""

import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import jwt
import msgspec
import psycopg
import uvicorn
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import (
    DatetimeAsISO,
    EventStore,
    JSONTranscoder,
    Mapper,
    StoredEvent,
    Transcoding,
    UUIDAsHex,
)
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from fastapi import FastAPI, Header, HTTPException
from pydantic import BaseModel, Field
from uuid_utils.compat import uuid7

from domain.mission import Content

SECRET = "a secret of the benchmark, known to both sides"  # noqa: S105 - nothing is behind it


class Note(Aggregate):
    """An aggregate in the library's own manner."""

    @event("Created")
    def __init__(
        self, title: str, description: str, board_id: UUID, column_id: UUID, rank: str
    ) -> None:
        self.title, self.description, self.rank = title, description, rank
        self.board_id, self.column_id = board_id, column_id


class ContentAsDict(Transcoding):
    """How the library is told of our dataclass."""

    type = Content
    name = "content"

    def encode(self, obj: Content) -> dict[str, Any]:
        return vars(obj)

    def decode(self, data: dict[str, Any]) -> Content:
        return Content(**data)


class TupleAsList(Transcoding):
    """JSON has no tuples."""

    type = tuple
    name = "tuple"

    def encode(self, obj: tuple[Any, ...]) -> list[Any]:
        return list(obj)

    def decode(self, data: list[Any]) -> tuple[Any, ...]:
        return tuple(data)


def stock_recorder(dsn: str, connections: int) -> PostgresApplicationRecorder:
    parts = psycopg.conninfo.conninfo_to_dict(dsn)
    datastore = PostgresDatastore(
        dbname=str(parts["dbname"]), host=str(parts["host"]), port=str(parts.get("port", 5432)),
        user=str(parts["user"]), password=str(parts["password"]), pool_size=connections,
    )  # fmt: skip
    recorder = PostgresApplicationRecorder(datastore)
    recorder.create_table()
    return recorder


def stock_store(recorder: PostgresApplicationRecorder) -> EventStore[UUID]:
    transcoder = JSONTranscoder()
    transcoder.register(UUIDAsHex())
    transcoder.register(DatetimeAsISO())
    transcoder.register(ContentAsDict())
    transcoder.register(TupleAsList())
    return EventStore(Mapper(transcoder), recorder)


def stored_mission() -> StoredEvent:
    state = msgspec.json.encode(
        {
            "workspace_id": uuid7(), "board_id": uuid7(), "column_id": uuid7(), "stage": "ready", "rank": "m",
            "content": {"title": "Summarise the incidents", "description": "x" * 100}, "created_by": uuid7(),
            "timestamp": datetime.now(UTC),
        }
    )  # fmt: skip
    return StoredEvent(uuid7(), 1, "mission.created.v1", state)


def measure_stock(recorder: PostgresApplicationRecorder, threads: int, count: int) -> float:
    """Return events per second of so many threads, each inserting one event at a time."""

    def insert() -> None:
        for _ in range(count // threads):
            recorder.insert_events([stored_mission()])

    workers = [threading.Thread(target=insert) for _ in range(threads)]
    begin = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return count // threads * threads / (time.perf_counter() - begin)


class NewMission(BaseModel):
    title: str = Field(min_length=1, max_length=200)
    description: str = Field(default="", max_length=20_000)
    priority: str = "normal"


def token() -> str:
    expires_at = datetime.now(UTC) + timedelta(hours=1)
    return jwt.encode({"sub": str(uuid7()), "exp": expires_at}, SECRET, algorithm="HS256")


def authenticate(authorization: str) -> None:
    """Check a token as cheaply as can be."""
    try:
        jwt.decode(authorization.removeprefix("Bearer "), SECRET, algorithms=["HS256"])
    except jwt.PyJWTError as error:
        raise HTTPException(401) from error


def app(save: Callable[[list[Any]], Any] | None) -> FastAPI:
    """Return the endpoint on a store, or on nothing."""
    api = FastAPI()

    def create(body: NewMission, authorization: Annotated[str, Header()]) -> dict[str, Any]:
        authenticate(authorization)
        note = Note(body.title, body.description, uuid7(), uuid7(), "m")
        if save is not None:
            save(list(note.collect_events()))
        return {"id": note.id, "version": note.version}

    async def create_nowhere(
        body: NewMission, authorization: Annotated[str, Header()]
    ) -> dict[str, Any]:
        return create(body, authorization)

    # The library blocks: its endpoint runs in a thread, the one on nothing does not have to.
    api.post("/api/missions", status_code=201)(create if save else create_nowhere)
    return api


class Server(uvicorn.Server):
    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        port = self.servers[0].sockets[0].getsockname()[1]
        print(f"ready http://127.0.0.1:{port}", flush=True)


def serve(api: FastAPI) -> None:
    """Serve an app on a free port, as fast as uvicorn can, and print where."""
    Server(uvicorn.Config(api, port=0, log_level="error", loop="uvloop", http="httptools")).run()


if __name__ == "__main__":
    kind = sys.argv[1]
    store = (
        stock_store(stock_recorder(sys.stdin.readline().strip(), 32)) if kind == "stock" else None
    )
    serve(app(store.put if store else None))
