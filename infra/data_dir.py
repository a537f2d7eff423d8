"""The data directory: one process at a time, of a version that this program knows."""

import fcntl
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from infra.settings import StartRefused

VERSION = 1
LOCK_WAIT_S = 1.0
LOCK_POLL_S = 0.02
NOTE_BYTES_MAX = 4096


@dataclass(frozen=True)
class Holder:
    """The process that holds a data directory; `url` from when it serves."""

    pid: int | None
    url: str | None


class DataDir:
    """Holds the directory's lock from `with` to its end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def __enter__(self) -> Self:
        """Make or open the directory; raises `StartRefused` and leaves everything as it was."""
        self._check_version()
        try:
            self._make()
            # The lock is a file's and not a process's, and goes with the last handle: PostgreSQL,
            # which may outlive us, inherits none.
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            self._acquire(self._lock)
            # Again, as whoever held the lock until now may have been a newer program.
            self._check_version()
            if not (self.path / "VERSION").exists():
                write_private(self.path / "VERSION", f"{VERSION}\n")
            self._note(None)
        except OSError as error:
            self._release()
            raise StartRefused(f"cannot write to {self.path}: {error.strerror}") from None
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._release()

    def serves_at(self, url: str) -> None:
        """Note for `mission-control doctor` where this process answers."""
        self._note(url)

    def _make(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise StartRefused(f"{self.path} is not a directory")
        # As root, PostgreSQL runs as another user, who has to pass through but not to look around.
        mode = 0o711 if os.geteuid() == 0 else 0o700
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.mkdir(mode=mode, exist_ok=True)

    def _acquire(self, lock: int) -> None:
        # A moment's patience: `doctor` looks at the lock by trying it, and one just stopped is leaving.
        deadline = time.monotonic() + LOCK_WAIT_S
        while not _try_lock(lock, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                pid = _read_note(self.path).pid
                by = f"process {pid}" if pid else "another process"
                raise StartRefused(f"the data directory {self.path} is in use by {by}")
            time.sleep(LOCK_POLL_S)

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _note(self, url: str | None) -> None:
        assert self._lock is not None, (
            "the note is in the lock's file, which only its holder writes"
        )
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, json.dumps({"pid": os.getpid(), "url": url}).encode(), 0)

    def _check_version(self) -> None:
        marker = self.path / "VERSION"
        try:
            found = int(marker.read_text("ascii"))
        except (FileNotFoundError, NotADirectoryError):
            return
        except PermissionError:
            raise StartRefused(
                f"cannot write to {self.path}: it belongs to somebody else"
            ) from None
        except (OSError, ValueError):
            raise StartRefused(f"{marker} can't be read as a version number") from None
        if found > VERSION:
            raise StartRefused(
                f"{self.path} has data of version {found}, this program knows {VERSION}:"
                " use a newer program"
            )


def holder(path: Path) -> Holder | None:
    """Return who holds a data directory, or None when nobody does. Changes nothing."""
    try:
        lock = os.open(path / "lock", os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        return None if _try_lock(lock, fcntl.LOCK_SH) else _read_note(path)
    finally:
        os.close(lock)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all, and durably."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make a rename in this folder survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _try_lock(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_note(path: Path) -> Holder:
    try:
        note = json.loads((path / "lock").read_text("ascii")[:NOTE_BYTES_MAX])
        return Holder(int(note["pid"]), note["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return Holder(None, None)  # it is held, by a process that has not got so far
