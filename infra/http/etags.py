"""What a client has already: the one reading of If-None-Match."""

import re

from starlette.requests import Request

QUOTED = re.compile(r'"[^"]*"')


def known_etags(request: Request) -> list[str]:
    """Return the ETags that If-None-Match names, weak ones without their mark: what counts is the same."""
    return QUOTED.findall(",".join(request.headers.getlist("if-none-match")))


def is_known(request: Request, etag: str) -> bool:
    """Tell whether the client has this version, or any will do (`*`): it gets a 304 (RFC 9110, 13.1.2)."""
    return request.headers.get("if-none-match", "").strip() == "*" or etag in known_etags(request)
