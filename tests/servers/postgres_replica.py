"""Two PostgreSQL of the wheel: a primary, and a replica that follows it by streaming."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg

from infra.embedded_postgres import DATABASE, FIXED, ROLE, SUPERUSER, EmbeddedPostgres
from infra.postgres_binaries import ENVIRONMENT, Account, account_owning, programs
from infra.settings import StartRefused
from tests.servers.process import Server, give, temporary_folder

VERSION = "of the wheel"
# The embedded server is made to be alone.
FOR_REPLICAS = (
    "wal_level = replica",
    "max_wal_senders = 4",
    "hot_standby = on",
    # As docker-compose.yml has it: each role and each worker takes its own.
    "max_connections = 300",
)


def install(cache: Path) -> None:
    """Do nothing: the wheel is one of our dependencies."""


def missing() -> str | None:
    """Return why it can't be started here, if so."""
    try:
        there = (programs(None) / "pg_basebackup").exists()
    except StartRefused as reason:
        return str(reason)
    return None if there else "the wheel's PostgreSQL comes without pg_basebackup"


class Postgres(Server):
    """One of the two; `passwords` are the roles', the same on both."""

    def __init__(
        self, cluster: Path, folder: Path, account: Account | None, passwords: Mapping[str, str]
    ) -> None:
        self.sockets = cluster / "run"
        self.account, self.passwords = account, passwords
        options = FIXED | {"unix_socket_directories": str(self.sockets)}
        words: list[str | Path] = [programs(account) / "postgres", "-D", cluster / "data"]
        words += [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        super().__init__(words, folder, account=account)

    def password(self, role: str) -> str:
        """Return a role's password."""
        return self.passwords[role]

    def dsn(self, role: str = ROLE, database: str = DATABASE) -> str:
        """Return the connection string of a role, with its password."""
        host = quote(str(self.sockets), safe="")
        return f"postgresql://{role}:{self.passwords[role]}@/{database}?host={host}"

    def answers(self) -> bool:
        """Tell whether it takes a connection."""
        try:
            psycopg.connect(self.dsn(SUPERUSER, "postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


@dataclass(frozen=True)
class Replicated:
    """Both servers; the replica takes reads only, and is behind for as long as it is paused."""

    primary: Postgres
    replica: Postgres

    def lag_bytes(self) -> int:
        """Return how much of the primary's log the replica has not applied yet."""
        with psycopg.connect(self.primary.dsn(SUPERUSER, "postgres")) as connection:
            row = connection.execute("SELECT pg_current_wal_lsn()").fetchone()
        assert row is not None
        with psycopg.connect(self.replica.dsn(SUPERUSER, "postgres")) as connection:
            row = connection.execute(
                "SELECT pg_wal_lsn_diff(%s, pg_last_wal_replay_lsn())::bigint", row
            ).fetchone()
        assert row is not None
        return max(0, int(row[0]))


@contextmanager
def start() -> Iterator[Replicated]:
    """Start both; the primary has the role and the database of `EmbeddedPostgres`, which is empty."""
    with temporary_folder() as folder, _primary(folder) as primary:
        copy = folder / "replica"
        _copy(primary, copy)
        with Postgres(copy / "postgres", copy, primary.account, primary.passwords) as replica:
            yield Replicated(primary, replica)


@contextmanager
def start_primary() -> Iterator[Postgres]:
    """Start the primary alone."""
    with temporary_folder() as folder, _primary(folder) as primary:
        yield primary


def _primary(folder: Path) -> Postgres:
    embedded = _embedded(folder)
    # The wheel's server runs as another user where we are root.
    account = account_owning(embedded.cluster) if os.geteuid() == 0 else None
    passwords = {
        role: (embedded.data_dir / f"postgres-{role}.password").read_text("ascii")
        for role in (ROLE, SUPERUSER)
    }
    return Postgres(embedded.cluster, embedded.data_dir, account, passwords)


def _embedded(folder: Path) -> EmbeddedPostgres:
    data_dir = folder / "primary"
    data_dir.mkdir(mode=0o711)
    embedded = EmbeddedPostgres(data_dir)
    embedded.start()
    embedded.stop()
    with (embedded.cluster / "data" / "postgresql.conf").open("a") as settings:
        settings.write("\n".join(("", *FOR_REPLICAS, "")))
    return embedded


def _copy(primary: Postgres, copy: Path) -> None:
    account = primary.account
    cluster = copy / "postgres"
    (cluster / "run").mkdir(parents=True)
    copy.chmod(0o711)
    give(cluster, account)
    words: list[str | Path] = [programs(account) / "pg_basebackup", "--pgdata", cluster / "data"]
    words += ["--write-recovery-conf", "--checkpoint=fast", "--no-sync"]
    subprocess.run(
        [*words, "--dbname", primary.dsn(SUPERUSER, "postgres")], check=True, capture_output=True,
        cwd=cluster, env=ENVIRONMENT, **(account.run_as() if account else {}),
    )  # fmt: skip
