"""Redis, as the system has it; root on Debian installs it."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import redis

from tests.servers.cache import Unavailable, run_tool
from tests.servers.certificates import Certificates, issue
from tests.servers.process import HOST, Server, free_port, temporary_folder

VERSION = "7"
PACKAGE = "redis-server"
POLICY = Path("/usr/sbin/policy-rc.d")
"""What Debian asks before it starts a service; 101 forbids it."""


def install(cache: Path) -> None:
    """Install Debian's package where there is no Redis; raises `Unavailable` where that can't be done."""
    if _major_version() >= int(VERSION):
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Unavailable(
            f"needs Redis {VERSION}: as root, apt-get install --no-install-recommends {PACKAGE}"
        )
    words = ["apt-get", "install", "-y", "--no-install-recommends", PACKAGE]
    with _services_stay_stopped():
        try:
            run_tool(words, Path("/"), DEBIAN_FRONTEND="noninteractive")
        except Unavailable:  # its lists of packages are old, or absent
            run_tool(["apt-get", "update"], Path("/"))
            run_tool(words, Path("/"), DEBIAN_FRONTEND="noninteractive")
    run_tool(["update-rc.d", PACKAGE, "disable"], Path("/"))


def missing() -> str | None:
    """Return why it can't be started here, if so."""
    if _major_version() >= int(VERSION):
        return None
    return f"Redis {VERSION} is not installed: make servers"


class Redis(Server):
    """A Redis that keeps what it was told in an append-only file; it knows only the user `default`."""

    def __init__(self, folder: Path, password: str | None, certificates: Certificates | None):
        super().__init__(["redis-server", folder / "redis.conf"], folder)
        self.port = free_port()
        self.password = password
        self.certificates = certificates
        self.data = folder / "data"
        self.data.mkdir()
        (folder / "redis.conf").write_text("\n".join(self._settings()))

    @property
    def url(self) -> str:
        """What `redis.from_url` takes, with the password; over TLS add `ssl_ca_certs`."""
        user = f":{quote(self.password, safe='')}@" if self.password else ""
        return f"{'rediss' if self.certificates else 'redis'}://{user}{HOST}:{self.port}/0"

    def client(self) -> redis.Redis:
        """A client that answers in text; close it, as with `with`."""
        trust = {"ssl_ca_certs": str(self.certificates.authority)} if self.certificates else {}
        return redis.Redis.from_url(self.url, decode_responses=True, socket_timeout=5, **trust)

    def answers(self) -> bool:
        """Tell whether it answers; not while it still loads its data."""
        try:
            with self.client() as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False

    def _settings(self) -> Iterator[str]:
        yield f"bind {HOST}"
        yield f"dir {self.data}"
        yield "appendonly yes"
        yield 'save ""'
        if self.password:
            yield f'requirepass "{self.password}"'
        if not self.certificates:
            yield f"port {self.port}"
            return
        yield from ("port 0", f"tls-port {self.port}", "tls-auth-clients no")
        yield f"tls-ca-cert-file {self.certificates.authority}"
        yield f"tls-cert-file {self.certificates.certificate}"
        yield f"tls-key-file {self.certificates.key}"


@contextmanager
def start(password: str | None = None, *, tls: bool = False) -> Iterator[Redis]:
    """Start a Redis with an empty memory."""
    with (
        temporary_folder() as folder,
        Redis(folder, password, issue(folder) if tls else None) as server,
    ):
        yield server


def _major_version() -> int:
    try:
        said = subprocess.run(
            ["redis-server", "--version"], check=True, capture_output=True, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        return 0
    found = re.search(r"v=(\d+)", said.stdout)
    return int(found[1]) if found else 0


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
