"""How answers are encoded for who takes that, as `Accept-Encoding` says (RFC 9110, 12.5.3)."""

from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

BYTES_MIN = 1_000
LEVEL = 1
"""A board's JSON becomes a fifth by it; the levels above take up to five times as long for a tenth more."""
ACCEPT_ENCODING = b"accept-encoding"
NO_WEIGHT = {"q=0", "q=0.0", "q=0.00", "q=0.000"}


class Compressed(GZipMiddleware):
    """ASGI middleware: gzips answers of a kilobyte or more, but for those of the media types named."""

    def __init__(self, app: ASGIApp, *, but: tuple[str, ...]) -> None:
        kept = (*DEFAULT_EXCLUDED_CONTENT_TYPES, *but)
        super().__init__(app, BYTES_MIN, LEVEL, exclude_content_types=kept)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request. The library looks for the word alone, whatever its weight and its case."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        said = next((value for name, value in scope["headers"] if name == ACCEPT_ENCODING), b"")
        others = [header for header in scope["headers"] if header[0] != ACCEPT_ENCODING]
        if "gzip" in encodings_taken(said.decode("latin-1")):
            others.append((ACCEPT_ENCODING, b"gzip"))
        # Not in a copy: who logs the request reads in this scope what was found on the way.
        scope["headers"] = others
        await super().__call__(scope, receive, send)


def encodings_taken(header: str) -> set[str]:
    """Return the encodings that a client takes: those named, but for a weight of zero."""
    taken = set()
    for part in header.split(","):
        name, _, weight = part.strip().lower().partition(";")
        if weight.replace(" ", "") not in NO_WEIGHT:
            taken.add(name.strip())
    return taken
