"""Whom we trust to have signed the certificate of a server that we connect to."""

import ssl
from pathlib import Path

from infra.settings import StartRefused


def trusting(authority: Path | None, setting: str) -> ssl.SSLContext:
    """Return a context that trusts an authority, or the system's; raises `StartRefused` that names the setting."""
    try:
        return ssl.create_default_context(cafile=authority)
    except (OSError, ssl.SSLError):
        raise StartRefused(f"{setting}: not a file of certificates") from None
