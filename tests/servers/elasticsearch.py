"""Elasticsearch with its core modules only, from Maven; never as root, whom it refuses."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from infra.postgres_binaries import Account, account_named
from tests.servers.cache import Unavailable, bring, cache_folder
from tests.servers.java import java_home, maven
from tests.servers.process import HOST, Server, free_port, give, reachable, temporary_folder

VERSION = "9.2.0"
FOLDER = f"elasticsearch-{VERSION}"
JAVA_MIN = 21
SETTINGS = """\
cluster.name: mission-control-test
discovery.type: single-node
xpack.security.enabled: false
network.host: {host}
http.port: {http_port}
transport.port: {transport_port}
path.data: {folder}/data
path.logs: {folder}/logs
# A full disk of the machine is no matter of a test.
cluster.routing.allocation.disk.threshold_enabled: false
"""

JVM_OPTIONS = """\
-Xms256m
-Xmx512m
-XX:-AlwaysPreTouch
-XX:+UseSerialGC
-XX:TieredStopAtLevel=1
# A temporary folder that holds the program's too is refused.
-Djava.io.tmpdir=${ES_TMPDIR}
"""


def install(cache: Path) -> None:
    """Bring it; raises `Unavailable`."""
    java_home(JAVA_MIN)
    bring(cache / FOLDER, _build)


def missing() -> str | None:
    """Return why it can't be started here, if so."""
    try:
        java_home(JAVA_MIN)
    except Unavailable as reason:
        return f"Elasticsearch {reason}"
    there = (cache_folder() / FOLDER).exists()
    return None if there else "Elasticsearch is not installed: make servers"


class Elasticsearch(Server):
    """A cluster of one node; a launcher runs it, and ends with it."""

    def __init__(self, folder: Path, account: Account | None) -> None:
        home = reachable(cache_folder() / FOLDER, account, folder)
        java = reachable(java_home(JAVA_MIN), account, folder)
        own = folder / "own"
        shutil.copytree(home / "config", own / "config")
        for name in ("data", "logs", "tmp"):
            (own / name).mkdir()
        self.port = free_port()
        (own / "config" / "elasticsearch.yml").write_text(
            SETTINGS.format(host=HOST, http_port=self.port, transport_port=free_port(), folder=own)
        )
        (own / "config" / "jvm.options").write_text(JVM_OPTIONS)
        give(own, account)
        environment = {
            "ES_JAVA_HOME": str(java),
            # Of its launcher, which lives for seconds.
            "CLI_JAVA_OPTS": "-XX:TieredStopAtLevel=1",
            "ES_PATH_CONF": str(own / "config"),
            "ES_TMPDIR": str(own / "tmp"),
            "HOME": str(own),
        }
        super().__init__(
            ["/bin/bash", home / "bin" / "elasticsearch"],
            folder,
            environment=environment,
            account=account,
        )

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        """The process id of the node, which its launcher started."""
        (node,) = psutil.Process(self._running().pid).children()
        return int(node.pid)

    def answers(self) -> bool:
        """Tell whether every index has its primary shards; a query before may fail."""
        wait = {"wait_for_status": "yellow", "timeout": "1s"}
        try:
            answer = httpx.get(f"{self.url}/_cluster/health", params=wait, timeout=5)
        except httpx.TransportError:
            return False
        return answer.status_code == 200 and not answer.json()["timed_out"]


@contextmanager
def start() -> Iterator[Elasticsearch]:
    """Start an empty node."""
    account = account_named(None) if os.geteuid() == 0 else None
    with temporary_folder() as folder, Elasticsearch(folder, account) as server:
        yield server


def _build(fresh: Path) -> None:
    with tempfile.TemporaryDirectory() as work:
        maven(Path(work), "elasticsearch", "unpack-dependencies", Path(work) / "unpacked")
        for part in (Path(work) / "unpacked" / FOLDER).iterdir():
            shutil.move(part, fresh)
