-- What workers noted of a log's partitions says nothing about another log.
CREATE OR REPLACE FUNCTION mc_after_restore() RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    new_id uuid := gen_random_uuid();
    folded text;
BEGIN
    PERFORM set_config('mc.system', 'on', true);
    UPDATE log_head SET log_id = new_id;
    FOR folded IN
        SELECT relname FROM pg_class
        WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
            AND (starts_with(relname, 'read_') OR relname IN ('board_revisions', 'stream_gates',
                'room_index', 'checkpoints', 'sessions', 'socket_tickets', 'timer_beats', 'parked_events',
                'projection_news', 'partition_marks'))
    LOOP
        EXECUTE format('TRUNCATE %I', folded);
    END LOOP;
    RETURN new_id;
END $$;
