#!/bin/sh
# Write .env with secrets that nobody else has, and a certificate for the proxy that signs itself.
# What is there stays as it is: a new root key or password would lock the data that the old one opens.
#   deploy/make-secrets.sh ORIGIN ADMIN_EMAIL      deploy/make-secrets.sh https://localhost:8443 me@example.org
set -eu
cd "$(dirname "$0")/.."
umask 077
origin=${1:?usage: deploy/make-secrets.sh ORIGIN ADMIN_EMAIL}
email=${2:?usage: deploy/make-secrets.sh ORIGIN ADMIN_EMAIL}

if [ -e .env ]; then
    echo ".env is there already, and stays" >&2
else
    hex() { openssl rand -hex 24; }
    {
        echo "MC_PUBLIC_ORIGIN=$origin"
        echo "MC_ADMIN_EMAIL=$email"
        echo "MC_ADMIN_PASSWORD=$(hex)"
        echo "MC_ROOT_KEY=$(openssl rand -base64 32)"
        # Sixteen bytes as Kafka writes ids; a first letter of ours, as a dash would look like an option.
        echo "KAFKA_CLUSTER_ID=M$(openssl rand -base64 16 | tr '+/' '-_' | cut -c 2-21)Q"
        for name in POSTGRES_SUPERUSER_PASSWORD POSTGRES_PASSWORD POSTGRES_REPLICATION_PASSWORD \
            KAFKA_PASSWORD ELASTICSEARCH_PASSWORD INFLUXDB_PASSWORD INFLUXDB_TOKEN REDIS_PASSWORD; do
            echo "$name=$(hex)"
        done
    } > .env.new
    mv .env.new .env
    echo "wrote .env; the admin's password and the root key are in it: keep a copy elsewhere"
fi

mkdir -p .secrets
if [ -e .secrets/tls.crt ]; then
    echo ".secrets/tls.crt is there already, and stays" >&2
else
    host=${origin#*://}
    host=${host%%:*}
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 90 \
        -subj "/CN=$host" -addext "subjectAltName=DNS:$host" \
        -keyout .secrets/tls.key -out .secrets/tls.crt 2> /dev/null
    # Read in the container by the proxy's user, who is another one.
    chmod 0711 .secrets
    chmod 0644 .secrets/tls.crt .secrets/tls.key
    echo "wrote .secrets/tls.crt, which signs itself: put your own certificate and key in its place"
fi
