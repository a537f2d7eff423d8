-- Events of a board's room per minute, for its timeline: a board's own line would else read all its events.
-- They are counted where the index of rooms gets its rows, which never has one twice. So what counted
-- before a restart is not counted again, and processes of the version before count as well.
CREATE TABLE read_board_minutes (
    board_id uuid NOT NULL,
    minute timestamptz NOT NULL,
    workspace_id uuid NOT NULL,
    events integer NOT NULL,
    first_position bigint NOT NULL,
    last_position bigint NOT NULL,
    PRIMARY KEY (board_id, minute)
);
SELECT mc_isolate('read_board_minutes');

-- Planned each time, for the log's length of now. The LIMIT makes it one look at the log's primary key for
-- each row, whatever the planner thinks.
CREATE FUNCTION mc_count_board_minutes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE $query$
        INSERT INTO read_board_minutes AS m
            (board_id, minute, workspace_id, events, first_position, last_position)
        SELECT substr(n.room, 7)::uuid, e.minute, n.workspace_id, count(*), min(n.position), max(n.position)
        FROM new_rows n CROSS JOIN LATERAL (SELECT date_trunc('minute', recorded_at, 'UTC') AS minute
            FROM events WHERE position = n.position LIMIT 1) e
        WHERE starts_with(n.room, 'board:') GROUP BY 1, 2, 3 ORDER BY 1, 2
        ON CONFLICT (board_id, minute) DO UPDATE SET events = m.events + excluded.events,
            first_position = least(m.first_position, excluded.first_position),
            last_position = greatest(m.last_position, excluded.last_position)$query$;
    RETURN NULL;
END $$;

-- Nobody writes to the index from here to the end of the migration: what is in it is counted below, and the
-- rest by the trigger.
CREATE TRIGGER board_minutes AFTER INSERT ON room_index
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION mc_count_board_minutes();
SELECT set_config('mc.system', 'on', true);
INSERT INTO read_board_minutes (board_id, minute, workspace_id, events, first_position, last_position)
SELECT substr(r.room, 7)::uuid, date_trunc('minute', e.recorded_at, 'UTC'), r.workspace_id, count(*),
    min(r.position), max(r.position)
FROM room_index r JOIN events e USING (position)
WHERE starts_with(r.room, 'board:') GROUP BY 1, 2, 3;
