"""InfluxDB 2 over HTTP: points in, InfluxQL out. Nothing here knows what the points mean.

Written with `influxdb-client`, and acknowledged before `write` returns. Read by InfluxQL over `/query`, since
Flux has no future there: a bucket is a database, values are bound, and an error may come with status 200.
"""

import asyncio
import ssl
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

import httpx
import msgspec

from infra.away import reason_away
from infra.logging import log
from infra.settings import Settings
from infra.timeseries import MetricsUnavailable
from infra.tls import trusting

if TYPE_CHECKING:
    from influxdb_client.client.write_api import WriteApi

CONNECT_S = 2.0
ANSWER_S = 10.0
HEALTH_S = 1.0
POINTS_MAX = 5_000
"""How many points one request writes."""
DAY_S = 86_400
NO_INFLUXDB = "MC_INFLUXDB_URL: what answers is no InfluxDB 2"
_LOADING = threading.Lock()


class Point(TypedDict):
    """What is written: the measurement, tags and time are its identity. What is None is left out."""

    measurement: str
    tags: dict[str, str | None]
    fields: dict[str, str | int | float | None]
    time: int


class Found(msgspec.Struct):
    """One series of an answer; times are nanoseconds."""

    columns: list[str]
    name: str = ""
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    values: list[list[Any]] = msgspec.field(default_factory=list)


class _Result(msgspec.Struct):
    series: list[Found] = msgspec.field(default_factory=list)
    error: str | None = None


class _Answer(msgspec.Struct):
    results: list[_Result] = msgspec.field(default_factory=list)
    error: str | None = None


ANSWER = msgspec.json.Decoder(_Answer)


class NoBucket(MetricsUnavailable):
    """InfluxQL knows no such database."""


@dataclass(frozen=True, slots=True)
class Place:
    """A bucket, and after how many days it forgets a point: never, if 0."""

    bucket: str
    retention_days: int = 0


class InfluxDb:
    """One server, seen with one token."""

    def __init__(self, settings: Settings) -> None:
        """Raises `StartRefused` for an authority that is none."""
        assert settings.influxdb_url is not None, "somebody else is asked without it"
        self._url = settings.influxdb_url.rstrip("/")
        self._org = settings.influxdb_org
        self._token = settings.influxdb_token or ""
        self._authority = settings.influxdb_ca
        self._trust: ssl.SSLContext | bool = True
        if self._url.startswith("https://"):
            self._trust = trusting(settings.influxdb_ca, "MC_INFLUXDB_CA")
        self.flow = Place(settings.influxdb_bucket)
        self.telemetry = Place(
            f"{settings.influxdb_bucket}-telemetry", settings.telemetry_retention_days
        )
        self._client: httpx.AsyncClient | None = None
        self._writer: WriteApi | None = None
        self._prepared: set[Place] = set()

    async def aclose(self) -> None:
        """Let go of its connections."""
        if self._client is not None:
            await self._client.aclose()
        if self._writer is not None:
            self._writer.close()  # type: ignore[no-untyped-call]

    async def write(self, place: Place, points: Sequence[Point]) -> None:
        """Write points; they are on disk when this returns. Raises `MetricsUnavailable`."""
        await self.prepare(place)
        for start in range(0, len(points), POINTS_MAX):
            await asyncio.to_thread(self._write, place, points[start : start + POINTS_MAX])

    async def query(
        self, place: Place, statements: Sequence[str], values: Mapping[str, str | int | float],
        *, patience_s: float = ANSWER_S,
    ) -> list[list[Found]]:  # fmt: skip
        """Return of each statement the series it found. Raises `MetricsUnavailable`."""
        form = {
            "db": place.bucket, "epoch": "ns", "q": ";".join(statements),
            "params": msgspec.json.encode(values).decode(),
        }  # fmt: skip
        answer = await self._ask("POST", "/query", data=form, timeout=patience_s)
        self._require_ok(answer.status_code, _message(answer), place)
        try:
            told = ANSWER.decode(answer.content)
        except msgspec.DecodeError:
            raise MetricsUnavailable(NO_INFLUXDB) from None
        for error in (told.error, *(result.error for result in told.results)):
            if error is not None and error.startswith("database not found"):
                raise NoBucket(f"MC_INFLUXDB_BUCKET: no database {place.bucket} for InfluxQL")
            if error is not None:
                raise MetricsUnavailable(f"MC_INFLUXDB_URL: InfluxDB refuses a query: {error}")
        return [result.series for result in told.results]

    async def state(self) -> dict[str, Any]:
        """Tell whether it answers this token, for `/health/ready`."""
        try:
            await self.query(self.flow, ["SHOW MEASUREMENTS LIMIT 1"], {}, patience_s=HEALTH_S)
        except MetricsUnavailable as away:
            return {"status": "away", "reason": str(away)}
        return {"status": "ok"}

    def is_prepared(self, place: Place) -> bool:
        """Tell whether a bucket was there when it was last looked at, and no write has failed since."""
        return place in self._prepared

    async def prepare(self, place: Place) -> None:
        """See to it that a bucket is there, keeps points as long as it shall, and can be read by InfluxQL."""
        if place in self._prepared:
            return
        bucket, organisation_id = await self.find(place)
        if bucket is None:
            bucket = await self._make_bucket(place, organisation_id)
        elif place.retention_days and _retention_s(bucket) != place.retention_days * DAY_S:
            await self._keep_as_long(place, bucket["id"])
        await self._map(place, bucket)
        self._prepared.add(place)

    async def find(self, place: Place) -> tuple[Mapping[str, Any] | None, str]:
        """Return a bucket, or None, and the id of our organisation. Raises `MetricsUnavailable` without one."""
        found = await self._ask("GET", "/api/v2/buckets", params=self._named(name=place.bucket))
        bucket = next(iter(_content(found).get("buckets", ())), None)
        if bucket is not None:
            return bucket, str(bucket["orgID"])
        return None, await self._organisation_id(place)

    async def _organisation_id(self, place: Place) -> str:
        found = await self._ask("GET", "/api/v2/orgs", params={"org": self._org})
        organisation = next(iter(_content(found).get("orgs", ())), None)
        if organisation is None:
            self._require_ok(200 if found.status_code == 404 else found.status_code, "", place)
            raise MetricsUnavailable(
                f"MC_INFLUXDB_ORG: this token knows no organisation {self._org}"
            )
        return str(organisation["id"])

    async def _make_bucket(self, place: Place, organisation_id: str) -> Mapping[str, Any]:
        body = {"orgID": organisation_id, "name": place.bucket, "retentionRules": _rules(place)}
        made = await self._ask("POST", "/api/v2/buckets", json=body)
        if made.status_code != 201:
            self._require_ok(made.status_code, _message(made), place)
        log.info("made a bucket", bucket=place.bucket, retention_days=place.retention_days or None)
        return _content(made)

    async def _keep_as_long(self, place: Place, bucket_id: str) -> None:
        body = {"retentionRules": _rules(place)}
        changed = await self._ask("PATCH", f"/api/v2/buckets/{bucket_id}", json=body)
        if changed.status_code != 200:
            log.warning(
                "MC_TELEMETRY_RETENTION_DAYS: this token may not change the bucket's retention",
                bucket=place.bucket,
            )

    async def _map(self, place: Place, bucket: Mapping[str, Any]) -> None:
        # Servers from 2.1 on map a bucket's name by themselves, unless somebody mapped it otherwise.
        mapped = await self._ask("GET", "/api/v2/dbrps", params=self._named(db=place.bucket))
        if mapped.status_code == 200 and not _content(mapped).get("content"):
            body = {
                "orgID": bucket["orgID"], "bucketID": bucket["id"], "database": place.bucket,
                "retention_policy": "autogen", "default": True,
            }  # fmt: skip
            await self._ask("POST", "/api/v2/dbrps", json=body)

    def _named(self, **values: str) -> dict[str, str]:
        return {"org": self._org, **values}

    async def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        if self._client is None:
            self._client = httpx.AsyncClient(
                base_url=self._url,
                headers={"Authorization": f"Token {self._token}"},
                timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
                verify=self._trust,
            )
        try:
            answer = await self._client.request(method, path, **more)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise _away(error) from error
        if _is_of_another(answer):
            raise MetricsUnavailable(NO_INFLUXDB)
        return answer

    def _write(self, place: Place, points: Sequence[Point]) -> None:
        # Takes a second, or ten on a busy machine. A thread that came in the middle of it would find the
        # package half made, and fail.
        with _LOADING:
            from influxdb_client.client.exceptions import InfluxDBError  # noqa: PLC0415
            from urllib3.exceptions import HTTPError  # noqa: PLC0415

        try:
            self._write_api().write(place.bucket, record=points)
        except InfluxDBError as error:
            self._prepared.discard(place)  # perhaps it was deleted meanwhile
            if error.response is None:  # what went wrong with TLS is told as an error of its own
                raise _away(error) from error
            self._require_ok(error.response.status, str(error.message), place)
            raise
        except (HTTPError, OSError) as error:
            self._prepared.discard(place)  # what comes back may be an empty one
            raise _away(error) from error

    def _write_api(self) -> "WriteApi":
        if self._writer is None:
            from influxdb_client.client.influxdb_client import (  # noqa: PLC0415 - takes a second
                InfluxDBClient,
            )
            from influxdb_client.client.write_api import SYNCHRONOUS  # noqa: PLC0415 - the same

            client = InfluxDBClient(
                self._url, self._token, org=self._org, timeout=int(ANSWER_S * 1000), retries=False,
                ssl_ca_cert=str(self._authority) if self._authority is not None else None,
            )  # fmt: skip
            self._writer = client.write_api(write_options=SYNCHRONOUS)
        return self._writer

    def _require_ok(self, status: int, message: str, place: Place) -> None:
        """Raise `MetricsUnavailable` that names the setting at fault."""
        if status < 300:
            return
        reasons = {
            401: "MC_INFLUXDB_TOKEN: InfluxDB does not accept it",
            403: f"MC_INFLUXDB_TOKEN: it may not use the bucket {place.bucket}",
            404: f"MC_INFLUXDB_BUCKET: there is no bucket {place.bucket} in {self._org}",
        }
        other = f"MC_INFLUXDB_URL: InfluxDB answers {status}" + (f": {message}" if message else "")
        raise MetricsUnavailable(reasons.get(status, other))


def _away(error: Exception) -> MetricsUnavailable:
    return MetricsUnavailable(reason_away(error, "MC_INFLUXDB_URL", "MC_INFLUXDB_CA"))


def _is_of_another(answer: httpx.Response) -> bool:
    """Tell whether a refusal is of a server that knows nothing of what InfluxDB is asked."""
    # A proxy has words of its own for who may not come in, and for an InfluxDB that is away.
    by_proxy = answer.status_code in {401, 403, 429} or answer.status_code >= 500
    is_known = "x-influxdb-version" in answer.headers or bool(_message(answer))
    return answer.is_error and not by_proxy and not is_known


def _content(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        content = msgspec.json.decode(answer.content)
    except msgspec.DecodeError:
        return {}
    return content if isinstance(content, dict) else {}


def _message(answer: httpx.Response) -> str:
    return str(_content(answer).get("message", ""))


def _rules(place: Place) -> list[dict[str, Any]]:
    if not place.retention_days:
        return []
    return [{"type": "expire", "everySeconds": place.retention_days * DAY_S}]


def _retention_s(bucket: Mapping[str, Any]) -> int:
    return sum(int(rule["everySeconds"]) for rule in bucket.get("retentionRules", ()))
