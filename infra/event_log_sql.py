"""What the event log's writer says to PostgreSQL: its settings, and the statements of a batch."""

from functools import cache

from infra import guards
from infra.statements import Statement

# A writer that is paused while it holds the lock is ended by the server, so that the others go on.
# It looks for keys only: one plan by index fits all, and isn't made anew for each batch.
WRITER_SETTINGS = {
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "10s",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",  # the claim queue's index is in its order: never sort all that is ready
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
}
TRANSACTION_TIMEOUT = "12s"
POSTGRES_WITH_TRANSACTION_TIMEOUT = 170_000

LOCK = b"""SELECT position, CASE WHEN recorded_at = '-infinity' THEN '0001-01-02'::timestamptz
    ELSE recorded_at END FROM log_head FOR UPDATE"""

# What a batch looks up behind the lock: in a statement of its own, whose snapshot is younger than the wait.
HEADS = """
(SELECT coalesce(json_object_agg(workspace_id, position), '{}') FROM workspace_heads
    WHERE workspace_id = ANY (%(workspaces)s::uuid[]))"""
STREAMS = """
(SELECT coalesce(json_object_agg(s.id, json_build_array(e.stream_version, e.workspace_id)), '{}')
    FROM unnest(%(streams)s::uuid[]) AS s(id)
    CROSS JOIN LATERAL (SELECT stream_version, workspace_id FROM events
        WHERE stream_id = s.id ORDER BY stream_version DESC LIMIT 1) e)"""
ANSWERS = """
(SELECT coalesce(json_object_agg(command_id,
        json_build_array(encode(request_hash, 'hex'), status, answer)), '{}')
    FROM commands WHERE command_id = ANY (%(commands)s::uuid[]) AND request_hash IS NOT NULL)"""

# What claims and expiries are decided on.
FITTING = """
(SELECT coalesce(json_agg(json_build_array(c.claim, m.mission_id, m.board_id, a.capabilities)
    ORDER BY c.claim, m.urgency DESC, m.due, m.rank, m.mission_id), '[]')
FROM json_to_recordset(%(claims)s::json) AS c(claim integer, workspace_id uuid, board_id uuid, agent_id uuid)
JOIN guard_agents a ON a.agent_id = c.agent_id AND a.workspace_id = c.workspace_id AND a.lifecycle = 'active'
CROSS JOIN LATERAL (
    SELECT mission_id, m.board_id, urgency, due, rank FROM guard_missions m
    WHERE m.workspace_id = c.workspace_id AND stage = 'ready' AND NOT blocked AND unmet_dependencies = 0
        AND (c.board_id IS NULL OR m.board_id = c.board_id)
        AND required_capabilities <@ a.capabilities AND (assignees = '{}' OR c.agent_id = ANY (assignees))
        AND m.board_id NOT IN (
            SELECT full_board.board_id FROM guard_columns full_board
            WHERE full_board.workspace_id = c.workspace_id AND full_board.stage = 'active'
                AND full_board.wip_limit IS NOT NULL AND full_board.cards >= full_board.wip_limit
                AND NOT EXISTS (SELECT 1 FROM guard_columns o WHERE o.board_id = full_board.board_id
                    AND o.stage = 'active' AND o.rank < full_board.rank))
    ORDER BY urgency DESC, due, rank, mission_id LIMIT %(most)s) m)"""
DUE = """
(SELECT coalesce(json_agg(due.mission_id), '[]') FROM (
    SELECT l.mission_id FROM json_to_recordset(%(leases)s::json) AS e(mission_id uuid, token integer)
    JOIN leases l ON l.mission_id = e.mission_id AND l.token = e.token
    WHERE l.expires_at <= clock_timestamp() FOR UPDATE OF l) due)"""
CHOOSE = Statement(
    f"SELECT json_build_object('answers', {ANSWERS}, 'fitting', {FITTING}, 'due', {DUE})::text"
)

APPEND = {
    "events": """
        INSERT INTO events (position, event_id, workspace_id, prev, stream_id, stream_version, type, recorded_at,
            actor_kind, actor_id, on_behalf_of, command_id, correlation_id, causation_id, traceparent, data)
        SELECT position, event_id, workspace_id, prev, stream_id, stream_version, type,
            coalesce(recorded_at, %(now)s::timestamptz), actor_kind, actor_id, on_behalf_of, command_id,
            correlation_id, causation_id, traceparent, data
        FROM json_to_recordset(%(events)s) AS e(position bigint, event_id uuid, workspace_id uuid, prev bigint,
            stream_id uuid, stream_version integer, type text, recorded_at timestamptz, actor_kind text,
            actor_id uuid, on_behalf_of uuid, command_id uuid, correlation_id uuid, causation_id uuid, traceparent text,
            data json)""",
    "commands": """
        INSERT INTO commands (command_id, workspace_id, request_hash, status, answer, recorded_at)
        SELECT command_id, workspace_id, decode(request_hash, 'hex'), status, answer, %(now)s::timestamptz
        FROM json_to_recordset(%(commands)s) AS c(command_id uuid, workspace_id uuid, request_hash text,
            status smallint, answer json)""",
    "heads": """
        INSERT INTO workspace_heads (workspace_id, position)
        SELECT h.workspace_id, h.position
        FROM json_to_recordset(%(heads)s) AS h(workspace_id uuid, position bigint)
        ON CONFLICT (workspace_id) DO UPDATE SET position = excluded.position""",
    **guards.WRITES,
}
ADVANCE = """UPDATE log_head SET position = %(position)s, recorded_at = %(now)s::timestamptz
RETURNING pg_notify('mc_log', position::text)"""
# One of a batch's rows tells of all of them. A command's id is no proof: another process may have recorded
# the same command meanwhile, and nothing of this batch.
WAS_RECORDED = """SELECT EXISTS (SELECT FROM events WHERE position = %(position)s AND event_id = %(event_id)s)
    OR EXISTS (SELECT FROM commands WHERE command_id = ANY (%(commands)s::uuid[]) AND recorded_at = %(now)s)"""


@cache
def look_up(tables: tuple[str, ...]) -> Statement:
    """Return what looks up heads, stream versions, answers and the rows of these guard tables."""
    return Statement(
        f"SELECT json_build_object('now', clock_timestamp(), 'heads', {HEADS}, 'streams', {STREAMS},"
        f" 'answers', {ANSWERS}, 'guards', {guards.load_query(tables)})::text"
    )


@cache
def append(parts: tuple[str, ...]) -> Statement:
    """Return what writes these parts of a batch, and advances the head."""
    steps = ", ".join(f"{part} AS ({APPEND[part]})" for part in parts)
    return Statement(f"WITH {steps} {ADVANCE}" if steps else ADVANCE)
