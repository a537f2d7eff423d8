-- How far read models are that workers fold from Kafka. A worker locks the rows of the partitions that it folds, so
-- that two who both hold a partition for theirs (one was paused while it was taken from it) write one after the other.
CREATE TABLE partition_marks (
    model text COLLATE "C" NOT NULL,
    log_id uuid NOT NULL,
    topic text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    -- Every event of the partition up to here is folded.
    position bigint NOT NULL DEFAULT 0,
    -- So is every message before this one. One beyond it tells that some are missing: the log has them.
    next_offset bigint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (model, log_id, topic, partition)
);
