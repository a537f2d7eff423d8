"""`python -m benchmarks.web [NAME …] [--quick] [--minutes N]`: a table, and results.json beside this file.

`results.json` keeps the newest results of every part: a run of some of them leaves the others as they were.
"""

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Error as BrowserFailed

from benchmarks.report import HEADER, keep, line
from benchmarks.scene import Result
from benchmarks.web.lighthouse import measure as lighthouse
from benchmarks.web.script import script
from benchmarks.web.scrub import scrub
from benchmarks.web.sizes import QUICK, Sizes
from benchmarks.web.stream import stream
from tests.servers import chromium
from tests.servers.cache import Unavailable
from web_build import BuildFailed, build

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).with_name("results.json")
PARTS: dict[str, Callable[[Sizes], list[Result]]] = {
    "script": script, "lighthouse": lighthouse, "stream": stream, "scrub": scrub,
}  # fmt: skip


def main() -> int:
    """Build the dashboard, measure, print and keep; return 1 where a part failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.web")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="a short form, to see that it works")
    parser.add_argument("--minutes", type=float, help="for which events arrive")
    options = parser.parse_args()
    names = options.names or list(PARTS)
    if unknown := set(names) - PARTS.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    sizes = QUICK if options.quick else Sizes()
    if options.minutes is not None:
        sizes = dataclasses.replace(sizes, minutes=options.minutes)
    if missing := chromium.missing():
        sys.exit(missing)
    build(ROOT)
    print(HEADER, flush=True)
    return max([_measure(name, sizes) for name in names])


def _measure(name: str, sizes: Sizes) -> int:
    began = time.monotonic()
    try:
        results = PARTS[name](sizes)
    except (RuntimeError, Unavailable, BuildFailed, BrowserFailed) as reason:
        print(f"{name} has no results: {reason}", flush=True)
        return 1
    print(*map(line, results), sep="\n", flush=True)
    keep(RESULTS, name, sizes, results, time.monotonic() - began)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
