"""Bring the servers that tests run on, or start some to try the program with them."""

import argparse
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from infra.embedded_postgres import ROLE
from tests.servers import (
    chromium,
    elasticsearch,
    influxdb,
    kafka,
    nginx,
    postgres_replica,
    postgres_tls,
    redis,
)
from tests.servers.cache import Unavailable, cache_folder


class Kind(Protocol):
    """What the module of a server has."""

    VERSION: str

    def install(self, cache: Path) -> None: ...

    def missing(self) -> str | None: ...


Settings = dict[str, str]
# In the order of the time that they take.
KINDS: dict[str, Kind] = {
    "postgres_replica": postgres_replica,
    "postgres_tls": postgres_tls,
    "nginx": nginx,
    "chromium": chromium,
    "redis": redis,
    "kafka": kafka,
    "elasticsearch": elasticsearch,
    "influxdb": influxdb,
}


def main() -> int:
    """Return the exit code: 1 where a server can't be had."""
    parser = argparse.ArgumentParser(prog="python -m tests.servers", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(KINDS)}; all")
    parser.add_argument("--start", action="store_true", help="start them, until Ctrl-C")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in KINDS]
    if unknown:
        parser.error(f"there is no {unknown[0]}; there are {', '.join(KINDS)}")
    names = options.names or list(KINDS)
    if not install(names):
        return 1
    return serve([name for name in names if name in STARTS]) if options.start else 0


def install(names: list[str]) -> bool:
    """Bring what is missing, and say of each what became of it; tell whether all are there."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    complete = True
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(names))
        for name in names:
            progress.update(task, description=f"{name} {KINDS[name].VERSION}")
            complete &= _install(
                name, lambda line: console.print(line, markup=False, highlight=False)
            )
            progress.advance(task)
    return complete


def _install(name: str, say: Callable[[str], None]) -> bool:
    kind, began = KINDS[name], time.monotonic()
    if kind.missing() is None:
        say(f"{name} {kind.VERSION}: there")
        return True
    try:
        kind.install(cache_folder())
    except Unavailable as reason:
        say(f"{name} {kind.VERSION}: {reason}")
        return False
    say(f"{name} {kind.VERSION}: brought in {time.monotonic() - began:.0f} s")
    return True


def serve(names: list[str]) -> int:
    """Start servers, print the settings that name them, and stop them when told to end."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    out = Console(soft_wrap=True, markup=False, highlight=False)
    try:
        with ExitStack() as running:
            for name in names:
                for setting, value in running.enter_context(STARTS[name]()).items():
                    out.print(f"{setting}={value}")
            out.print("ready; Ctrl-C stops")
            signal.pause()
    except KeyboardInterrupt:
        return 130
    return 0


@contextmanager
def _kafka() -> Iterator[Settings]:
    with kafka.start() as server:
        yield {"MC_KAFKA_BOOTSTRAP": server.bootstrap}


@contextmanager
def _elasticsearch() -> Iterator[Settings]:
    with elasticsearch.start() as server:
        yield {"MC_ELASTICSEARCH_URL": server.url}


@contextmanager
def _influxdb() -> Iterator[Settings]:
    with influxdb.start() as server:
        yield {
            "MC_INFLUXDB_URL": server.url,
            "MC_INFLUXDB_TOKEN": server.token,
            "MC_INFLUXDB_ORG": server.org,
            "MC_INFLUXDB_BUCKET": influxdb.BUCKET,
        }


@contextmanager
def _redis() -> Iterator[Settings]:
    with redis.start() as server:
        yield {"MC_REDIS_URL": server.url}


@contextmanager
def _postgres_replica() -> Iterator[Settings]:
    with postgres_replica.start() as servers:
        yield {
            "MC_DATABASE_URL": servers.primary.dsn(ROLE),
            "MC_READ_DATABASE_URL": servers.replica.dsn(ROLE),
        }


STARTS: dict[str, Callable[[], AbstractContextManager[Settings]]] = {
    "kafka": _kafka,
    "elasticsearch": _elasticsearch,
    "influxdb": _influxdb,
    "redis": _redis,
    "postgres_replica": _postgres_replica,
}


if __name__ == "__main__":
    sys.exit(main())
