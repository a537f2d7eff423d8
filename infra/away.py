"""Why a server can't be reached, in words that name the setting to look at."""

import socket
import ssl
from collections.abc import Iterator

CHAIN_MAX = 20
NAME_MISMATCH = {62, 64}
"""OpenSSL's codes for a certificate of another host name, and of another address."""
EXPIRED = 10

WORDS: dict[type[BaseException], str] = {
    socket.gaierror: "no host has this name",
    ConnectionRefusedError: "the connection is refused",
    TimeoutError: "no answer in time",
    ConnectionError: "the connection was cut off",
}


def reason_away(error: BaseException, address: str, authority: str) -> str:
    """Return one line for a failed connection; `address` and `authority` are names of settings."""
    chain = list(causes(error))
    # A client's own error may be called one of certificates too, and know no code.
    codes = [cause.verify_code for cause in chain if hasattr(cause, "verify_code")]
    if codes and codes[0] in NAME_MISMATCH:
        return f"{address}: the server's certificate is for another name"
    if codes and codes[0] == EXPIRED:
        return f"{address}: the server's certificate has expired"
    if codes:
        return f"{authority}: it did not sign the server's certificate"
    if any(isinstance(cause, ssl.SSLError) for cause in chain):
        return f"{address}: the server does not speak TLS as we do"
    return f"{address}: nobody answers ({_words(error)})"


def _words(error: BaseException) -> str:
    for cause in causes(error):
        for kind, words in WORDS.items():
            if isinstance(cause, kind):
                return words
    name = type(error).__name__
    if name.endswith("ConnectionError"):  # libraries have their own, which know no cause at times
        return WORDS[ConnectionError]
    return f"the answer was broken off: {name}"


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what led to it, the nearest first: libraries wrap each other's, each in its own way."""
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < CHAIN_MAX:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        linked = (one.__cause__, one.__context__, getattr(one, "reason", None), *one.args)
        several = (*getattr(one, "errors", ()), *getattr(one, "exceptions", ()))
        waiting += [other for other in (*linked, *several) if isinstance(other, BaseException)]
