"""Streams that a read model could not fold: tried again, and told to the log."""

import asyncio
import contextlib
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from commands.append import Actor, ActorKind, CommandMeta
from commands.bus import Bus, Context
from commands.projections import NAMESPACE, NoteDrained, NoteParked
from domain.base import NotFound
from domain.system import ParkedEvent
from infra.codec import EventCodec
from infra.envelopes import COLUMNS, Envelope
from infra.logging import log
from infra.postgres import Connection, Database
from infra.vault import Vault
from streams.fold import Fold, Poison, key_of, load_keys
from streams.job import Job
from streams.read_tables import (
    NEWS,
    NOTED,
    PARK,
    Mark,
    ReadTable,
    RowRefused,
    Wanted,
    encoded,
    load,
    noted,
    write,
)

READ_EVENTS_MAX = 500
NEWS_POLL_S = 30.0
RUNNER = Actor(ActorKind.SYSTEM, uuid5(NAMESPACE, "runner"))
# Commands of the program have no HTTP request; a constant hash makes them idempotent by their id.
REQUEST_HASH = hashlib.sha256(b"projections").digest()

FIND = f"SELECT {NOTED} FROM parked_events WHERE model = %s AND stream_id = %s FOR UPDATE"
# The runner moves the checkpoint of the epoch that it knows: it will look again.
LOCK = """
UPDATE checkpoints SET epoch = epoch + 1 WHERE name = %s
RETURNING position, epoch, generation, log_id"""
DISCARDED = "SELECT stream_version FROM projection_discards WHERE model = %s AND stream_id = %s"
HELD_BACK = f"""
SELECT {COLUMNS} FROM events
WHERE stream_id = %s AND stream_version > %s ORDER BY stream_version LIMIT %s"""
UNPARK = "DELETE FROM parked_events WHERE model = %s AND stream_id = %s"
REPLACE = f"DELETE FROM parked_events WHERE model = %s RETURNING {NOTED}"
TAKE_NEWS = f"SELECT id, kind, {NOTED} FROM projection_news ORDER BY id LIMIT 100"
ALWAYS = {"poisons": "%(poisons)s::json", "condition": "true"}


@dataclass(frozen=True, slots=True)
class Drained:
    """What became of a try: how many events were folded, and where the stream waits now, if it does."""

    events: int
    poison: Poison | None


async def drain(
    database: Database, codec: EventCodec, vault: Vault, table: ReadTable, stream_id: UUID
) -> Drained | None:
    """Fold what was held back of a stream, up to the end of the log; None: it is not parked."""
    async with database.system() as connection, connection.transaction():
        return await _drain(connection, codec, vault, table, stream_id)


async def _drain(
    connection: Connection, codec: EventCodec, vault: Vault, table: ReadTable, stream_id: UUID
) -> Drained | None:
    name = table.model.name
    # In the order of a rebuild's swap, which would wait for us as we for it. Nobody folds into the table
    # meanwhile: a worker that knows the stream as parked would hold back an event that comes just now.
    await connection.execute(f"LOCK TABLE {table.table} IN SHARE ROW EXCLUSIVE MODE".encode())
    cursor = await connection.execute(LOCK, [name])
    checkpoint = await cursor.fetchone()
    cursor = await connection.execute(FIND, [name, stream_id])
    found = await cursor.fetchone()
    if checkpoint is None or found is None:
        return None
    position, epoch, generation, log_id = checkpoint
    before = Poison(*found)
    cursor = await connection.execute(DISCARDED, [name, stream_id])
    discarded = {(stream_id, version) for (version,) in await cursor.fetchall()}
    mark = Mark(name, position, position, epoch)
    begin = gate = await _gate(connection, table, stream_id, generation)
    poison: Poison | None = None
    while poison is None:
        fold = Fold(table.model, vault, discarded)
        cursor = await connection.execute(HELD_BACK, [stream_id, gate, READ_EVENTS_MAX])
        events = [Envelope.of(row, codec) for row in await cursor.fetchall()]
        if not events:
            break
        poison = await _fold_held_back(connection, table, fold, events, mark, generation, log_id)
        gate = await _gate(connection, table, stream_id, generation)
    await connection.execute(UNPARK, [name, stream_id])
    if table.says_stale:
        stale = f"UPDATE {table.table} SET stale = %s WHERE id = %s"
        await connection.execute(stale.encode(), [poison is not None, stream_id])
    if poison is None:
        await tell_drained(connection, [before])
    elif poison.stream_version != before.stream_version:
        await park(connection, [poison])
    else:
        await park(connection, [poison], tell=False)
    return Drained(gate - begin, poison)


async def _gate(connection: Connection, table: ReadTable, stream_id: UUID, generation: int) -> int:
    name = table.model.name
    loaded = await load(connection, [table], {name: Wanted([], [stream_id], generation)})
    return loaded[name].gates.get(stream_id, 0)


async def _fold_held_back(
    connection: Connection,
    table: ReadTable,
    fold: Fold,
    events: list[Envelope],
    mark: Mark,
    generation: int,
    log_id: UUID,
) -> Poison | None:
    """Fold and write some events of one stream; where a row is refused, one event after the other."""
    name, stream_id = table.model.name, events[0].stream_id
    await load_keys(fold.vault, events)
    keys = {key for envelope in events if (key := key_of(table.model, envelope)) is not None}
    loaded = await load(connection, [table], {name: Wanted(keys, [stream_id], generation)})
    fold.rows, fold.gates = table.decode(loaded[name].rows), loaded[name].gates
    for envelope in events:
        fold.take(envelope)
    poisons, fold.poisons = fold.poisons, {}
    try:
        async with connection.transaction():
            await write(connection, log_id, [mark], [(table, fold)])
    except RowRefused as refused:
        if len(events) == 1:
            return Poison.of(name, events[0], refused.__cause__ or refused)
        for envelope in events:
            alone = Fold(table.model, fold.vault, fold.discarded)
            poison = await _fold_held_back(
                connection, table, alone, [envelope], mark, generation, log_id
            )
            if poison is not None:
                return poison
        return None
    return poisons.get(stream_id)


async def park(connection: Connection, poisons: list[Poison], *, tell: bool = True) -> None:
    """Note streams as parked, and that the log shall hear of it."""
    values = {"poisons": encoded(noted(poisons))}
    await connection.execute(PARK.format(**ALWAYS).encode(), values)
    if tell:
        await connection.execute(NEWS.format(kind="'parked'", **ALWAYS).encode(), values)


async def replace_parked(connection: Connection, model: str, poisons: list[Poison]) -> None:
    """Note what a rebuild could not fold in place of what was parked; what is new, or gone, is told."""
    cursor = await connection.execute(REPLACE.encode(), [model])
    before = {poison.stream_id: poison for poison in (Poison(*r) for r in await cursor.fetchall())}
    known, new = list[Poison](), list[Poison]()
    for poison in poisons:
        was = before.pop(poison.stream_id, None)
        is_known = was is not None and was.stream_version == poison.stream_version
        (known if is_known else new).append(poison)
    await park(connection, known, tell=False)
    await park(connection, new)
    await tell_drained(connection, list(before.values()))


async def tell_drained(connection: Connection, poisons: list[Poison]) -> None:
    """Note that the log shall hear of streams that wait no more."""
    values = {"poisons": encoded(noted(poisons))}
    await connection.execute(NEWS.format(kind="'drained'", **ALWAYS).encode(), values)


def log_parked(poisons: Iterable[Poison]) -> None:
    """Tell operators what was parked."""
    for poison in poisons:
        log.error(
            "a read model parked a stream", model=poison.model, stream=str(poison.stream_id),
            position=poison.position, error=poison.error, place=poison.place,
        )  # fmt: skip


class ParkingNews(Job):
    """Tells the log what was parked and drained. What was not told before a kill is told after it."""

    def __init__(self, database: Database, bus: Bus, poll_s: float = NEWS_POLL_S) -> None:
        super().__init__("parking news")
        self._poll_s = poll_s
        self._database = database
        self._bus = bus
        self._some = asyncio.Event()

    def tell(self) -> None:
        """There may be news."""
        self._some.set()

    async def work(self) -> None:
        while True:
            self._some.clear()
            await tell_news(self._database, self._bus)
            try:
                async with asyncio.timeout(self._poll_s):
                    await self._some.wait()
            except TimeoutError:
                continue


async def tell_news(database: Database, bus: Bus) -> None:
    """Append the events of all news; each is told once, however often this is cut off."""
    while True:
        async with database.system() as connection:
            cursor = await connection.execute(TAKE_NEWS.encode())
            rows = await cursor.fetchall()
        if not rows:
            return
        for id_, kind, *values in rows:
            await _tell(bus, id_, kind, Poison(*values))
            async with database.system() as connection:
                await connection.execute("DELETE FROM projection_news WHERE id = %s", [id_])


async def _tell(bus: Bus, id_: int, kind: str, poison: Poison) -> None:
    command_id = uuid5(NAMESPACE, f"{id_}:{kind}:{poison.model}:{poison.stream_id}")
    meta = CommandMeta(
        command_id, poison.workspace_id, RUNNER, command_id, request_hash=REQUEST_HASH
    )
    command: Any = NoteDrained(poison.model, poison.stream_id)
    if kind == "parked":
        event = ParkedEvent(
            poison.stream_id, poison.stream_version, poison.position, poison.event_type,
            poison.error, poison.place,
        )  # fmt: skip
        command = NoteParked(poison.model, event)
    with contextlib.suppress(NotFound):  # drained, and it was never told that it was parked
        await bus.execute(command, Context(meta))
