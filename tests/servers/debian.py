"""Servers that Debian has: as root, its package is installed, and its service stays stopped."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.cache import Unavailable, run_tool

POLICY = Path("/usr/sbin/policy-rc.d")
"""What Debian asks before it starts a service; 101 forbids it."""
SERVICES = Path("/etc/init.d")


def install(package: str, name: str) -> None:
    """Install a package; a service that has its name stays off. Raises `Unavailable` where that can't be done."""
    words = ["apt-get", "install", "-y", "--no-install-recommends", package]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Unavailable(f"needs {name}: as root, {' '.join(words)}")
    with _services_stay_stopped():
        try:
            run_tool(words, Path("/"), DEBIAN_FRONTEND="noninteractive")
        except Unavailable:  # its lists of packages are old, or absent
            run_tool(["apt-get", "update"], Path("/"))
            run_tool(words, Path("/"), DEBIAN_FRONTEND="noninteractive")
    if (SERVICES / package).exists():
        run_tool(["update-rc.d", package, "disable"], Path("/"))


@contextmanager
def _services_stay_stopped() -> Iterator[None]:
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()
