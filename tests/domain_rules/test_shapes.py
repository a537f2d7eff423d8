"""What holds of every refusal, every event and every aggregate of the domain."""

import dataclasses
import importlib
import inspect
import pkgutil
import re
from collections import defaultdict
from datetime import datetime
from enum import Enum
from typing import Any, ClassVar, get_args, get_origin, get_type_hints
from uuid import UUID

import pytest

import domain
from domain import base
from domain.agent import Agent, Presence
from domain.board import Board, Stage, default_columns
from domain.catalogue import AGGREGATES, EVENTS
from domain.comment import Comment
from domain.mission import Content, Mission, Place, Worker
from domain.system import ParkedEvent, Projection
from domain.user import User
from domain.workspace import Role, Workspace

for _module in pkgutil.iter_modules(domain.__path__):
    importlib.import_module(f"domain.{_module.name}")


def descendants(kind):
    for child in kind.__subclasses__():
        if child.__module__.startswith("domain."):
            yield child
            yield from descendants(child)


def name_of(kind):
    return f"{kind.__module__}.{kind.__qualname__}"


REFUSALS = sorted(set(descendants(base.Refusal)), key=name_of)
# The library replaces the event classes in an aggregate's body by subclasses; only these are used.
EVENT_KINDS = [
    kind
    for aggregate in descendants(base.Aggregate)
    for name, kind in vars(aggregate).items()
    if isinstance(kind, type) and issubclass(kind, base.Event) and name != "Event"
]
SHARED_CODES = {
    "not_found": {"NotFound", "MissionDeleted"},
    "dependency_cycle": {"DependsOnItself", "DependencyCycle"},
    "agent_inactive": {"AgentInactive", "AgentMayNotWork"},
}
"""Refusals that say the same to a client: one decided on the aggregate, the other in the log."""

# Clients match on these: one may be added, none renamed.
CODES = {
    "agent_inactive",
    "agent_retired",
    "already_blocked",
    "already_member",
    "column_name_taken",
    "column_not_empty",
    "column_not_found",
    "comment_removed",
    "dependencies_unmet",
    "dependency_cycle",
    "dependency_not_found",
    "invalid_value",
    "key_not_found",
    "last_admin",
    "last_column_of_stage",
    "lease_lost",
    "member_not_found",
    "name_taken",
    "not_blocked",
    "not_claimable",
    "not_found",
    "not_in_review",
    "not_parked",
    "not_the_author",
    "own_work",
    "too_many",
    "too_many_columns",
    "too_many_keys",
    "user_disabled",
    "wip_limit_reached",
}


# Refusals


@pytest.mark.parametrize("kind", REFUSALS, ids=name_of)
def test_every_refusal_has_a_code_and_says_what_it_means(kind):
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", vars(kind)["code"])
    assert vars(kind)["__doc__"].strip().endswith(".")


def test_two_refusals_share_a_code_only_where_they_say_the_same():
    named = defaultdict(set)
    for kind in REFUSALS:
        named[kind.code].add(kind.__name__)
    assert {code: kinds for code, kinds in named.items() if len(kinds) > 1} == SHARED_CODES


def test_no_code_of_a_refusal_was_renamed():
    assert {kind.code for kind in REFUSALS} >= CODES


# Events


@pytest.mark.parametrize("kind", EVENT_KINDS, ids=name_of)
def test_every_event_has_a_versioned_name_of_its_aggregate(kind):
    assert re.fullmatch(r"[a-z]+\.[a-z_]+\.v\d+", kind.TOPIC)
    assert kind.TOPIC.split(".")[0] == kind.__module__.removeprefix("domain.")


def test_no_two_events_have_the_same_name():
    assert len({kind.TOPIC for kind in EVENT_KINDS}) == len(EVENT_KINDS) > 40


def test_the_catalogue_lists_every_aggregate_and_every_event():
    assert set(AGGREGATES.values()) == set(descendants(base.Aggregate))
    assert {kind.TOPIC: kind for kind in EVENT_KINDS} == EVENTS


def test_only_a_rerank_is_housekeeping():
    assert [kind for kind in EVENT_KINDS if kind.HOUSEKEEPING] == [Mission.Reranked]


# Aggregates

WORKSPACE, BOARD, PERSON, OTHER = (UUID(int=n) for n in range(1, 5))
READY, ACTIVE = (
    Place(BOARD, UUID(int=21), Stage.READY, "V1"),
    Place(BOARD, UUID(int=22), Stage.ACTIVE, "V1"),
)


def workspace():
    return Workspace.begin(UUID(int=10), workspace_id=WORKSPACE, name="A", default_board_id=BOARD)


def live_workspace(it):
    it.add_member(PERSON, Role.ADMIN)
    it.add_member(OTHER, Role.ADMIN)
    it.change_role(OTHER, Role.VIEWER)
    it.remove_member(OTHER)


def user():
    return User.begin(UUID(int=11), workspace_id=WORKSPACE, name="A", email=None)


def live_user(it):
    it.change_profile("B")
    it.disable()


def agent():
    return Agent.begin(
        UUID(int=12),
        workspace_id=WORKSPACE,
        name="A",
        role="",
        capabilities=(),
        config={"a": {"b": [1]}},
        owner_id=PERSON,
    )


def live_agent(it):
    it.issue_key(UUID(int=31), "k", ())
    it.issue_key(UUID(int=32), "k", ())
    it.revoke_key(UUID(int=31))
    it.report(Presence.BUSY)
    it.update("B", "", ("x",), {"a": {"b": [1, 2]}})
    it.deactivate()


def board():
    columns = default_columns([UUID(int=20 + number) for number in range(5)])
    return Board.begin(BOARD, workspace_id=WORKSPACE, name="A", columns=columns)


def live_board(it):
    it.add_column(UUID(int=30), "New", Stage.READY, 1, None)
    it.move_column(UUID(int=30), UUID(int=20))
    it.rename_column(UUID(int=30), "Newer")
    it.set_wip_limit(UUID(int=30), None)
    it.remove_column(UUID(int=21))


def mission():
    return Mission.create(UUID(int=14), WORKSPACE, READY, Content("A"), (), PERSON)


def live_mission(it):
    it.add_dependency(UUID(int=15), met=False)
    it.add_dependency(UUID(int=16), met=False)
    it.note_dependency(UUID(int=15), met=True)
    it.remove_dependency(UUID(int=16))
    it.assign(OTHER, READY)
    token = it.claim(Worker(OTHER, frozenset()), 60, ACTIVE)
    it.progress(OTHER, token, 30, None)
    it.fail(OTHER, token, "no", READY)
    it.block("no")


def comment():
    return Comment.begin(
        UUID(int=17),
        workspace_id=WORKSPACE,
        mission_id=UUID(int=14),
        board_id=BOARD,
        author_id=PERSON,
        body="A",
        parent_id=None,
        mentions=(),
    )


def live_comment(it):
    it.edit(PERSON, "B", (OTHER,), BOARD)
    it.remove(PERSON, BOARD, moderator=False)


def projection():
    return Projection.begin(UUID(int=18), workspace_id=WORKSPACE, model="missions")


def live_projection(it):
    place = "projections/missions.py:1 in moved"
    it.park(ParkedEvent(UUID(int=14), 3, 9, "mission.moved.v1", "KeyError", place))
    it.discard(UUID(int=14))
    it.drain(UUID(int=14))


LIVES = {
    "workspace": (workspace, live_workspace),
    "user": (user, live_user),
    "agent": (agent, live_agent),
    "board": (board, live_board),
    "mission": (mission, live_mission),
    "comment": (comment, live_comment),
    "system": (projection, live_projection),
}
lives = pytest.mark.parametrize(("begin", "live"), LIVES.values(), ids=LIVES)


def test_every_aggregate_has_a_life_below():
    assert set(LIVES) == set(AGGREGATES)


@lives
def test_every_attribute_is_annotated_in_the_class_body_and_set(begin, live):
    it = begin()
    live(it)
    annotated = set()
    for kind in (base.Aggregate, type(it)):
        hints = inspect.get_annotations(kind)
        annotated |= {name for name, hint in hints.items() if get_origin(hint) is not ClassVar}
    # The library's own attributes begin with an underscore, and it saves them itself.
    assert {name for name in vars(it) if not name.startswith("_")} == annotated


@lives
def test_a_fork_that_lives_leaves_the_original_as_it_was(given, begin, live):
    decision = given(begin).when(live)
    assert decision.refusal is None
    assert decision.facts


@lives
def test_two_forks_know_nothing_of_each_other(begin, live):
    original = begin()
    original.collect_events()
    lived, idle = original.fork(), original.fork()
    live(lived)
    assert idle.pending_events == original.pending_events == []
    assert idle.version == original.version == 1


IMMUTABLE = (UUID, str, int, bool, type(None), datetime, Enum)


def mutable_in(hint):
    """Yield the types within a type whose values could be changed in place."""
    origin = get_origin(hint)
    if dataclasses.is_dataclass(hint) and hint.__dataclass_params__.frozen:
        for inner in get_type_hints(hint).values():
            yield from mutable_in(inner)
    elif origin in {tuple, frozenset} or (origin is not None and type(None) in get_args(hint)):
        for inner in get_args(hint):
            if inner is not Ellipsis:
                yield from mutable_in(inner)
    elif not (isinstance(hint, type) and issubclass(hint, IMMUTABLE)):
        yield hint


def test_what_counts_as_mutable_here():
    assert list(mutable_in(tuple[UUID, ...])) == []
    assert list(mutable_in(tuple[list[int], ...])) == [list[int]]
    assert list(mutable_in(int | None)) == []
    assert list(mutable_in(base.Personal)) == []
    assert list(mutable_in(set[int])) == [set[int]]


@pytest.mark.parametrize("aggregate", AGGREGATES.values(), ids=name_of)
def test_an_aggregate_holds_immutable_values_or_dicts_of_them(aggregate):
    for kind in (base.Aggregate, aggregate):
        for name in inspect.get_annotations(kind):
            hint = get_type_hints(kind)[name]
            if get_origin(hint) in {dict, ClassVar}:
                continue
            assert list(mutable_in(hint)) == [], f"{aggregate.__name__}.{name}"


def test_only_the_configuration_of_an_agent_is_free_in_form():
    free = {
        (aggregate.TOPIC, name)
        for aggregate in AGGREGATES.values()
        for name, hint in get_type_hints(aggregate).items()
        if Any in get_args(hint) and not name.startswith("_")
    }
    assert free == {("agent", "config")}
