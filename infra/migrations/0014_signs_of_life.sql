-- `state` is what the log says of an agent and changes with its events; `said` is its own word, and `seen_at` when
-- it last gave a sign of life. Its silence counts from `counted_from` where nobody could have heard it before.
ALTER TABLE presence
    ADD COLUMN said text NOT NULL DEFAULT 'available',
    ADD COLUMN counted_from timestamptz NOT NULL DEFAULT '-infinity';
UPDATE presence SET said = state;
DROP INDEX presence_by_seen;
CREATE INDEX leases_by_agent ON leases (agent_id);
