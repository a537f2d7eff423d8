"""Asks the outside services that are set whether they let us in, and if not, why."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from infra.kafka import why_away
from infra.search import SearchUnavailable
from infra.settings import Settings, StartRefused
from infra.timeseries import MetricsUnavailable
from projections.search import SEARCH_MODELS

ANSWER_S_MAX = 20.0
REDIS_TRIES = 3
"""It has a quarter of a second each time, which on a busy machine may be too little once."""


class Empty(Exception):
    """A service lets us in, and has nothing of this log yet; one line."""


Ask = Callable[[Settings, UUID | None], Awaitable[str | None]]
"""Returns why a service can't be used, in one line; None if it can. `log_id` is None without a database."""


async def ask_services(settings: Settings, log_id: UUID | None) -> dict[str, dict[str, Any]]:
    """Return by name the `status` of each service that is set: ok, or away or empty for a `reason`."""
    asks: dict[str, tuple[str | None, Ask]] = {
        "kafka": (settings.kafka_bootstrap, _kafka),
        "elasticsearch": (settings.elasticsearch_url, _elasticsearch),
        "influxdb": (settings.influxdb_url, _influxdb),
        "redis": (settings.redis_url, _redis),
    }
    names = [name for name, (address, _) in asks.items() if address is not None]
    states = await asyncio.gather(*(_state(asks[name][1](settings, log_id)) for name in names))
    return dict(zip(names, states, strict=True))


async def _state(answer: Awaitable[str | None]) -> dict[str, Any]:
    try:
        async with asyncio.timeout(ANSWER_S_MAX):
            reason = await answer
    except TimeoutError:
        reason = f"no answer within {ANSWER_S_MAX:.0f} s"
    except (StartRefused, SearchUnavailable, MetricsUnavailable) as refused:
        reason = str(refused)
    except Empty as empty:
        return {"status": "empty", "reason": str(empty)}
    return {"status": "ok"} if reason is None else {"status": "away", "reason": reason}


# Each client is imported where its service is set only: they take long to load.
# ruff: noqa: PLC0415


async def _kafka(settings: Settings, log_id: UUID | None) -> str | None:
    return await asyncio.to_thread(why_away, settings)


async def _elasticsearch(settings: Settings, log_id: UUID | None) -> str | None:
    from infra.elasticsearch import Cluster
    from infra.search_documents import alias

    async with Cluster(settings) as cluster:
        await cluster.probe(ANSWER_S_MAX)
        if log_id is None:
            return None
        missing = [
            model.name
            for model in SEARCH_MODELS
            if not await cluster.call(
                cluster.client.indices.exists_alias(name=alias(model.name, log_id))
            )
        ]
    if missing:
        without = f"it has no documents of this log for {', '.join(missing)}"
        raise Empty(f"MC_ELASTICSEARCH_URL: {without}; whoever feeds it makes them")
    return None


async def _influxdb(settings: Settings, log_id: UUID | None) -> str | None:
    from infra.influxdb import InfluxDb

    influxdb = InfluxDb(settings)
    try:
        await influxdb.query(influxdb.flow, ["SHOW MEASUREMENTS LIMIT 1"], {})
        await influxdb.find(influxdb.flow)  # what is asked above knows no organisations
    finally:
        await influxdb.aclose()
    return None


async def _redis(settings: Settings, log_id: UUID | None) -> str | None:
    from infra.redis import RedisAway, connect

    redis = await connect(settings, log_id or UUID(int=0))
    assert redis is not None, "it is set"
    try:
        for _ in range(REDIS_TRIES):
            try:
                await redis.probe()
            except RedisAway as away:
                reason = str(away)
            else:
                return None
        return reason
    finally:
        await redis.__aexit__()
