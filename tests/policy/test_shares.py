"""A bill that is split adds up, whatever it is and whoever shares it."""

from __future__ import annotations

from functools import reduce
from operator import add

from hypothesis import given
from hypothesis import strategies as st

from headrace import Usage
from headrace.policy.shares import split, split_usage

COUNTS = st.integers(0, 2**53)
WEIGHTS = st.lists(st.integers(1, 10**6), min_size=1, max_size=50)


@given(COUNTS, WEIGHTS)
def test_parts_add_up_and_follow_their_weights(total: int, weights: list[int]) -> None:
    parts = split(total, weights)
    assert sum(parts) == total
    whole = sum(weights)
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part * whole - total * weight) < whole


@given(st.builds(Usage, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS), WEIGHTS)
def test_usage_adds_up_in_each_bucket(usage: Usage, weights: list[int]) -> None:
    parts = split_usage(usage, weights)
    assert len(parts) == len(weights)
    assert reduce(add, parts) == usage
