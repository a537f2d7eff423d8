"""Redis is asked, never waited for: killed, paused, or set up wrongly."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import uvloop

from infra.redis import ANSWER_S, RedisAway, connect
from infra.settings import Settings, StartRefused
from tests.servers import redis as redis_server
from tests.servers.fixtures import require
from tests.servers.redis import Redis as Server
from tests.shared.parts import connected, until
from tests.start.processes import refusal, run
from tests.tries import found_in_tries

pytestmark = pytest.mark.servers


def told_at_once(question: Coroutine[Any, Any, object]) -> None:
    """Require that a question is refused before it waits for anything."""
    with pytest.raises(RedisAway):
        question.send(None)


def test_a_killed_redis_is_away_at_once_and_back_by_itself(own_redis: Server) -> None:
    async def scenario() -> None:
        async with connected(own_redis.url) as redis:
            assert (await redis.state())["status"] == "ok"
            await asyncio.to_thread(own_redis.kill)
            await until(lambda: redis.is_away)
            state = await redis.state()
            assert (state["status"], state["reason"]) == (
                "away",
                "MC_REDIS_URL: nobody answers (the connection was cut off)",
            )
            told_at_once(redis.publish("x", "1"))
            await asyncio.to_thread(own_redis.start)
            await until(lambda: not redis.is_away)
            await redis.publish("x", "2")

    asyncio.run(scenario())


def test_what_is_published_is_heard_and_a_gap_is_known_to_be_one(own_redis: Server) -> None:
    async def scenario(heard: list[str]) -> None:
        redis = await connect(Settings(redis_url=own_redis.url), uuid4())
        assert redis is not None
        redis.hear("x", heard.append, again=lambda: heard.append("perhaps more"))
        redis.hear("y", heard.append)
        redis.hear("z", lambda text: heard.append(str(UUID(text))))
        async with redis:
            await until(lambda: heard == ["perhaps more"])
            await redis.publish("z", "what nobody can read, and nobody stumbles over")
            await redis.publish("x", "1")
            await redis.publish("y", "2")
            await until(lambda: len(heard) >= 3)
            await asyncio.to_thread(own_redis.restart)
            await until(lambda: len(heard) >= 4)
            await redis.publish("y", "3")
            await until(lambda: len(heard) >= 5)

    def heard() -> list[str]:
        found: list[str] = []
        # A Redis that is slow to answer is away for a moment, and there is one more gap.
        with suppress(RedisAway, TimeoutError):
            asyncio.run(scenario(found))
        return found

    found_in_tries(heard, ["perhaps more", "1", "2", "perhaps more", "3"])


def test_a_redis_that_hangs_costs_one_question_its_time_and_the_next_ones_nothing(
    own_redis: Server,
) -> None:
    async def scenario() -> None:
        async with connected(own_redis.url) as redis:
            await asyncio.to_thread(own_redis.pause)
            async with asyncio.timeout(10 * ANSWER_S):  # one after the other, they would take 100
                asked = [redis.publish("x", "1") for _ in range(100)]
                told = await asyncio.gather(*asked, return_exceptions=True)
            assert {type(one) for one in told} == {RedisAway}
            assert redis.is_away
            told_at_once(redis.publish("x", "1"))
            own_redis.resume()
            await until(lambda: not redis.is_away)
            await redis.publish("x", "2")

    asyncio.run(scenario())


def test_a_redis_that_takes_no_writes_is_away_though_it_answers(own_redis: Server) -> None:
    async def scenario() -> None:
        async with connected(own_redis.url) as redis:
            with own_redis.client() as client:
                client.config_set("maxmemory", "1")
                await until(lambda: redis.is_away)
                client.config_set("maxmemory", "0")
                await until(lambda: not redis.is_away)

    asyncio.run(scenario())


def test_two_logs_on_one_redis_hear_nothing_of_each_other(own_redis: Server) -> None:
    async def scenario() -> list[str]:
        heard: list[str] = []
        redis = await connect(Settings(redis_url=own_redis.url), uuid4())
        assert redis is not None
        redis.hear("x", heard.append, again=lambda: heard.append("ready"))
        async with redis, connected(own_redis.url) as other:
            await until(lambda: heard == ["ready"])
            await other.publish("x", "theirs")
            await redis.publish("x", "ours")
            await until(lambda: len(heard) == 2)
        return heard

    assert asyncio.run(scenario()) == ["ready", "ours"]


def test_over_tls_a_wrong_ca_or_password_is_refused_in_one_line(
    fresh_dir: Path, database_url: str
) -> None:
    require(redis_server.missing())
    with (
        redis_server.start("a:secret @ all", tls=True) as server,
        redis_server.start(tls=True) as other,
    ):
        assert server.certificates is not None
        assert other.certificates is not None

        def refused(url: str, ca: Path | None) -> str:
            settings = {"MC_DATABASE_URL": database_url, "MC_REDIS_URL": url}
            settings |= {"MC_REDIS_CA": str(ca)} if ca else {}
            return refusal(run("serve", "--data-dir", fresh_dir, **settings))

        ca = server.certificates.authority
        assert uvloop.run(state_of(Settings(redis_url=server.url, redis_ca=ca))) == "ok"
        assert refused(server.url, other.certificates.authority).startswith("MC_REDIS_CA: ")
        assert refused(server.url, None).startswith("MC_REDIS_CA: ")
        assert refused(server.url, ca.with_name("none")).startswith("MC_REDIS_CA: ")
        wrong = refused(server.url.replace("secret", "guess"), ca)
        assert wrong == "MC_REDIS_URL: Redis refuses the user name or password"
        assert refused(f"rediss://127.0.0.1:{server.port}", ca) == wrong
        port = refused("rediss://:guess@127.0.0.1:port", ca)
        assert port.startswith("MC_REDIS_URL: ")
        assert "guess" not in port


def test_nobody_there_is_no_mistake_and_is_waited_for() -> None:
    assert asyncio.run(state_of(Settings(redis_url="redis://127.0.0.1:1"))) == "away"


async def state_of(settings: Settings) -> str:
    redis = await connect(settings, uuid4())
    assert redis is not None
    async with redis:
        return str((await redis.state())["status"])


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"redis_url": "http://127.0.0.1"}, "MC_REDIS_URL"),
        ({"redis_url": "127.0.0.1:6379"}, "MC_REDIS_URL"),
        ({"redis_url": "redis://127.0.0.1", "redis_ca": "/ca.crt"}, "MC_REDIS_CA"),
        ({"redis_ca": "/ca.crt"}, "MC_REDIS_CA"),
    ],
)
def test_settings_that_mean_nothing_are_refused_by_name(
    settings: dict[str, str], named: str
) -> None:
    with pytest.raises(StartRefused, match=named):
        Settings.load(**settings)
