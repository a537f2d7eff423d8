"""A running server, as the command line speaks to it."""

import ipaddress
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import typer

from infra.data_dir import holder
from infra.settings import Settings
from infra.terminal import kept
from infra.terminal.output import (
    FAILED,
    MISUSED,
    Failed,
    Json,
    clean,
    mind_a_closed_output,
    progress,
    quiet_ends,
)

if TYPE_CHECKING:
    import httpx

DEFAULT_URL = "http://127.0.0.1:8000"
COOKIE = "mc_session"
TIMEOUT_S = 30.0
SILENT_S = 60.0  # a stream in which nothing happens has an empty line more often than that
PAGE_ROWS_MAX = 200
ROWS_MAX = 100_000

UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url", envvar="MC_URL", show_envvar=False,
        help="The server (MC_URL); by default the one that runs here.",
    ),
]  # fmt: skip
KeyOption = Annotated[
    str | None,
    typer.Option(
        "--key", envvar="MC_KEY", show_envvar=False,
        help="An agent's key (MC_KEY, which others on this machine can't see).",
    ),
]  # fmt: skip
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, as the server gives it.")]

AsOfOption = Annotated[
    str | None, typer.Option(help="As it was at this position or time (ISO 8601, with offset).")
]

Method = Literal["GET", "POST", "PUT", "DELETE"]
Value = str | int | list[str] | None
Kind = Literal["key", "token", "kept", "nobody"]

WHAT_TO_DO: dict[Kind, str] = {
    "key": "the key of --key or MC_KEY is not in force: ask for a new one",
    "token": "the token of MC_TOKEN is not in force: get a new one",
    "kept": "your sign-in has ended: run `mission-control sign-in`",
    "nobody": "you are not signed in: run `mission-control sign-in`, or set MC_KEY to an agent's key",
}


class Refused(Failed):
    """The server answered, and the answer is no.

    Values that make no sense to it are misuse, as those are which make none to the command line.
    """

    def __init__(self, status: int, code: str, detail: str, field: str = "") -> None:
        told = detail if detail.startswith(f"{field}: ") or not field else f"{field}: {detail}"
        super().__init__(f"{clean(told)} ({clean(code)})", MISUSED if status == 422 else FAILED)
        self.status = status


class Away(Failed):
    """Nobody answers, or the connection broke: `what` happened, and what to do for who does not wait."""

    def __init__(self, what: str, advice: str = "try again") -> None:
        super().__init__(f"{what}: {advice}")
        self.what = what


@contextmanager
def connected(url: str | None, key: str | None) -> Iterator["Server"]:
    """Speak to a server as whoever the options, the environment or a kept sign-in say."""
    with quiet_ends():
        mind_a_closed_output()
        server = Server(address(url))
        server.act_as(key)
        with server.http:
            yield server


def address(url: str | None) -> str:
    """Return the server's address: the given one, that of the server that runs here, or the usual one."""
    if url is None:
        running = holder(Settings.load().data_dir)
        url = running.url if running and running.url else DEFAULT_URL
    try:
        parts = urlsplit(url)
        known = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        usable = known and f"{parts.path}{parts.query}{parts.fragment}" in {"", "/"}
    except ValueError:
        usable = False
    if not usable:
        raise Failed(f"--url: an address like {DEFAULT_URL} is needed", MISUSED)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def as_it_was(document: Json, as_of: str | None) -> Json:
    """Return a document of the past; raises `Failed` where the server told the present instead."""
    if as_of is not None and "as_of" not in document:
        raise Failed("this server does not know the past: --as-of needs a newer one")
    return document


def is_loopback(url: str) -> bool:
    """Tell whether an address is this machine's own, to which no proxy leads."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Server:
    """Asks and tells a server, and turns every refusal into one line."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._kind: Kind = "nobody"
        self._token = ""
        self._kept: kept.SignIn | None = None

    def act_as(self, key: str | None) -> None:
        """Choose the credential: a key, `MC_TOKEN`, or what `sign-in` has kept."""
        if key is not None:
            self._kind, self._token = "key", key
        elif token := os.environ.get("MC_TOKEN"):
            self._kind, self._token = "token", token
        elif found := kept.kept_for(self.url):
            self._kind, self._token, self._kept = "kept", found.access_token, found
        if not self._token.isascii() or not self._token.isprintable() or " " in self._token:
            raise Failed(WHAT_TO_DO[self._kind])

    @cached_property
    def http(self) -> "httpx.Client":
        """The connections; opened when somebody first asks."""
        import httpx  # noqa: PLC0415 - a quarter of a second, that `--help` can do without

        # A transport of our own is one that the environment's proxies do not reach.
        own = httpx.HTTPTransport() if is_loopback(self.url) else None
        try:
            return httpx.Client(base_url=self.url, timeout=TIMEOUT_S, transport=own)
        except httpx.InvalidURL:
            raise Failed(f"--url: an address like {DEFAULT_URL} is needed", MISUSED) from None

    def get(self, path: str, **parameters: Value) -> Json:
        """Return a document."""
        return self.json(self.request("GET", path, parameters=parameters))

    def command(self, method: Method, path: str, body: Json | None = None) -> "httpx.Response":
        """Give a command. It is done once, also where the connection breaks and it is said again."""
        headers = {"Idempotency-Key": str(uuid4())}
        try:
            return self.request(method, path, headers=headers, body=body)
        except Away as away:
            if away.__cause__ is None:
                raise
            return self.request(method, path, headers=headers, body=body)

    def rows(self, path: str, limit: int, **parameters: Value) -> Json:
        """Return up to `limit` rows of a list, page by page, as one document."""
        document: Json = {"items": [], "next_cursor": None}
        with progress("reading", limit) as tell:
            while (left := limit - len(document["items"])) > 0:
                cursor = document["next_cursor"]
                page = self.get(path, limit=min(left, PAGE_ROWS_MAX), cursor=cursor, **parameters)
                page["items"] = [*document["items"], *page["items"]]
                # Its position is the first page's: what is newer may be missing.
                document = {**page, "position": document.get("position", page.get("position"))}
                tell(len(document["items"]))
                if document.get("next_cursor") is None:
                    break
        return document

    def board_id(self, board: str | None) -> str | None:
        """Return a board's id for its id or its name; None, the workspace's own, stays None."""
        if board is None or is_id(board):
            return board
        boards = self.rows("/api/boards", ROWS_MAX)["items"]
        found = [one["id"] for one in boards if one["name"].casefold() == board.casefold()]
        if len(found) != 1:
            known = ", ".join(sorted(clean(one["name"]) for one in boards)[:10])
            raise Failed(f"no board is named {clean(board)}; there are {known}", MISUSED)
        return str(found[0])

    def request(
        self,
        method: Method,
        path: str,
        *,
        parameters: Mapping[str, Value] | None = None,
        headers: dict[str, str] | None = None,
        body: Json | None = None,
    ) -> "httpx.Response":
        """Ask, and renew the sign-in where that helps. Raises `Refused` and `Away`."""
        given = {name: value for name, value in (parameters or {}).items() if value is not None}
        for again in (False, True):
            signed = {**(headers or {}), **self.authorization()}
            with self._reaching():
                answer = self.http.request(method, path, params=given, headers=signed, json=body)
            if answer.status_code != 401 or again or not self.renewed():
                break
        return self.accepted(answer)

    def stream(self, path: str, parameters: Mapping[str, Value]) -> Iterator[list[bytes]]:
        """Yield the lines of a long answer, as many at a time as have come."""
        import httpx  # noqa: PLC0415 - the same

        given = {name: value for name, value in parameters.items() if value is not None}
        patient = httpx.Timeout(TIMEOUT_S, read=SILENT_S)
        for again in (False, True):
            opened = self.http.stream(
                "GET", path, params=given, headers=self.authorization(), timeout=patient
            )
            with self._reaching(), opened as answer:
                if answer.status_code == 401 and not again and self.renewed():
                    continue
                if answer.status_code != 200:
                    answer.read()
                    self.accepted(answer)
                yield from _lines(answer.iter_bytes())
                return

    def authorization(self) -> dict[str, str]:
        """Return the header that says who asks."""
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def renewed(self) -> bool:
        """Get a fresh access token for a kept session; tell whether there is one."""
        if self._kept is None:
            return False
        cookies = {"Cookie": f"{COOKIE}={self._kept.session}", "Origin": self.url}
        with self._reaching():
            answer = self.http.post("/api/auth/token", headers=cookies)
        if answer.status_code != 200:
            return False
        self._token = self._kept.access_token = str(self.json(answer)["access_token"])
        kept.keep(self.url, self._kept)
        return True

    def fresh_token(self) -> str:
        """Return a key, or an access token that lasts as long as one can."""
        self.renewed()
        return self._token

    def signed_out(self) -> Refused:
        """Return the refusal of a credential that is in force no more; it says what to do."""
        return Refused(401, "unauthenticated", WHAT_TO_DO[self._kind])

    def sign_in(self, email: str, password: str, workspace: str | None) -> kept.SignIn:
        """Begin a session with an address and a password."""
        body = {"email": email, "password": password}
        if workspace is not None:
            body["workspace"] = workspace
        with self._reaching():
            answer = self.http.post("/api/auth/sign-in", json=body)
        token = str(self.json(self.accepted(answer))["access_token"])
        return kept.SignIn(email, answer.cookies.get(COOKIE) or "", token)

    def sign_out(self, sign_in: kept.SignIn) -> None:
        """End a session."""
        headers = {"Cookie": f"{COOKIE}={sign_in.session}", "Origin": self.url}
        with self._reaching():
            self.accepted(self.http.post("/api/auth/sign-out", headers=headers))

    def json(self, answer: "httpx.Response") -> Json:
        """Return an answer's document."""
        try:
            document = answer.json()
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise Failed(f"{self.url} does not answer like Mission Control: is --url right?")
        return document

    def accepted(self, answer: "httpx.Response") -> "httpx.Response":
        """Return an answer that says yes; raises `Refused` for the others."""
        if answer.status_code < 300 or answer.status_code == 304:
            return answer
        problem = self.json(answer)
        if "code" not in problem:
            raise Failed(f"{self.url} does not answer like Mission Control: is --url right?")
        if problem["code"] == "unauthenticated":
            raise self.signed_out()
        raise Refused(
            answer.status_code, problem["code"], problem["detail"], problem.get("field", "")
        )

    def _reaching(self) -> AbstractContextManager[None]:
        return _reaching(self.url)


@contextmanager
def _reaching(url: str) -> Iterator[None]:
    import httpx  # noqa: PLC0415 - the same

    try:
        yield
    except httpx.ConnectError:
        raise Away(
            f"no server answers at {url}",
            "start one with `mission-control up`, or name another by --url or MC_URL",
        ) from None
    except httpx.TimeoutException as error:
        raise Away(f"{url} does not answer any more") from error
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise Away(f"the connection to {url} broke ({type(error).__name__})") from error


def _lines(chunks: Iterator[bytes]) -> Iterator[list[bytes]]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield [line for line in whole if line]
    if rest:
        raise Away("an answer was cut off in the middle of a line")


def is_id(text: str) -> bool:
    """Tell whether a word is an id and no name."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True
