"""The data directory: one process at a time, of a version that this program knows."""

import fcntl
import os
from pathlib import Path
from typing import Self

from infra.settings import StartRefused

VERSION = 1


class DataDir:
    """Holds the directory's lock from `with` to its end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def __enter__(self) -> Self:
        self._check_version()
        try:
            self.path.mkdir(mode=0o711, parents=True, exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartRefused(f"can't write to {self.path}: {error.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise StartRefused(
                f"the data directory {self.path} is in use by another process"
            ) from None
        marker = self.path / "VERSION"
        if not marker.exists():
            marker.write_text(f"{VERSION}\n")
        return self

    def __exit__(self, *exception: object) -> None:
        if self._lock is not None:
            os.close(self._lock)

    def _check_version(self) -> None:
        marker = self.path / "VERSION"
        try:
            found = int(marker.read_text())
        except FileNotFoundError:
            return
        except (OSError, ValueError):
            raise StartRefused(f"{marker} can't be read as a version number") from None
        if found > VERSION:
            raise StartRefused(
                f"{self.path} is of data version {found}, this program knows {VERSION}: use a newer program"
            )
