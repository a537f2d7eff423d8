"""What an operator does with read models: rebuild one, look at what is parked, try again, discard."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
from uuid_utils.compat import uuid7

from commands.append import CommandMeta
from commands.bus import Bus, Context
from commands.projections import DiscardParked
from infra.backup import OperationFailed
from infra.codec import EventCodec
from infra.command_bus import write_side
from infra.envelopes import COLUMNS, Envelope
from infra.postgres import Database
from infra.search import SearchUnavailable
from infra.settings import Settings, StartRefused
from infra.stores import names, read_model
from projections.catalogue import READ_MODELS
from projections.metrics import MISSION_FLOW
from projections.read_model import ReadModel
from projections.search import SEARCH_MODELS
from streams.parking import RUNNER, Drained, drain, tell_news
from streams.read_tables import ReadTable
from streams.rebuild import Rebuild, RebuildFailed, Rebuilt, Tell
from streams.sink import SinkAway

if TYPE_CHECKING:
    from streams.mission_points import MissionPoints

PARKED_LISTED_MAX = 1000
LIST = """
SELECT json_build_object('model', p.model, 'stream_id', p.stream_id, 'workspace_id', p.workspace_id,
    'position', p.position, 'version', p.stream_version, 'type', p.event_type, 'error', p.error,
    'place', p.place, 'parked_at', p.parked_at, 'held_back', (SELECT count(*) FROM events e
        WHERE e.stream_id = p.stream_id AND e.stream_version > p.stream_version))
FROM parked_events p
WHERE (%(model)s::text IS NULL OR p.model = %(model)s)
    AND (%(stream_id)s::uuid IS NULL OR p.stream_id = %(stream_id)s)
ORDER BY p.position, p.model LIMIT %(limit)s"""
EVENT = f"SELECT {COLUMNS}, (SELECT log_id FROM log_head) FROM events WHERE position = %s"


async def rebuild(settings: Settings, dsn: str, name: str, tell: Tell) -> Rebuilt:
    """Rebuild a read model beside the live one; raises `OperationFailed`."""
    model = read_model(name)
    async with _opened(settings, dsn) as (database, bus):
        if settings.influxdb_url is not None and model is MISSION_FLOW:
            return await _write_again(settings, database, bus, model, tell)
        try:
            rebuilt = await _rebuild(settings, database, bus, model, tell)
        except (RebuildFailed, SearchUnavailable) as failed:
            raise OperationFailed(str(failed)) from None
        await tell_news(database, bus)
    return rebuilt


async def list_parked(
    dsn: str, model: str | None = None, stream_id: UUID | None = None
) -> list[dict[str, Any]]:
    """Return what is parked, oldest first, at most `PARKED_LISTED_MAX`."""
    values = {"model": model, "stream_id": stream_id, "limit": PARKED_LISTED_MAX}
    async with Database(dsn) as database, database.system() as connection:
        return [row[0] for row in await _rows(connection, LIST, values)]


async def show_parked(dsn: str, model: str, stream_id: UUID) -> dict[str, Any]:
    """Return one parked stream with the event that it waits at, personal fields sealed."""
    found = await _parked(dsn, model, stream_id)
    async with Database(dsn) as database, database.system() as connection:
        (row,) = await _rows(connection, EVENT, [found[0]["position"]])
    envelope = Envelope.of(row[:-1], EventCodec())
    return {**found[0], "event": envelope.to_dict(row[-1], envelope.payload)}


async def retry_parked(
    settings: Settings, dsn: str, model: str | None, stream_id: UUID | None
) -> list[dict[str, Any]]:
    """Fold parked streams again; return of each how many events went in, and where it waits if it does."""
    parked = await _parked(dsn, model, stream_id)
    async with _opened(settings, dsn) as (database, bus):
        done = [
            await _retry(settings, database, bus, one["model"], UUID(one["stream_id"]))
            for one in parked
        ]
        await tell_news(database, bus)
    return done


async def discard_parked(
    settings: Settings, dsn: str, model: str, stream_id: UUID
) -> dict[str, Any]:
    """Pass over the event that a stream waits at, for good, and fold what was held back behind it."""
    found = await _parked(dsn, model, stream_id)
    async with _opened(settings, dsn) as (database, bus):
        await tell_news(database, bus)  # the log must know of it before it hears what became of it
        meta = CommandMeta(uuid7(), UUID(found[0]["workspace_id"]), RUNNER, uuid7())
        await bus.execute(DiscardParked(model, stream_id), Context(meta))
        done = await _retry(settings, database, bus, model, stream_id)
        await tell_news(database, bus)
    return {**done, "discarded": found[0]["position"]}


async def _parked(dsn: str, model: str | None, stream_id: UUID | None) -> list[dict[str, Any]]:
    """Return what is parked; raises `StartRefused` where a stream is named and is not among it."""
    found = await list_parked(dsn, model, stream_id)
    if stream_id is not None and not found:
        raise StartRefused(f"{model} has not parked the stream {stream_id}")
    return found


async def _write_again(
    settings: Settings, database: Database, bus: Bus, model: ReadModel[Any], tell: Tell
) -> Rebuilt:
    from streams.mission_points import write_again  # noqa: PLC0415 - only where it is set

    began = time.monotonic()
    async with _sink(settings, database, bus) as sink:
        try:
            events, position = await write_again(sink, database, EventCodec(), model, tell)
        except SinkAway as away:
            raise OperationFailed(str(away)) from None
        return Rebuilt(events, sink.points, sink.parked, position, time.monotonic() - began)


async def _rebuild(
    settings: Settings, database: Database, bus: Bus, model: ReadModel[Any], tell: Tell
) -> Rebuilt:
    vault = bus.tools.vault
    if not _is_in_elasticsearch(settings, model):
        return await Rebuild(database, EventCodec(), vault, model, tell).run()
    from streams.search_jobs import rebuild_search  # noqa: PLC0415 - its client is slow to load

    return await rebuild_search(settings, database, EventCodec(), vault, model, tell)


async def _drain(
    settings: Settings, database: Database, bus: Bus, model: ReadModel[Any], stream_id: UUID
) -> Drained | None:
    vault = bus.tools.vault
    if not _is_in_elasticsearch(settings, model):
        return await drain(database, EventCodec(), vault, ReadTable(model), stream_id)
    from streams.search_jobs import drain_search  # noqa: PLC0415 - the same

    try:
        return await drain_search(settings, database, EventCodec(), vault, model, stream_id)
    except SearchUnavailable as away:
        raise OperationFailed(str(away)) from None


def _is_in_elasticsearch(settings: Settings, model: ReadModel[Any]) -> bool:
    return settings.elasticsearch_url is not None and model in SEARCH_MODELS


@asynccontextmanager
async def _sink(settings: Settings, database: Database, bus: Bus) -> AsyncIterator["MissionPoints"]:
    from streams.mission_points import influxdb_sink  # noqa: PLC0415 - only where it is set

    sink = influxdb_sink(settings, database, EventCodec(), bus.tools.vault, MISSION_FLOW)
    try:
        yield sink
    finally:
        await sink.aclose()


async def _retry(
    settings: Settings, database: Database, bus: Bus, model: str, stream_id: UUID
) -> dict[str, Any]:
    if model in names(settings) and model not in {one.name for one in READ_MODELS}:
        async with _sink(settings, database, bus) as sink:
            try:
                drained = await sink.drain(stream_id)
            except SinkAway as away:
                raise OperationFailed(str(away)) from None
    else:
        drained = await _drain(settings, database, bus, read_model(model), stream_id)
    poison = drained.poison if drained else None
    return {
        "model": model,
        "stream_id": str(stream_id),
        "events": drained.events if drained else 0,
        "parked_at_position": poison.position if poison else None,
        "error": poison.error if poison else None,
    }


@asynccontextmanager
async def _opened(settings: Settings, dsn: str) -> AsyncIterator[tuple[Database, Bus]]:
    async with Database(dsn) as database, write_side(settings, dsn) as bus:
        yield database, bus


async def _rows(
    connection: psycopg.AsyncConnection[tuple[Any, ...]], query: str, values: Any
) -> list[tuple[Any, ...]]:
    return await (await connection.execute(query.encode(), values)).fetchall()
