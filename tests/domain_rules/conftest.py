"""Given what happened, when a command is decided, then these facts, or a refusal, or nothing.

    given(created, claimed).when(lambda mission: mission.delete()).then(Mission.Deleted)

The first step makes an aggregate, the others run commands on it. Besides what a test asks, each
`when` checks what must hold of every decision: a refusal leaves nothing pending, the aggregate that
was forked is untouched, and folding the log from scratch gives the state that was decided.
"""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.base import Event, Refusal, command_time

START = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
Step = Callable[[Any], object]


def state_of(aggregate: Any) -> dict[str, Any]:
    """Return a deep copy of all that an aggregate holds, except what it has not saved yet."""
    state = {name: value for name, value in vars(aggregate).items() if name != "_pending_events"}
    return deepcopy(state)


def fold(log: Sequence[Event]) -> Any:
    """Return the aggregate that a log of events describes."""
    aggregate = None
    for event in log:
        aggregate = event.mutate(aggregate)
    return aggregate


class Given:
    """A history, made by real commands one second apart."""

    def __init__(self, create: Callable[[], Any], *steps: Step) -> None:
        command_time.set(START)
        aggregate = create()
        for step in steps:
            command_time.set(command_time.get() + timedelta(seconds=1))
            step(aggregate)
        self.log: tuple[Event, ...] = tuple(aggregate.collect_events())

    def when(self, decide: Step) -> "Decision":
        """Decide one command on a fork of what the history describes."""
        command_time.set(command_time.get() + timedelta(seconds=1))
        original = fold(self.log)
        before = state_of(original)
        forked = original.fork()
        refusal, answer = None, None
        try:
            answer = decide(forked)
        except Refusal as refused:
            refusal = refused
        assert state_of(original) == before, "the command changed the aggregate it was forked from"
        assert original.pending_events == []
        if refusal is not None:
            assert forked.pending_events == [], "a refused command left facts behind"
            assert state_of(forked) == before, "a refused command left changes behind"
        return Decision(self.log, forked, refusal, answer)


class Decision:
    """What one command came to."""

    def __init__(
        self, past: Sequence[Event], decided: Any, refusal: Refusal | None, answer: object
    ) -> None:
        self.answer = answer
        self.refusal = refusal
        self.decided = decided
        self.facts: tuple[Event, ...] = tuple(decided.collect_events())
        assert state_of(fold([*past, *self.facts])) == state_of(decided)
        assert all(fact.timestamp == command_time.get() for fact in self.facts)

    def then(self, *kinds: type[Event], **fields: object) -> "Decision":
        """Expect exactly these facts; every fact that has one of `fields` has this value."""
        assert self.refusal is None, f"refused: {self.refusal!r}"
        assert [type(fact) for fact in self.facts] == list(kinds)
        for name, value in fields.items():
            said = [getattr(fact, name) for fact in self.facts if hasattr(fact, name)]
            assert said, f"no fact says {name}"
            assert all(each == value for each in said), f"{name} is {said}, not {value}"
        return self

    def then_refused(self, kind: type[Refusal], *, field: str | None = None) -> "Decision":
        """Expect exactly this refusal, and which field it blames."""
        assert type(self.refusal) is kind, f"{self.refusal!r} with facts {self.facts}"
        assert self.refusal.field == field
        assert self.refusal.detail == str(self.refusal) != ""
        return self

    def then_nothing(self) -> "Decision":
        """Expect neither a fact nor a refusal."""
        assert self.refusal is None, f"refused: {self.refusal!r}"
        assert self.facts == ()
        return self

    def leaving(self, **attributes: object) -> "Decision":
        """Expect these attributes of the aggregate afterwards."""
        actual = {name: getattr(self.decided, name) for name in attributes}
        assert actual == attributes
        return self


@pytest.fixture(autouse=True)
def _time_of_commands() -> Iterator[None]:
    token = command_time.set(START)
    yield
    command_time.reset(token)


@pytest.fixture(scope="session")
def given() -> type[Given]:
    """Return the form in which the tests of this folder are written."""
    return Given
