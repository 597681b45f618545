"""Estimates are corrected by what replies used, and never thrown far off by one of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace.policy.correction import Correction

sizes = st.integers(1, 200_000)


@given(st.integers(0, 10_000_000))
def test_nothing_is_corrected_before_there_is_a_reply(tokens: int) -> None:
    assert Correction().of(tokens) == tokens
    assert Correction().seen(5, 0).of(tokens) == tokens


@given(st.lists(st.tuples(sizes, sizes), min_size=1, max_size=50), st.integers(1, 10_000_000))
def test_a_correction_is_bounded_and_grows_with_the_size(
    replies: list[tuple[int, int]], tokens: int
) -> None:
    correction = Correction()
    for estimated, used in replies:
        correction = correction.seen(estimated, used)
    corrected = correction.of(tokens)
    assert tokens / 4 <= corrected <= 4 * tokens
    assert correction.of(tokens + 1) >= corrected
    low, high = (f(used / estimated for estimated, used in replies) for f in (min, max))
    assert min(low, 4) * tokens * 0.9 - 1 <= corrected <= max(high, 0.25) * tokens * 1.1 + 1


@given(sizes, st.integers(30, 300))
def test_it_comes_to_a_steady_ratio(estimated: int, percent: int) -> None:
    correction = Correction(100_000, 400_000)
    for _ in range(10_000_000 // (100 * estimated) + 40):
        correction = correction.seen(100 * estimated, percent * estimated)
    assert abs(correction.of(100_000) - 1_000 * percent) <= 2_000
