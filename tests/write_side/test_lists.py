"""Lists on many rows: an index gives each page, and no workspace sees another's rows."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from uuid_utils.compat import uuid7

from infra.postgres import SYSTEM_OPTIONS
from read_api import activity, agents, boards, comments, inbox, members, missions, presence
from read_api.lists import Listing

MISSIONS, EVENTS = 8_000, 20_000
TABLES = (
    "read_agents", "read_comments", "read_people", "read_members", "read_activity", "read_reviews",
    "read_alerts", "read_mission_facets", "read_comment_mentions",
)  # fmt: skip
MINE, THEIRS, BOARD, AGENT, ME, NOBODY = (uuid7() for _ in range(6))
MISSION = uuid7()

FILL = """
INSERT INTO read_missions (id, workspace_id, version, board_id, column_id, stage, rank, title,
    description, priority, labels, due, required_capabilities, assignees, holder, progress_percent,
    dependencies, unmet_dependencies, failures, completed, deleted, created_by, created_at, updated_at)
SELECT gen_random_uuid(), CASE n %% 2 WHEN 0 THEN %(mine)s::uuid ELSE %(theirs)s::uuid END, 1, gen_random_uuid(),
    gen_random_uuid(), 'ready', n::text, 't' || n, '', (ARRAY['low', 'normal', 'high'])[1 + n %% 3],
    CASE n %% 1000 WHEN 0 THEN '["often", "rare"]'::json ELSE '["often"]' END,
    CASE n %% 3 WHEN 0 THEN now() + n * interval '1 minute' END, '[]',
    CASE n %% 400 WHEN 0 THEN json_build_array(%(agent)s::uuid) ELSE '[]' END,
    CASE WHEN n %% 1000 = 0 THEN %(agent)s::uuid END, 0, '[]', '[]', 0, false, false,
    CASE n %% 200 WHEN 0 THEN %(me)s::uuid ELSE gen_random_uuid() END,
    now() - n * interval '1 minute', now() - (n * 7 %% 10007) * interval '1 minute'
FROM generate_series(1, %(missions)s) n;
INSERT INTO read_activity (id, workspace_id, version, position, type, recorded_at, actor_kind,
    actor_id, stream_id, mission_id, board_id, agent_id, admin_only, details)
SELECT gen_random_uuid(), CASE n %% 2 WHEN 0 THEN %(mine)s::uuid ELSE %(theirs)s::uuid END, 1, n,
    'mission.t' || n %% 50 || '.v1', now() - (%(events)s - n) * interval '1 second', 'user',
    CASE n %% 100 WHEN 0 THEN %(me)s::uuid ELSE gen_random_uuid() END, gen_random_uuid(),
    CASE n %% 100 WHEN 0 THEN %(mission)s::uuid ELSE gen_random_uuid() END,
    CASE n %% 100 WHEN 0 THEN %(board)s::uuid ELSE gen_random_uuid() END,
    CASE n %% 100 WHEN 0 THEN %(agent)s::uuid ELSE gen_random_uuid() END, false, '{}'
FROM generate_series(1, %(events)s) n;
INSERT INTO read_comments (id, workspace_id, version, position, mission_id, board_id, author_id,
    author_kind, thread_id, body, mentions, edited, removed, created_at, updated_at)
SELECT gen_random_uuid(), CASE n %% 2 WHEN 0 THEN %(mine)s::uuid ELSE %(theirs)s::uuid END, 1, n,
    CASE n %% 100 WHEN 0 THEN %(mission)s::uuid ELSE gen_random_uuid() END, %(board)s, gen_random_uuid(), 'user',
    gen_random_uuid(), 'b',
    CASE WHEN n %% 500 = 0 THEN json_build_array(%(me)s::uuid) WHEN n %% 3 = 0 THEN json_build_array(gen_random_uuid())
        ELSE '[]' END, false, false, now(), now()
FROM generate_series(1, %(missions)s) n;
INSERT INTO read_agents (id, workspace_id, version, name, role, capabilities, config, owner_id, lifecycle,
    presence, keys, created_at, updated_at)
SELECT gen_random_uuid(), CASE n %% 2 WHEN 0 THEN %(mine)s::uuid ELSE %(theirs)s::uuid END, 1, 'a' || n, '',
    '[]', '{}', %(me)s, 'active', (ARRAY['offline', 'busy'])[1 + (n %% 40) / 39], '[]',
    now() - n * interval '1 minute', now() - n * interval '1 minute'
FROM generate_series(1, %(missions)s) n;
INSERT INTO read_people (id, workspace_id, version, name, disabled, created_at, updated_at)
SELECT gen_random_uuid(), CASE n %% 2 WHEN 0 THEN %(mine)s::uuid ELSE %(theirs)s::uuid END, 1, 'n', false,
    now(), now() FROM generate_series(1, 100) n;
INSERT INTO read_members (id, workspace_id, version, role, removed, joined_at)
SELECT id, workspace_id, 1, 'viewer', false, created_at FROM read_people;
INSERT INTO read_reviews (id, workspace_id, version, board_id, created_by, asked, position)
SELECT id, workspace_id, 1, board_id, created_by, random() < 0.3, 1 FROM read_missions;
INSERT INTO read_alerts (id, workspace_id, version, position, type, recorded_at, actor_id, mission_id,
    board_id)
SELECT gen_random_uuid(), workspace_id, 1, row_number() OVER (), 't', now(), id, id, board_id
FROM read_missions"""


@pytest.fixture(scope="module")
def filled(database_url: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """Two workspaces' rows, and a connection as requests have it, in the eyes of one of them."""
    values = {
        "mine": MINE, "theirs": THEIRS, "board": BOARD, "agent": AGENT, "me": ME, "mission": MISSION,
        "missions": MISSIONS, "events": EVENTS,
    }  # fmt: skip
    with psycopg.connect(database_url, autocommit=True, options=SYSTEM_OPTIONS) as system:
        for statement in FILL.split(";\n"):
            system.execute(statement, values)
        system.execute("VACUUM ANALYZE")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SELECT set_config('mc.workspace', %s, false)", [str(MINE)])
        yield connection


@pytest.mark.parametrize("table", TABLES)
def test_a_statement_without_its_where_shows_one_workspace_only(
    table: str, filled: psycopg.Connection[tuple[Any, ...]], database_url: str
) -> None:
    statement = f"SELECT DISTINCT workspace_id FROM {table}"
    assert filled.execute(statement).fetchall() == [(MINE,)]
    with psycopg.connect(database_url) as nobody:
        assert nobody.execute(statement).fetchall() == []


CASES: list[tuple[str, Listing[Any], str, dict[str, Any], str]] = [
    *(
        (f"missions by {sort}", missions.MISSION_LIST, sign + sort, {}, "read_missions")
        for sort in ("created_at", "updated_at", "due", "priority", "title", "rank")
        for sign in ("", "-")
    ),
    *(
        (f"missions of {name} {of}", missions.MISSION_LIST, sort, {name: value}, "read_missions")
        for name, of, value in (
            ("label", "often", "often"), ("label", "rare", "rare"), ("label", "none", "none"),
            ("assignee_id", "some", AGENT), ("assignee_id", "none", NOBODY),
            ("created_by", "some", ME), ("created_by", "none", NOBODY),
            ("required_capability", "none", "none"), ("stage", "all", "ready"),
            ("stage", "none", "review"), ("priority", "none", "urgent"), ("blocked", "none", True),
        )
        for sort in ("-created_at", "due", "-priority")
    ),
    ("missions held", missions.MISSION_LIST, "-created_at", {"holder": AGENT}, "read_missions"),
    ("activity", activity.TIMELINE, "-position", {}, "read_activity"),
    ("activity, oldest first", activity.TIMELINE, "position", {}, "read_activity"),
    ("activity of a board", activity.TIMELINE, "-position", {"board_id": BOARD}, "read_activity"),
    *(
        (f"activity of a board {name} a position", activity.TIMELINE, sort, {"board_id": BOARD, name: 2_000}, table)
        for name, sort, table in (("after", "position", "read_activity"), ("upto", "-position", "read_activity"))
    ),
    ("activity of a mission", activity.TIMELINE, "-position", {"mission_id": MISSION}, "read_activity"),
    ("activity of an agent", activity.TIMELINE, "-position", {"agent_id": AGENT}, "read_activity"),
    ("activity by an actor", activity.TIMELINE, "-position", {"actor_id": ME}, "read_activity"),
    ("activity of a type", activity.TIMELINE, "-position", {"type": "mission.t7.v1"}, "read_activity"),
    ("agents", agents.AGENT_LIST, "name", {}, "read_agents"),
    ("agents by change", agents.AGENT_LIST, "-updated_at", {}, "read_agents"),
    ("presence", presence.PRESENT, "name", {}, "read_agents"),
    ("comments", comments.THREADS, "thread", {}, "read_comments"),
    *(
        (f"inbox of {who} {kind}", inbox.INBOX, "-position", {"me": me, **kind}, table)
        for who, me in (("a creator", ME), ("an assignee", AGENT), ("nobody", NOBODY))
        for kind, table in (
            ({}, "read_alerts"), ({"kind": "mention"}, "read_comments"),
            ({"kind": "review"}, "read_reviews"), ({"kind": "alert"}, "read_alerts"),
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[f"{case[0]} {case[2]}" for case in CASES])
def test_a_page_is_read_from_an_index(
    case: tuple[str, Listing[Any], str, dict[str, Any], str],
    filled: psycopg.Connection[tuple[Any, ...]],
) -> None:
    _, listing, sort, filters, table = case
    bound: dict[str, Any] = {
        "workspace": MINE, "limit": 51, "me": ME, "mission": MISSION, **filters,
    }  # fmt: skip
    given = [name for name in filters if name != "me"]
    statement = listing.statement(sort, given, behind=False)
    check(filled, statement, bound, table)
    rows = filled.execute(statement, bound).fetchall()
    # A cursor may stand behind any row: among the first, and the last, are keys that many rows share.
    for *_, key, tie in (row for row in [*rows[:4], rows[-1]] if row[2] is not None):
        bound |= {"cursor_key": key, "cursor_tie": tie}
        check(filled, listing.statement(sort, given, behind=True), bound, table)


def check(
    filled: psycopg.Connection[tuple[Any, ...]], statement: str, bound: dict[str, Any], table: str
) -> None:
    found = filled.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", bound).fetchone()
    assert found is not None
    plan = found[0][0]["Plan"]
    scans = [node for node in nodes(plan) if node.get("Relation Name") in {table, *TABLES}]
    assert table in {scan["Relation Name"] for scan in scans}, json.dumps(plan)
    for scan in scans:
        assert scan["Node Type"] in {"Index Scan", "Index Only Scan", "Bitmap Heap Scan"}, (
            json.dumps(plan, indent=1)
        )
        assert scan.get("Rows Removed by Filter", 0) <= 1_000, json.dumps(scan, indent=1)
        assert scan["Actual Rows"] <= 1_000


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from nodes(inner)


def test_lists_without_many_rows_answer_too(filled: psycopg.Connection[tuple[Any, ...]]) -> None:
    for listing in (boards.BOARD_LIST, members.ADDRESSES):
        statement = listing.statement(listing.default, [], behind=False)
        found = filled.execute(statement, {"workspace": MINE, "limit": 1}).fetchall()
        assert isinstance(found[0][0], UUID)
