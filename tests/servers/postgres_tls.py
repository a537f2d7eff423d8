"""A PostgreSQL that takes connections over TLS only: Debian's, as the wheel's is built without it."""

import os
import re
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from infra.embedded_postgres import DATABASE, ROLE
from infra.postgres_binaries import ENVIRONMENT, Account, account_named
from tests.servers import debian
from tests.servers.certificates import Certificates, issue
from tests.servers.process import HOST, Server, free_port, give, temporary_folder

VERSION = "15 or newer, of Debian"
VERSION_MIN = 15
PACKAGE = "postgresql"
VERSIONS = Path("/usr/lib/postgresql")
SUPERUSER = "postgres"


def install(cache: Path) -> None:
    """Install Debian's package where there is none; raises `Unavailable`."""
    if missing() is not None:
        debian.install(PACKAGE, "a PostgreSQL with TLS")


def missing() -> str | None:
    """Return why it can't be started here, if so."""
    return None if _programs() else "a PostgreSQL with TLS is not installed: make servers"


class PostgresTls(Server):
    """A server with one role and its database; `certificates.authority` signed what it shows."""

    def __init__(self, folder: Path, account: Account | None) -> None:
        programs = _programs()
        assert programs is not None, "`missing` was asked"
        self.port = free_port()
        self.password = secrets.token_hex(16)
        self.certificates: Certificates = issue(folder)
        self.data = folder / "data"
        self._initialise(programs, folder, account)
        settings = {
            "listen_addresses": HOST, "port": self.port, "unix_socket_directories": "", "ssl": "on",
            "ssl_cert_file": self.certificates.certificate, "ssl_key_file": self.certificates.key,
        }  # fmt: skip
        words: list[str | Path] = [programs / "postgres", "-D", self.data]
        words += [f"-c{name}={value}" for name, value in settings.items()]
        super().__init__(words, folder, account=account)

    def dsn(self, *, role: str = ROLE, host: str = HOST, **options: str | Path) -> str:
        """Return the connection string, with the password; `options` are those of libpq."""
        more = "".join(f" {name}={value}" for name, value in options.items())
        database = DATABASE if role == ROLE else "postgres"
        user = f"user={role} password={self.password} dbname={database}"
        return f"host={host} port={self.port} {user}{more}"

    def answers(self) -> bool:
        """Tell whether it takes a connection."""
        try:
            dsn = self.dsn(role=SUPERUSER, sslmode="require")
            psycopg.connect(dsn, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def make_role(self) -> None:
        """Make the role and the database, once in the life of its data."""
        dsn = self.dsn(role=SUPERUSER, sslmode="require")
        with psycopg.connect(dsn, autocommit=True) as connection:
            role, database = sql.Identifier(ROLE), sql.Identifier(DATABASE)
            password = sql.Literal(self.password)
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, password))
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, role))

    def _initialise(self, programs: Path, folder: Path, account: Account | None) -> None:
        password_file = folder / "password"
        password_file.write_text(self.password)
        self.data.mkdir(mode=0o700)
        for path in (self.data, password_file, self.certificates.key):
            path.chmod(0o700 if path.is_dir() else 0o600)
            give(path, account)
        words = [programs / "initdb", "-D", self.data, "-U", SUPERUSER, "-A", "scram-sha-256"]
        subprocess.run(
            [*words, "--pwfile", password_file, "-E", "UTF8", "--locale=C", "--no-sync"],
            check=True, capture_output=True, cwd=folder, env=ENVIRONMENT,
            **(account.run_as() if account else {}),
        )  # fmt: skip
        (self.data / "pg_hba.conf").write_text("hostssl all all all scram-sha-256\n")


@contextmanager
def start() -> Iterator[PostgresTls]:
    """Start it with the role and the database of `EmbeddedPostgres`, which is empty."""
    account = account_named(None) if os.geteuid() == 0 else None
    with temporary_folder() as folder, PostgresTls(folder, account) as server:
        server.make_role()
        yield server


def _programs() -> Path | None:
    found = [
        (int(folder.name), folder / "bin")
        for folder in VERSIONS.glob("*")
        if re.fullmatch(r"[0-9]+", folder.name) and (folder / "bin" / "postgres").exists()
    ]
    version, programs = max(found, default=(0, None))
    return programs if version >= VERSION_MIN else None
