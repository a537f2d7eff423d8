"""An acknowledged command is in the log exactly once, whatever is killed or paused."""

import asyncio
import random
import signal
import threading
import time

import psycopg
import pytest

from infra.codec import EventCodec
from infra.postgres import SYSTEM_OPTIONS, Database
from streams.follower import Follower

OTHERS_GO_ON_S = 15.0
POINTS = ("before-commit", "after-commit")


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("batch", [2, 9])
def test_a_kill_at_a_named_point_loses_and_doubles_nothing(start, check_log, point, batch):
    struck = start(writers=16, events=2000, point=point, batch=batch)
    others = [start(writers=4, events=200) for _ in range(2)]
    assert struck.wait() == -signal.SIGKILL
    assert [other.wait() for other in others] == [0, 0]
    check_log(struck, *others)


def _kill_at_random(start, check_log, kills, events):
    chance = random.Random(7)
    writers = [start(writers=16, events=events) for _ in range(4)]
    everybody = list(writers)
    for _ in range(kills):
        victim = chance.randrange(4)
        writers[victim].wait_for_acks(chance.randrange(1, 200))
        writers[victim].kill()
        writers[victim].wait()
        writers[victim] = start(writers=16, events=events)
        everybody.append(writers[victim])
    for writer in writers:
        writer.wait()
    check_log(*everybody)


def test_kills_at_random_lose_and_double_nothing(start, check_log):
    _kill_at_random(start, check_log, kills=4, events=1000)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_two_hundred_kills_lose_and_double_nothing(start, check_log):
    _kill_at_random(start, check_log, kills=200, events=1000)


def test_the_others_go_on_when_one_is_paused_with_the_lock(start, check_log):
    paused = start(writers=4, events=400, point="before-commit", batch=5, signal="SIGSTOP")
    paused.wait_for_acks(1)
    while not paused.is_stopped():
        assert paused.process.poll() is None
        time.sleep(0.01)
    stopped_at = time.monotonic()
    others = [start(writers=4, events=100) for _ in range(3)]
    for other in others:
        other.wait_for_acks(1)
        assert min(other.acks.values()) - stopped_at < OTHERS_GO_ON_S
    assert [other.wait() for other in others] == [0, 0, 0]
    paused.kill(signal.SIGCONT)
    assert paused.wait() == 0
    check_log(paused, *others)


def _follow_writers(database_url, writers):
    """Follow the log until all writers are done and return the positions that were seen."""
    seen: list[int] = []

    async def follow():
        async with Database(database_url) as database, Follower(database, EventCodec()) as follower:
            begin = follower.position
            follower.listen(lambda batch: seen.extend(event.position for event in batch))
            await asyncio.gather(*(asyncio.to_thread(writer.wait) for writer in writers))
            cursor = psycopg.connect(database_url, options=SYSTEM_OPTIONS)
            with cursor as connection:
                head = connection.execute("SELECT position FROM log_head").fetchone()[0]
            await asyncio.wait_for(follower.wait_beyond(head - 1), 30)
            return begin, head

    return seen, *asyncio.run(follow())


def test_a_follower_sees_each_position_once_in_order(start, check_log, database_url):
    writers = [start(writers=16, events=800, rollbacks=25) for _ in range(4)]
    seen, begin, head = _follow_writers(database_url, writers)
    assert seen == list(range(begin + 1, head + 1))
    check_log(*writers)


def _hold_log_head(database_url, seconds):
    with psycopg.connect(database_url, options=SYSTEM_OPTIONS) as connection:
        connection.execute("SELECT 1 FROM log_head FOR UPDATE")
        connection.execute("SELECT pg_sleep(%s)", [seconds])


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_follower_under_64_writers_rollbacks_and_a_stall(start, check_log, database_url):
    writers = [start(writers=16, events=25_000, rollbacks=500) for _ in range(4)]
    for writer in writers:
        writer.wait_for_acks(100)
    holder = threading.Thread(target=_hold_log_head, args=(database_url, 60))
    holder.start()
    seen, begin, head = _follow_writers(database_url, writers)
    holder.join()
    assert seen == list(range(begin + 1, head + 1))
    check_log(*writers)
