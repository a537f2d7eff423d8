"""InfluxDB 2, built from its source: there is no binary of it in a registry."""

import shutil
import signal
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.servers.cache import bring, cache_folder, require_tools, run_tool
from tests.servers.certificates import Certificates, issue
from tests.servers.process import HOST, Server, free_port, temporary_folder

VERSION = "2.7.12"
FOLDER = f"influxdb-{VERSION}"
MODULE = Path(__file__).with_name("influxd")
"""The Go module that pins the server, all that it is built from, and the tool that builds Flux."""
TAGS = "sqlite_foreign_keys,sqlite_json"
# Flux forbids itself warnings that newer compilers than its own find.
RUSTC_WRAPPER = '#!/bin/sh\nexec "$@" --cap-lints warn\n'
ORG, TOKEN, BUCKET = "mission-control", "influxdb-token", "default"


def install(cache: Path) -> None:
    """Build it, in about four minutes; raises `Unavailable`."""
    if not (cache / FOLDER).exists():
        require_tools("go", "cargo", "rustc", "cc", "pkg-config")
    bring(cache / FOLDER, _build)


def missing() -> str | None:
    """Return why it can't be started here, if so."""
    return None if (cache_folder() / FOLDER).exists() else "InfluxDB is not installed: make servers"


class Influxdb(Server):
    """An InfluxDB with one organisation and a token for all of it."""

    stop_signal = signal.SIGINT
    org = ORG
    token = TOKEN

    def __init__(self, folder: Path, certificates: Certificates | None = None) -> None:
        self.port = free_port()
        self.certificates = certificates
        self._verify: ssl.SSLContext | bool = True
        words: list[str | Path] = [
            cache_folder() / FOLDER / "influxd",
            f"--http-bind-address={HOST}:{self.port}",
            f"--bolt-path={folder / 'influxd.bolt'}",
            f"--sqlite-path={folder / 'influxd.sqlite'}",
            f"--engine-path={folder / 'engine'}",
            "--reporting-disabled",
            "--log-level=warn",
        ]
        if certificates is not None:
            words += [f"--tls-cert={certificates.certificate}", f"--tls-key={certificates.key}"]
            self._verify = ssl.create_default_context(cafile=certificates.authority)
        super().__init__(words, folder, environment={"HOME": str(folder)})

    @property
    def url(self) -> str:
        """Its address."""
        return f"http{'s' if self.certificates else ''}://{HOST}:{self.port}"

    def answers(self) -> bool:
        """Tell whether it is healthy."""
        try:
            return (
                httpx.get(f"{self.url}/health", timeout=5, verify=self._verify).status_code == 200
            )
        except httpx.TransportError:
            return False

    def onboard(self) -> None:
        """Make the organisation and the token; once in the life of its data."""
        body = {
            "username": "admin", "password": "influxdb-password",
            "org": ORG, "bucket": BUCKET, "token": TOKEN,
        }  # fmt: skip
        asked = {"json": body, "timeout": 30, "verify": self._verify}
        httpx.post(f"{self.url}/api/v2/setup", **asked).raise_for_status()

    def bucket(self, name: str) -> str:
        """Make a bucket that keeps points for ever, in InfluxQL a database; return its name."""
        headers = {"Authorization": f"Token {TOKEN}"}
        with httpx.Client(base_url=self.url, headers=headers, timeout=30) as client:
            found = client.get("/api/v2/orgs", params={"org": ORG}).raise_for_status()
            body = {"orgID": found.json()["orgs"][0]["id"], "name": name, "retentionRules": []}
            client.post("/api/v2/buckets", json=body).raise_for_status()
        return name


@contextmanager
def start(*, tls: bool = False) -> Iterator[Influxdb]:
    """Start an empty InfluxDB."""
    with (
        temporary_folder() as folder,
        Influxdb(folder, issue(folder) if tls else None) as server,
    ):
        server.onboard()
        yield server


def _build(fresh: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        # In a shell's words, as the builds of Flux start it by its path.
        wrapper = work / "rustc"
        wrapper.write_text(RUSTC_WRAPPER)
        wrapper.chmod(0o755)
        environment = {
            "GOTOOLCHAIN": "local",
            "PKG_CONFIG": str(work / "pkg-config"),
            "RUSTC_WORKSPACE_WRAPPER": str(wrapper),
            "CARGO_PROFILE_RELEASE_LTO": "off",
            **_installed_toolchain(),
        }
        source = "github.com/influxdata"
        run_tool(
            ["go", "build", "-o", work / "pkg-config", f"{source}/pkg-config"],
            MODULE, GOTOOLCHAIN="local",
        )  # fmt: skip
        run_tool(
            ["go", "build", "-tags", TAGS, "-o", fresh / "influxd", f"{source}/influxdb/v2/cmd/influxd"],
            MODULE, **environment,
        )  # fmt: skip


def _installed_toolchain() -> dict[str, str]:
    # Flux asks for an old one by its name, which rustup would go and fetch.
    if shutil.which("rustup") is None:
        return {}
    said = subprocess.run(
        ["rustup", "show", "active-toolchain"], cwd="/", check=True, capture_output=True, text=True
    )
    return {"RUSTUP_TOOLCHAIN": said.stdout.split()[0]}
