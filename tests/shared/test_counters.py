"""Counters: one suite for both adapters, and what only the common one does."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from infra.counters import Counters, Full, Limit, LocalCounters, RedisCounters, Taken
from infra.http.principal import InvalidCredentials, RateLimited
from infra.sign_in import SignInLimits
from tests.servers.redis import Redis as Server
from tests.shared.parts import connected, until

THREE = Limit(3, 60)
SOON = Limit(1, 1)

Play = Callable[[Callable[[Counters], Coroutine[Any, Any, None]]], None]


@pytest.fixture(params=["local", pytest.param("redis", marks=pytest.mark.servers)])
def with_counters(request: pytest.FixtureRequest) -> Play:
    """Run a scenario with counters of a kind."""
    server: Server | None = request.getfixturevalue("redis") if request.param == "redis" else None

    @asynccontextmanager
    async def counters() -> AsyncIterator[Counters]:
        if server is None:
            yield LocalCounters()
            return
        async with connected(server.url, uuid4()) as redis:
            yield RedisCounters(redis)

    async def run(scenario: Callable[[Counters], Coroutine[Any, Any, None]]) -> None:
        async with counters() as found:
            await scenario(found)

    return lambda scenario: asyncio.run(run(scenario))


async def take(counters: Counters, name: str, limit: Limit = THREE) -> Taken | Full:
    return await counters.take({name: limit})


def test_so_many_and_no_more(with_counters: Play) -> None:
    async def scenario(counters: Counters) -> None:
        for _ in range(3):
            assert isinstance(await take(counters, "a"), Taken)
        full = await take(counters, "a")
        assert isinstance(full, Full)
        assert 0 < full.retry_after_s <= 60
        assert isinstance(await take(counters, "b"), Taken)

    with_counters(scenario)


def test_what_is_refused_counts_for_nothing(with_counters: Play) -> None:
    async def scenario(counters: Counters) -> None:
        for _ in range(3):
            await take(counters, "a")
        for _ in range(5):
            assert isinstance(await counters.take({"a": THREE, "b": THREE}), Full)
        assert isinstance(await take(counters, "b"), Taken)

    with_counters(scenario)


def test_what_is_given_back_counts_no_more(with_counters: Play) -> None:
    async def scenario(counters: Counters) -> None:
        for _ in range(20):
            taken = await counters.take({"a": THREE, "b": THREE})
            assert isinstance(taken, Taken)
            await counters.give_back(taken)
        assert isinstance(await take(counters, "a"), Taken)

    with_counters(scenario)


def test_at_once_is_no_way_around(with_counters: Play) -> None:
    async def scenario(counters: Counters) -> None:
        found = await asyncio.gather(*(take(counters, "a") for _ in range(50)))
        assert sum(isinstance(one, Taken) for one in found) == 3

    with_counters(scenario)


def test_a_window_moves_on(with_counters: Play) -> None:
    async def scenario(counters: Counters) -> None:
        assert isinstance(await take(counters, "a", SOON), Taken)
        async with asyncio.timeout(10 * SOON.window_s):
            while isinstance(full := await take(counters, "a", SOON), Full):
                await asyncio.sleep(full.retry_after_s)  # the time that it names

    with_counters(scenario)


def test_successes_count_for_no_limit(with_counters: Play) -> None:
    async def scenario(counters: Counters) -> None:
        limits = SignInLimits(counters)
        for _ in range(150):
            async with limits.attempt("account", "198.51.100.7"):
                pass

    with_counters(scenario)


def test_an_address_that_tries_many_accounts_is_limited(with_counters: Play) -> None:
    async def scenario(counters: Counters) -> None:
        limits = SignInLimits(counters)
        for number in range(100):
            with pytest.raises(InvalidCredentials):
                async with limits.attempt(f"account {number}", "198.51.100.7"):
                    raise InvalidCredentials("no")
        with pytest.raises(RateLimited):
            async with limits.attempt("one more", "198.51.100.7"):
                pass
        async with limits.attempt("one more", "203.0.113.9"):
            pass

    with_counters(scenario)


@pytest.mark.servers
def test_processes_share_a_limit_and_keep_their_own_part_of_it_in_an_outage(
    own_redis: Server,
) -> None:
    async def scenario() -> None:
        async with connected(own_redis.url) as one, connected(own_redis.url) as two:
            first, second = RedisCounters(one), RedisCounters(two)
            assert isinstance(await take(first, "a"), Taken)
            assert isinstance(await take(first, "a"), Taken)
            lent = await take(second, "a")
            assert isinstance(lent, Taken)
            assert isinstance(await take(first, "a"), Full)

            await asyncio.to_thread(own_redis.kill)
            # Never unlimited: what each has seen itself still counts, and what it sees now.
            assert isinstance(await take(first, "a"), Taken)
            assert isinstance(await take(first, "a"), Full)
            await second.give_back(lent)

            await asyncio.to_thread(own_redis.start)
            await until(lambda: not one.is_away and not two.is_away)
            # Three that were counted before; one was given back meanwhile.
            assert isinstance(await take(second, "a"), Taken)
            assert isinstance(await take(second, "a"), Full)

    asyncio.run(scenario())


@pytest.mark.servers
def test_a_redis_that_hangs_locks_nobody_out(own_redis: Server) -> None:
    async def scenario() -> None:
        async with connected(own_redis.url) as redis:
            counters = RedisCounters(redis)
            await asyncio.to_thread(own_redis.pause)
            for _ in range(10):
                taken = await take(counters, "a")
                assert isinstance(taken, Taken)
                await counters.give_back(taken)
            own_redis.resume()
            await until(lambda: not redis.is_away)
            for _ in range(3):
                assert isinstance(await take(counters, "a"), Taken)
            assert isinstance(await take(counters, "a"), Full)

    asyncio.run(scenario())
