"""Search may use its index under row-level security; who runs a server of their own is told how."""

import psycopg
import pytest

from infra.doctor import Report, _examine_database
from infra.embedded_postgres import SUPERUSER, EmbeddedPostgres
from infra.postgres_checks import TRUST_SEARCH
from infra.settings import Settings

PLAN = """
EXPLAIN SELECT id FROM read_search_{kind} WHERE workspace_id = gen_random_uuid() AND terms @@ 'a'::tsquery"""
MISTRUST = TRUST_SEARCH.replace(" LEAKPROOF", " NOT LEAKPROOF")


def hints(dsn: str) -> list[str]:
    report = Report(data_dir="")
    with psycopg.connect(dsn) as connection:
        _examine_database(report, connection, Settings())
    return report.hints


@pytest.mark.parametrize("kind", ["missions", "comments", "activity"])
def test_words_are_looked_up_in_their_index(database_url: str, kind: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("SET enable_seqscan = off")
        plan = "\n".join(row[0] for row in connection.execute(PLAN.format(kind=kind).encode()))
    assert f"Bitmap Index Scan on read_search_{kind}_terms" in plan
    assert hints(database_url) == []


def test_where_the_mark_is_missing_the_doctor_gives_the_statement(
    postgres: EmbeddedPostgres, database_url: str
) -> None:
    name = psycopg.conninfo.conninfo_to_dict(database_url)["dbname"]
    with psycopg.connect(postgres.dsn(SUPERUSER, str(name)), autocommit=True) as superuser:
        superuser.execute(MISTRUST.encode())
        try:
            assert [TRUST_SEARCH in hint for hint in hints(database_url)] == [True]
        finally:
            superuser.execute(TRUST_SEARCH.encode())
