"""The dashboard's files, in front of the API: built by `web_build.py`, read once, served from memory."""

import gzip
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from mimetypes import guess_type
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from infra.http.encodings import encodings_taken
from infra.http.etags import is_known

FOLDER = Path(__file__).parents[1] / "web_dist"
INDEX = "/index.html"
NOT_PAGES = ("/api", "/ws", "/health", "/openapi.json", "/docs", "/metrics", "/.well-known")
"""What begins like this belongs to the API, whether it exists or not."""
ENCODINGS = {"br": ".br", "gzip": ".gz"}
"""By preference."""
IMMUTABLE = "public, max-age=31536000, immutable"
# The name of a page's file stays, so its content has to be asked for.
REVALIDATED = "no-cache"
NONCE = "csp-nonce-of-this-answer"
"""What stands in the built page where each answer has a nonce of its own."""
# The nonce is for what stands in the page itself, and for the style element that dragging makes.
POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'nonce-{nonce}';"
    " img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self';"
    " base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
PAGE_LEVEL = 6
"""Its style sheet is in it: 47 kB become 10, in a millisecond."""
PAGE_HEADERS = {
    "Vary": "Accept-Encoding",
    # Without a validator: a page that was kept would have the nonce of another answer.
    "Cache-Control": REVALIDATED,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "X-Frame-Options": "DENY",
}
NOT_BUILT = (
    "The dashboard is not built here. In a source tree: python web_build.py (needs Node);"
    " then start again."
)


@dataclass(frozen=True, slots=True)
class File:
    """A file as it is sent: its bodies by encoding, with "" for the plain one."""

    headers: Mapping[str, str]
    etag: str
    bodies: Mapping[str, bytes] = field(repr=False)

    def respond(self, request: Request) -> Response:
        """Answer with the best encoding that the client takes, or with 304."""
        accepted = encodings_taken(request.headers.get("accept-encoding", ""))
        encoding = next((name for name in self.bodies if name in accepted), "")
        headers = {**self.headers, "ETag": self.etag, "Vary": "Accept-Encoding"}
        if is_known(request, self.etag):
            return Response(status_code=304, headers=headers)
        body = self.bodies[encoding]
        if encoding:
            headers["Content-Encoding"] = encoding
        if request.method == "HEAD":
            headers["Content-Length"] = str(len(body))
            return Response(None, headers=headers)
        return Response(body, headers=headers)


class Site:
    """ASGI middleware: answers GET and HEAD of pages and their files; the rest is the API's.

    A page is any path that is no file: which pages there are, the script in them knows.
    """

    def __init__(self, app: ASGIApp, folder: Path = FOLDER) -> None:
        self._app = app
        self._files = read_files(folder)
        index = self._files.get(INDEX)
        self._page = index.bodies[""].decode() if index else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a file or a page, or hand the request on."""
        is_ours = scope["type"] == "http" and scope["method"] in {"GET", "HEAD"}
        if not is_ours or _is_of_the_api(scope["path"]):
            await self._app(scope, receive, send)
            return
        await self._respond(Request(scope))(scope, receive, send)

    def _respond(self, request: Request) -> Response:
        path = request.url.path
        found = self._files.get(path)
        if found is None and "." in path.rpartition("/")[2]:
            # A file of an older build: its page must not be taken for a script.
            return Response(status_code=404)
        if found is not None and path != INDEX:
            return found.respond(request)
        if self._page is None:
            return Response(NOT_BUILT, 503, media_type="text/plain")
        return _page(self._page, request)


def read_files(folder: Path) -> dict[str, File]:
    """Return the built files by their path; none where nothing was built."""
    texts = [file for file in folder.rglob("*") if file.is_file()]
    return {
        f"/{file.relative_to(folder).as_posix()}": _file(file)
        for file in texts
        if file.suffix not in ENCODINGS.values()
    }


def _file(file: Path) -> File:
    plain = file.read_bytes()
    kind = guess_type(file.name)[0] or "application/octet-stream"
    is_text = kind.startswith("text/") or kind.endswith("javascript")
    headers = {
        "Content-Type": f"{kind}; charset=utf-8" if is_text else kind,
        # Only names in assets/ change with their content.
        "Cache-Control": IMMUTABLE if file.parent.name == "assets" else REVALIDATED,
    }
    bodies = {
        name: file.with_name(file.name + suffix).read_bytes()
        for name, suffix in ENCODINGS.items()
        if file.with_name(file.name + suffix).is_file()
    }
    return File(headers, f'"{sha256(plain).hexdigest()[:32]}"', {**bodies, "": plain})


def _page(text: str, request: Request) -> Response:
    nonce = secrets.token_urlsafe(16)
    body = text.replace(NONCE, nonce).encode()
    headers = {**PAGE_HEADERS, "Content-Security-Policy": POLICY.format(nonce=nonce)}
    if "gzip" in encodings_taken(request.headers.get("accept-encoding", "")):
        body = gzip.compress(body, PAGE_LEVEL, mtime=0)
        headers["Content-Encoding"] = "gzip"
    if request.method == "HEAD":
        headers["Content-Length"] = str(len(body))
        return Response(None, headers=headers, media_type="text/html")
    return Response(body, headers=headers, media_type="text/html")


def _is_of_the_api(path: str) -> bool:
    # In another spelling too, which the API does not know: a page would look like an answer of it.
    plain = f"/{path.lstrip('/')}".lower()
    return any(plain == name or plain.startswith(f"{name}/") for name in NOT_PAGES)
