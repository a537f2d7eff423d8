"""A worker of one read model for the fault tests; it strikes itself at a named point.

The first line of its input is the DSN, so that no password is on a command line; it ends with its input. It
prints `ready` when its group has given it partitions for the first time.
"""

import argparse
import asyncio
import os
import signal
import sys
import threading
from typing import Any

from infra.codec import EventCodec
from infra.logging import forward_libraries, log
from infra.postgres import Database
from infra.settings import Settings
from infra.vault import RootKey, Vault
from infra.workers import _teller, _watch_input, run
from projections.catalogue import READ_MODELS
from streams import processor
from streams.partitioned import PartitionedTable

SESSION_TIMEOUT_S = 3.0


class FailingTable(PartitionedTable):
    """Strikes in its transaction, or when that is committed and nothing is acknowledged."""

    def __init__(self, options: argparse.Namespace, *rest: Any) -> None:
        super().__init__(*rest)
        self._options = options
        self._left = options.after
        self._is_ready = False

    async def take(self, messages: Any) -> None:
        if not self._is_ready:
            self._is_ready = True
            sys.stdout.write("ready\n")
            sys.stdout.flush()
        await super().take(messages)
        self._strike("after-commit")

    async def _write(self, connection: Any, found: Any, fold: Any) -> None:
        await super()._write(connection, found, fold)
        self._strike("in-transaction")

    def _strike(self, point: str) -> None:
        if self._options.point == point:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.Signals[self._options.signal])


async def main(options: argparse.Namespace, dsn: str) -> int:
    log.configure(sys.stderr, "console", "info")
    forward_libraries()
    processor.SESSION_TIMEOUT_S, processor.HEARTBEAT_S = SESSION_TIMEOUT_S, SESSION_TIMEOUT_S / 4
    processor.AWAY_S, processor.QUIET_S = options.away, options.quiet
    (model,) = (model for model in READ_MODELS if model.name == options.model)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    threading.Thread(target=_watch_input, args=(_teller(stop),), daemon=True).start()
    codec = EventCodec()
    async with Database(dsn, kept=0) as database:
        vault = Vault(database, RootKey(bytes.fromhex(options.root)))
        settings = Settings.load(kafka_bootstrap=options.kafka, kafka_topic_prefix=options.prefix)
        feed = FailingTable(options, database, codec, vault, model, options.prefix)
        return await run(settings, model, database, feed, codec, stop)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", required=True)
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--point", default="")
    parser.add_argument("--after", type=int, default=1)
    parser.add_argument("--signal", default="SIGKILL")
    parser.add_argument("--away", type=float, default=processor.AWAY_S)
    parser.add_argument("--quiet", type=float, default=processor.QUIET_S)
    chosen = parser.parse_args()
    line = bytearray()
    while not line.endswith(b"\n"):
        line += os.read(sys.stdin.fileno(), 1)
    sys.exit(asyncio.run(main(chosen, line.decode().strip())))
