"""The parts of `make bench`, and one of them as a process: what hangs in it can be ended from outside.

`python -m benchmarks.parts NAME EVENTS MISSIONS DATA_DIR RESULTS` runs on the PostgreSQL that runs in DATA_DIR.
"""

import dataclasses
import faulthandler
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from benchmarks import (
    cells,
    history,
    http,
    kafka,
    length,
    live,
    log,
    projections,
    reads,
    search,
    sinks,
    spread,
)
from benchmarks.scene import Result
from infra.embedded_postgres import EmbeddedPostgres


class Part(NamedTuple):
    """What measures something on an empty PostgreSQL, with a log or a number of missions of some size.

    `within_s` is far more than it takes on two slow cores, at the size that is usual.
    """

    measure: Callable[[EmbeddedPostgres, int], list[Result]]
    within_s: float
    sized_by: Literal["events", "missions"] = "events"


PARTS: dict[str, Part] = {
    "append": Part(log.append, 300),
    "follow": Part(log.follow, 120),
    "load": Part(log.load, 120),
    "growth": Part(log.growth, 300),
    "http": Part(http.http, 180),
    "project": Part(projections.project, 300),
    "board": Part(reads.board, 180),
    "history": Part(history.history, 600),
    "length": Part(length.length, 900),
    "search": Part(search.measure, 1_800, "missions"),
    "live": Part(live.live, 600),
    "sinks": Part(sinks.sinks, 1_200),
    "spread": Part(spread.spread, 1_200),
    "cells": Part(cells.cells, 120),
    "relay": Part(kafka.relay, 300),
}


def main(name: str, events: str, missions: str, data_dir: str, results: str) -> None:
    """Measure one part; write its results as JSON."""
    # Asked for by whoever waits in vain, to see where it hangs.
    faulthandler.register(signal.SIGUSR1)
    # It may be ignored by whoever started us in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    part = PARTS[name]
    size = int(events if part.sized_by == "events" else missions)
    measured = part.measure(EmbeddedPostgres(Path(data_dir)), size)
    Path(results).write_text(json.dumps([dataclasses.asdict(result) for result in measured]))


if __name__ == "__main__":
    main(*sys.argv[1:])
