#!/bin/sh
# A streaming replica: copied from the primary when its volume is empty, then it follows.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    # A copy that was cut off is no server's data.
    rm -rf "$PGDATA"
    mkdir -p -m 0700 "$PGDATA"
    pg_basebackup --pgdata "$PGDATA" --write-recovery-conf --checkpoint=fast \
        --dbname "host=$PRIMARY_HOST port=${PRIMARY_PORT:-5432} user=replication password=$REPLICATION_PASSWORD"
fi
exec postgres -D "$PGDATA" "$@"
