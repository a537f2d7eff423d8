"""How results are told: a line of a table each, and a file that keeps the newest of every part."""

import dataclasses
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.scene import Result

LINE = "{:42} {:38} {:32} {:>7} {:24} {}"
HEADER = LINE.format("what", "measured (median/p99)", "peer", "ratio", "target", "").rstrip()


def line(result: Result) -> str:
    """Return a result as a line of the table."""
    ratio = "" if result.ratio is None else f"{result.ratio:.2f}x"
    verdict = {None: "", True: "met", False: "MISSED"}[result.met]
    return LINE.format(
        result.name, result.measured, result.peer, ratio, result.target, verdict
    ).rstrip()


def keep(file: Path, name: str, sizes: Any, results: Sequence[Result], took_s: float) -> None:
    """Put a part's results in the place of its last ones; `sizes` is a dataclass that says how large it was."""
    kept = json.loads(file.read_text()) if file.exists() else {}
    kept[name] = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "took_s": round(took_s, 1),
        **dataclasses.asdict(sizes),
        "results": [dataclasses.asdict(result) for result in results],
    }
    fresh = file.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    fresh.replace(file)
