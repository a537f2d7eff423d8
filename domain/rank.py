"""Ranks: strings whose byte order is the order of cards in a column, or of columns on a board.

A rank is a fraction written in base 62, so that there is always room between two of them
(fractional indexing, https://www.figma.com/blog/realtime-editing-of-ordered-sequences/).
The end of a sequence is ranked by time, so that two writers can append without asking each other.
"""

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
BASE = len(DIGITS)
TIME_DIGITS = 8
"""62^8 ms reach into the year 8888."""
TIE_DIGITS = 4
RANK_LENGTH_MAX = 64
"""A longer rank asks for the column to be re-balanced."""


def at_end(now: datetime, tie: UUID) -> str:
    """Return a rank behind every rank that `at_end` or `spread` gave before `now`, and between them.

    Not behind `between(…, None)`, which is for sequences that don't use this. `tie` separates those of
    the same millisecond.
    """
    return _digits(int(now.timestamp() * 1000), TIME_DIGITS) + jitter(tie)


def between(low: str, high: str | None, tie: UUID) -> str:
    """Return a rank strictly between two ranks; "" is the beginning and None the open end.

    `tie` makes two writers who aim at the same gap at once end up with different ranks.
    """
    return _middle(low, high) + jitter(tie)


def spread(count: int, now: datetime) -> Iterator[str]:
    """Yield `count` short ranks in order, all of them before `at_end(now, …)`."""
    width = TIME_DIGITS + 2
    end = int(now.timestamp() * 1000) * BASE**2
    for index in range(1, count + 1):
        # A trailing digit other than 0: a rank that ends in 0 would leave no room before it.
        yield _digits(end * index // (count + 1), width) + DIGITS[BASE // 2]


def jitter(tie: UUID) -> str:
    """Return digits taken from the random tail of an id; never ending in 0."""
    value = tie.int & 0xFFFFFFFF
    return (
        _digits(value % BASE ** (TIE_DIGITS - 1), TIE_DIGITS - 1) + DIGITS[1 + value % (BASE - 1)]
    )


def _middle(low: str, high: str | None) -> str:
    """Return a fraction f with low < f and no extension of f reaching high."""
    if high is not None and (low >= high or high.endswith(DIGITS[0])):
        raise ValueError(f"no room between {low!r} and {high!r}")
    prefix = ""
    index = 0
    while True:
        floor = DIGITS.index(low[index]) if index < len(low) else 0
        ceiling = BASE if high is None else DIGITS.index(high[index]) if index < len(high) else 0
        if ceiling - floor > 1:
            return prefix + DIGITS[(floor + ceiling) // 2]
        prefix += DIGITS[floor]
        if ceiling > floor:
            # Below this prefix the upper bound no longer matters: any longer rank stays under it.
            high = None
        index += 1


def _digits(value: int, width: int) -> str:
    digits = []
    for _ in range(width):
        value, digit = divmod(value, BASE)
        digits.append(DIGITS[digit])
    return "".join(reversed(digits))
