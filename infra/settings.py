"""Settings: every one is an environment variable `MC_…`; command-line options win over it."""

import os
from collections.abc import Collection
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import SplitResult, urlsplit

import platformdirs
from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX = "MC_"
ROOT_DATA_DIR = Path("/var/lib/mission-control/default")
EVERYBODY = ("*",)
VISIBLE = frozenset(map(chr, range(0x21, 0x7F)))
DEFAULT_PORTS = {"http": 80, "https": 443}


class StartRefused(Exception):
    """The program can't do what was asked; the message is one line for the person who asked."""


def default_data_dir() -> Path:
    """Return the platform's place for this user's data; for root, one that a service user can reach."""
    if os.geteuid() == 0:
        return ROOT_DATA_DIR
    return platformdirs.user_data_path("mission-control")


class Settings(BaseSettings):
    """How this process runs. Units are in the names."""

    # What is not known stays quiet: the environment may hold settings of a newer or older version.
    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    data_dir: Path = Field(default_factory=default_data_dir)
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    database_url: str | None = Field(default=None, repr=False)
    admin_email: str | None = None
    admin_password: str | None = Field(default=None, repr=False)
    tls_cert: Path | None = None
    tls_key: Path | None = None
    behind_proxy: bool = False
    demo: bool = False
    # Whose X-Forwarded-For and -Proto are believed when `behind_proxy` is on; nobody's otherwise.
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ("127.0.0.1", "::1")
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = ()
    root_key: str | None = Field(default=None, repr=False)
    log_format: Literal["auto", "console", "json"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    postgres_user: str | None = None
    # Outside services; without its address, each has a counterpart in this program.
    kafka_bootstrap: str | None = None
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    kafka_username: str | None = None
    kafka_password: str | None = Field(default=None, repr=False)
    kafka_tls: bool = False
    kafka_ca: Path | None = None
    # Before the names of topics and consumer groups: deployments may share a cluster.
    kafka_topic_prefix: str = Field(default="mc", pattern=r"^[a-z0-9][a-z0-9-]{0,60}$")
    elasticsearch_url: str | None = Field(default=None, repr=False)
    elasticsearch_api_key: str | None = Field(default=None, repr=False)
    elasticsearch_ca: Path | None = None
    influxdb_url: str | None = None
    influxdb_token: str | None = Field(default=None, repr=False)
    influxdb_ca: Path | None = None
    influxdb_org: str = "mission-control"
    influxdb_bucket: str = "mission-control"
    telemetry_retention_days: int = Field(default=30, ge=1, le=3650)
    redis_url: str | None = Field(default=None, repr=False)
    redis_ca: Path | None = None
    read_database_url: str | None = Field(default=None, repr=False)
    # Lets whoever has it read `/metrics`, and nothing else: what collects them is no person.
    metrics_token: str | None = Field(default=None, repr=False, min_length=16)
    # How long `/health/ready` says no before the port closes, so that a balancer sends nobody any more.
    drain_s: float = Field(default=0, ge=0, le=300)
    lease_ttl_s: int = Field(default=60, ge=1, le=86_400)
    heartbeat_timeout_s: int = Field(default=30, ge=1, le=86_400)

    @classmethod
    def load(cls, **options: Any) -> Self:
        """Return the settings of the environment, under the options that are not None.

        Raises `StartRefused` that names the variable at fault and never repeats its value.
        """
        try:
            return cls(**{name: value for name, value in options.items() if value is not None})
        except ValidationError as error:
            fault = error.errors(include_input=False)[0]
            reason = fault["msg"].removeprefix("Value error, ")
            named = f"{PREFIX}{fault['loc'][0]}: ".upper() if fault["loc"] else ""
            raise StartRefused(f"{named}{reason}") from None

    @field_validator("trusted_proxies", "allowed_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip().rstrip("/") for part in value.split(",") if part.strip())
        return value

    @field_validator(
        "data_dir", "tls_cert", "tls_key", "kafka_ca", "elasticsearch_ca", "influxdb_ca", "redis_ca"
    )
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        # Absolute from the start: PostgreSQL runs in another working directory.
        return path.expanduser().absolute() if path is not None else None

    @field_validator("trusted_proxies")
    @classmethod
    def _are_addresses(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        if proxies == EVERYBODY:
            return proxies
        try:
            for proxy in proxies:
                ip_network(proxy)
        except ValueError:
            raise ValueError(
                "addresses or networks are needed, like 10.0.0.1,10.1.0.0/16, or * alone"
            ) from None
        return proxies

    @field_validator("allowed_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        if not all(map(_is_origin, origins)):
            raise ValueError(
                "origins are needed as browsers write them, like https://missions.example.org"
            )
        return origins

    @field_validator("database_url", "read_database_url")
    @classmethod
    def _is_postgres(cls, url: str | None) -> str | None:
        if url is not None and not _is_conninfo(url):
            raise ValueError(
                "a PostgreSQL connection string is needed, like postgresql://user@host/name"
            )
        return url

    @field_validator("influxdb_url")
    @classmethod
    def _is_web(cls, url: str | None) -> str | None:
        if url is not None and _address(url, {"http", "https"}) is None:
            raise ValueError("an address is needed, like https://host:8086")
        return url

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, url: str | None) -> str | None:
        if url is not None and not _is_redis_address(url):
            raise ValueError("an address is needed, like rediss://:password@host:6379/0")
        return url

    @field_validator("elasticsearch_api_key", "influxdb_token")
    @classmethod
    def _fits_a_header(cls, secret: str | None) -> str | None:
        if secret is not None and not set(secret) <= VISIBLE:
            raise ValueError("letters, digits and signs of ASCII are needed, without spaces")
        return secret

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if bool(self.tls_cert) != bool(self.tls_key):
            raise ValueError("MC_TLS_CERT and MC_TLS_KEY go together")
        if self.kafka_sasl_mechanism and not (self.kafka_username and self.kafka_password):
            raise ValueError("MC_KAFKA_SASL_MECHANISM needs MC_KAFKA_USERNAME and _PASSWORD")
        if self.influxdb_url and not self.influxdb_token:
            raise ValueError("MC_INFLUXDB_URL needs MC_INFLUXDB_TOKEN")
        if self.influxdb_ca and not (self.influxdb_url or "").startswith("https://"):
            raise ValueError("MC_INFLUXDB_CA is for an MC_INFLUXDB_URL that begins with https://")
        if self.redis_ca and not (self.redis_url or "").startswith("rediss://"):
            raise ValueError("MC_REDIS_CA is for an MC_REDIS_URL that begins with rediss://")
        if self.read_database_url and not self.database_url:
            raise ValueError(
                "MC_READ_DATABASE_URL is a replica of MC_DATABASE_URL, which is not set"
            )
        return self

    @property
    def root_key_file(self) -> Path:
        """Where the root key is kept, unless `root_key` is set."""
        return self.data_dir / "root.key"

    @property
    def scheme(self) -> str:
        """`https` where a certificate is set."""
        return "https" if self.tls_cert else "http"

    def url(self, port: int) -> str:
        """Return the address to show, with the port that was really bound."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{port}"

    def origins(self, port: int) -> frozenset[str]:
        """Return the origins whose pages may use the browser session and the socket."""
        own = {f"{self.scheme}://{host}:{port}" for host in (self.host, "localhost", "127.0.0.1")}
        return frozenset(own | set(self.allowed_origins))


def _is_conninfo(url: str) -> bool:
    # Loaded where an address is set: a command line that needs no database is quicker without.
    from psycopg import ProgrammingError  # noqa: PLC0415
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

    if not (url.startswith(("postgresql://", "postgres://")) or "=" in url):
        return False
    try:
        conninfo_to_dict(url)
    except (ProgrammingError, UnicodeError):  # whose messages repeat it, and with it the password
        return False
    return True


def _is_redis_address(url: str) -> bool:
    parts = _address(url, {"redis", "rediss"})
    # The client takes what is no number for the first database.
    number = parts.path.removeprefix("/") if parts else None
    return number is not None and (not number or number.isdecimal())


def _is_origin(text: str) -> bool:
    parts = _address(text, DEFAULT_PORTS)
    return (
        parts is not None
        # It is compared with what browsers send: in small letters, and without what goes without saying.
        and text == f"{parts.scheme}://{parts.netloc.lower()}"
        and text.isascii()
        and parts.username is None
        and parts.port != DEFAULT_PORTS[parts.scheme]
    )


def _address(url: str, schemes: Collection[str]) -> SplitResult | None:
    """Return the parts of an address with a host; None where it is none."""
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme in schemes and parts.hostname and parts.port != 0
    except ValueError:
        return None
    # The whole of it: signs that can't be seen are left out of the parts.
    return parts if is_whole and url.isprintable() and " " not in str(parts.hostname) else None
