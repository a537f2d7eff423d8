"""How the simulation reaches the server: as anybody does, over HTTP, with keys and passwords."""

import asyncio
import ipaddress
import itertools
import socket
import ssl
import time
from typing import Any, Self

import httpx
from uuid_utils.compat import uuid7

from infra.demo.keys import PersonPassword
from infra.settings import Settings

TIMEOUT_S = 15
TOKEN_KEPT_S = 480
PAUSE_S, PAUSE_MAX_S = 1.0, 15.0
AGAIN = frozenset({429, 502, 503, 504})


class NotWelcome(Exception):
    """The key or the password is not in force any more."""


class Server:
    """The running server. A request that can't be served now is asked again, with the same key."""

    def __init__(
        self, settings: Settings, listening: socket.socket, mark: str, workspace: str
    ) -> None:
        self._client = httpx.AsyncClient(
            base_url=_address(settings, listening), verify=_trust(settings), timeout=TIMEOUT_S,
            trust_env=False,
        )  # fmt: skip
        self._mark = mark
        self._workspace = workspace
        self._numbers = itertools.count(1)
        self._tokens: dict[str, tuple[str, float]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._client.aclose()

    async def ask(
        self, method: str, path: str, credential: str | None, body: dict[str, Any] | None = None
    ) -> tuple[int, Any]:
        """Return the status and the body of the answer. Raises `NotWelcome` for a 401."""
        headers = {"X-Request-Id": f"{self._mark}{next(self._numbers)}"}
        if credential is not None:
            headers["Authorization"] = f"Bearer {credential}"
        if method != "GET":
            headers["Idempotency-Key"] = uuid7().hex
        pause_s = PAUSE_S
        while True:
            try:
                answer = await self._client.request(method, path, headers=headers, json=body)
            except httpx.TransportError:
                status, wait_s = 503, pause_s
            else:
                status = answer.status_code
                wait_s = _seconds(answer.headers.get("retry-after"), pause_s)
                if status == 401:
                    raise NotWelcome(answer.json()["detail"])
                if status not in AGAIN:
                    return status, answer.json() if answer.content else None
            await asyncio.sleep(min(wait_s, PAUSE_MAX_S))
            pause_s = min(pause_s * 2, PAUSE_MAX_S)

    async def sign_in(self, person: PersonPassword) -> str:
        """Return an access token of a person, which lasts for a while."""
        token, until = self._tokens.get(person.name, ("", 0.0))
        if time.monotonic() >= until:
            body = {
                "email": person.email, "password": person.password, "workspace": self._workspace,
            }  # fmt: skip
            status, answer = await self.ask("POST", "/api/auth/sign-in", None, body)
            if status != 200:
                raise NotWelcome(answer["detail"])
            token = answer["access_token"]
            self._tokens[person.name] = token, time.monotonic() + TOKEN_KEPT_S
        return token

    def forget(self, person: PersonPassword) -> None:
        """Sign the person in afresh the next time."""
        self._tokens.pop(person.name, None)


def _address(settings: Settings, listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    named = f"[{address}]" if address.version == 6 else str(address)
    return f"{settings.scheme}://{named}:{port}"


def _trust(settings: Settings) -> ssl.SSLContext | bool:
    """Trust the server's own certificate and no other; it may be for another name."""
    if settings.tls_cert is None:
        return True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(settings.tls_cert)
    return context


def _seconds(header: str | None, otherwise: float) -> float:
    return float(header) if header and header.isdigit() else otherwise
