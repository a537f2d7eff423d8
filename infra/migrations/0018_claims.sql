-- What an agent had in its hands at a moment of the past is among the missions that it claimed before.
CREATE INDEX read_activity_claims ON read_activity (agent_id, position) WHERE type = 'mission.claimed.v1';
