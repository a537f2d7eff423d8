"""Redis, in which processes share what each keeps to itself without it. Nothing waits for it for long.

A question has `ANSWER_S`; the first one without an answer opens the breaker, and from then on whoever asks
hears `RedisAway` at once. A probe in the background closes it again. So everybody who asks has an answer
of their own for that, and needs no timeout.
"""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Self, TypeVar
from uuid import UUID

from infra.away import causes, reason_away
from infra.logging import log
from infra.settings import Settings, StartRefused
from infra.tasks import end

if TYPE_CHECKING:
    from redis.asyncio import Redis as Client
    from redis.asyncio.client import Pipeline, PubSub

ANSWER_S = 0.25
START_S = 3.0
"""What the first answer has, with the connection and its TLS: what is set wrongly must not look like away."""
PROBE_S = 0.5
LISTEN_S = 0.5
CONNECTIONS_MAX = 20

Answer = TypeVar("Answer")
Hear = Callable[[str], None]


class RedisAway(Exception):
    """Redis can't be asked now; the message says why, without any secret."""


class Redis:
    """One Redis, its breaker, and what it tells. Names are of one log: a restored one shares nothing."""

    def __init__(self, client: "Client", log_id: UUID) -> None:
        self._client = client
        self._prefix = f"mc:{log_id}:"
        self._hearing: dict[str, Hear] = {}
        self._again: list[Callable[[], None]] = []
        self._here = asyncio.Event()
        self._reason = ""
        self._away_since = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(self._watch(), name="redis probe"),
            asyncio.create_task(self._listen(), name="redis listener"),
        ]
        return self

    async def __aexit__(self, *exception: object) -> None:
        await end(self._tasks)
        await self._client.aclose()

    def name(self, *parts: object) -> str:
        """Return the name of a key or channel."""
        return self._prefix + ":".join(map(str, parts))

    @property
    def is_away(self) -> bool:
        """Whether nobody need ask."""
        return not self._here.is_set()

    async def state(self) -> dict[str, Any]:
        """Return what `/health/ready` says of it."""
        if not self.is_away:
            return {"status": "ok"}
        away_s = round(time.monotonic() - self._away_since)
        return {"status": "away", "reason": self._reason, "away_s": away_s}

    async def ask(self, question: Callable[["Client"], Awaitable[Answer]]) -> Answer:
        """Return the answer to a question; raises `RedisAway` at once, or after `ANSWER_S`."""
        if self.is_away:
            raise RedisAway(self._reason)
        return await self._asked(question)

    async def ask_all(self, fill: Callable[["Pipeline"], None]) -> list[Any]:
        """Return the answers to several questions, asked as one transaction; raises `RedisAway`."""

        async def question(client: "Client") -> list[Any]:
            async with client.pipeline() as pipeline:
                fill(pipeline)
                return list(await pipeline.execute())

        return await self.ask(question)

    async def publish(self, channel: str, text: str) -> None:
        """Tell all processes something, this one too. Who is not there never hears of it."""
        await self.ask(lambda client: client.publish(self.name(channel), text))

    def hear(self, channel: str, hear: Hear, again: Callable[[], None] | None = None) -> None:
        """Call `hear` with what is published, and `again` when something may have been missed.

        Both must be quick and must not raise. To be called before it is entered.
        """
        self._hearing[self.name(channel)] = hear
        if again is not None:
            self._again.append(again)

    async def probe(self, within_s: float = ANSWER_S) -> None:
        """Ask whether it answers, and takes writes; raises `RedisAway`, or closes the breaker."""
        if self.is_away:
            # Connections to a Redis that was started again are dead, and each would tell so to somebody.
            await self._client.connection_pool.disconnect(inuse_connections=False)
        # A Redis that is out of memory answers a PING.
        await self._asked(lambda client: client.set(self.name("probe"), "", ex=60), within_s)
        if self.is_away and self._reason:
            log.info("Redis is back", away_s=round(time.monotonic() - self._away_since, 1))
        self._here.set()

    async def _asked(
        self, question: Callable[["Client"], Awaitable[Answer]], within_s: float = ANSWER_S
    ) -> Answer:
        from redis.exceptions import RedisError  # noqa: PLC0415 - loaded where Redis is set

        try:
            async with asyncio.timeout(within_s):
                return await question(self._client)
        except (RedisError, OSError, TimeoutError) as error:
            self._lost(error)
            raise RedisAway(self._reason) from error

    def _lost(self, error: Exception) -> None:
        reason = why_away(error)
        if not self.is_away:
            self._away_since = time.monotonic()
            log.warning("Redis is away", reason=reason)
        self._reason = reason
        self._here.clear()

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(RedisAway):
                await self.probe()
            await asyncio.sleep(PROBE_S)

    # What is published

    async def _listen(self) -> None:
        from redis.exceptions import RedisError  # noqa: PLC0415

        while True:
            await self._here.wait()
            try:
                async with self._client.pubsub() as channels:
                    await self._hear_all(channels)
            except (RedisError, OSError, TimeoutError) as error:
                self._lost(error)

    async def _hear_all(self, channels: "PubSub") -> None:
        if not self._hearing:
            await asyncio.Event().wait()
        async with asyncio.timeout(ANSWER_S * 2):
            await channels.subscribe(*self._hearing)
        unconfirmed = set(self._hearing)
        # A connection on which nobody answers any more looks like one on which nothing is said.
        while not self.is_away:
            message = await channels.get_message(timeout=LISTEN_S)
            if message is None:
                continue
            if message["type"] == "subscribe":
                unconfirmed.discard(message["channel"])
                if not unconfirmed:
                    for again in self._again:
                        again()
            elif message["type"] == "message":
                _tell(self._hearing[message["channel"]], message["data"])


async def connect(settings: Settings, log_id: UUID) -> Redis | None:
    """Return the Redis that is set, if one is, to be entered; one that is away is waited for there.

    Raises `StartRefused` for what no waiting will mend: a wrong password, CA or address.
    """
    if settings.redis_url is None:
        return None
    redis = Redis(_client(settings), log_id)
    try:
        await redis.probe(START_S)
    except RedisAway as away:
        if away.__cause__ is not None and is_set_wrongly(away.__cause__):
            await redis.__aexit__()
            raise StartRefused(str(away)) from None
        log.warning("Redis is away", reason=str(away))
    return redis


def _tell(hear: Hear, text: str) -> None:
    try:
        hear(text)
    except Exception:  # noqa: BLE001 - whatever was published, the next message is heard
        log.exception("a message could not be understood")


def why_away(error: BaseException) -> str:
    """Return why Redis can't be asked, in words that name the setting to look at."""
    from redis.exceptions import ResponseError  # noqa: PLC0415

    if _is_refused(error):
        return "MC_REDIS_URL: Redis refuses the user name or password"
    if isinstance(error, ResponseError):
        return f"MC_REDIS_URL: Redis refuses to write ({type(error).__name__})"
    return reason_away(error, "MC_REDIS_URL", "MC_REDIS_CA")


def is_set_wrongly(error: BaseException) -> bool:
    """Whether no waiting will mend it: a wrong password, CA, or kind of address."""
    return _is_refused(error) or any(isinstance(cause, ssl.SSLError) for cause in causes(error))


def _is_refused(error: BaseException) -> bool:
    from redis.exceptions import AuthenticationError, NoPermissionError  # noqa: PLC0415

    return isinstance(error, AuthenticationError | NoPermissionError)


def _client(settings: Settings) -> "Client":
    from redis.asyncio import BlockingConnectionPool  # noqa: PLC0415 - loaded where Redis is set
    from redis.asyncio import Redis as Client  # noqa: PLC0415
    from redis.asyncio.retry import Retry  # noqa: PLC0415
    from redis.backoff import NoBackoff  # noqa: PLC0415

    assert settings.redis_url is not None
    options: dict[str, Any] = {}
    if settings.redis_ca is not None:
        try:
            ssl.create_default_context(cafile=settings.redis_ca)
        except (OSError, ssl.SSLError):
            raise StartRefused(f"MC_REDIS_CA: {settings.redis_ca} is no certificate") from None
        options["ssl_ca_certs"] = str(settings.redis_ca)
    try:
        pool = BlockingConnectionPool.from_url(
            settings.redis_url, max_connections=CONNECTIONS_MAX, timeout=ANSWER_S,
            socket_timeout=ANSWER_S, socket_connect_timeout=START_S, decode_responses=True,
            retry=Retry(NoBackoff(), 0), **options,
        )  # fmt: skip
    except ValueError:
        raise StartRefused("MC_REDIS_URL: an address like rediss://:password@host:6379/0") from None
    return Client.from_pool(pool)
