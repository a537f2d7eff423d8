"""A process that feeds search or metrics from the log, for the fault tests, until it is killed.

The first line of its input says in JSON where: no password is on a command line. It prints `ready`.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import uvloop

from infra.codec import EventCodec
from infra.elasticsearch import Cluster
from infra.influxdb import InfluxDb
from infra.marks import Marks
from infra.postgres import Database
from infra.settings import Settings
from infra.vault import RootKey, Vault
from projections.metrics import MISSION_FLOW
from projections.search import SEARCH_MODELS
from streams.follower import Follower
from streams.job import Job
from streams.mission_points import MissionPoints
from streams.search_jobs import SearchJob, search_sink
from streams.sink import SinkJob


@asynccontextmanager
async def sinking(database: Database, vault: Vault, settings: Settings) -> AsyncIterator[Marks]:
    """Feed the sinks that the settings name, for as long as the block lasts."""
    codec, marks = EventCodec(), Marks(database)
    async with AsyncExitStack() as stack:
        follower = await stack.enter_async_context(Follower(database, codec))
        jobs: list[Job] = []
        if settings.elasticsearch_url is not None:
            cluster = await stack.enter_async_context(Cluster(settings))
            sinks = [search_sink(cluster, database, codec, vault, m) for m in SEARCH_MODELS]
            jobs += [SearchJob(database, follower, marks, sink) for sink in sinks]
        if settings.influxdb_url is not None:
            influxdb = InfluxDb(settings)
            stack.push_async_callback(influxdb.aclose)
            points = MissionPoints(influxdb, database, codec, vault, MISSION_FLOW)
            jobs.append(SinkJob(database, follower, marks, points))
        for job in jobs:
            await stack.enter_async_context(job)
        yield marks


async def main(told: dict[str, Any]) -> None:
    async with Database(told["dsn"]) as database:
        vault = Vault(database, RootKey(bytes.fromhex(told["root"])))
        async with sinking(database, vault, Settings(**told["settings"])):
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(json.loads(sys.stdin.readline())))
