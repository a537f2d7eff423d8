-- The log, the write side's guards, credentials, and the first read models.
-- Everything but the log can be rebuilt from it, except: credentials, sessions, keys, leases, presence.

-- The log ------------------------------------------------------------------------------------

CREATE TABLE log_head (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    log_id uuid NOT NULL,
    position bigint NOT NULL,
    recorded_at timestamptz NOT NULL
);
INSERT INTO log_head (log_id, position, recorded_at) VALUES (gen_random_uuid(), 0, '-infinity');

CREATE TABLE workspace_heads (
    workspace_id uuid PRIMARY KEY,
    position bigint NOT NULL
);

CREATE TABLE events (
    position bigint PRIMARY KEY,
    event_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    prev bigint NOT NULL,
    stream_id uuid NOT NULL,
    stream_version integer NOT NULL,
    type text COLLATE "C" NOT NULL,
    recorded_at timestamptz NOT NULL,
    actor_kind text COLLATE "C" NOT NULL,
    actor_id uuid NOT NULL,
    on_behalf_of uuid,
    command_id uuid NOT NULL,
    correlation_id uuid NOT NULL,
    causation_id uuid,
    traceparent text COLLATE "C",
    data json NOT NULL,
    UNIQUE (stream_id, stream_version)
);
CREATE INDEX events_by_workspace ON events (workspace_id, position);
CREATE INDEX events_by_time ON events USING brin (recorded_at);

-- What was answered to a command, for whoever asks again.
CREATE TABLE commands (
    command_id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    request_hash bytea,
    status smallint NOT NULL,
    answer json NOT NULL,
    recorded_at timestamptz NOT NULL
);

CREATE TABLE snapshots (
    stream_id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    version integer NOT NULL,
    topic text NOT NULL,
    format integer NOT NULL,
    state json NOT NULL
);

-- Guards: what spans streams, decided under the lock on log_head --------------------------------

CREATE TABLE guard_workspaces (
    workspace_id uuid PRIMARY KEY,
    name text NOT NULL,
    name_key text COLLATE "C" NOT NULL UNIQUE
);

CREATE TABLE guard_names (
    workspace_id uuid NOT NULL,
    kind text COLLATE "C" NOT NULL,
    name_key text COLLATE "C" NOT NULL,
    owner_id uuid NOT NULL,
    PRIMARY KEY (workspace_id, kind, name_key)
);
CREATE INDEX guard_names_by_owner ON guard_names (owner_id);

CREATE TABLE guard_columns (
    column_id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    board_id uuid NOT NULL,
    stage text COLLATE "C" NOT NULL,
    rank text COLLATE "C" NOT NULL,
    wip_limit integer,
    cards integer NOT NULL
);
CREATE INDEX guard_columns_by_board ON guard_columns (board_id);
CREATE INDEX guard_columns_limited ON guard_columns (workspace_id) WHERE wip_limit IS NOT NULL;

CREATE TABLE guard_missions (
    mission_id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    board_id uuid NOT NULL,
    column_id uuid NOT NULL,
    stage text COLLATE "C" NOT NULL,
    rank text COLLATE "C" NOT NULL,
    urgency smallint NOT NULL,
    due timestamptz NOT NULL,
    required_capabilities text[] NOT NULL,
    assignees uuid[] NOT NULL,
    blocked boolean NOT NULL,
    unmet_dependencies integer NOT NULL
);
CREATE INDEX guard_missions_claimable
    ON guard_missions (workspace_id, urgency DESC, due, rank, mission_id)
    WHERE stage = 'ready' AND NOT blocked AND unmet_dependencies = 0;
CREATE INDEX guard_missions_by_column ON guard_missions (column_id, rank, mission_id);

CREATE TABLE guard_dependencies (
    mission_id uuid NOT NULL,
    depends_on_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    PRIMARY KEY (mission_id, depends_on_id)
);
CREATE INDEX guard_dependencies_reversed ON guard_dependencies (depends_on_id);

CREATE TABLE guard_agents (
    agent_id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    owner_id uuid NOT NULL,
    lifecycle text COLLATE "C" NOT NULL,
    capabilities text[] NOT NULL
);

CREATE TABLE guard_members (
    user_id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    role text COLLATE "C" NOT NULL,
    disabled boolean NOT NULL
);
CREATE INDEX guard_members_by_workspace ON guard_members (workspace_id);

CREATE TABLE leases (
    mission_id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    token integer NOT NULL,
    ttl_s integer NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX leases_by_expiry ON leases (expires_at);

-- Who may come in --------------------------------------------------------------------------------

CREATE TABLE credentials (
    user_id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    email_digest bytea NOT NULL,
    password_hash text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (workspace_id, email_digest)
);

CREATE TABLE agent_keys (
    key_id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    secret_hash bytea NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);
CREATE INDEX agent_keys_by_agent ON agent_keys (agent_id);

CREATE TABLE sessions (
    session_hash bytea PRIMARY KEY,
    workspace_id uuid NOT NULL,
    user_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    ended_at timestamptz
);
CREATE INDEX sessions_by_user ON sessions (user_id);

CREATE TABLE socket_tickets (
    ticket_hash bytea PRIMARY KEY,
    workspace_id uuid NOT NULL,
    actor_kind text NOT NULL,
    actor_id uuid NOT NULL,
    key_id uuid,
    expires_at timestamptz NOT NULL,
    access_expires_at timestamptz
);

CREATE TABLE workspace_keys (
    workspace_id uuid PRIMARY KEY,
    wrapped bytea NOT NULL,
    root_key_id text NOT NULL
);

CREATE TABLE subject_keys (
    subject_id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    wrapped bytea NOT NULL
);

CREATE TABLE auth_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    workspace_id uuid,
    event text NOT NULL,
    outcome text NOT NULL,
    actor_id uuid,
    address text,
    request_id text
);
CREATE FUNCTION mc_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END $$;
CREATE TRIGGER auth_log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON auth_log
    FOR EACH STATEMENT EXECUTE FUNCTION mc_refuse_change();
CREATE TRIGGER events_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION mc_refuse_change();

-- Telemetry and timers ---------------------------------------------------------------------------

CREATE TABLE presence (
    agent_id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    state text NOT NULL,
    mission_id uuid,
    seen_at timestamptz NOT NULL
);
CREATE INDEX presence_by_seen ON presence (seen_at) WHERE state <> 'offline';

CREATE TABLE timer_beats (
    name text PRIMARY KEY,
    beat_at timestamptz NOT NULL
);

-- What follows the log ---------------------------------------------------------------------------

CREATE TABLE checkpoints (
    name text PRIMARY KEY,
    log_id uuid NOT NULL,
    position bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE stream_gates (
    model text COLLATE "C" NOT NULL,
    stream_id uuid NOT NULL,
    version integer NOT NULL,
    PRIMARY KEY (model, stream_id)
);

CREATE TABLE room_index (
    room text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    workspace_id uuid NOT NULL,
    PRIMARY KEY (room, position)
);

CREATE TABLE read_boards (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    version integer NOT NULL,
    name text NOT NULL,
    columns json NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX read_boards_by_workspace ON read_boards (workspace_id);

CREATE TABLE board_revisions (
    board_id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    revision bigint NOT NULL
);

CREATE TABLE read_workspaces (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    version integer NOT NULL,
    name text NOT NULL,
    default_board_id uuid NOT NULL
);

CREATE TABLE read_missions (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    version integer NOT NULL,
    board_id uuid NOT NULL,
    column_id uuid NOT NULL,
    stage text COLLATE "C" NOT NULL,
    rank text COLLATE "C" NOT NULL,
    title text NOT NULL,
    description text NOT NULL,
    priority text COLLATE "C" NOT NULL,
    labels json NOT NULL,
    due timestamptz,
    required_capabilities json NOT NULL,
    assignees json NOT NULL,
    holder uuid,
    lease_token integer,
    progress_percent integer NOT NULL,
    progress_note text,
    dependencies json NOT NULL,
    unmet_dependencies json NOT NULL,
    blocked_reason text,
    failures integer NOT NULL,
    submitted_by uuid,
    summary text,
    completed boolean NOT NULL,
    deleted boolean NOT NULL,
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX read_missions_by_board ON read_missions (board_id, column_id, rank, id) WHERE NOT deleted;

-- Isolation --------------------------------------------------------------------------------------
-- A request's connection names its workspace; the program's own connections (writer, followers) say
-- so at connect. Without either, no row is visible, to the tables' owner neither.

DO $$
DECLARE
    guarded text;
BEGIN
    FOR guarded IN
        SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
            AND a.attname = 'workspace_id'
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', guarded);
        EXECUTE format(
            'CREATE POLICY own_workspace ON %I USING (workspace_id = '
            '(SELECT nullif(current_setting(''mc.workspace'', true), '''')::uuid))', guarded);
        EXECUTE format(
            'CREATE POLICY the_system ON %I USING ('
            '(SELECT current_setting(''mc.system'', true) = ''on''))', guarded);
    END LOOP;
END $$;

-- A restored log is another log: positions after the backup would be given twice.
CREATE FUNCTION mc_after_restore() RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    new_id uuid := gen_random_uuid();
BEGIN
    PERFORM set_config('mc.system', 'on', true);
    UPDATE log_head SET log_id = new_id;
    TRUNCATE checkpoints, stream_gates, room_index, read_boards, board_revisions, read_workspaces,
        read_missions, sessions, socket_tickets, timer_beats;
    RETURN new_id;
END $$;
