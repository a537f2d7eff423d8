"""`python -m benchmarks [NAME …] [--events N] [--missions N]`: a table, and results.json.

Each part runs in a process of its own and has a deadline, so that one that hangs (the library's recorder does
at times) is cut and named, and the others are measured. `results.json` keeps the newest results of every
part: a run of some of them leaves the others as they were.
"""

import argparse
import dataclasses
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.parts import PARTS
from benchmarks.report import HEADER, keep, line
from benchmarks.scene import Result, server

EVENTS, MISSIONS = 60_000, 100_000
RESULTS = Path(__file__).with_name("results.json")
POLL_S = 0.2
ENDING_S = 45.0
"""So long a part may take to stop its own servers."""
TAIL_LINES = 40


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How large a run is."""

    events: int
    missions: int

    def deadline_s(self, name: str) -> float:
        """Return what a part has at this size: longer where it is larger than usual, never shorter."""
        part = PARTS[name]
        larger = self.events / EVENTS if part.sized_by == "events" else self.missions / MISSIONS
        return part.within_s * max(1.0, larger)


class PartFailed(Exception):
    """A part has no results; the message says why, with what it printed last."""


def main() -> int:
    """Measure, print and keep; return 1 where a part failed or was cut."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PARTS))
    parser.add_argument("--events", type=int, default=EVENTS, help="how far the log grows")
    parser.add_argument(
        "--missions", type=int, default=MISSIONS, help="how many missions are searched"
    )
    options = parser.parse_args()
    names = options.names or list(PARTS)
    if unknown := set(names) - PARTS.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    sizes = Sizes(options.events, options.missions)
    # Asked to end, it stops what it started, as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    failed: dict[str, str] = {}
    with _progress(len(names)) as progress, server() as postgres:
        out = progress.console
        _say(out, HEADER)
        for name in names:
            try:
                began = time.monotonic()
                results = _part(progress, name, sizes, postgres.data_dir)
            except PartFailed as reason:
                failed[name] = str(reason)
                _say(out, f"{name}: {reason}")
                continue
            finally:
                progress.advance(progress.task_ids[0])
            for result in results:
                _say(out, line(result))
            keep(RESULTS, name, sizes, results, time.monotonic() - began)
        for name, reason in failed.items():
            _say(out, f"{name} has no results: {reason.partition(chr(10))[0]}")
    return int(bool(failed))


@contextmanager
def _progress(parts: int) -> Iterator[Progress]:
    columns = (
        TextColumn("{task.description:10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("{task.fields[limit]}"),
    )  # fmt: skip
    # What is measured goes to standard output, where it may be kept; the bars are for who watches.
    with Progress(*columns, console=Console(file=sys.stdout), transient=True) as progress:
        progress.add_task("all", total=parts, limit="")
        yield progress


def _part(progress: Progress, name: str, sizes: Sizes, data_dir: Path) -> list[Result]:
    """Run a part in a process of its own; raises `PartFailed`."""
    within_s = sizes.deadline_s(name)
    task = progress.add_task(name, total=int(within_s), limit=f"at most {within_s:.0f} s")
    with TemporaryDirectory(prefix="mission-control-bench-") as folder:
        results, printed = Path(folder) / "results.json", Path(folder) / "printed"
        words = [name, str(sizes.events), str(sizes.missions), str(data_dir), str(results)]
        began = time.monotonic()
        with printed.open("wb") as out:
            child = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-m", "benchmarks.parts", *words], stdin=subprocess.DEVNULL,
                stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip
        try:
            while child.poll() is None and (spent_s := time.monotonic() - began) < within_s:
                progress.update(task, completed=int(spent_s))
                time.sleep(POLL_S)
            is_cut = child.poll() is None
        finally:
            _end(child)
            progress.remove_task(task)
        if is_cut:
            raise PartFailed(f"cut after {within_s:.0f} s\n{_tail(printed)}")
        if child.returncode != 0 or not results.exists():
            raise PartFailed(f"it ended with {child.returncode}\n{_tail(printed)}")
        return [Result(**found) for found in json.loads(results.read_text())]


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a process: by Ctrl-C, so that it stops its servers; with all that it started, if it must be."""
    if child.poll() is not None:
        return
    family = [psutil.Process(child.pid), *psutil.Process(child.pid).children(recursive=True)]
    child.send_signal(signal.SIGUSR1)
    time.sleep(POLL_S)
    child.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        child.wait(ENDING_S)
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    child.wait()


def _tail(printed: Path) -> str:
    return "\n".join(printed.read_text(errors="replace").splitlines()[-TAIL_LINES:])


def _say(out: Console, text: str) -> None:
    # As it is: nothing in it is markup, and a line is not broken where a file is narrow.
    out.print(text, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
