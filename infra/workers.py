"""`mission-control worker`: a process for each read model that folds it from Kafka, and who looks after them.

Each is a consumer group's member: more of the same, on any machine, share the group's partitions. One that
dies is started again after a pause, and goes on where its marks in PostgreSQL are.
"""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import psycopg
import uvloop

from infra.codec import EventCodec
from infra.deployment import database_of, ready_database
from infra.kafka import KafkaAway, client_settings, faust_settings, why_away
from infra.logging import log
from infra.postgres import Database
from infra.settings import Settings, StartRefused
from infra.stores import read_model
from infra.vault import Vault, root_key
from projections.catalogue import READ_MODELS
from projections.metrics import MISSION_FLOW
from projections.read_model import ReadModel
from projections.search import SEARCH_MODELS
from streams import relay
from streams.kafka_sender import refusals
from streams.partitioned import Feed, PartitionedSink, PartitionedTable, StartAgain
from streams.processor import Processor, ProcessorFailed, group_of
from streams.sink import Sink, SinkAway
from streams.topics import create_topics

RESTART_PAUSE_S = 1.0
RESTART_PAUSE_S_MAX = 30.0
STEADY_S = 60.0
"""A process that lived this long has started well: the next pause is a short one."""
STOP_S = 20.0
ORPHAN_S = 5.0
"""So long a process has to end when nobody looks after it any more."""
KAFKA_RETRY_S = 2.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)
DONE, FAILED, REFUSED = 0, 1, 2

Model = ReadModel[Any]


def chosen(names: Iterable[str]) -> list[Model]:
    """Return read models by their names, all without any; raises `StartRefused`."""
    return [read_model(name) for name in names] or list(READ_MODELS)


def sink_of(
    settings: Settings, model: Model, database: Database, codec: EventCodec, vault: Vault
) -> Sink | None:
    """Return where a read model is kept outside the log's database; None: in its table."""
    # Imported where it is set only: their clients take long to load.
    if settings.elasticsearch_url is not None and model in SEARCH_MODELS:
        from streams.search_jobs import elasticsearch_sink  # noqa: PLC0415

        return elasticsearch_sink(settings, database, codec, vault, model)
    if settings.influxdb_url is not None and model is MISSION_FLOW:
        from streams.mission_points import influxdb_sink  # noqa: PLC0415

        return influxdb_sink(settings, database, codec, vault, model)
    return None


# Looking after processes ------------------------------------------------------------------------------


def supervise(settings: Settings, models: Sequence[Model]) -> int:
    """Run a process for each read model until a signal comes; return the exit code.

    Raises `StartRefused` for what no restart would mend.
    """
    if settings.kafka_bootstrap is None:
        raise StartRefused(
            "MC_KAFKA_BOOTSTRAP: without Kafka the server folds its read models itself"
        )
    faust_settings(settings)  # one that can't be used is found now
    ready_database(settings)
    return uvloop.run(_supervise(settings, models))


async def _supervise(settings: Settings, models: Sequence[Model]) -> int:
    stop = _stop_by_signal()
    async with asyncio.TaskGroup() as group:
        lives = [group.create_task(_keep_alive(settings, model.name, stop)) for model in models]
    log.info("stopped")
    return max(life.result() for life in lives)


async def _keep_alive(settings: Settings, name: str, stop: asyncio.Event) -> int:
    """Start a process again and again; return how the last one ended, that was asked to."""
    pause_s = RESTART_PAUSE_S
    while True:
        began = time.monotonic()
        code = await _life(settings, name, stop)
        if stop.is_set():
            return FAILED if code else DONE
        if time.monotonic() - began > STEADY_S:
            pause_s = RESTART_PAUSE_S
        log.warning("a worker ended; starting it again", model=name, code=code, pause_s=pause_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await stop.wait()
                return DONE
        pause_s = min(2 * pause_s, RESTART_PAUSE_S_MAX)


async def _life(settings: Settings, name: str, stop: asyncio.Event) -> int:
    # It ends when its standard input does: with us, however we end.
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "infra", "worker", "--in-process", name,
        "--data-dir", str(settings.data_dir), stdin=asyncio.subprocess.PIPE,
    )  # fmt: skip
    log.info("a worker started", model=name, pid=process.pid)
    ended = asyncio.create_task(process.wait())
    stopped = asyncio.create_task(stop.wait())
    waiting: list[asyncio.Future[Any]] = [ended, stopped]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not ended.done():
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_S):
                await asyncio.shield(ended)
        except TimeoutError:
            log.warning("a worker does not end", model=name, pid=process.pid)
            process.kill()
    return await ended


# One process -------------------------------------------------------------------------------------------


def process(settings: Settings, model: Model) -> int:
    """Fold one read model until a signal comes, or standard input ends; return the exit code."""
    try:
        return asyncio.run(_process(settings, model))
    except (psycopg.OperationalError, OSError) as error:
        log.warning("a worker can't go on", model=model.name, error=type(error).__name__)
        return FAILED


async def _process(settings: Settings, model: Model) -> int:
    stop = _stop_by_signal()
    threading.Thread(target=_watch_input, args=(_teller(stop),), daemon=True).start()
    codec = EventCodec()
    async with Database(database_of(settings), kept=0) as database:
        vault = Vault(database, root_key(settings.root_key, settings.root_key_file))
        await vault.start()
        sink = sink_of(settings, model, database, codec, vault)
        feed: Feed = (
            PartitionedTable(database, codec, vault, model, settings.kafka_topic_prefix)
            if sink is None
            else PartitionedSink(database, codec, model, sink, settings.kafka_topic_prefix)
        )
        return await run(settings, model, database, feed, codec, stop)


async def run(
    settings: Settings, model: Model, database: Database, feed: Feed, codec: EventCodec,
    stop: asyncio.Event,
) -> int:  # fmt: skip
    """Feed a read model until told to stop; return the exit code."""
    group = group_of(feed.name, model.version, settings.kafka_topic_prefix)
    broker = faust_settings(settings)
    why, how_far = partial(why_away, settings), partial(relayed, database)
    try:
        await feed.open()
        if await _await_kafka(settings, stop):
            await Processor(broker, why, how_far, group, feed, codec).run(stop)
    except (StartAgain, ProcessorFailed, SinkAway) as failed:
        log.warning("a worker ends", model=model.name, reason=str(failed))
        return FAILED
    finally:
        await feed.close()
    return DONE


async def relayed(database: Database) -> str:
    """Return in one line what the relay does, wherever it runs."""
    try:
        found = await relay.state(database)
    except (psycopg.Error, OSError) as error:
        return f"the database does not say how far the relay is: {type(error).__name__}"
    if found["status"] != "ok":
        return f"no relay sends: {found['last_error'] or 'is one running?'}"
    return f"the relay is at {found['position']} of {found['position'] + found['lag']}"


async def _await_kafka(settings: Settings, stop: asyncio.Event) -> bool:
    """Wait until Kafka is there with our topics, and say once what is the matter if it is not.

    False: it is time to stop.
    """
    told: str | None = None
    while not stop.is_set():
        try:
            with refusals():
                options = client_settings(settings)
                await asyncio.to_thread(create_topics, options, settings.kafka_topic_prefix)
            return True
        except KafkaAway as away:
            reason = await asyncio.to_thread(why_away, settings) or str(away)
        if reason != told:
            log.warning("Kafka is away", reason=reason)
            told = reason
        with suppress(TimeoutError):
            async with asyncio.timeout(KAFKA_RETRY_S):
                await stop.wait()
    return False


def _stop_by_signal() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, stop.set)
    return stop


def _teller(stop: asyncio.Event) -> Callable[[], None]:
    # For another thread.
    loop = asyncio.get_running_loop()

    def tell() -> None:
        with suppress(RuntimeError):  # it has stopped already
            loop.call_soon_threadsafe(stop.set)

    return tell


def _watch_input(tell: Callable[[], None]) -> None:
    """End the process with its input: as a signal would, or at once where that takes too long."""
    with suppress(OSError):
        while os.read(sys.stdin.fileno(), 1024):
            pass
    tell()
    # Others may have been started in our place. What is not committed is folded again.
    time.sleep(ORPHAN_S)
    os._exit(FAILED)
