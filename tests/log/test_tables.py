"""What holds for the log's tables, whoever writes to them."""

import asyncio
import dataclasses

import psycopg
import pytest
from uuid_utils.compat import uuid7

from domain.agent import Agent
from domain.board import Stage
from domain.guards import GuardState, LeaseRow
from domain.mission import Mission, Worker
from infra.guards import ROWS_BY_TABLE, read_rows
from infra.postgres import SYSTEM_OPTIONS


@pytest.mark.parametrize(
    "statement", ["UPDATE events SET prev = 0", "DELETE FROM events", "TRUNCATE events"]
)
def test_the_log_is_append_only(database_url, statement):
    with psycopg.connect(database_url, options=SYSTEM_OPTIONS) as connection:
        with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
            connection.execute(statement)
        connection.rollback()


def test_a_workspace_sees_its_own_rows_only(run, database_url, new_story):
    mine, theirs = new_story(), new_story()

    async def scenario(stand):
        for story in (mine, theirs):
            await stand.log.append(story.append(story.board, key=b"k"))
        for table in ("events", "commands", "guard_columns", "workspace_heads"):
            statement = f"SELECT DISTINCT workspace_id FROM {table}"
            assert await stand.database.fetch(mine.workspace_id, statement) == [
                (mine.workspace_id,)
            ]
            assert await stand.database.fetch(uuid7(), statement) == []
            with psycopg.connect(database_url) as connection:
                assert connection.execute(statement).fetchall() == []

    run(scenario)


def test_guards_rebuilt_from_the_log_equal_the_tables(run, rows, story):
    async def scenario(stand):
        log, aggregates = stand.log, stand.aggregates
        agent = Agent.begin(
            uuid7(), workspace_id=story.workspace_id, name="worker", role="", capabilities=("go",),
            config={}, owner_id=story.user_id,
        )  # fmt: skip
        await log.append(story.append(story.board, agent))
        missions = [story.mission() for _ in range(6)]
        await asyncio.gather(*(log.append(story.append(m)) for m in missions))
        first, second, third, *_ = [
            await aggregates.get(Mission, m.id, story.workspace_id) for m in missions
        ]
        first.claim(Worker(agent.id, frozenset()), 60, story.place(Stage.ACTIVE))
        second.block("no keys")
        third.delete()
        for mission in (first, second, third):
            await log.append(story.append(mission))
        return stand.codec

    codec = run(scenario)
    state = GuardState()
    for stream_id, version, workspace_id, topic, recorded_at, data in rows(
        "SELECT stream_id, stream_version, workspace_id, type, recorded_at, data::text"
        " FROM events ORDER BY position"
    ):
        event = codec.decode(
            topic,
            data,
            stream_id=stream_id,
            version=version,
            workspace_id=workspace_id,
            recorded_at=recorded_at,
        )
        state.admit(event, workspace_id, recorded_at, check=False)
    rebuilt = {row for _, row in state.changes() if row is not None}
    tables = {
        name: rows(f"SELECT coalesce(json_agg(t), '[]')::text FROM {name} t")[0][0]
        for name in ROWS_BY_TABLE
    }
    stored = set(read_rows({name: text.encode() for name, text in tables.items()}))
    assert stored == rebuilt
    assert any(isinstance(row, LeaseRow) for row in stored)
    assert all(dataclasses.is_dataclass(row) for row in stored)
