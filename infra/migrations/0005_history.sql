-- History: the state of a board at any position, what belongs to one event, and events over time.

-- A board with its cards as of a position, compressed JSON.
CREATE TABLE read_keyframes (
    board_id uuid NOT NULL,
    position bigint NOT NULL,
    workspace_id uuid NOT NULL,
    format text COLLATE "C" NOT NULL,
    state bytea NOT NULL,
    PRIMARY KEY (board_id, position)
);
-- Compressed by the program already: the server's own attempt would be for nothing.
ALTER TABLE read_keyframes ALTER COLUMN state SET STORAGE EXTERNAL;
SELECT mc_isolate('read_keyframes');

-- How many events a board has had since its newest keyframe, and how many cards that one holds: the next
-- comes after about as many events, so that all of them together grow with the log only.
CREATE TABLE read_keyframe_ages (
    board_id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL,
    events integer NOT NULL,
    cards integer NOT NULL
);
SELECT mc_isolate('read_keyframe_ages');

-- Events of a workspace per minute, for timelines.
CREATE TABLE read_event_minutes (
    workspace_id uuid NOT NULL,
    minute timestamptz NOT NULL,
    events integer NOT NULL,
    first_position bigint NOT NULL,
    last_position bigint NOT NULL,
    PRIMARY KEY (workspace_id, minute)
);
SELECT mc_isolate('read_event_minutes');

-- What belongs together. A request's correlation id grows with time, so the first index is written at
-- its end; the second has only what other events caused.
CREATE INDEX events_by_correlation ON events (correlation_id);
CREATE INDEX events_by_causation ON events (causation_id) WHERE causation_id IS NOT NULL;
