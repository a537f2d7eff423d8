"""100 events a second on a board of 1,000 cards: what the page's main thread, eye, hand and memory feel of it."""

import math
import time
from dataclasses import dataclass
from itertools import pairwise
from statistics import linear_regression, median

import uvloop
from playwright.sync_api import Page

from benchmarks.processes import up
from benchmarks.scene import Result, percentile
from benchmarks.web.browser import Memory, signed_in
from benchmarks.web.sizes import Sizes
from benchmarks.web.traffic import Scene, Traffic, fill, recorded

RATE = 100
LONG_TASK_MS_MAX = 100
FRAMES_MIN = 50
PAINT_MS_MAX = 100
GROWTH_MAX = 0.05
"""A heap is flat that grows by no more than this over the whole time."""
SAMPLES = 10
WARM_UP_S = 5.0
COMPILED_S = 60.0
"""In its first minute a page at work grows by a megabyte of compiled code, once: the heap is counted from there.

(Snapshots at one minute and at six differed by 0.2 MB in 16, most of it machine code, and no object of ours.)
"""
STEP_S = 1 / 60
SETTLE_S = 2.0


@dataclass
class Steady:
    """What was noted while events arrived and nobody touched the board; times in milliseconds of the page."""

    began: float
    samples: list[tuple[float, float]]
    """Minutes since the first of them, and kB of heap."""
    pauses: list[tuple[float, float]]
    """Between which times garbage was collected for a sample: what happens then is ours."""
    long_tasks: list[tuple[float, float]]
    """When each began, and how long it was."""


@dataclass
class Drag:
    """What was noted while a card was dragged."""

    frames: list[float]
    long_tasks: list[tuple[float, float]]


def stream(sizes: Sizes) -> list[Result]:
    """Long tasks, event to paint and heap while events arrive; frames while a card is dragged meanwhile."""
    with up(MC_DEMO="true") as url:
        scene = uvloop.run(fill(url, sizes.cards))
        with signed_in(url) as page:
            page.goto(f"/boards/{scene.board_id}")
            page.locator(f'[data-card="{scene.marked[0]}"]').wait_for()
            time.sleep(SETTLE_S)
            idle = _frames(page, SETTLE_S)
            with Traffic(scene, RATE) as traffic:
                time.sleep(WARM_UP_S)
                steady = _steady(page, sizes.minutes)
                painted = {int(n): at for n, at in page.evaluate("notes.painted").items()}
                first, last = _clock(page, steady.began), _clock(page, steady.pauses[-1][0])
                drag = _drag(page, scene, sizes.drag_s)
        at = uvloop.run(recorded(scene))
    shown = {mark: painted.get(mark) for mark, then in at.items() if first <= then <= last - 1000}
    return [
        Result("events that arrived", f"{traffic.reached:.0f}/s on {sizes.cards:,} cards",
               f"refused: {sum(traffic.done.values()) - traffic.done[200]}", target=f"{RATE}/s",
               met=traffic.reached > 0.95 * RATE),
        _tasks("long tasks", steady.long_tasks, steady.pauses),
        _paint([then - at[mark] for mark, then in shown.items() if then is not None], len(shown)),
        _heap(steady.samples),
        _hand(drag, idle),
        _tasks("long tasks, a card dragged", drag.long_tasks, []),
    ]  # fmt: skip


def _now(page: Page) -> float:
    return float(page.evaluate("performance.now()"))


def _clock(page: Page, at: float) -> float:
    """Return a time of the page as one of the clock, in milliseconds since the epoch."""
    return float(page.evaluate("at => Date.now() - performance.now() + at", at))


def _steady(page: Page, minutes: float) -> Steady:
    memory, began = Memory(page), _now(page)
    counted = began + COMPILED_S * 1000
    samples, pauses = [], []
    for number in range(SAMPLES + 1):
        time.sleep(max(0.0, (counted + number * minutes * 60_000 / SAMPLES - _now(page)) / 1000))
        before = _now(page)
        heap = memory.heap_kb()
        after = _now(page)
        samples.append(((after - counted) / 60_000, heap))
        pauses.append((before, after))
    tasks = [(at, lasted) for at, lasted in page.evaluate("notes.longTasks") if at >= began]
    return Steady(began, samples, pauses, tasks)


def _frames(page: Page, seconds: float) -> list[float]:
    page.evaluate("notes.startFrames()")
    time.sleep(seconds)
    return list(page.evaluate("notes.stopFrames()"))


def _drag(page: Page, scene: Scene, seconds: float) -> Drag:
    """Drag a card by its handle over the board, as a hand does that can't decide."""
    card = page.locator(f'[data-card="{scene.marked[0]}"]')
    card.hover()
    handle = card.get_by_role("button", name="Drag").bounding_box()
    columns = [each.bounding_box() for each in page.locator("[data-column]").all()]
    assert handle is not None
    boxes = [box for box in columns if box is not None]
    left, right = boxes[0]["x"] + 100, boxes[-1]["x"] + 100
    top, bottom = boxes[0]["y"] + 100, boxes[0]["y"] + boxes[0]["height"] - 100
    page.mouse.move(handle["x"] + 8, handle["y"] + 8)
    page.mouse.down()
    page.mouse.move(handle["x"] + 40, handle["y"] + 40, steps=5)
    page.evaluate("notes.startFrames()")
    began = time.monotonic()
    tick = 0
    while (spent := time.monotonic() - began) < seconds:
        x = left + (right - left) * (1 - math.cos(spent)) / 2
        y = top + (bottom - top) * (1 - math.cos(spent * 1.7)) / 2
        page.mouse.move(x, y)
        tick += 1
        time.sleep(max(0.0, began + tick * STEP_S - time.monotonic()))
    frames = list(page.evaluate("notes.stopFrames()"))
    tasks = [(at, ms) for at, ms in page.evaluate("notes.longTasks") if at >= frames[0]]
    page.keyboard.press("Escape")
    page.mouse.up()
    return Drag(frames, tasks)


def _tasks(
    name: str, tasks: list[tuple[float, float]], pauses: list[tuple[float, float]]
) -> Result:
    ours = [
        (at, ms) for at, ms in tasks if any(at < end and at + ms > start for start, end in pauses)
    ]
    each = [ms for at, ms in tasks if (at, ms) not in ours]
    over = sum(ms > LONG_TASK_MS_MAX for ms in each)
    longest = max(each, default=0.0)
    return Result(
        name, f"{over} over {LONG_TASK_MS_MAX} ms, longest {longest:.0f} ms",
        f"{len(each)} over 50 ms", None, f"none over {LONG_TASK_MS_MAX} ms", over == 0,
        {"over": over, "longest_ms": longest, "over_50_ms": len(each)},
    )  # fmt: skip


def _paint(each: list[float], recorded: int) -> Result:
    p50, p95 = (percentile(each, percent) for percent in (50, 95))
    return Result(
        "event to paint", f"p50/p95 {p50:.0f}/{p95:.0f} ms", f"{len(each)} of {recorded} were painted",
        None, f"p95 < {PAINT_MS_MAX} ms", p95 < PAINT_MS_MAX, {"p50_ms": p50, "p95_ms": p95},
    )  # fmt: skip


def _heap(samples: list[tuple[float, float]]) -> Result:
    (_, before), (minutes, after) = samples[0], samples[-1]
    slope = linear_regression(*zip(*samples, strict=True)).slope
    growth = slope * minutes / before
    return Result(
        f"heap over {minutes:.1f} minutes", f"{before:,.0f} → {after:,.0f} kB, {slope:+.0f} kB/min",
        f"{growth:+.1%}", None, f"grows ≤ {GROWTH_MAX:.0%}", growth <= GROWTH_MAX,
        {"before_kb": before, "after_kb": after, "slope_kb_per_min": slope},
    )  # fmt: skip


def _hand(drag: Drag, idle: list[float]) -> Result:
    rate, lowest = _rates(drag.frames)
    return Result(
        "frames while a card is dragged", f"{rate:.0f}/s, {lowest} in the slowest second",
        f"{_rates(idle)[0]:.0f}/s of a board at rest", None, f"> {FRAMES_MIN}/s", lowest > FRAMES_MIN,
        {"mean": rate, "slowest_second": lowest,
         "longest_ms": max(b - a for a, b in pairwise(drag.frames)),
         "median_ms": median(b - a for a, b in pairwise(drag.frames))},
    )  # fmt: skip


def _rates(frames: list[float]) -> tuple[float, int]:
    """Return frames per second over all, and how many the slowest whole second had."""
    seconds = (frames[-1] - frames[0]) / 1000
    counts = [0] * max(1, int(seconds))
    for at in frames[1:]:
        second = int((at - frames[0]) / 1000)
        if second < len(counts):
            counts[second] += 1
    return (len(frames) - 1) / seconds, min(counts)
