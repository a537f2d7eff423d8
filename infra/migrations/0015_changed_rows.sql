-- Most updates change neither a row's words nor its points. A function's queries keep the plan of their first
-- time, when a batch was one row, and joined a large one's old and new rows by nested loops: what finds the
-- changed rows is planned each time, and the rest is done only where there are any.

CREATE OR REPLACE FUNCTION mc_count_terms() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed uuid[];
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO read_search_terms AS t (source, workspace_id, term, documents)
        SELECT TG_TABLE_NAME, workspace_id, term, count(*)
        FROM new_rows, unnest(tsvector_to_array(terms)) AS term GROUP BY 2, 3 ORDER BY 2, 3
        ON CONFLICT (workspace_id, term, source) DO UPDATE SET documents = t.documents + excluded.documents;
        RETURN NULL;
    END IF;
    EXECUTE 'SELECT array_agg(id) FROM new_rows n JOIN old_rows o USING (id) WHERE n.terms <> o.terms'
        INTO changed;
    IF changed IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO read_search_terms AS t (source, workspace_id, term, documents)
    SELECT TG_TABLE_NAME, workspace_id, term, sum(n) FROM (
        SELECT workspace_id, unnest(tsvector_to_array(terms)) AS term, 1 AS n
        FROM new_rows WHERE id = ANY (changed)
        UNION ALL
        SELECT workspace_id, unnest(tsvector_to_array(terms)), -1
        FROM old_rows WHERE id = ANY (changed)) AS changes
    GROUP BY 2, 3 HAVING sum(n) <> 0 ORDER BY 2, 3
    ON CONFLICT (workspace_id, term, source) DO UPDATE SET documents = t.documents + excluded.documents;
    DELETE FROM read_search_terms t USING (
        SELECT DISTINCT workspace_id, unnest(tsvector_to_array(terms)) AS term
        FROM old_rows WHERE id = ANY (changed)) AS gone
    WHERE t.workspace_id = gone.workspace_id AND t.term = gone.term AND t.source = TG_TABLE_NAME
        AND t.documents <= 0;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION mc_note_points() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    noted json;
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT json_agg(json_build_object('workspace_id', workspace_id, 'id', id, 'points', points, 'after', 0))
        INTO noted FROM new_rows;
    ELSE
        EXECUTE $query$
            SELECT json_agg(json_build_object('workspace_id', n.workspace_id, 'id', n.id, 'points', n.points,
                'after', json_array_length(o.points)))
            FROM new_rows n JOIN old_rows o USING (id)
            WHERE json_array_length(n.points) > json_array_length(o.points)$query$ INTO noted;
    END IF;
    IF noted IS NOT NULL THEN
        PERFORM mc_add_points(noted);
    END IF;
    RETURN NULL;
END $$;
