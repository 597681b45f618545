"""What is kept for the way of requests: it widens when that is seen, and comes back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace.policy.breaker import NEVER
from headrace.policy.buckets import JITTER, SECOND, WIDEST
from headrace.policy.margin import QUIET, Margin


def test_it_doubles_with_each_storm_of_refusals() -> None:
    margin, spans = Margin(), list[int]()
    for n in range(1, 5):
        sent = n * SECOND
        assert margin.widen(sent + 1, sent)
        assert margin.widen(sent + 2, sent - 1)  # of the same storm
        spans.append(margin.span)
    assert spans == [2 * JITTER, 4 * JITTER, 8 * JITTER, WIDEST]


def test_it_comes_back_when_nothing_was_refused_for_long() -> None:
    margin = Margin()
    assert margin.due == NEVER
    margin.widen(10, 5)
    margin.widen(20, 15)
    assert margin.due == 20 + QUIET
    margin.narrow(margin.due)
    assert (margin.span, margin.due) == (2 * JITTER, 20 + 2 * QUIET)
    margin.narrow(margin.due)
    assert (margin.span, margin.due) == (JITTER, NEVER)


def test_where_all_of_it_is_of_no_use_it_is_taken_back_for_as_long() -> None:
    margin = Margin()
    for n in range(1, 5):
        assert margin.widen(10 * n, 10 * n - 5)
    assert not margin.widen(50, 45)
    assert margin.span == JITTER
    assert not margin.widen(60, 55)
    margin.narrow(margin.due)
    assert margin.widen(50 + QUIET + 10, 50 + QUIET + 5)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2 * QUIET), st.integers(0, 5 * SECOND))))
def test_it_stays_within_its_bounds(steps: list[tuple[bool, int, int]]) -> None:
    margin, now = Margin(), 10 * SECOND
    for refused, later, ago in steps:
        now += later
        if now >= margin.due:
            margin.narrow(now)
        if refused:
            margin.widen(now, now - ago)
        assert JITTER <= margin.span <= WIDEST
