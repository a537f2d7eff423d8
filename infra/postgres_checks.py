"""Is somebody else's PostgreSQL fit for us? Refused with the statement that mends it."""

import psycopg
from psycopg import sql

from infra.settings import StartRefused

SERVER_VERSION_MIN = 150_000


def check(dsn: str) -> None:
    """Raise `StartRefused` for an old server, or a role that row-level security does not bind."""
    try:
        connection = psycopg.connect(dsn, connect_timeout=10)
    except psycopg.Error:
        # The driver's message may repeat the connection string, and with it the password.
        raise StartRefused("MC_DATABASE_URL: can't connect to this PostgreSQL") from None
    with connection:
        if connection.info.server_version < SERVER_VERSION_MIN:
            raise StartRefused("MC_DATABASE_URL: PostgreSQL 15 or newer is needed")
        row = connection.execute(
            "SELECT rolname, rolsuper, rolbypassrls, current_database() FROM pg_roles"
            " WHERE rolname = current_user"
        ).fetchone()
        assert row is not None
        role, superuser, bypasses, database = row
        if superuser or bypasses:
            mend = sql.SQL(
                "CREATE ROLE mission_control LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD '…';"
                " ALTER DATABASE {} OWNER TO mission_control;"
            ).format(sql.Identifier(database))
            raise StartRefused(
                f"MC_DATABASE_URL: row-level security does not bind the role {role}."
                f" Use another one: {mend.as_string(connection)}"
            )
