#!/bin/sh
# Run once by the image of PostgreSQL, on the server that it has just made: our roles and our database.
set -eu
psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    -v password="$MISSION_CONTROL_PASSWORD" -v replication="$REPLICATION_PASSWORD" <<'SQL'
CREATE ROLE mission_control LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD :'password';
CREATE ROLE replication LOGIN REPLICATION PASSWORD :'replication';
CREATE DATABASE mission_control OWNER mission_control;
\connect mission_control
-- Search may use its index under row-level security only with this: docs/adr/0006.
ALTER FUNCTION pg_catalog.ts_match_vq(tsvector, tsquery) LEAKPROOF;
SQL
echo "host replication replication samenet scram-sha-256" >> "$PGDATA/pg_hba.conf"
