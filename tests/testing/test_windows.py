"""How servers count: no window gives more than it says, and what it tells is true."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.testing.windows import Bucket, Counting, window

if TYPE_CHECKING:
    from collections.abc import Sequence

COUNTINGS: Sequence[Counting] = get_args(Counting)
STEPS = st.lists(st.tuples(st.floats(0, 40), st.integers(1, 5)), min_size=1, max_size=60)


@given(st.sampled_from(COUNTINGS), st.floats(300, 1e5), STEPS)
def test_after_the_wait_that_it_tells_there_is_room(
    counting: Counting, per_minute: float, steps: list[tuple[float, int]]
) -> None:
    found, now = window(counting, per_minute, 0.0), 0.0
    for pause, amount in steps:
        now += pause
        if wait := found.wait_for(amount, now):
            now += wait + 1e-6
            assert found.wait_for(amount, now) == 0.0
        left = found.level(now).remaining
        found.take(amount, now)
        assert found.level(now).remaining <= max(0.0, left - amount) + 1


@given(st.sampled_from(COUNTINGS), st.integers(5, 1_000), STEPS)
def test_no_window_gives_more_than_it_may(
    counting: Counting, per_minute: int, steps: list[tuple[float, int]]
) -> None:
    found, now, taken = window(counting, per_minute, 0.0), 0.0, list[tuple[float, int]]()
    for pause, amount in steps:
        now += pause
        if found.wait_for(amount, now) == 0.0:
            found.take(amount, now)
            taken.append((now, amount))
    within = {"second": 1.0}.get(counting, 60.0)
    most = per_minute * within / 60 * (1 if counting == "sliding" else 2)
    for begin, _ in taken:
        assert sum(a for at, a in taken if begin <= at < begin + within - 1e-6) <= most + 1e-3


def test_each_way_of_counting_forgets_in_its_own_way() -> None:
    left: dict[str, list[float]] = {}
    for counting in COUNTINGS:
        found = window(counting, 600, 60.0)
        found.take(10, 60.0)
        left[counting] = [found.level(at).remaining for at in (60.0, 60.5, 61.0, 119.0, 120.0)]
    assert left == {
        "continuous": [590, 595, 600, 600, 600],
        "minute": [590, 590, 590, 590, 600],
        "second": [0, 0, 10, 10, 10],
        "sliding": [590, 590, 590, 590, 600],
    }


@pytest.mark.parametrize("counting", COUNTINGS)
def test_a_limit_that_changes_holds_from_then_on(counting: Counting) -> None:
    found = window(counting, 60_000, 0.0)
    found.change(600, 0.0)
    assert found.level(0.0).limit == (10 if counting == "second" else 600)
    taken = 0
    while found.wait_for(1, 0.0) == 0.0:
        found.take(1, 0.0)
        taken += 1
    assert taken == (10 if counting == "second" else 600)


def test_a_bucket_holds_what_its_burst_allows() -> None:
    found = Bucket(600, 0.0, burst_seconds=1.0)
    assert found.level(0.0).remaining == 10
    assert found.wait_for(11, 0.0) == pytest.approx(0.1)
