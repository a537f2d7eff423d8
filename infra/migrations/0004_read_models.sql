-- Read models of agents, comments, people, activity and inbox, and the indexes of every list.
-- Indexed expressions use leakproof operators only: row-level security keeps others out of index conditions.

CREATE TABLE read_agents (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    version integer NOT NULL,
    name text NOT NULL,
    role text NOT NULL,
    capabilities json NOT NULL,
    config json NOT NULL,
    owner_id uuid NOT NULL,
    lifecycle text COLLATE "C" NOT NULL,
    presence text COLLATE "C" NOT NULL,
    keys json NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    name_folded text COLLATE "C" GENERATED ALWAYS AS (lower(name)) STORED
);
CREATE INDEX read_agents_by_name ON read_agents (workspace_id, name_folded, id);
CREATE INDEX read_agents_by_creation ON read_agents (workspace_id, created_at, id);
CREATE INDEX read_agents_by_change ON read_agents (workspace_id, updated_at, id);
CREATE INDEX read_agents_present ON read_agents (workspace_id, name_folded, id) WHERE presence <> 'offline';

-- A thread is ordered by its first comment's id, which grows with time, and within it by the log.
CREATE TABLE read_comments (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    version integer NOT NULL,
    position bigint NOT NULL,
    mission_id uuid NOT NULL,
    board_id uuid NOT NULL,
    author_id uuid NOT NULL,
    author_kind text COLLATE "C" NOT NULL,
    thread_id uuid NOT NULL,
    parent_id uuid,
    body text,
    mentions json NOT NULL,
    edited boolean NOT NULL,
    removed boolean NOT NULL,
    mentioning boolean NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX read_comments_by_thread ON read_comments (mission_id, thread_id, position);
CREATE INDEX read_comments_mentioning ON read_comments (workspace_id, position) WHERE mentioning;

CREATE TABLE read_people (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    version integer NOT NULL,
    name text,
    email text,
    disabled boolean NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX read_people_by_workspace ON read_people (workspace_id);

CREATE TABLE read_members (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    version integer NOT NULL,
    role text COLLATE "C" NOT NULL,
    removed boolean NOT NULL,
    joined_at timestamptz NOT NULL
);
CREATE INDEX read_members_by_workspace ON read_members (workspace_id, joined_at, id);

CREATE TABLE read_activity (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    version integer NOT NULL,
    position bigint NOT NULL,
    type text COLLATE "C" NOT NULL,
    recorded_at timestamptz NOT NULL,
    actor_kind text COLLATE "C" NOT NULL,
    actor_id uuid NOT NULL,
    on_behalf_of uuid,
    stream_id uuid NOT NULL,
    mission_id uuid,
    board_id uuid,
    from_board_id uuid,
    agent_id uuid,
    comment_id uuid,
    subject_id uuid,
    admin_only boolean NOT NULL,
    details json NOT NULL
);
CREATE INDEX read_activity_by_position ON read_activity (workspace_id, position);
CREATE INDEX read_activity_by_time ON read_activity (workspace_id, recorded_at, position);
CREATE INDEX read_activity_by_type ON read_activity (workspace_id, type, position);
CREATE INDEX read_activity_by_actor ON read_activity (actor_id, position);
CREATE INDEX read_activity_by_mission ON read_activity (mission_id, position) WHERE mission_id IS NOT NULL;
CREATE INDEX read_activity_by_board ON read_activity (board_id, position) WHERE board_id IS NOT NULL;
CREATE INDEX read_activity_by_origin ON read_activity (from_board_id, position) WHERE from_board_id IS NOT NULL;
CREATE INDEX read_activity_by_agent ON read_activity (agent_id, position) WHERE agent_id IS NOT NULL;

CREATE TABLE read_reviews (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    version integer NOT NULL,
    board_id uuid NOT NULL,
    created_by uuid NOT NULL,
    submitted_by uuid,
    summary text,
    asked boolean NOT NULL,
    position bigint,
    asked_at timestamptz
);
CREATE INDEX read_reviews_asked ON read_reviews (created_by, position) WHERE asked;

CREATE TABLE read_alerts (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    version integer NOT NULL,
    position bigint NOT NULL,
    type text COLLATE "C" NOT NULL,
    recorded_at timestamptz NOT NULL,
    actor_id uuid NOT NULL,
    mission_id uuid NOT NULL,
    board_id uuid NOT NULL,
    agent_id uuid,
    reason text
);
CREATE INDEX read_alerts_by_position ON read_alerts (workspace_id, position);

SELECT mc_isolate(name) FROM unnest(ARRAY[
    'read_agents', 'read_comments', 'read_people', 'read_members', 'read_activity', 'read_reviews',
    'read_alerts']) AS name;

-- Lists of missions, one index for each order.
ALTER TABLE read_missions
    ADD COLUMN title_folded text COLLATE "C" GENERATED ALWAYS AS (lower(title)) STORED,
    ADD COLUMN due_or_never timestamptz GENERATED ALWAYS AS (coalesce(due, 'infinity')) STORED;
CREATE INDEX read_missions_by_creation ON read_missions (workspace_id, created_at, id) WHERE NOT deleted;
CREATE INDEX read_missions_by_change ON read_missions (workspace_id, updated_at, id) WHERE NOT deleted;
CREATE INDEX read_missions_by_due ON read_missions (workspace_id, due_or_never, id)
    WHERE NOT deleted;
CREATE INDEX read_missions_by_priority ON read_missions (workspace_id,
    (CASE priority WHEN 'urgent' THEN 3 WHEN 'high' THEN 2 WHEN 'normal' THEN 1 ELSE 0 END), id)
    WHERE NOT deleted;
CREATE INDEX read_missions_by_title ON read_missions (workspace_id, title_folded, id) WHERE NOT deleted;
CREATE INDEX read_missions_by_rank ON read_missions (workspace_id, rank, id) WHERE NOT deleted;
CREATE INDEX read_missions_held ON read_missions (holder) WHERE holder IS NOT NULL AND NOT deleted;
CREATE INDEX read_boards_by_creation ON read_boards (workspace_id, created_at, id);
