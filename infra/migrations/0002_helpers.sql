-- Isolation as a function, for the tables of later migrations: `SELECT mc_isolate('read_comments')`.
CREATE FUNCTION mc_isolate(guarded text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', guarded);
    EXECUTE format(
        'CREATE POLICY own_workspace ON %I USING (workspace_id = '
        '(SELECT nullif(current_setting(''mc.workspace'', true), '''')::uuid))', guarded);
    EXECUTE format(
        'CREATE POLICY the_system ON %I USING ('
        '(SELECT current_setting(''mc.system'', true) = ''on''))', guarded);
END $$;

-- A restored log is another log: positions after the backup would be given twice. Whatever is folded
-- from it (every `read_*` table and a few more) has to be folded afresh.
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
                'room_index', 'checkpoints', 'sessions', 'socket_tickets', 'timer_beats', 'parked_events', 'projection_news'))
    LOOP
        EXECUTE format('TRUNCATE %I', folded);
    END LOOP;
    RETURN new_id;
END $$;
