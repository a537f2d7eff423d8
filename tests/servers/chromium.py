"""Chromium's headless shell, as the system has it; root on Debian installs it.

The same engine as the browser's, without the desktop around it, which takes as much processor time again.
"""

import shutil
from pathlib import Path

from tests.servers import debian

VERSION = ""
PATH = Path("/usr/bin/chromium-headless-shell")
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


def install(cache: Path) -> None:
    """Install Debian's package where there is none; raises `Unavailable` where that can't be done."""
    if missing() is not None:
        debian.install(PATH.name, "Chromium")


def missing() -> str | None:
    """Return why there is none here, if so."""
    return None if shutil.which(PATH) else f"{PATH.name} is not installed: make servers"
