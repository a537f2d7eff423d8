"""Connections to PostgreSQL over TLS: who signed the server's certificate has to be the one who is named."""

import asyncio
from pathlib import Path

import psycopg
import pytest

from infra.postgres import VANISHED_AFTER, Database
from tests.servers.certificates import issue
from tests.servers.postgres_tls import PostgresTls
from tests.start.processes import refusal, run, started


def test_a_server_that_the_named_authority_signed_serves(
    open_folder: Path, postgres_tls_server: PostgresTls
) -> None:
    authority = postgres_tls_server.certificates.authority
    dsn = postgres_tls_server.dsn(sslmode="verify-full", sslrootcert=authority)
    data_dir = open_folder / "over-tls"
    assert run("migrate", "--data-dir", data_dir, MC_DATABASE_URL=dsn).returncode == 0
    with started(data_dir, "serve", MC_DATABASE_URL=dsn) as running:
        position = running.create_mission("over TLS")["position"]
        assert "over TLS" in running.titles(position)
        # Each of its connections, the pools' and the followers', is encrypted.
        with psycopg.connect(postgres_tls_server.dsn(sslmode="require")) as connection:
            seen = connection.execute(
                "SELECT bool_and(ssl), count(*) > 4 FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
                " WHERE usename = current_user"
            ).fetchone()
        assert seen == (True, True)
        assert running.end() == 0


def test_both_ends_notice_when_the_other_host_has_vanished(
    postgres_tls_server: PostgresTls,
) -> None:
    said = postgres_tls_server.dsn(sslmode="require", keepalives_idle="60")

    async def settings() -> tuple[dict[str, str], list[tuple[str, str]]]:
        async with Database(said) as database, await database.connect() as connection:
            names = "SELECT name, setting FROM pg_settings WHERE name ~ '^tcp_' ORDER BY 1"
            cursor = await connection.execute(names)
            return connection.info.get_parameters(), await cursor.fetchall()

    ours, the_servers = asyncio.run(settings())
    assert {name: ours[name] for name in VANISHED_AFTER if name in ours} == {
        "connect_timeout": "5", "keepalives_idle": "60", "keepalives_interval": "5",
        "keepalives_count": "3", "tcp_user_timeout": "20000",
    }  # fmt: skip
    assert the_servers == [
        ("tcp_keepalives_count", "3"), ("tcp_keepalives_idle", "10"),
        ("tcp_keepalives_interval", "5"), ("tcp_user_timeout", "20000"),
    ]  # fmt: skip


def test_a_wrong_authority_is_refused_in_one_line(
    fresh_dir: Path, open_folder: Path, postgres_tls_server: PostgresTls
) -> None:
    folder = open_folder / "another-authority"
    folder.mkdir()
    other = issue(folder).authority
    dsn = postgres_tls_server.dsn(sslmode="verify-full", sslrootcert=other)
    line = refusal(run("serve", "--data-dir", fresh_dir, MC_DATABASE_URL=dsn))
    assert line.startswith("MC_DATABASE_URL: ")
    assert "certificate verify failed" in line
    assert postgres_tls_server.password not in line


def test_a_certificate_of_another_name_is_refused_in_one_line(
    fresh_dir: Path, postgres_tls_server: PostgresTls
) -> None:
    authority = postgres_tls_server.certificates.authority
    dsn = postgres_tls_server.dsn(host="localhost", sslmode="verify-full", sslrootcert=authority)
    line = refusal(run("serve", "--data-dir", fresh_dir, MC_DATABASE_URL=dsn))
    assert line.startswith("MC_DATABASE_URL: ")
    assert 'does not match host name "localhost"' in line


@pytest.mark.parametrize("sslmode", ["disable", "verify-full"])
def test_a_server_that_demands_tls_or_an_authority_that_is_no_file_is_one_line(
    sslmode: str, fresh_dir: Path, postgres_tls_server: PostgresTls
) -> None:
    dsn = postgres_tls_server.dsn(sslmode=sslmode, sslrootcert="/no/such/file")
    line = refusal(run("serve", "--data-dir", fresh_dir, MC_DATABASE_URL=dsn))
    assert line.startswith("MC_DATABASE_URL: ")
    assert postgres_tls_server.password not in line
