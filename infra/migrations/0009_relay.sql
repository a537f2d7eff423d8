-- How far the log is in Kafka. Whoever relays takes a higher epoch first, and moves the position only under
-- it: one that was paused, and has been followed by another, can't.
CREATE TABLE relay (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    epoch bigint NOT NULL,
    -- Positions of one log mean nothing in another, nor do they for topics that were made anew.
    log_id uuid NOT NULL,
    topics json NOT NULL DEFAULT '{}',
    position bigint NOT NULL DEFAULT 0,
    -- For health and doctor.
    events_per_s real NOT NULL DEFAULT 0,
    acked_at timestamptz,
    last_error text,
    last_error_at timestamptz
);
