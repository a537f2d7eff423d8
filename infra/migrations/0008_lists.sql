-- Lists by what few missions have: a label, an assignee, a creator, a stage, a mention.

-- What missions are found by, as "<name of the filter> <value>". Under row-level security containment in an
-- array is no index condition, equality is. It is written when one of these changes, and not with every event
-- as an index of `read_missions` is. The first key answers whether a mission is found, the second is a list
-- in the default order.
CREATE TABLE read_mission_facets (
    workspace_id uuid NOT NULL,
    facet text COLLATE "C" NOT NULL,
    mission_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, facet, mission_id)
);
CREATE INDEX read_mission_facets_by_creation
    ON read_mission_facets (workspace_id, facet, created_at, mission_id);

-- Whom a comment mentions, in the log's order.
CREATE TABLE read_comment_mentions (
    workspace_id uuid NOT NULL,
    person_id uuid NOT NULL,
    position bigint NOT NULL,
    comment_id uuid NOT NULL,
    PRIMARY KEY (workspace_id, person_id, position, comment_id)
);
SELECT mc_isolate(name) FROM unnest(ARRAY['read_mission_facets', 'read_comment_mentions']) AS name;

CREATE INDEX read_missions_by_stage ON read_missions (workspace_id, stage, created_at, id) WHERE NOT deleted;
CREATE INDEX read_missions_blocked ON read_missions (workspace_id, created_at, id)
    WHERE blocked_reason IS NOT NULL AND NOT deleted;
CREATE INDEX read_alerts_by_mission ON read_alerts (mission_id, position);

-- Another index begins with the same column.
DROP INDEX read_boards_by_workspace;
ALTER TABLE read_comments DROP COLUMN mentioning;

CREATE FUNCTION mc_facets(deleted boolean, created_by uuid, assignees json, labels json, capabilities json)
RETURNS SETOF text LANGUAGE sql AS $$
    SELECT facet FROM (
        SELECT 'created_by ' || created_by::text
        UNION SELECT 'assignee_id ' || value FROM json_array_elements_text(assignees)
        UNION SELECT 'label ' || value FROM json_array_elements_text(labels)
        UNION SELECT 'required_capability ' || value FROM json_array_elements_text(capabilities)) AS f(facet)
    WHERE NOT deleted
$$;

CREATE FUNCTION mc_add_facets() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO read_mission_facets (workspace_id, facet, mission_id, created_at)
    SELECT n.workspace_id, facet, n.id, n.created_at FROM new_rows n,
        mc_facets(n.deleted, n.created_by, n.assignees, n.labels, n.required_capabilities) AS facet
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE FUNCTION mc_change_facets() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text[] := ARRAY(SELECT mc_facets(old.deleted, old.created_by, old.assignees, old.labels,
        old.required_capabilities));
    now_is text[] := ARRAY(SELECT mc_facets(new.deleted, new.created_by, new.assignees, new.labels,
        new.required_capabilities));
BEGIN
    DELETE FROM read_mission_facets f
    WHERE f.workspace_id = old.workspace_id AND f.facet = ANY (was) AND f.mission_id = old.id
        AND f.facet <> ALL (now_is);
    INSERT INTO read_mission_facets (workspace_id, facet, mission_id, created_at)
    SELECT new.workspace_id, facet, new.id, new.created_at FROM unnest(now_is) AS facet
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE FUNCTION mc_add_mentions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO read_comment_mentions (workspace_id, person_id, position, comment_id)
    SELECT n.workspace_id, person::uuid, n.position, n.id
    FROM new_rows n, json_array_elements_text(n.mentions) AS person
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE FUNCTION mc_change_mentions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM read_comment_mentions m
    USING json_array_elements_text(old.mentions) AS person
    WHERE m.workspace_id = old.workspace_id AND m.person_id = person::uuid AND m.position = old.position
        AND m.comment_id = old.id;
    INSERT INTO read_comment_mentions (workspace_id, person_id, position, comment_id)
    SELECT new.workspace_id, person::uuid, new.position, new.id
    FROM json_array_elements_text(new.mentions) AS person
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

-- Like `mc_derive`, but a row that is changed costs nothing where it is found by the same as before.
CREATE FUNCTION mc_derive_facets() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'read_missions'::regclass AND tgname = 'derive_inserted') THEN
        RETURN false;
    END IF;
    LOCK TABLE read_missions IN SHARE ROW EXCLUSIVE MODE;
    CREATE TRIGGER derive_inserted AFTER INSERT ON read_missions REFERENCING NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION mc_add_facets();
    CREATE TRIGGER derive_updated AFTER UPDATE ON read_missions FOR EACH ROW
        WHEN (old.deleted <> new.deleted OR old.created_by <> new.created_by
            OR old.assignees::text <> new.assignees::text
            OR old.labels::text <> new.labels::text
            OR old.required_capabilities::text <> new.required_capabilities::text)
        EXECUTE FUNCTION mc_change_facets();
    DELETE FROM read_mission_facets;
    INSERT INTO read_mission_facets (workspace_id, facet, mission_id, created_at)
    SELECT m.workspace_id, facet, m.id, m.created_at FROM read_missions m,
        mc_facets(m.deleted, m.created_by, m.assignees, m.labels, m.required_capabilities) AS facet;
    RETURN true;
END $$;

CREATE FUNCTION mc_derive_mentions() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'read_comments'::regclass AND tgname = 'derive_inserted') THEN
        RETURN false;
    END IF;
    LOCK TABLE read_comments IN SHARE ROW EXCLUSIVE MODE;
    CREATE TRIGGER derive_inserted AFTER INSERT ON read_comments REFERENCING NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION mc_add_mentions();
    CREATE TRIGGER derive_updated AFTER UPDATE ON read_comments FOR EACH ROW
        WHEN (old.mentions::text <> new.mentions::text OR old.position <> new.position)
        EXECUTE FUNCTION mc_change_mentions();
    DELETE FROM read_comment_mentions;
    INSERT INTO read_comment_mentions (workspace_id, person_id, position, comment_id)
    SELECT c.workspace_id, person::uuid, c.position, c.id
    FROM read_comments c, json_array_elements_text(c.mentions) AS person
    ON CONFLICT DO NOTHING;
    RETURN true;
END $$;

CREATE OR REPLACE FUNCTION mc_derive_missing() RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FILTER (WHERE mc_derive(source, note)) + mc_derive_facets()::integer
        + mc_derive_mentions()::integer
    FROM (VALUES
        ('read_search_missions', 'mc_count_terms'), ('read_search_comments', 'mc_count_terms'),
        ('read_search_activity', 'mc_count_terms'), ('read_mission_flow', 'mc_note_points'))
        AS derived(source, note)
$$;
SELECT mc_derive_missing();
