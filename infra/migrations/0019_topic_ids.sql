-- Offsets are of one topic. One that is made anew under the same name has another id, and begins afresh.
ALTER TABLE partition_marks ADD COLUMN topic_id text COLLATE "C";
