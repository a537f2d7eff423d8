"""Lighthouse, signed in, on a board and on a mission of the demo: the median of some runs."""

import json
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from itertools import product
from statistics import median
from typing import Any

import httpx

from benchmarks.processes import ADMIN, PASSWORD, sign_in, up
from benchmarks.scene import Result
from benchmarks.web.node import FOLDER, lighthouse
from benchmarks.web.sizes import Sizes
from tests.servers import chromium

RUN_S_MAX = 180.0
PRESETS = ("desktop", "mobile")
FULL = 100


@dataclass(frozen=True)
class Figure:
    """What Lighthouse says of a page: at most so much by preset, or for a score exactly that."""

    name: str
    text: str
    limits: dict[str, float]
    is_score: bool = False

    def result(self, page: str, preset: str, values: list[float]) -> Result:
        """Return the line of one page and preset."""
        value, limit = median(values), self.limits[preset]
        target = f"{'' if self.is_score else '< '}{self.text.format(limit)}"
        met = value >= limit if self.is_score else value < limit
        spread = f"{self.text.format(min(values))} to {self.text.format(max(values))}"
        return Result(
            f"{page}, {preset}: {self.name}", f"{self.text.format(value)} ({spread})", "", None,
            target, met, {"median": value, "min": min(values), "max": max(values)},
        )  # fmt: skip


def _alike(limit: float) -> dict[str, float]:
    return dict.fromkeys(PRESETS, limit)


FIGURES = {
    "fcp_s": Figure("first contentful paint", "{:.2f} s", {"desktop": 0.6, "mobile": 1.0}),
    "lcp_s": Figure("largest contentful paint", "{:.2f} s", {"desktop": 0.9, "mobile": 2.4}),
    "tti_s": Figure("time to interactive", "{:.2f} s", {"desktop": 1.0, "mobile": 2.5}),
    "cls": Figure("layout shift", "{:.3f}", _alike(0.05)),
    "accessibility": Figure("accessibility", "{:.0f}", _alike(FULL), is_score=True),
    "best-practices": Figure("best practices", "{:.0f}", _alike(FULL), is_score=True),
}


def measure(sizes: Sizes) -> list[Result]:
    """Every figure of both pages, by both presets; what cost points of a score is a line of its own."""
    with up(MC_DEMO="true") as url:
        pages = {"board": "/", "mission": f"/missions/{_a_mission(url)}"}
        runs = [
            {"page": page, "path": path, "preset": preset}
            for _, preset, (page, path) in product(range(sizes.runs), PRESETS, pages.items())
        ]
        told = _told(url, runs)
    values: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    findings: dict[tuple[str, str], str] = {}
    for run in told:
        for name, value in run["figures"].items():
            values[run["page"], run["preset"], name].append(value)
        for found in run["findings"]:
            where = "; ".join(found["where"])
            findings[run["page"], found["id"]] = f"{found['title']}: {where}"
    results = [
        figure.result(page, preset, values[page, preset, name])
        for page, preset in product(pages, PRESETS)
        for name, figure in FIGURES.items()
    ]
    results += [
        Result(f"{page}: {audit}", text, met=False) for (page, audit), text in findings.items()
    ]
    return results


def _a_mission(url: str) -> str:
    token = sign_in(url)
    answer = httpx.get(f"{url}/api/missions?limit=1", headers={"authorization": f"Bearer {token}"})
    return str(answer.raise_for_status().json()["items"][0]["id"])


def _told(url: str, runs: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Return what each run found; raises `RuntimeError` with what the script said where it fails."""
    todo = {
        "url": url, "email": ADMIN, "password": PASSWORD, "runs": runs,
        "chromium": str(chromium.PATH), "arguments": chromium.ARGUMENTS,
    }  # fmt: skip
    done = subprocess.run(  # noqa: S603 - our own program
        [lighthouse().node, "lighthouse.mjs"], cwd=FOLDER, input=json.dumps(todo), text=True,
        capture_output=True, timeout=RUN_S_MAX * len(runs), check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"Lighthouse ended with {done.returncode}: {done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]
