"""docker-compose.yml without Docker: our services as processes of this machine, on real stores.

Each service gets its command and its environment from the file. What is replaced is what containers have
and processes don't: names of hosts become addresses, /data becomes a folder, 8000 a port of its own.
"""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from infra.embedded_postgres import ROLE
from tests.servers import nginx
from tests.servers.elasticsearch import Elasticsearch
from tests.servers.influxdb import Influxdb
from tests.servers.kafka import Kafka
from tests.servers.postgres_replica import Replicated
from tests.servers.process import HOST, free_port, temporary_folder
from tests.servers.redis import Redis
from tests.start.launcher import launch
from tests.start.processes import REPOSITORY, Running, environment, run, started

FILE = REPOSITORY / "docker-compose.yml"
SCRIPT = "deploy/make-secrets.sh"
VARIABLE = re.compile(r"\$\$|\$\{(\w+)(?::([?-])([^}]*))?\}")
ADMIN_EMAIL = "ada@example.org"
WORKERS_S = 180
"""Until a process for each read model has joined its consumer group."""
EXIT_S = 40


class Incomplete(Exception):
    """A variable that has no default is not set."""


@dataclass(frozen=True)
class Composed:
    """The system: its only door, its processes by service, and what the file's variables are."""

    url: str
    authority: Path
    variables: Mapping[str, str]
    services: Mapping[str, Running]


def services(variables: Mapping[str, str] | None = None) -> dict[str, dict[str, Any]]:
    """Return the file's services, variables filled in; as they are written, without any."""
    text = FILE.read_text()
    document = yaml.safe_load(text if variables is None else interpolated(text, variables))
    found: dict[str, dict[str, Any]] = document["services"]
    return found


def ours(found: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the services that run our image."""
    return {name: s for name, s in found.items() if s["image"].startswith("mission-control:")}


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """Fill in variables as Compose does; raises `Incomplete`."""

    def value(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        if name is None:
            return "$"
        if variables.get(name):
            return variables[name]
        if kind == "-":
            return str(rest)
        raise Incomplete(f"{name}: {rest}")

    return VARIABLE.sub(value, text)


def secrets(folder: Path, origin: str) -> dict[str, str]:
    """Run the script that makes secrets, in a folder; return what it wrote to .env."""
    (folder / "deploy").mkdir()
    shutil.copy(REPOSITORY / SCRIPT, folder / SCRIPT)
    subprocess.run([folder / SCRIPT, origin, ADMIN_EMAIL], check=True, capture_output=True)
    lines = (folder / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


class ComposedKafka(Kafka):
    """Kafka with the settings that the file gives its image, on ports of its own."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._environment_of_image, self._folder = environment, folder
        self.clients_port = free_port()
        super().__init__(folder, None)

    def _settings(self) -> dict[str, object]:
        moved = {
            "0.0.0.0:9092": f"{HOST}:{self.clients_port}", "kafka:9092": f"{HOST}:{self.clients_port}",
            "127.0.0.1:9093": f"{HOST}:{self._controller_port}", "127.0.0.1:9094": self.bootstrap,
            "/var/lib/kafka/data": str(self._folder / "data"),
        }  # fmt: skip
        # As the image's own script does: KAFKA_A_B is a.b.
        given = {
            name.removeprefix("KAFKA_").lower().replace("_", "."): replaced(value, moved)
            for name, value in self._environment_of_image.items()
            if name.startswith("KAFKA_") and name != "KAFKA_HEAP_OPTS"
        }
        return {"offsets.topic.num.partitions": 4, "group.initial.rebalance.delay.ms": 0, **given}


class ComposedRedis(Redis):
    """Redis by the command that the file gives its image, on a port and with a folder of its own."""

    def __init__(self, folder: Path, service: Mapping[str, Any]) -> None:
        password = service["environment"]["REDISCLI_AUTH"]
        super().__init__(folder, password, None)
        shell, option, command = service["command"]
        moved = f"--bind {HOST} --port {self.port} --dir {self.data}"
        self._words = [shell, option, f"{command} {moved}"]
        self._environment = {**self._environment, "REDISCLI_AUTH": password}


def replaced(text: str, new: Mapping[str, str]) -> str:
    """Return a text with all that is a key replaced by its value."""
    for old, value in new.items():
        text = text.replace(old, value)
    return text


@contextmanager
def composed(
    replicated: Replicated, elasticsearch: Elasticsearch, influxdb: Influxdb
) -> Iterator[Composed]:
    """Start all of our services and the proxy, in the file's order, and yield them when they are ready.

    PostgreSQL and its replica, Elasticsearch and InfluxDB are there already; Kafka and Redis are started as
    the file says.
    """
    door = free_port()
    url = f"https://localhost:{door}"
    with temporary_folder() as folder, ExitStack() as stack:
        made = secrets(folder, url)
        given = {
            "POSTGRES_PASSWORD": replicated.primary.password(ROLE),
            "INFLUXDB_TOKEN": influxdb.token,
        }
        variables = made | given
        found = services(variables)
        kafka_folder = stack.enter_context(temporary_folder())
        kafka = stack.enter_context(ComposedKafka(kafka_folder, found["kafka"]["environment"]))
        redis_folder = stack.enter_context(temporary_folder())
        redis = stack.enter_context(ComposedRedis(redis_folder, found["redis"]))
        influxdb.bucket("mission-control")
        moved = {
            "@postgres:5432/": f"@{quote(str(replicated.primary.sockets), safe='')}/",
            "@postgres-replica:5432/": f"@{quote(str(replicated.replica.sockets), safe='')}/",
            "kafka:9092": f"{HOST}:{kafka.clients_port}",
            "elasticsearch:9200": f"{HOST}:{elasticsearch.port}",
            "influxdb:8086": f"{HOST}:{influxdb.port}",
            "redis:6379": f"{HOST}:{redis.port}",
            "172.30.77.2": HOST,
            "0.0.0.0": HOST,  # noqa: S104 - what the file says
        }
        running = _start(stack, ours(found), folder, moved)
        ports = {f"{name}:8000": f"{HOST}:{_port(one)}" for name, one in running.items()}
        mounted = {"/tmp/": f"{folder}/", "/run/secrets": f"{folder}/.secrets"}  # noqa: S108 - as above
        configuration = replaced(
            (REPOSITORY / "deploy/proxy/nginx.conf").read_text(),
            ports | mounted | {"8443": str(door)},
        )
        stack.enter_context(nginx.start(configuration, door))
        yield Composed(url, folder / ".secrets/tls.crt", variables, running)


def _start(
    stack: ExitStack,
    found: Mapping[str, dict[str, Any]],
    folder: Path,
    moved: Mapping[str, str],
) -> dict[str, Running]:
    running: dict[str, Running] = {}
    for name, service in sorted(found.items(), key=lambda item: item[0] != "migrate"):
        words = service["command"]
        values = {key: replaced(value, moved) for key, value in service["environment"].items()}
        data_dir = folder / name
        if name == "migrate":
            done = run(*words, **values | {"MC_DATA_DIR": str(data_dir)})
            assert done.returncode == 0, done.stderr
        elif name == "worker":
            values |= {"MC_DATA_DIR": str(data_dir)}
            stack.enter_context(_working(words, values))
        else:
            values |= {"MC_DATA_DIR": str(data_dir), "MC_PORT": "0"}
            one = running[name] = stack.enter_context(started(data_dir, *words, **values))
            # One after the other: all at once, each would wait for the others' share of two cores.
            assert one.url
    _await_workers(running["queries"])
    return running


def _await_workers(queries: Running) -> None:
    """Wait until every read model, wherever it is kept, is where the log is."""
    deadline = time.monotonic() + WORKERS_S
    while any(lags := queries.get("/health/ready").json()["lag"].values()):
        assert time.monotonic() < deadline, lags


@contextmanager
def _working(words: Sequence[str], settings: Mapping[str, str]) -> Iterator[None]:
    """Run a service that says nothing and answers nobody; it ends when it is asked to."""
    nothing = subprocess.DEVNULL
    with launch(words, environment(**settings), stdout=nothing, stderr=nothing) as process:
        try:
            yield
            process.terminate()
            assert process.wait(EXIT_S) == 0
        finally:
            process.kill()


def _port(running: Running) -> int:
    return int(running.url.rpartition(":")[2])


def health_check(service: Mapping[str, Any], running: Running) -> int:
    """Run a service's own health check against its process; return the exit code."""
    kind, program, *words = service["healthcheck"]["test"]
    assert (kind, program) == ("CMD", "python")
    asked = [replaced(word, {"127.0.0.1:8000": f"{HOST}:{_port(running)}"}) for word in words]
    return subprocess.run([sys.executable, *asked], check=False, capture_output=True).returncode
