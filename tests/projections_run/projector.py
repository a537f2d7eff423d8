"""A process that projects, or rebuilds a model, for the fault tests; it strikes itself at a named point.

The first line of its input is the DSN, so that no password is on a command line. It prints `ready`,
and `done` after a rebuild.
"""

import argparse
import asyncio
import os
import signal
import sys
from typing import Any

import uvloop

from commands.bus import Bus, Tools
from commands.handlers import HANDLERS
from infra.aggregates import Aggregates
from infra.codec import EventCodec
from infra.event_log import EventLog
from infra.marks import Marks
from infra.postgres import Database
from infra.vault import RootKey, Vault
from infra.write_side import WriteSide
from projections.catalogue import READ_MODELS
from projections.missions import MISSIONS
from streams import rebuild
from streams.follower import Follower
from streams.projector import Projector

POINT: dict[str, Any] = {"name": "", "after": 0, "signal": signal.SIGKILL}


def strike(point: str) -> None:
    if POINT["name"] != point:
        return
    POINT["after"] -= 1
    if POINT["after"] == 0:
        os.kill(os.getpid(), POINT["signal"])


class FailingProjector(Projector):
    """Strikes between folding a batch, writing it and going on."""

    async def _folded(self, standings: Any, batch: Any) -> Any:
        folds = await super()._folded(standings, batch)
        strike("after-fold")
        return folds

    async def _write(self, changes: Any) -> None:
        await super()._write(changes)
        strike("after-commit")


class FailingRebuild(rebuild.Rebuild):
    """Strikes on the way to the swap, in its transaction, and behind it."""

    async def _insert(self, fold: Any) -> None:
        await super()._insert(fold)
        strike("half-built")

    async def _catch_up(self, connection: Any) -> bool:
        strike("before-swap")
        return await super()._catch_up(connection)

    async def _park(self, connection: Any) -> None:
        await super()._park(connection)
        strike("in-swap")

    async def _swap(self, connection: Any, indexes: Any) -> None:
        await super()._swap(connection, indexes)
        strike("after-swap")


async def main(options: argparse.Namespace, dsn: str) -> None:
    POINT.update(name=options.point, after=options.after, signal=signal.Signals[options.signal])
    codec = EventCodec()
    async with Database(dsn) as database, EventLog(database, codec) as log:
        vault = Vault(database, RootKey(bytes.fromhex(options.root)))
        tools = Tools(Aggregates(database, codec), WriteSide(database), vault, 60)
        bus = Bus(log, tools, HANDLERS)
        if options.rebuild:
            await FailingRebuild(database, codec, vault, MISSIONS).run()
            sys.stdout.write("done\n")
            return
        async with (
            Follower(database, codec) as follower,
            FailingProjector(database, follower, bus, Marks(database), READ_MODELS),
        ):
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", required=True)
    parser.add_argument("--point", default="")
    parser.add_argument("--after", type=int, default=1)
    parser.add_argument("--signal", default="SIGKILL")
    parser.add_argument("--rebuild", action="store_true")
    uvloop.run(main(parser.parse_args(), sys.stdin.readline().strip()))
