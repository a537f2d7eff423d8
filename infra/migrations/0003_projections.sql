-- Running read models: rebuilt beside the live one, and streams that one could not fold.

-- A model's rows are of one generation; a rebuild makes the next one. Whoever changes a model from outside
-- its runner (a rebuild's swap, a drained stream) takes the next epoch, and the runner looks again.
ALTER TABLE checkpoints
    ADD COLUMN model_version integer NOT NULL DEFAULT 1,
    ADD COLUMN generation integer NOT NULL DEFAULT 0,
    ADD COLUMN epoch bigint NOT NULL DEFAULT 0;
ALTER TABLE stream_gates
    ADD COLUMN generation integer NOT NULL DEFAULT 0,
    DROP CONSTRAINT stream_gates_pkey,
    ADD PRIMARY KEY (model, generation, stream_id);

-- The first event of a stream that a read model could not fold; later ones of that stream are held back.
-- No text of the event or of the error: either may be personal.
CREATE TABLE parked_events (
    model text COLLATE "C" NOT NULL,
    stream_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    position bigint NOT NULL,
    stream_version integer NOT NULL,
    event_type text COLLATE "C" NOT NULL,
    error text NOT NULL,
    place text NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (model, stream_id)
);
CREATE INDEX parked_events_by_workspace ON parked_events (workspace_id, model);
SELECT mc_isolate('parked_events');

-- Events that an operator decided a read model shall pass over; written with the event that says so.
CREATE TABLE projection_discards (
    model text COLLATE "C" NOT NULL,
    stream_id uuid NOT NULL,
    stream_version integer NOT NULL,
    workspace_id uuid NOT NULL,
    PRIMARY KEY (model, stream_id, stream_version)
);
SELECT mc_isolate('projection_discards');

-- What was parked or drained and is not yet in the log; written with the rows, so that nothing is untold.
CREATE TABLE projection_news (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace_id uuid NOT NULL,
    kind text COLLATE "C" NOT NULL,
    model text COLLATE "C" NOT NULL,
    stream_id uuid NOT NULL,
    position bigint NOT NULL,
    stream_version integer NOT NULL,
    event_type text COLLATE "C" NOT NULL,
    error text NOT NULL,
    place text NOT NULL
);
SELECT mc_isolate('projection_news');

-- Rows of a parked stream say that they are stale, wherever they are shown.
ALTER TABLE read_missions ADD COLUMN stale boolean NOT NULL DEFAULT false;
ALTER TABLE read_boards ADD COLUMN stale boolean NOT NULL DEFAULT false;
