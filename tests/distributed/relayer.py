"""A process that relays while it holds the role's lock, for the fault tests; it strikes itself at a
named point.

The first line of its input is the DSN. It prints `ready`, `leads` when it has an epoch, and
`fenced` when that is not the highest any more.
"""

import argparse
import os
import signal
import sys
from typing import Any

import uvloop

from infra.codec import EventCodec
from infra.compose import _lead
from infra.postgres import Database
from infra.roles import LEADER_LOCKS, Role
from infra.settings import Settings
from streams.follower import Follower
from streams.job import Roster
from streams.relay import Fenced, Relay

POINT: dict[str, Any] = {"name": "", "after": 0, "signal": signal.SIGKILL}


def strike(point: str) -> None:
    if POINT["name"] != point:
        return
    POINT["after"] -= 1
    if POINT["after"] == 0:
        os.kill(os.getpid(), POINT["signal"])


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


class FailingRelay(Relay):
    """Strikes between Kafka's acknowledgement and the checkpoint, and behind it."""

    async def _take(self) -> None:
        await super()._take()
        say("leads")

    async def _advance(self, position: int, events: int) -> None:
        if events:
            strike("after-ack")
        try:
            await super()._advance(position, events)
        except Fenced:
            say("fenced")
            raise
        if events:
            strike("after-checkpoint")


async def main(options: argparse.Namespace, dsn: str) -> None:
    POINT.update(name=options.point, after=options.after, signal=signal.Signals[options.signal])
    settings = Settings(kafka_bootstrap=options.kafka, kafka_topic_prefix=options.prefix)
    async with Database(dsn) as database, Follower(database, EventCodec()) as follower:
        say("ready")
        jobs = [lambda: FailingRelay(database, follower, settings)]
        await _lead(database, LEADER_LOCKS[Role.RELAY], jobs, Roster())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--point", default="")
    parser.add_argument("--after", type=int, default=1)
    parser.add_argument("--signal", default="SIGKILL")
    uvloop.run(main(parser.parse_args(), sys.stdin.readline().strip()))
