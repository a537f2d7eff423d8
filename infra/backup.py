"""Backup and restore by PostgreSQL's own tools. Sealed fields stay sealed in the file.

What is folded from the log is left out: a read model holds opened text, and a restored log, whose
positions will be given again, needs it folded afresh. So are sessions and tickets.
"""

import fcntl
import os
import re
import secrets
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from uuid import UUID

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from infra.data_dir import sync_folder, write_private
from infra.postgres_binaries import programs
from infra.settings import Settings, StartRefused
from infra.vault import RootKey, read_root_key

LEFT_OUT = (
    "read_*", "board_revisions", "stream_gates", "room_index", "checkpoints", "sessions",
    "socket_tickets", "timer_beats", "parked_events", "projection_news",
    "partition_marks",
)  # fmt: skip
# Row-level security would hide the rows from the tables' owner: this is the program itself.
SYSTEM = "-c mc.system=on"
# In the transaction of the restore: a restored log without an id of its own must never exist.
AFTERWARDS = b"\nRESET search_path;\nSELECT mc_after_restore();\n"
KEYS_TABLE = "workspace_keys"
MAGIC = b"PGDMP"
CHUNK_BYTES = 256 * 1024
POLL_S = 0.1
DRAFT_BYTES = 8
"""Of chance in the name of a file that is not done yet."""

Tell = Callable[[int], None]
"""Called with the bytes done so far."""


class OperationFailed(Exception):
    """What was asked was tried and went wrong; the message is one line."""


@dataclass(frozen=True)
class Backup:
    """A written backup, and where the root key is that it can't be read without."""

    file: Path
    size_bytes: int
    root_key: str


@dataclass(frozen=True)
class Source:
    """A backup that is there, the ids of its root keys, and the root key that was given for it."""

    file: Path
    used: frozenset[str]
    root_key: RootKey | None


@dataclass(frozen=True)
class Restored:
    """A restored log; `needs_root_key` names the file to fill before it can be served."""

    log_id: UUID
    position: int
    needs_root_key: Path | None


def backup(
    settings: Settings, dsn: str, file: Path, root_key_file: Path | None, tell: Tell
) -> Backup:
    """Dump the database into a file, and copy the root key to another one if asked.

    An older backup in that file is replaced; what is no backup, and another root key, which older backups
    may need, is not.
    """
    if not file.parent.is_dir():
        raise StartRefused(f"cannot write {file}: {file.parent} is no directory")
    if file.exists():
        _require_backup(file)
    if root_key_file is not None and root_key_file.exists():
        _require_same(root_key_file, settings)
    try:
        with _in_place_of(file) as out:
            _dump(dsn, out, tell)
            size_bytes = os.fstat(out.fileno()).st_size
            if root_key_file is not None:
                with _in_place_of(root_key_file) as copy:
                    copy.write(_root_key_text(settings).encode("ascii"))
    except OSError as error:
        raise StartRefused(f"cannot write {error.filename or file}: {error.strerror}") from None
    where = "MC_ROOT_KEY" if settings.root_key else str(settings.root_key_file)
    return Backup(file, size_bytes, str(root_key_file or where))


def source(settings: Settings, file: Path, root_key_file: Path | None) -> Source:
    """Look at what is to be restored, before anything is made for it.

    Raises `StartRefused` for what is no backup, or has another root key than the one that is given, set or
    there; `OperationFailed` for a file that is damaged.
    """
    _require_backup(file)
    where, key = _root_key_for(settings, root_key_file)
    used = _root_keys_of(file)
    if key is not None and used and key.id not in used:
        raise StartRefused(
            f"{where} is not the root key of this backup ({', '.join(sorted(used))})"
        )
    return Source(file, used, key if root_key_file else None)


def restore(settings: Settings, dsn: str, given: Source, tell: Tell) -> Restored:
    """Load a backup into an empty database, as a log with a new id: all of it or nothing."""
    with psycopg.connect(dsn) as connection:
        if connection.execute("SELECT to_regclass('log_head')").fetchone() != (None,):
            raise StartRefused("there is a log already: restore into another data directory")
    _load(dsn, given.file, tell)
    with psycopg.connect(dsn, options=SYSTEM) as connection:
        head = connection.execute("SELECT log_id, position FROM log_head").fetchone()
    assert head is not None, "the schema has this row from the first migration on"
    target = settings.root_key_file
    if given.root_key is not None:
        write_private(target, f"{given.root_key.text()}\n")
    lacking = target if given.used and not settings.root_key and not target.exists() else None
    return Restored(head[0], head[1], lacking)


def _dump(dsn: str, out: IO[bytes], tell: Tell) -> None:
    options = [f"--exclude-table-data={table}" for table in LEFT_OUT]
    with tempfile.TemporaryFile() as said:
        dump = subprocess.Popen(  # noqa: S603 - PostgreSQL's own tools
            [str(programs(None) / "pg_dump"), "--format=custom", "--no-owner", "--enable-row-security",
             *options, f"--dbname={_public(dsn)}"],
            stdout=out, stderr=said, env=_environment(dsn),
        )  # fmt: skip
        try:
            _watch(dump, lambda: tell(os.fstat(out.fileno()).st_size))
        finally:
            dump.kill()
            dump.wait()
        _require_success("pg_dump", dump, said)


@contextmanager
def _in_place_of(file: Path) -> Iterator[IO[bytes]]:
    """Lend a private file that takes a file's place at the end of the block, whole; it is gone where the block fails.

    Nobody else writes to it: of two backups to one file each is whole, and the last one to finish stays.
    """
    _remove_leftovers(file)
    draft, handle = _draft_of(file)
    try:
        with os.fdopen(handle, "wb") as out:
            yield out
            out.flush()
            os.fsync(handle)
            draft.replace(file)  # before it is closed, and free to be removed
        sync_folder(file.parent)
    finally:
        draft.unlink(missing_ok=True)


def _draft_of(file: Path) -> tuple[Path, int]:
    """Make a file beside another one, and open it; its lock lasts as long as anybody, pg_dump too, can write to it."""
    while True:
        draft = file.with_name(f"{file.name}.{secrets.token_hex(DRAFT_BYTES)}.part")
        # Its mode is ours from the first byte on.
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with suppress(OSError):  # a file system without locks: there no leftover is removed
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return draft, handle
        os.close(handle)  # another backup took it for a leftover, before it was locked


def _remove_leftovers(file: Path) -> None:
    """Remove what killed backups to this file left behind, but for what a pg_dump that outlived one still writes."""
    name = re.compile(re.escape(file.name) + rf"\.[0-9a-f]{{{2 * DRAFT_BYTES}}}\.part")
    with suppress(PermissionError):  # a folder that takes files and shows none
        for draft in file.parent.iterdir():
            if name.fullmatch(draft.name):
                _remove_unused(draft)


def _remove_unused(draft: Path) -> None:
    with suppress(OSError):  # it is in use, just gone, or somebody else's
        handle = os.open(draft, os.O_RDWR | os.O_NOFOLLOW)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft.unlink()
        finally:
            os.close(handle)


def _root_keys_of(file: Path) -> frozenset[str]:
    """Return the ids of the root keys that a backup's workspace keys are wrapped with."""
    words = ["--data-only", f"--table={KEYS_TABLE}", "--file=-", str(file)]
    with tempfile.TemporaryFile() as said:
        done = subprocess.Popen(  # noqa: S603 - PostgreSQL's own tools
            [str(programs(None) / "pg_restore"), *words],
            stdout=subprocess.PIPE,
            stderr=said,
        )
        with done:
            assert done.stdout is not None
            lines = done.stdout.read().decode().splitlines()
        _require_success("pg_restore", done, said)
    begin = next((at for at, line in enumerate(lines) if line.startswith("COPY ")), None)
    if begin is None:
        return frozenset()
    columns = lines[begin].partition("(")[2].partition(")")[0].split(", ")
    rows = lines[begin + 1 : lines.index("\\.", begin)]
    return frozenset(row.split("\t")[columns.index("root_key_id")] for row in rows)


def _load(dsn: str, file: Path, tell: Tell) -> None:
    read = [
        str(programs(None) / "pg_restore"),
        "--no-owner",
        "--no-privileges",
        "--file=-",
        str(file),
    ]
    write = [str(programs(None) / "psql"), "--no-psqlrc", "--quiet", "--single-transaction",
             "--set=ON_ERROR_STOP=1", f"--dbname={_public(dsn)}"]  # fmt: skip
    with tempfile.TemporaryFile() as read_said, tempfile.TemporaryFile() as write_said:
        reader = subprocess.Popen(  # noqa: S603 - PostgreSQL's own tools
            read, stdout=subprocess.PIPE, stderr=read_said, env=_environment(dsn)
        )
        writer = subprocess.Popen(  # noqa: S603 - the same
            write, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=write_said,
            env=_environment(dsn),
        )  # fmt: skip
        assert reader.stdout is not None and writer.stdin is not None
        try:
            broken = not _copy(reader.stdout, writer.stdin, tell)
            if not broken and reader.wait() == 0:
                writer.stdin.write(AFTERWARDS)
                writer.stdin.close()  # its end is what psql commits at
                writer.wait()
        except BrokenPipeError:
            writer.wait()  # it stopped at an error, which is told below
        finally:
            for process in (writer, reader):
                process.kill()
                process.wait()
            reader.stdout.close()
        # The writer first: when it stops, the reader fails as a consequence.
        if writer.returncode > 0:
            _require_success("psql", writer, write_said)
        _require_success("pg_restore", reader, read_said)
        _require_success("psql", writer, write_said)


def _copy(source: IO[bytes], target: IO[bytes], tell: Tell) -> bool:
    """Copy to the end; False when the target does not take any more."""
    done = 0
    while chunk := source.read(CHUNK_BYTES):
        try:
            target.write(chunk)
            target.flush()
        except BrokenPipeError:
            return False
        done += len(chunk)
        tell(done)
    return True


def _watch(process: subprocess.Popen[bytes], tell: Callable[[], None]) -> None:
    while True:
        try:
            process.wait(POLL_S)
        except subprocess.TimeoutExpired:
            tell()
        else:
            return


def _require_backup(file: Path) -> None:
    try:
        with file.open("rb") as opened:
            is_backup = opened.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise StartRefused(f"cannot read {file}: {error.strerror}") from None
    if not is_backup:
        raise StartRefused(f"{file} is not a backup of Mission Control")


def _require_same(file: Path, settings: Settings) -> None:
    _, now = _root_key_for(settings, None)
    if now is None or read_root_key(file).id != now.id:
        raise StartRefused(
            f"{file} holds another root key than that of now: an older backup may need it, so name another file"
        )


def _root_key_for(settings: Settings, file: Path | None) -> tuple[str, RootKey | None]:
    """Return the root key that a restored system would have, and where it is from; None where there is none yet."""
    if file is not None:
        return str(file), read_root_key(file)
    if settings.root_key:
        return "MC_ROOT_KEY", RootKey.from_text(settings.root_key, "MC_ROOT_KEY")
    kept = settings.root_key_file
    return str(kept), read_root_key(kept) if kept.exists() else None


def _root_key_text(settings: Settings) -> str:
    if settings.root_key:
        return f"{settings.root_key}\n"
    return settings.root_key_file.read_text("ascii")


def _require_success(tool: str, process: subprocess.Popen[bytes], said: IO[bytes]) -> None:
    if process.returncode == 0:
        return
    said.seek(0)
    lines = [
        line.strip() for line in said.read().decode(errors="replace").splitlines() if line.strip()
    ]
    # Errors first: notes like "STATEMENT" may repeat values.
    errors = [line for line in lines if "error" in line.lower()]
    raise OperationFailed(f"{tool}: {(errors or lines or ['it was stopped'])[0]}")


def _public(dsn: str) -> str:
    """Return the connection string without its password, which does not belong on a command line."""
    parts = {name: value for name, value in conninfo_to_dict(dsn).items() if name != "password"}
    parts["options"] = f"{parts.get('options') or ''} {SYSTEM}".strip()
    return make_conninfo("", **parts)


def _environment(dsn: str) -> dict[str, str]:
    password = conninfo_to_dict(dsn).get("password")
    return {**os.environ, **({"PGPASSWORD": str(password)} if password else {})}
