"""How much replies use at most, mostly."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from headrace.policy.quantile import KEPT, LEAST, Quantile


@given(st.lists(st.integers(0, 10_000), max_size=300), st.integers(0, 10_000))
def test_it_is_never_above_the_bound_nor_above_what_was_seen(
    amounts: list[int], bound: int
) -> None:
    usual = Quantile()
    for amount in amounts:
        usual.add(amount)
    assert usual.at_most(bound) <= bound
    if usual.value is not None:
        assert usual.at_most(bound) <= max(amounts)


def test_a_few_say_nothing() -> None:
    usual = Quantile()
    for _ in range(LEAST - 1):
        usual.add(10)
    assert usual.at_most(4_096) == 4_096


def test_nineteen_of_twenty_are_no_larger() -> None:
    dice, usual, beyond = random.Random(5), Quantile(), 0
    for _ in range(KEPT):
        usual.add(int(dice.lognormvariate(4, 1)))
    for _ in range(2_000):
        amount = int(dice.lognormvariate(4, 1))
        beyond += amount > usual.at_most(4_096)
        usual.add(amount)
    assert 0.02 < beyond / 2_000 < 0.09


def test_what_changes_is_followed() -> None:
    usual = Quantile()
    for amount in (10, 500):
        for _ in range(KEPT):
            usual.add(amount)
    assert usual.at_most(4_096) == 500
