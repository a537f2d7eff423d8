"""The connection to Elasticsearch: made once, with errors that say in one line what to look at."""

import logging
from collections.abc import Awaitable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urlsplit

from infra.away import reason_away
from infra.logging import log
from infra.search import SearchUnavailable
from infra.settings import Settings, StartRefused
from infra.tls import trusting

if TYPE_CHECKING:
    from elasticsearch import ApiError, TransportError

T = TypeVar("T")
REQUEST_S_MAX = 5.0
"""How long a query may take. What is written, or looked for behind a refresh, may take `WRITE_S_MAX`."""
WRITE_S_MAX = 30.0
STATE_S_MAX = 1.0
BULK_BYTES_MAX = 2**19
"""A larger body would hold up the event loop while it is sent."""
OVERLOADED = 429
EVERYTHING = "mc-*"
BLOCKS = "index.blocks.*"
WRITE_BLOCKS = frozenset({"read_only", "read_only_allow_delete", "write"})
"""Elasticsearch sets the second by itself where a disk is almost full, and takes it back when it is not."""
BLOCKED = "cluster_block_exception"
NO_ELASTICSEARCH = "MC_ELASTICSEARCH_URL: what answers is no Elasticsearch"
REFUSES = "MC_ELASTICSEARCH_URL: Elasticsearch refuses to write"


class ElasticsearchAway(SearchUnavailable):
    """It can't be reached, or refuses everything for now; the message names the setting at fault."""


class IndexMissing(SearchUnavailable):
    """An index or alias is not there, or not there yet: it has to be built from the log."""


class Cluster:
    """A lazily opened connection. What goes wrong is logged when it begins, and when it is over."""

    def __init__(self, settings: Settings) -> None:
        """Raises `StartRefused` for settings that can't work whatever answers."""
        # Only a deployment that has an Elasticsearch pays for the import.
        from elasticsearch import AsyncElasticsearch  # noqa: PLC0415

        # What it has to say about a lost connection, we say in one line.
        logging.getLogger("elastic_transport").setLevel(logging.ERROR)
        url = settings.elasticsearch_url or ""
        options: dict[str, Any] = {"api_key": settings.elasticsearch_api_key}
        if _scheme(url) == "https":
            options["ssl_context"] = trusting(settings.elasticsearch_ca, "MC_ELASTICSEARCH_CA")
        self.client = AsyncElasticsearch(
            url, request_timeout=REQUEST_S_MAX, max_retries=1, retry_on_timeout=False,
            retry_on_status=(), **options,
        )  # fmt: skip
        self.writer = self.client.options(request_timeout=WRITE_S_MAX)
        self.away: str | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.client.close()

    async def call(self, request: Awaitable[T]) -> T:
        """Return the answer to a request; raises `ElasticsearchAway`, `IndexMissing`, or its own error."""
        from elasticsearch import ApiError, NotFoundError, TransportError  # noqa: PLC0415

        try:
            answer = await request
        except (ApiError, TransportError) as error:
            if isinstance(error, NotFoundError) and not _is_of_another(error):
                raise IndexMissing(error.error) from error
            reason = _reason(error)
            if reason is None:
                raise
            self._note(reason)
            raise ElasticsearchAway(reason) from error
        self._note(None)
        return answer

    async def bulk(self, operations: Sequence[bytes]) -> list[dict[str, Any]]:
        """Send pairs of action and document; return the result of each, refused ones too.

        Raises `IndexMissing` where an alias is not there, and `ElasticsearchAway` where one has to be
        sent again.
        """
        results: list[dict[str, Any]] = []
        for chunk in _chunks(operations):
            # Its type leaves out that lines may be encoded already.
            sent = self.writer.bulk(operations=chunk)  # type: ignore[arg-type]
            answer = await self.call(sent)
            results += [next(iter(item.values())) for item in answer["items"]]
        statuses = {result["status"] for result in results}
        if 404 in statuses:
            raise IndexMissing("an index is not there")
        if blocked := next(filter(None, map(_blocked, results)), None):
            raise ElasticsearchAway(f"{REFUSES}: {blocked}")
        if OVERLOADED in statuses or max(statuses, default=0) >= 500:
            raise ElasticsearchAway("Elasticsearch can't write everything right now")
        return results

    async def state(self) -> dict[str, Any]:
        """Return what health says."""
        try:
            await self.probe()
        except ElasticsearchAway as away:
            return {"status": "away", "reason": str(away)}
        return {"status": "ok"}

    async def probe(self, within_s: float = STATE_S_MAX) -> None:
        """Ask whether it answers, and takes writes; raises `ElasticsearchAway`."""
        quick = self.client.options(request_timeout=within_s, max_retries=0)
        await self.call(quick.count(index=EVERYTHING, terminate_after=1))
        # One whose disk is full answers every question. Documents are written by other processes, at times.
        found = await self.call(quick.indices.get_settings(index=EVERYTHING, name=BLOCKS))
        blocks = {
            f"{BLOCKS[:-1]}{block}"
            for index in found.values()
            for block, value in index["settings"].get("index", {}).get("blocks", {}).items()
            if block in WRITE_BLOCKS and value == "true"
        }
        if blocks:
            raise ElasticsearchAway(f"{REFUSES}: {', '.join(sorted(blocks))} is set")

    def _note(self, reason: str | None) -> None:
        if reason is not None and reason != self.away:
            log.warning("Elasticsearch is away", reason=reason)
        if reason is None and self.away is not None:
            log.info("Elasticsearch is back")
        self.away = reason


def _reason(error: "ApiError | TransportError") -> str | None:
    """Return why nothing works right now; None where it is this request's own fault."""
    from elasticsearch import (  # noqa: PLC0415 - as above
        ApiError,
        AuthenticationException,
        AuthorizationException,
        ConnectionTimeout,
        UnsupportedProductError,
    )

    named: dict[type[Exception], str] = {
        ConnectionTimeout: "MC_ELASTICSEARCH_URL: no answer in time",
        AuthenticationException: "MC_ELASTICSEARCH_API_KEY: the key is refused",
        AuthorizationException: f"MC_ELASTICSEARCH_API_KEY: the key may not use {EVERYTHING}",
        UnsupportedProductError: NO_ELASTICSEARCH,
    }
    if isinstance(error, ApiError) and (blocked := _blocked(error.body)) is not None:
        return f"{REFUSES}: {blocked}"  # with the status of a key that may not, at times
    for kind, reason in named.items():
        if isinstance(error, kind):
            return reason
    if not isinstance(error, ApiError):
        return reason_away(error, "MC_ELASTICSEARCH_URL", "MC_ELASTICSEARCH_CA")
    status = error.meta.status
    if status == OVERLOADED or status >= 500:
        return f"MC_ELASTICSEARCH_URL: Elasticsearch answers {status} ({error.error})"
    return NO_ELASTICSEARCH if _is_of_another(error) else None


def _is_of_another(error: "ApiError") -> bool:
    # Each answer of Elasticsearch names it. The client looks at those alone that are no errors.
    return error.meta.headers.get("x-elastic-product") != "Elasticsearch"


def _blocked(answer: Any) -> str | None:
    """Return what an answer, or a part of one, says of a block; None where it tells of none."""
    error = answer.get("error") if isinstance(answer, Mapping) else None
    if not isinstance(error, Mapping) or error.get("type") != BLOCKED:
        return None
    return str(error["reason"]).rstrip(";")


def _chunks(operations: Sequence[bytes]) -> list[list[bytes]]:
    chunks: list[list[bytes]] = []
    free = 0
    for action, document in zip(operations[::2], operations[1::2], strict=True):
        size = len(action) + len(document)
        if not chunks or size > free:
            chunks.append([])
            free = BULK_BYTES_MAX
        chunks[-1] += [action, document]
        free -= size
    return chunks


def _scheme(url: str) -> str:
    try:
        parts = urlsplit(url)
        known = parts.scheme in {"http", "https"} and parts.hostname and parts.port
    except ValueError:
        known = False
    if not known:
        raise StartRefused("MC_ELASTICSEARCH_URL: an address like https://host:9200 is needed")
    return parts.scheme
