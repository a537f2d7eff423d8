-- Search and metrics. What is counted over many rows (known words, points, rollups) is derived from the
-- rows in their own transaction, by triggers, so it is exact and holds no word that no row holds.

CREATE TABLE read_search_missions (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    version integer NOT NULL,
    mission_id uuid NOT NULL,
    board_id uuid NOT NULL,
    stage text COLLATE "C" NOT NULL,
    priority text COLLATE "C" NOT NULL,
    labels text[] COLLATE "C" NOT NULL,
    actors uuid[] NOT NULL,
    texts json NOT NULL,
    terms tsvector NOT NULL,
    deleted boolean NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX read_search_missions_terms ON read_search_missions USING gin (terms);

CREATE TABLE read_search_comments (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    version integer NOT NULL,
    mission_id uuid NOT NULL,
    actors uuid[] NOT NULL,
    texts json NOT NULL,
    terms tsvector NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX read_search_comments_terms ON read_search_comments USING gin (terms);

CREATE TABLE read_search_activity (LIKE read_search_comments INCLUDING ALL EXCLUDING INDEXES);
ALTER TABLE read_search_activity ADD PRIMARY KEY (id);
CREATE INDEX read_search_activity_terms ON read_search_activity USING gin (terms);

-- The words of each table, with how many rows hold them.
CREATE TABLE read_search_terms (
    source text COLLATE "C" NOT NULL,
    workspace_id uuid NOT NULL,
    term text COLLATE "C" NOT NULL,
    documents bigint NOT NULL,
    PRIMARY KEY (workspace_id, term, source)
);

-- One row for each mission: what its next event needs to know, and every point that came of it so far.
CREATE TABLE read_mission_flow (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    version integer NOT NULL,
    board_id uuid NOT NULL,
    stage text COLLATE "C",
    entered_at timestamptz NOT NULL,
    opened_at timestamptz NOT NULL,
    started_at timestamptz,
    holder uuid,
    claimed_at timestamptz,
    submitted_by uuid,
    submitted_at timestamptz,
    points json NOT NULL
);
CREATE INDEX read_mission_flow_held ON read_mission_flow (workspace_id, holder) WHERE holder IS NOT NULL;

-- A point is never changed. `mission_id, number` is its identity; `version` the event that it came of.
CREATE TABLE read_metric_points (
    workspace_id uuid NOT NULL,
    mission_id uuid NOT NULL,
    number integer NOT NULL,
    version integer NOT NULL,
    measurement text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL,
    board_id uuid NOT NULL,
    stage text COLLATE "C",
    agent_id uuid,
    outcome text COLLATE "C",
    change integer NOT NULL,
    seconds double precision,
    PRIMARY KEY (mission_id, number)
);
CREATE INDEX read_metric_points_by_time ON read_metric_points (workspace_id, measurement, at);
CREATE INDEX read_metric_points_of_agent ON read_metric_points (workspace_id, agent_id, measurement, at)
    WHERE agent_id IS NOT NULL;

CREATE TABLE read_metric_hours (
    workspace_id uuid NOT NULL,
    measurement text COLLATE "C" NOT NULL,
    board_id uuid NOT NULL,
    stage text COLLATE "C" NOT NULL,
    hour timestamptz NOT NULL,
    points bigint NOT NULL,
    change bigint NOT NULL,
    seconds double precision NOT NULL,
    PRIMARY KEY (workspace_id, measurement, board_id, stage, hour)
);

SELECT mc_isolate(name) FROM unnest(ARRAY['read_search_missions', 'read_search_comments',
    'read_search_activity', 'read_search_terms', 'read_mission_flow', 'read_metric_points',
    'read_metric_hours']) AS name;

CREATE FUNCTION mc_count_terms() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO read_search_terms AS t (source, workspace_id, term, documents)
        SELECT TG_TABLE_NAME, workspace_id, term, count(*)
        FROM new_rows, unnest(tsvector_to_array(terms)) AS term GROUP BY 2, 3 ORDER BY 2, 3
        ON CONFLICT (workspace_id, term, source) DO UPDATE SET documents = t.documents + excluded.documents;
        RETURN NULL;
    END IF;
    INSERT INTO read_search_terms AS t (source, workspace_id, term, documents)
    SELECT TG_TABLE_NAME, workspace_id, term, sum(n) FROM (
        SELECT n.workspace_id, unnest(tsvector_to_array(n.terms)) AS term, 1 AS n
        FROM new_rows n JOIN old_rows o USING (id) WHERE n.terms <> o.terms
        UNION ALL
        SELECT o.workspace_id, unnest(tsvector_to_array(o.terms)), -1
        FROM new_rows n JOIN old_rows o USING (id) WHERE n.terms <> o.terms) AS changes
    GROUP BY 2, 3 HAVING sum(n) <> 0 ORDER BY 2, 3
    ON CONFLICT (workspace_id, term, source) DO UPDATE SET documents = t.documents + excluded.documents;
    DELETE FROM read_search_terms t USING (
        SELECT DISTINCT o.workspace_id, unnest(tsvector_to_array(o.terms)) AS term
        FROM new_rows n JOIN old_rows o USING (id) WHERE n.terms <> o.terms) AS gone
    WHERE t.workspace_id = gone.workspace_id AND t.term = gone.term AND t.source = TG_TABLE_NAME
        AND t.documents <= 0;
    RETURN NULL;
END $$;

-- Points behind number `after` of each row, and what they add to their hours.
CREATE FUNCTION mc_add_points(flows json) RETURNS void LANGUAGE sql AS $$
    WITH added AS (
        INSERT INTO read_metric_points (workspace_id, mission_id, measurement, version, at, board_id, stage,
            agent_id, outcome, change, seconds, number)
        SELECT f.workspace_id, f.id, p.*
        FROM json_to_recordset(flows) AS f(workspace_id uuid, id uuid, points json, after integer),
            ROWS FROM (json_to_recordset(f.points) AS (measurement text, version integer, at timestamptz,
                board_id uuid, stage text, agent_id uuid, outcome text, change integer,
                seconds double precision)) WITH ORDINALITY AS p
        WHERE p.ordinality > f.after
        RETURNING *)
    INSERT INTO read_metric_hours AS h
    SELECT workspace_id, measurement, board_id, coalesce(stage, ''), date_trunc('hour', at, 'UTC'),
        count(*), sum(change), coalesce(sum(seconds), 0)
    FROM added GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
    ON CONFLICT (workspace_id, measurement, board_id, stage, hour) DO UPDATE SET
        points = h.points + excluded.points, change = h.change + excluded.change,
        seconds = h.seconds + excluded.seconds
$$;

CREATE FUNCTION mc_note_points() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM mc_add_points(coalesce(json_agg(json_build_object(
            'workspace_id', workspace_id, 'id', id, 'points', points, 'after', 0)), '[]')) FROM new_rows;
    ELSE
        PERFORM mc_add_points(coalesce(json_agg(json_build_object('workspace_id', n.workspace_id,
            'id', n.id, 'points', n.points, 'after', json_array_length(o.points))), '[]'))
        FROM new_rows n JOIN old_rows o USING (id)
        WHERE json_array_length(n.points) > json_array_length(o.points);
    END IF;
    RETURN NULL;
END $$;

-- A table that took the place of another in a rebuild has no triggers yet: derive everything of it afresh.
CREATE FUNCTION mc_derive(source text, note text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_trigger WHERE tgrelid = source::regclass AND tgname = 'derive_inserted') THEN
        RETURN false;
    END IF;
    EXECUTE format('LOCK TABLE %I IN SHARE ROW EXCLUSIVE MODE', source);
    EXECUTE format('CREATE TRIGGER derive_inserted AFTER INSERT ON %I REFERENCING NEW TABLE AS new_rows'
        ' FOR EACH STATEMENT EXECUTE FUNCTION %I()', source, note);
    EXECUTE format('CREATE TRIGGER derive_updated AFTER UPDATE ON %I REFERENCING OLD TABLE AS old_rows'
        ' NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION %I()', source, note);
    IF note = 'mc_count_terms' THEN
        DELETE FROM read_search_terms t WHERE t.source = mc_derive.source;
        EXECUTE format('INSERT INTO read_search_terms (source, workspace_id, term, documents)'
            ' SELECT %L, workspace_id, term, count(*) FROM %I, unnest(tsvector_to_array(terms)) AS term'
            ' GROUP BY 2, 3', source, source);
    ELSE
        DELETE FROM read_metric_points;
        DELETE FROM read_metric_hours;
        PERFORM mc_add_points(json_build_array(json_build_object('workspace_id', workspace_id, 'id', id,
            'points', points, 'after', 0))) FROM read_mission_flow;
    END IF;
    RETURN true;
END $$;

CREATE FUNCTION mc_derive_missing() RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FILTER (WHERE mc_derive(source, note)) FROM (VALUES
        ('read_search_missions', 'mc_count_terms'), ('read_search_comments', 'mc_count_terms'),
        ('read_search_activity', 'mc_count_terms'), ('read_mission_flow', 'mc_note_points'))
        AS derived(source, note)
$$;
SELECT mc_derive_missing();
