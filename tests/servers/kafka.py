"""Apache Kafka: one node that is broker and controller (KRaft), from the jars that Maven brings."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from tests.servers.cache import Unavailable, bring, cache_folder
from tests.servers.certificates import Certificates, issue
from tests.servers.java import java_home, maven
from tests.servers.process import (
    HOST,
    Server,
    StartFailed,
    free_port,
    is_open,
    temporary_folder,
)

VERSION = "4.3.1"
FOLDER = f"kafka-{VERSION}"
JAVA_MIN = 17
USER, PASSWORD = "mission-control", "kafka-password"
SCRAM = "SCRAM-SHA-512"


def install(cache: Path) -> None:
    """Bring the jars; raises `Unavailable`."""
    java_home(JAVA_MIN)
    bring(cache / FOLDER, _build)


def missing() -> str | None:
    """Return why it can't be started here, if so."""
    try:
        java_home(JAVA_MIN)
    except Unavailable as reason:
        return f"Kafka {reason}"
    return None if (cache_folder() / FOLDER).exists() else "Kafka is not installed: make servers"


@dataclass(frozen=True)
class Secured:
    """The SASL_SSL listener: PLAIN and SCRAM-SHA-512, for one user."""

    port: int
    certificates: Certificates
    user: str = USER
    password: str = PASSWORD

    @property
    def bootstrap(self) -> str:
        """The address for clients."""
        return f"{HOST}:{self.port}"


class Kafka(Server):
    """A broker that makes no topic by itself; `secured` is its other listener, where there is one."""

    def __init__(self, folder: Path, secured: Secured | None) -> None:
        self.port = free_port()
        self.secured = secured
        self._controller_port = free_port()
        self._java: list[str | Path] = [
            java_home(JAVA_MIN) / "bin" / "java",
            "-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp", f"{cache_folder() / FOLDER / 'lib'}/*",
        ]  # fmt: skip
        self._file, self._data = folder / "server.properties", folder / "data"
        super().__init__([*self._java, "kafka.Kafka", self._file], folder)
        settings = self._settings() | (self._security(secured) if secured else {})
        self._file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        self._format()

    @property
    def bootstrap(self) -> str:
        """The address for clients, in plain text."""
        return f"{HOST}:{self.port}"

    def empty(self) -> None:
        """Take everything away that it keeps: it starts as another one. It must not run."""
        shutil.rmtree(self._data)
        self._format()

    def answers(self) -> bool:
        """Tell whether the broker counts itself in; until then topics can't be made."""
        if not is_open(self.port):
            return False
        try:
            client = KafkaAdminClient(
                bootstrap_servers=self.bootstrap, bootstrap_timeout_ms=2000, request_timeout_ms=2000
            )
            try:
                return bool(client.describe_cluster()["brokers"])
            finally:
                client.close()
        except KafkaError:
            return False

    def _settings(self) -> dict[str, object]:
        plain, controller = f"PLAINTEXT://{self.bootstrap}", self._controller_port
        listeners = [plain, *([f"SASL_SSL://{self.secured.bootstrap}"] if self.secured else [])]
        return {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@{HOST}:{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": ",".join([*listeners, f"CONTROLLER://{HOST}:{controller}"]),
            "advertised.listeners": ",".join(listeners),
            "listener.security.protocol.map": (
                "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL"
            ),
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": self._data,
            # A misspelt topic shall be an error.
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 4,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            # Of members that are killed by the hundred, each is missed soon.
            "group.min.session.timeout.ms": 1000,
            # A broker that was killed is let in again when its old session has lapsed.
            "broker.heartbeat.interval.ms": 300,
            "broker.session.timeout.ms": 2000,
        }

    @staticmethod
    def _security(secured: Secured) -> dict[str, object]:
        folder = secured.certificates.key.parent
        both = folder / "kafka.pem"
        both.write_bytes(
            secured.certificates.key.read_bytes() + secured.certificates.certificate.read_bytes()
        )
        login = "org.apache.kafka.common.security"
        listener = "listener.name.sasl_ssl"
        return {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": both,
            "sasl.enabled.mechanisms": f"PLAIN,{SCRAM}",
            f"{listener}.plain.sasl.jaas.config": (
                f'{login}.plain.PlainLoginModule required user_{secured.user}="{secured.password}";'
            ),
            f"{listener}.{SCRAM.lower()}.sasl.jaas.config": (
                f"{login}.scram.ScramLoginModule required;"
            ),
        }

    def _format(self) -> None:
        words = [
            *self._java,
            "kafka.tools.StorageTool",
            "format",
            "-t",
            str(uuid4()),
            "-c",
            self._file,
        ]
        if self.secured:
            account = f"[name={self.secured.user},password={self.secured.password}]"
            words += ["--add-scram", f"{SCRAM}={account}"]
        done = subprocess.run(words, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise StartFailed(f"Kafka's data can't be formatted: {done.stdout}{done.stderr}")


@contextmanager
def start(*, secured: bool = False) -> Iterator[Kafka]:
    """Start a broker without topics."""
    with temporary_folder() as folder:
        listener = Secured(free_port(), issue(folder)) if secured else None
        with Kafka(folder, listener) as server:
            yield server


def _build(fresh: Path) -> None:
    with tempfile.TemporaryDirectory() as work:
        maven(Path(work), "kafka", "copy-dependencies", fresh / "lib")
