"""What a loaded machine may spoil once is tried again; what is always late, or never so, still fails."""

import math
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

TRIES_MAX = 3

Found = TypeVar("Found")


class Stopwatch:
    """Measures what is done in its `with`."""

    taken_s = math.inf

    def __enter__(self) -> None:
        self._begun = time.monotonic()

    def __exit__(self, *exception: object) -> None:
        self.taken_s = time.monotonic() - self._begun


def tries(within_s: float) -> Iterator[Stopwatch]:
    """Yield a stopwatch for each try, until one has measured less than `within_s`; fails where none of three has.

    Only how long it takes may differ from one try to the next: whatever else is asserted holds in each.
    """
    taken_s: list[float] = []
    while not taken_s or (taken_s[-1] >= within_s and len(taken_s) < TRIES_MAX):
        stopwatch = Stopwatch()
        yield stopwatch
        taken_s.append(stopwatch.taken_s)
    assert min(taken_s) < within_s, taken_s


def found_in_tries(find: Callable[[], Found], expected: Found) -> None:
    """Find anew until it is what is expected; fails where none of three is."""
    found: list[Found] = []
    while expected not in found and len(found) < TRIES_MAX:
        found.append(find())
    assert expected in found, found
