-- What processes counted of their own work, every few seconds; it may be lost, and nothing is folded from it.
CREATE TABLE telemetry_points (
    workspace_id uuid NOT NULL,
    measurement text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL,
    name text COLLATE "C" NOT NULL,
    outcome text COLLATE "C" NOT NULL,
    process text COLLATE "C" NOT NULL,
    count bigint NOT NULL,
    total double precision NOT NULL,
    peak double precision NOT NULL,
    histogram bigint[] NOT NULL,
    PRIMARY KEY (workspace_id, measurement, at, name, outcome, process)
);
CREATE INDEX telemetry_points_by_time ON telemetry_points (at);

-- The same by hour, of all processes.
CREATE TABLE telemetry_hours (
    workspace_id uuid NOT NULL,
    measurement text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    outcome text COLLATE "C" NOT NULL,
    hour timestamptz NOT NULL,
    count bigint NOT NULL,
    total double precision NOT NULL,
    peak double precision NOT NULL,
    histogram bigint[] NOT NULL,
    PRIMARY KEY (workspace_id, measurement, hour, name, outcome)
);
CREATE INDEX telemetry_hours_by_time ON telemetry_hours (hour);

SELECT mc_isolate(name) FROM unnest(ARRAY['telemetry_points', 'telemetry_hours']) AS name;

CREATE FUNCTION mc_add_histogram(a bigint[], b bigint[]) RETURNS bigint[] LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg(coalesce(one, 0) + coalesce(other, 0) ORDER BY place)
    FROM unnest(a, b) WITH ORDINALITY AS both_of(one, other, place)
$$;
CREATE AGGREGATE mc_add_histograms(bigint[]) (
    SFUNC = mc_add_histogram, STYPE = bigint[], INITCOND = '{}'
);
