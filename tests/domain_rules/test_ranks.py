"""Ranks: there is always room between two of them, and they stay in the order they were given for."""

import random
from bisect import insort
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from domain import rank

NOW = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
MS = timedelta(milliseconds=1)
DISTINCT_TIES = rank.BASE ** (rank.TIE_DIGITS - 1) * (rank.BASE - 1)

ties = st.uuids()
ranks = st.text(rank.DIGITS, max_size=12).map(lambda head: head + "1") | st.text(
    rank.DIGITS[:2] + rank.DIGITS[-1], max_size=12
).map(lambda head: head + rank.DIGITS[-1])
moments = st.datetimes(
    datetime(2020, 1, 1),  # noqa: DTZ001 - the strategy adds the time zone
    datetime(2200, 1, 1),  # noqa: DTZ001 - the same
    timezones=st.just(UTC),
)


def test_the_digits_are_in_the_order_of_their_bytes():
    assert list(rank.DIGITS) == sorted(set(rank.DIGITS))


@given(ranks, ranks, ties)
@settings(max_examples=1000)
def test_a_rank_between_two_is_strictly_between_them(one, other, tie):
    low, high = sorted((one, other))
    if low != high:
        assert low < rank.between(low, high, tie) < high


@given(ranks, ties)
def test_there_is_room_before_every_rank_and_behind_it(each, tie):
    assert "" < rank.between("", each, tie) < each < rank.between(each, None, tie)


@given(ranks, ranks, ties, moments)
def test_no_rank_ends_in_zero(one, other, tie, now):
    low, high = sorted((one, other))
    given_ranks = [rank.between("", None, tie), rank.at_end(now, tie), *rank.spread(5, now)]
    if low != high:
        given_ranks.append(rank.between(low, high, tie))
    assert not any(each.endswith("0") for each in given_ranks)


@given(ranks, ranks)
def test_bounds_in_the_wrong_order_are_an_error(one, other):
    low, high = sorted((one, other))
    with pytest.raises(ValueError, match="no room"):
        rank.between(high, low, UUID(int=1))


def test_a_bound_that_leaves_no_room_before_it_is_an_error():
    with pytest.raises(ValueError, match="no room"):
        rank.between("a", "a0", UUID(int=1))


@given(ranks, ranks, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_two_writers_who_aim_at_the_same_gap_get_different_ranks(one, other, tie, other_tie):
    low, high = sorted((one, other))
    if low != high and tie % DISTINCT_TIES != other_tie % DISTINCT_TIES:
        first, second = (rank.between(low, high, UUID(int=each)) for each in (tie, other_tie))
        assert first != second


@given(moments, st.integers(1, 10**10), ties, ties)
def test_a_later_end_is_behind_an_earlier_one(now, later_ms, tie, other_tie):
    assert rank.at_end(now, tie) < rank.at_end(now + later_ms * MS, other_tie)


@given(moments, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_two_ends_in_the_same_millisecond_differ(now, tie, other_tie):
    if tie % DISTINCT_TIES != other_tie % DISTINCT_TIES:
        assert rank.at_end(now, UUID(int=tie)) != rank.at_end(now, UUID(int=other_tie))


@given(st.integers(0, 3000), moments, ties)
@settings(max_examples=50)
def test_a_spread_is_short_in_order_and_before_the_end(count, now, tie):
    spread = list(rank.spread(count, now))
    assert len(spread) == count
    assert spread == sorted(set(spread))
    assert all(each < rank.at_end(now, tie) for each in spread)
    assert all(len(each) <= rank.TIME_DIGITS + 3 for each in spread)


@given(st.integers(2, 3000), moments, ties)
@settings(max_examples=50)
def test_a_spread_leaves_room_everywhere_for_short_ranks(count, now, tie):
    bounds = ["", *rank.spread(count, now), rank.at_end(now, tie)]
    for low, high in pairwise(bounds):
        between = rank.between(low, high, tie)
        assert low < between < high
        assert len(between) <= rank.TIME_DIGITS + rank.TIE_DIGITS + 4


def random_tie(chance):
    return UUID(int=chance.getrandbits(128))


@pytest.mark.parametrize("seed", range(3))
def test_thousands_of_random_insertions_keep_the_order_and_stay_short(seed):
    chance = random.Random(seed)
    column = [rank.at_end(NOW, random_tie(chance))]
    for _ in range(5000):
        place = chance.randrange(len(column))
        low = column[place - 1] if place else ""
        column.insert(place, rank.between(low, column[place], random_tie(chance)))
    assert column == sorted(set(column))
    assert max(map(len, column)) <= rank.RANK_LENGTH_MAX // 2


@pytest.mark.parametrize("side", ["low", "high"])
def test_insertions_at_one_place_grow_by_a_digit_in_five_until_a_spread_ends_it(side):
    chance = random.Random(0)
    low, high = "", rank.at_end(NOW, random_tie(chance))
    for count in range(1, 1000):
        between = rank.between(low, high, random_tie(chance))
        assert low < between < high
        assert len(between) <= rank.TIME_DIGITS + 2 * rank.TIE_DIGITS + count / 5
        low, high = (between, high) if side == "low" else (low, between)
    assert len(between) > rank.RANK_LENGTH_MAX
    assert max(map(len, rank.spread(1000, NOW))) < rank.RANK_LENGTH_MAX


class ColumnMachine(RuleBasedStateMachine):
    """A column of cards as its writers see it: put at the end, put between, re-balanced."""

    def __init__(self):
        super().__init__()
        self.now = NOW
        self.cards = []

    @rule(tie=ties, after_ms=st.integers(1, 10**7))
    def put_at_the_end(self, tie, after_ms):
        self.now += after_ms * MS
        fresh = rank.at_end(self.now, tie)
        assert all(card < fresh for card in self.cards)
        self.cards.append(fresh)

    @precondition(lambda self: self.cards)
    @rule(tie=ties, data=st.data())
    def put_before_a_card(self, tie, data):
        place = data.draw(st.integers(0, len(self.cards) - 1))
        low = self.cards[place - 1] if place else ""
        fresh = rank.between(low, self.cards[place], tie)
        assert low < fresh < self.cards[place]
        insort(self.cards, fresh)
        assert self.cards[place] == fresh

    @rule()
    def rebalance(self):
        self.now += MS
        self.cards = list(rank.spread(len(self.cards), self.now))

    @invariant()
    def cards_are_in_order_and_leave_room(self):
        assert self.cards == sorted(set(self.cards))
        assert not any(card.endswith("0") for card in self.cards)


TestColumn = ColumnMachine.TestCase
TestColumn.settings = settings(max_examples=50, stateful_step_count=50, deadline=None)
