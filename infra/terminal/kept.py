"""Sign-ins that are kept on this machine, in a file that only its owner can read."""

import stat
from contextlib import suppress
from pathlib import Path

import msgspec
import platformdirs

from infra.data_dir import write_private
from infra.terminal.output import Failed

FILE = "sign-ins.json"
READABLE_BY_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class SignIn(msgspec.Struct):
    """A browser-like session of a server, and the newest short-lived token that it gave."""

    email: str
    session: str
    access_token: str


def kept_file() -> Path:
    """Return where sign-ins are kept."""
    return platformdirs.user_config_path("mission-control") / FILE


def kept_for(url: str) -> SignIn | None:
    """Return the sign-in that is kept for a server."""
    return _read().get(url)


def keep(url: str, sign_in: SignIn) -> None:
    """Keep a sign-in for a server, in place of any other."""
    _write({**_read(), url: sign_in})


def forget(url: str) -> None:
    """Keep no sign-in for a server."""
    _write({other: sign_in for other, sign_in in _read().items() if other != url})


def _read() -> dict[str, SignIn]:
    file = kept_file()
    try:
        if file.stat().st_mode & READABLE_BY_OTHERS:
            raise Failed(f"others can read {file}, which holds your sign-in: chmod 600 it")
        return msgspec.json.decode(file.read_bytes(), type=dict[str, SignIn])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError):
        raise Failed(f"{file} can't be read: remove it, and sign in again") from None


def _write(sign_ins: dict[str, SignIn]) -> None:
    file = kept_file()
    try:
        with suppress(FileExistsError):
            file.parent.mkdir(mode=0o700, parents=True)
        write_private(file, msgspec.json.encode(sign_ins).decode())
    except OSError as error:
        raise Failed(f"cannot write {file}: {error.strerror}") from None
