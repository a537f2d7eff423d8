"""Chromium, as the system has it; root on Debian installs it."""

import shutil
from pathlib import Path

from tests.servers import debian

VERSION = ""
PATH = Path("/usr/bin/chromium")
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


def install(cache: Path) -> None:
    """Install Debian's package where there is none; raises `Unavailable` where that can't be done."""
    if missing() is not None:
        debian.install("chromium", "Chromium")


def missing() -> str | None:
    """Return why there is none here, if so."""
    return None if shutil.which(PATH) else "Chromium is not installed: make servers"
