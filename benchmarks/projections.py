"""F: read models, in batches and rebuilt, against one transaction per event on the same log."""

import statistics
import time
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import uvloop

from benchmarks.scene import CODEC, Author, Result, new_database, open_log
from commands.bus import Bus, Tools
from commands.handlers import HANDLERS
from domain import base
from domain.mission import Content, Mission, Place, Worker
from infra.aggregates import Aggregates
from infra.embedded_postgres import EmbeddedPostgres
from infra.envelopes import COLUMNS, Envelope
from infra.marks import Marks
from infra.postgres import SYSTEM_OPTIONS, Database
from infra.server import freeze_garbage
from infra.vault import RootKey, Vault
from infra.write_side import WriteSide
from projections.missions import MISSIONS, MissionRow
from streams.follower import Follower
from streams.projector import Projector
from streams.rebuild import Rebuild

ROUNDS = 3
APPLIED_EVENTS = 10_000
APPLIED_S_MAX = 60.0
PEER_EVENTS = 1_000
ALIVE_AT_ONCE = 1_000
"""How many missions are worked on at the same time: this is how their events meet in the log."""
TARGET_EVENTS = 1_000_000

FILL = """
INSERT INTO events (position, event_id, workspace_id, prev, stream_id, stream_version, type, recorded_at,
    actor_kind, actor_id, command_id, correlation_id, data)
SELECT %(after)s + p, gen_random_uuid(), %(workspace)s, %(after)s + p - 1,
    ('0199' || lpad(to_hex(m), 8, '0') || '70008000' || substr(md5(m::text), 1, 12))::uuid,
    (l.life->>'version')::integer, l.life->>'type', now(), 'user', %(user)s, gen_random_uuid(),
    gen_random_uuid(), l.life->'data'
FROM (SELECT p, (p - 1) / (%(alive)s * %(each)s) * %(alive)s + (p - 1) %% %(alive)s AS m,
        (p - 1) / %(alive)s %% %(each)s AS step FROM generate_series(1, %(events)s) p) at
JOIN (SELECT ordinality - 1 AS step, value AS life
    FROM json_array_elements(%(lives)s::json) WITH ORDINALITY) l USING (step)
ORDER BY p"""


def project(postgres: EmbeddedPostgres, events: int) -> list[Result]:
    """F1, F2."""
    peer = statistics.median(one_by_one(filled(postgres, PEER_EVENTS)) for _ in range(ROUNDS))
    rates = [uvloop.run(_in_batches(filled(postgres, APPLIED_EVENTS))) for _ in range(ROUNDS)]
    rate = statistics.median(rates)
    ratio = rate / peer
    results = [
        Result("F1 apply, batches of 500", f"{rate:,.0f} events/s", f"{peer:,.0f}/s one by one", ratio,
               "≥ 25x", ratio >= 25)
    ]  # fmt: skip
    dsn = filled(postgres, events)
    freeze_garbage()  # as the server and the command line do
    seconds = min(uvloop.run(_rebuilt(dsn)) for _ in range(2))
    extrapolated = events / peer
    ratio = extrapolated / seconds
    met = ratio >= 50 and (events < TARGET_EVENTS or seconds < 20)
    results.append(
        Result(f"F2 rebuild from {events:,} events", f"{seconds:.1f} s, {events / seconds:,.0f} events/s",
               f"{extrapolated:,.0f} s extrapolated", ratio, "≥ 50x, < 20 s of 1M", met)
    )  # fmt: skip
    return results


def _lives(author: Author) -> list[dict[str, Any]]:
    """Return the ten events of a mission that is worked on and done, as the log holds them."""
    base.command_time.set(datetime.now(UTC))
    ready, active = author.ready, author.active
    agent, mission_id = UUID(int=7), UUID(int=8)
    place = Place(author.board.id, ready.id, ready.stage, "m")
    content = Content("Summarise the incidents", "x" * 100)
    mission = Mission.create(mission_id, author.workspace_id, place, content, (), author.user_id)
    mission.claim(
        Worker(agent, frozenset()), 60, Place(author.board.id, active.id, active.stage, "n")
    )
    for percent in range(10, 90, 10):
        mission.progress(agent, 2, percent, "reading")
    return [
        {
            "type": event.TOPIC,
            "version": event.originator_version,
            "data": msgspec.Raw(CODEC.encode(event)),
        }  # type: ignore[attr-defined, arg-type]
        for event in mission.pending_events
    ]


def filled(postgres: EmbeddedPostgres, events: int) -> str:
    """Return the DSN of a log of so many events of missions, without anything folded."""
    dsn = new_database(postgres)
    fill(dsn, events, Author())
    with psycopg.connect(dsn, options=SYSTEM_OPTIONS, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE events")
    return dsn


def fill(dsn: str, events: int, author: Author) -> None:
    """Put so many events of one author's missions behind a log of nobody else's, in one commit."""
    lives = _lives(author)
    values = {
        "workspace": author.workspace_id, "user": author.user_id, "alive": ALIVE_AT_ONCE,
        "each": len(lives), "events": events, "lives": msgspec.json.encode(lives).decode(),
    }  # fmt: skip
    with psycopg.connect(dsn, options=SYSTEM_OPTIONS) as connection:
        found = connection.execute("SELECT position FROM log_head FOR UPDATE").fetchone()
        assert found is not None
        connection.execute(FILL, {**values, "after": found[0]})
        connection.execute(
            "UPDATE log_head SET position = position + %s, recorded_at = now()", [events]
        )
        connection.execute("NOTIFY mc_log")


def one_by_one(dsn: str) -> float:
    """One transaction per event, in the plain way: read the row, fold, write it and the checkpoint."""
    columns = [field.name for field in fields(MissionRow)]
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns)
    upsert = (
        f"INSERT INTO read_missions ({', '.join(columns)}) SELECT {', '.join(columns)}"
        f" FROM json_populate_record(NULL::read_missions, %s) ON CONFLICT (id) DO UPDATE SET {changes}"
    )
    with psycopg.connect(dsn, options=SYSTEM_OPTIONS, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO checkpoints (name, log_id, position) SELECT 'missions', log_id, 0 FROM log_head"
        )
        begin, position = time.perf_counter(), 0
        statement = f"SELECT {COLUMNS} FROM events WHERE position = %s"
        while found := connection.execute(statement, [position + 1]).fetchone():
            envelope = Envelope.of(found, CODEC)
            with connection.transaction():
                row = connection.execute(
                    "SELECT row_to_json(m)::text FROM read_missions m WHERE id = %s",
                    [envelope.stream_id],
                ).fetchone()
                before = msgspec.json.decode(row[0], type=MissionRow) if row else None
                after = MISSIONS.apply(before, envelope)
                connection.execute(upsert, [msgspec.json.encode(after).decode()])
                position = envelope.position
                connection.execute("UPDATE checkpoints SET position = %s", [position])
        return position / (time.perf_counter() - begin)


async def _in_batches(dsn: str) -> float:
    async with open_log(dsn) as (database, log):
        bus = Bus(log, tools(database), HANDLERS)
        marks = Marks(database)
        async with Follower(database, CODEC) as follower:
            begin = time.perf_counter()
            async with Projector(database, follower, bus, marks, [MISSIONS]):
                await marks.wait(APPLIED_EVENTS, MISSIONS.name, patience_s=APPLIED_S_MAX)
            return APPLIED_EVENTS / (time.perf_counter() - begin)


async def _rebuilt(dsn: str) -> float:
    async with Database(dsn) as database:
        done = await Rebuild(database, CODEC, tools(database).vault, MISSIONS).run()
        assert done.parked == 0
        return done.seconds


def tools(database: Database) -> Tools:
    vault = Vault(database, RootKey.new())
    return Tools(Aggregates(database, CODEC), WriteSide(database), vault, 60)
