"""Is somebody else's PostgreSQL fit for us? Refused with the statement that mends it."""

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from infra.settings import StartRefused

NAME = "MC_DATABASE_URL"
SERVER_VERSION_MIN = 150_000
CONNECT_S = 10

ROLE_AND_DATABASE = """
    SELECT rolname, rolsuper OR rolbypassrls, current_database(),
        current_setting('server_encoding'),
        coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)
    FROM pg_roles WHERE rolname = current_user"""

# `@@` never tells what it looks at. Only a superuser may say so, and until then row-level security keeps
# it behind every other condition, and the index of words unused (docs/adr/0006).
SEARCH_IS_UNTRUSTED = "SELECT NOT proleakproof FROM pg_proc WHERE oid = 'ts_match_vq(tsvector, tsquery)'::regprocedure"
TRUST_SEARCH = "ALTER FUNCTION pg_catalog.ts_match_vq(tsvector, tsquery) LEAKPROOF"

READ_ONLY = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'"


def check(dsn: str, *, writes: bool = True) -> None:
    """Raise `StartRefused` for a server that is away or old, or a role that row-level security does
    not bind or that can't make tables; and for one that takes no writes, unless nothing will be written."""
    with connect(dsn) as connection:
        for fault in faults(connection, writes=writes):
            raise StartRefused(f"{NAME}: {fault}")


def faults(connection: psycopg.Connection, *, writes: bool = True) -> Iterator[str]:
    """Yield each reason why a server or a role is not fit for us, the gravest first."""
    version = connection.info.server_version
    if version < SERVER_VERSION_MIN:
        yield f"this is PostgreSQL {version // 10_000}, 15 or newer is needed"
    row = connection.execute(ROLE_AND_DATABASE).fetchone()
    assert row is not None, "current_user is a role"
    role, is_unbound, database, encoding, may_create = row
    if is_unbound:
        mend = _statement(
            connection,
            "CREATE ROLE {role} LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD '...';"
            " ALTER DATABASE {database} OWNER TO {role};",
            database,
            "mission_control",
        )
        yield f"the role {role} bypasses row-level security; connect as another one: {mend}"
    if encoding != "UTF8":
        yield f"the database's encoding is {encoding}, UTF8 is needed"
    read_only = why_read_only(connection.execute(READ_ONLY).fetchone())
    if writes and read_only is not None:
        yield read_only
    if not may_create:
        mend = _statement(connection, "ALTER DATABASE {database} OWNER TO {role};", database, role)
        yield f"the role {role} can't make tables here: {mend}"


def why_read_only(found: Sequence[Any] | None) -> str | None:
    """Return of a row of `READ_ONLY` why nothing can be written, or None if it can."""
    assert found is not None, "a query without FROM has a row"
    is_standby, is_read_only = found
    if is_standby:
        return "the server is a standby, which is read-only: name the primary, or promote it"
    if is_read_only:
        return "the database is read-only: default_transaction_read_only is on"
    return None


def connect(dsn: str, name: str = NAME) -> psycopg.Connection:
    """Connect, or raise `StartRefused` that says of `name` why that can't be, without its password."""
    try:
        return psycopg.connect(dsn, connect_timeout=CONNECT_S)
    except psycopg.Error as error:
        raise StartRefused(f"{name}: {reason_of(error, dsn)}") from None


def reason_of(error: Exception, dsn: str) -> str:
    """Return in one line why a database does not answer, without its password."""
    reason = " ".join(str(error).split()) or type(error).__name__
    password = conninfo_to_dict(dsn).get("password")
    return "no connection" if password and str(password) in reason else reason


def _statement(connection: psycopg.Connection, text: str, database: str, role: str) -> str:
    names = {"database": sql.Identifier(database), "role": sql.Identifier(role)}
    return sql.SQL(text).format(**names).as_string(connection)
