"""Settings: every one is an environment variable `MC_…`; command-line options win over it."""

import os
from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class StartRefused(Exception):
    """The program can't start as asked; the message is one line for the person who asked."""


def default_data_dir() -> Path:
    """Return the platform's place for this user's data; for root a place that a service user can reach."""
    return Path(platformdirs.user_data_path("mission-control")) if _is_plain_user() else _ROOT_DATA


_ROOT_DATA = Path("/var/lib/mission-control/default")


def _is_plain_user() -> bool:
    return os.geteuid() != 0


class Settings(BaseSettings):
    """How this process runs. Units are in the names."""

    model_config = SettingsConfigDict(env_prefix="MC_", frozen=True, extra="ignore")

    data_dir: Path = Field(default_factory=default_data_dir)
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    database_url: str | None = None
    admin_email: str | None = None
    admin_password: str | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    behind_proxy: bool = False
    allowed_origins: tuple[str, ...] = ()
    root_key: str | None = None
    log_format: Literal["auto", "console", "json"] = "auto"
    postgres_user: str | None = None
    lease_ttl_s: int = Field(default=60, ge=1, le=86_400)
    heartbeat_timeout_s: int = Field(default=30, ge=1, le=86_400)

    @property
    def scheme(self) -> str:
        """`https` where a certificate is set."""
        return "https" if self.tls_cert else "http"

    def origins(self, port: int) -> frozenset[str]:
        """Return the origins whose pages may use the browser session and the socket."""
        own = {f"{self.scheme}://{host}:{port}" for host in (self.host, "localhost", "127.0.0.1")}
        return frozenset(own | set(self.allowed_origins))
