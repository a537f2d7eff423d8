"""The scripts that the containers of PostgreSQL run, on a real server: a primary, and a replica of it."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from infra.postgres_binaries import ENVIRONMENT, account_named, programs
from infra.postgres_checks import SEARCH_IS_UNTRUSTED, check
from tests.servers.process import HOST, Server, free_port, give, temporary_folder
from tests.start.processes import REPOSITORY

SCRIPTS = REPOSITORY / "deploy/postgres"
ACCOUNT = account_named(None) if os.geteuid() == 0 else None
SUPERUSER = "postgres"
PASSWORDS = {
    "POSTGRES_PASSWORD": "of-the-superuser",
    "MISSION_CONTROL_PASSWORD": 'it\'s "quoted" \\ $HOME',
    "REPLICATION_PASSWORD": "of-replication",
}
PATIENCE_S = 30


class Container(Server):
    """A server as the image starts it: by a script and an environment, without a shell's profile."""

    def __init__(self, words: list[str | Path], folder: Path, port: int, **more: str) -> None:
        self.port = port
        environment = {"PATH": f"{programs(ACCOUNT)}:{ENVIRONMENT['PATH']}", **PASSWORDS, **more}
        super().__init__(words, folder, environment=environment, account=ACCOUNT)

    def answers(self) -> bool:
        """Tell whether it takes a connection."""
        try:
            psycopg.connect(dsn(self.port, SUPERUSER), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def dsn(port: int, role: str) -> str:
    """Return the connection string of a role, over TCP as between containers."""
    password, database = {
        SUPERUSER: (PASSWORDS["POSTGRES_PASSWORD"], "postgres"),
        "mission_control": (PASSWORDS["MISSION_CONTROL_PASSWORD"], "mission_control"),
    }[role]
    return psycopg.conninfo.make_conninfo(
        host=HOST, port=port, user=role, password=password, dbname=database
    )


def as_account(words: list[str | Path], folder: Path, **more: str) -> None:
    environment = {**ENVIRONMENT, "PATH": f"{programs(ACCOUNT)}:{ENVIRONMENT['PATH']}", **more}
    subprocess.run(
        words, check=True, capture_output=True, cwd=folder, env=environment,
        **(ACCOUNT.run_as() if ACCOUNT else {}),
    )  # fmt: skip


@pytest.fixture(scope="module")
def primary() -> Iterator[Container]:
    """A server that the image's own entry point would have made, with our script run on it."""
    with temporary_folder() as folder:
        port, data = free_port(), folder / "data"
        scripts = folder / "scripts"
        scripts.mkdir()
        for script in SCRIPTS.iterdir():
            (scripts / script.name).write_text(script.read_text())
        (folder / "password").write_text(PASSWORDS["POSTGRES_PASSWORD"])
        data.mkdir(mode=0o700)
        give(folder, ACCOUNT)
        words = [programs(ACCOUNT) / "initdb", "-D", data, "-U", SUPERUSER, "-A", "scram-sha-256"]
        words += ["--pwfile", folder / "password", "-E", "UTF8", "--locale=C", "--no-sync"]
        as_account(words, folder)
        postgres = programs(ACCOUNT) / "postgres"
        options = [f"-cport={port}", f"-cunix_socket_directories={folder}", "-cwal_level=replica"]
        with Container([postgres, "-D", data, *options], folder, port) as server:
            as_account(
                ["/bin/sh", scripts / "primary.sh"], folder, PGHOST=HOST, PGPORT=str(port),
                PGPASSWORD=PASSWORDS["POSTGRES_PASSWORD"], PGDATA=str(data), POSTGRES_USER=SUPERUSER,
                **PASSWORDS,
            )  # fmt: skip
            # The image starts the server anew after its scripts.
            server.restart()
            yield server


def test_the_primary_is_one_that_we_would_use(primary: Container) -> None:
    check(dsn(primary.port, "mission_control"))
    with psycopg.connect(dsn(primary.port, "mission_control")) as connection:
        assert connection.execute(SEARCH_IS_UNTRUSTED).fetchone() == (False,)


def test_the_replica_is_made_once_and_follows(primary: Container) -> None:
    with temporary_folder() as folder:
        port, data = free_port(), folder / "data"
        script = folder / "replica.sh"
        script.write_text((SCRIPTS / "replica.sh").read_text())
        give(folder, ACCOUNT)
        more = {"PGDATA": str(data), "PRIMARY_HOST": HOST, "PRIMARY_PORT": str(primary.port)}
        options = [f"-cport={port}", f"-cunix_socket_directories={folder}", "-chot_standby=on"]
        with Container(["/bin/sh", script, *options], folder, port, **more) as replica:
            write(primary, "before")
            await_rows(replica, 1)
            replica.restart()  # its data is there, and is not copied again
            write(primary, "after")
            await_rows(replica, 2)
            with psycopg.connect(dsn(port, SUPERUSER)) as connection:
                assert connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)


def write(primary: Container, what: str) -> None:
    with psycopg.connect(dsn(primary.port, "mission_control")) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS seen (what text)")
        connection.execute("INSERT INTO seen VALUES (%s)", [what])


def await_rows(replica: Container, number: int) -> None:
    give_up = time.monotonic() + PATIENCE_S
    with psycopg.connect(dsn(replica.port, "mission_control"), autocommit=True) as connection:
        while rows_of(connection) < number:
            assert time.monotonic() < give_up
            time.sleep(0.05)


def rows_of(connection: psycopg.Connection) -> int:
    if connection.execute("SELECT to_regclass('seen')").fetchone() == (None,):
        return 0
    row = connection.execute("SELECT count(*) FROM seen").fetchone()
    return int(row[0]) if row else 0
