"""A job that fails is tried again for ever, and health names one that does nothing else."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from streams import job as jobs
from streams.job import FAILURES_TOLD, Job, Roster

WAIT_S = 10.0


class Work(Job):
    """Ends each run as it is told to; goes on for ever when it is told nothing more."""

    def __init__(self, *ends: Exception | None) -> None:
        super().__init__("work")
        self._ends: Iterator[Exception | None] = iter(ends)
        self.rests = asyncio.Event()

    async def work(self) -> None:
        for error in self._ends:
            if error is None:
                return
            raise error
        self.rests.set()
        await asyncio.Event().wait()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "RETRY_PAUSE_S", 0.0)


def failing_after(*ends: Exception | None, then_s: float = 0.0) -> dict[str, str]:
    """Return what a roster says of a job that has ended so often, and has gone on since."""

    async def said() -> dict[str, Any]:
        work, roster = Work(*ends), Roster()
        async with roster.running(work), asyncio.timeout(WAIT_S):
            await work.rests.wait()
            await asyncio.sleep(then_s)
            state = await roster.state()
        assert await roster.state() == {"status": "ok"}, "it runs no more"
        return state

    state = asyncio.run(said())
    found: dict[str, str] = state.get("jobs", {})
    assert state["status"] == ("failing" if found else "ok")
    assert SECRET not in str(state)
    return found


SECRET = "a name of somebody"
FAILURES = [OSError(SECRET), ValueError(SECRET), KeyError(SECRET)]


def test_what_failed_each_time_is_named_with_the_kind_of_its_last_error() -> None:
    assert len(FAILURES) == FAILURES_TOLD
    assert failing_after(*FAILURES) == {"work": "KeyError"}
    assert failing_after(*reversed(FAILURES)) == {"work": "OSError"}


def test_what_failed_less_often_or_succeeded_since_is_not_named() -> None:
    assert failing_after(*FAILURES[1:]) == {}
    assert failing_after(*FAILURES, None) == {}
    assert failing_after(*FAILURES[1:], None, *FAILURES[1:]) == {}


def test_what_goes_on_for_a_while_has_succeeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "SETTLED_S", 0.2)
    assert failing_after(*FAILURES) == {"work": "KeyError"}
    assert failing_after(*FAILURES, then_s=0.3) == {}
