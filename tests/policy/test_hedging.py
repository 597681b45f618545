"""When a request is slow, and what second copies may cost."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.policy.buckets import SECOND
from headrace.policy.hedging import FIRST_LOOK, MARGIN, SAVED, Pace, Purse

amounts = st.floats(0.0, 1e9)


@given(st.floats(0.001, 1.0), st.lists(st.tuples(amounts, amounts), max_size=100))
def test_copies_never_cost_more_than_their_share(
    share: float, steps: list[tuple[float, float]]
) -> None:
    purse, spent, copies = Purse(share), 0.0, 0.0
    for paid, copy in steps:
        purse.earn(paid, copy)
        spent += paid
        copies += sum(copy for _ in range(3) if purse.draw(copy))
        assert copies <= share * spent * (1 + 1e-9)


@given(st.floats(0.01, 1.0), st.lists(st.floats(1.0, 100.0), min_size=1, max_size=300))
def test_what_costs_more_than_was_drawn_is_saved_before_the_next(
    share: float, costs: list[float]
) -> None:
    purse, spent, copies = Purse(share), 0.0, 0.0
    for cost in costs:
        purse.earn(100.0, 50.0)
        spent += 100
        if purse.draw(50.0):
            # One at a time it is over by no more than what one costs beyond what was drawn.
            purse.settle(50.0, cost)
            copies += cost
        assert copies <= share * spent + 50 + 1e-6


def test_half_of_it_is_left_to_those_that_are_twice_as_slow() -> None:
    pace, purse, drawn = Pace(0.95), Purse(1.0), [0, 0]
    for n in range(40):
        pace.take((n % 20) * SECOND)
    purse.earn(1e9, 1)
    for slow, elapsed in enumerate([20 * SECOND, 40 * SECOND]):
        while purse.draw(1, pace.spared(elapsed)):
            drawn[slow] += 1
    assert drawn == [SAVED / 2, SAVED / 2]


def test_only_some_copies_are_saved() -> None:
    purse, drawn = Purse(0.05), 0
    purse.earn(1e9, 1)
    while purse.draw(1):
        drawn += 1
    assert drawn == SAVED


def test_what_is_slow_is_known_after_enough_answers() -> None:
    pace = Pace(0.95)
    for n in range(40):
        assert pace.wait(0) == FIRST_LOOK
        pace.take((n % 20) * SECOND)
    assert pace.wait(0) == 19 * SECOND + MARGIN
    assert pace.wait(18 * SECOND) == SECOND + MARGIN
    assert pace.wait(20 * SECOND) == 0


def test_until_then_it_is_looked_at_again_ever_later() -> None:
    pace, elapsed, looks = Pace(0.95), 0, 0
    while elapsed < 3_600 * SECOND:
        elapsed += pace.wait(elapsed)
        looks += 1
    assert looks < 20


@pytest.mark.parametrize("times", [10, 0.1])
def test_it_follows_a_server_that_becomes_slower_or_faster(times: float) -> None:
    dice, pace = random.Random(3), Pace(0.95)
    for _ in range(300):
        pace.take(int(dice.uniform(1, 2) * SECOND))
    for _ in range(300):
        pace.take(int(dice.uniform(1, 2) * times * SECOND))
    assert times * 1.8 * SECOND < pace.wait(0) < times * 2.1 * SECOND


@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.95, 0.99])
def test_as_many_are_slow_as_was_wanted(quantile: float) -> None:
    """Also where all slow ones are given up, so that nobody sees how long they take."""
    dice, pace, slow, count = random.Random(3), Pace(quantile), 0, 20_000
    for _ in range(count):
        took = int(dice.lognormvariate(0, 1) * SECOND)
        due = pace.wait(0)
        given_up = took > due > FIRST_LOOK
        slow += given_up
        pace.take(due + dice.randrange(SECOND) if given_up else took)
    assert 0.7 < slow / count / (1 - quantile) < 2
