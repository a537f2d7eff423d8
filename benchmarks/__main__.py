"""`python -m benchmarks [NAME …] [--events N]`: a table, and results.json."""

import argparse
import dataclasses
import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from benchmarks import history, http, kafka, length, live, log, projections, reads, search
from benchmarks.scene import Result, server
from infra.embedded_postgres import EmbeddedPostgres

BENCHMARKS: dict[str, Callable[[EmbeddedPostgres, int], list[Result]]] = {
    "append": log.append,
    "follow": log.follow,
    "load": log.load,
    "growth": log.growth,
    "http": http.http,
    "project": projections.project,
    "board": reads.board,
    "history": history.history,
    "length": length.length,
    "search": search.measure,
    "live": live.live,
    "relay": kafka.relay,
}
RESULTS = Path(__file__).with_name("results.json")
LINE = "{:34} {:38} {:32} {:>7} {:24} {}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--events", type=int, default=60_000, help="how far the log grows")
    options = parser.parse_args()
    recorded = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    failed = False
    print(LINE.format("what", "measured (median/p99)", "peer", "ratio", "target", ""))
    with server() as postgres:
        for name in options.names or BENCHMARKS:
            try:
                results = BENCHMARKS[name](postgres, options.events)
            except Exception:  # noqa: BLE001 - the others are measured all the same
                traceback.print_exc()
                failed = True
                continue
            recorded[name] = [dataclasses.asdict(result) for result in results]
            for result in results:
                _show(result)
            RESULTS.write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n")
    return int(failed)


def _show(result: Result) -> None:
    ratio = "" if result.ratio is None else f"{result.ratio:.2f}x"
    verdict = {None: "", True: "met", False: "MISSED"}[result.met]
    print(
        LINE.format(result.name, result.measured, result.peer, ratio, result.target, verdict),
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
