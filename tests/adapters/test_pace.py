"""The pacer: even, exact in nanoseconds, and without any event loop."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headrace.adapters.pace import Pacer

pytestmark = pytest.mark.once

SECOND = 1_000_000_000
# What may pass at once: one unit or a tenth of a second's worth, and a sixteenth of it besides.
SLACK = 1 + 1 / 16

rates = st.sampled_from([0.5, 1, 30, 60, 600, 6_000, 60_000, 1e6, 1e9, 1e12])
starts = st.integers(0, 10**16)
moves = st.lists(st.tuples(st.floats(0, 3), st.floats(0.01, 3)), min_size=1, max_size=40)


def _burst(per_minute: float) -> float:
    return max(1.0, per_minute / 600)


@given(rates, starts, moves)
def test_no_window_lets_more_pass_than_burst_and_rate(
    per_minute: float, now: int, plan: list[tuple[float, float]]
) -> None:
    pacer, burst = Pacer(per_minute), _burst(per_minute)
    passed = list[tuple[int, float]]()
    for pause, size in plan:
        now += int(pause * burst / per_minute * 60 * SECOND)
        cost = size * burst
        now += pacer.wait(now, cost)
        pacer.take(now, cost)
        passed.append((now, cost))
    for i, (start, _) in enumerate(passed):
        total = 0.0
        for end, cost in passed[i:]:
            allowed = burst * SLACK + per_minute / 60 * (end - start) / SECOND
            # The last one may be larger than a burst; it is paid for afterwards.
            assert total + min(cost, burst) <= allowed * (1 + 1e-6)
            total += cost


@given(
    st.floats(1e-9, 1e12),
    starts,
    st.lists(
        st.tuples(st.integers(0, 100 * SECOND), st.floats(0, 100), st.none() | st.floats(-50, 100)),
        min_size=1,
        max_size=30,
    ),
)
@example(1e-9, 10**9, [(0, 1.0, None), (0, 1.0, None), (0, 1.0, None)])
def test_after_its_wait_whatever_it_is_may_pass(
    per_minute: float, now: int, plan: list[tuple[int, float, float | None]]
) -> None:
    pacer, burst = Pacer(per_minute), _burst(per_minute)
    for pause, size, difference in plan:
        now += pause
        wait = pacer.wait(now, size * burst)
        assert wait >= 0
        now += wait
        assert pacer.wait(now, size * burst) == 0
        pacer.take(now, size * burst)
        if difference is not None:
            pacer.settle(now, difference * burst)


@pytest.mark.parametrize("per_minute", [6, 600, 60_000, 6_000_000])
@pytest.mark.parametrize("size", [0.02, 0.5, 0.99, 1.0, 3.7, 50])
def test_it_reaches_the_rate_and_keeps_to_it(per_minute: float, size: float) -> None:
    cost = size * max(1.0, per_minute / 600)
    pacer, start = Pacer(per_minute), 5 * SECOND
    now, passed = start, 0.0
    for _ in range(500):
        now += pacer.wait(now, cost)
        pacer.take(now, cost)
        passed += cost
    due = per_minute / 60 * (now - start) / SECOND
    assert due * 0.999 <= passed <= due + cost + _burst(per_minute) + 1


@pytest.mark.parametrize("per_minute", [6, 600, 650, 1_100, 6_000, 6_000_000])
@pytest.mark.parametrize("size", [0.0, 0.9, 1.0, 3.7])
def test_a_loop_that_is_always_late_costs_nothing(per_minute: float, size: float) -> None:
    pacer, late = Pacer(per_minute), 10 * SECOND // 1_000
    cost = max(1.0, size * per_minute / 600)
    now, passed = 0, 0.0
    for _ in range(500):
        if wait := pacer.wait(now, cost):
            now += wait + late
        pacer.take(now, cost, late if wait else 0)
        passed += cost
    due = per_minute / 60 * now / SECOND
    assert due * 0.99 - cost <= passed <= due + cost + _burst(per_minute) * SLACK


@pytest.mark.parametrize("per_minute", [60, 600, 6_000])
def test_who_comes_much_too_late_brings_a_tenth_of_a_second_at_most(per_minute: float) -> None:
    pacer, passed = Pacer(per_minute), 0
    while not pacer.wait(0, 1):
        pacer.take(0, 1)
    while not pacer.wait(60 * SECOND, 1):
        pacer.take(60 * SECOND, 1, 59 * SECOND if not passed else 0)
        passed += 1
    assert passed <= SLACK * _burst(per_minute) + per_minute / 600


def test_a_wait_is_exact_to_the_microsecond() -> None:
    pacer = Pacer(60)
    assert pacer.wait(7 * SECOND, 1) == 0
    pacer.take(7 * SECOND, 1)
    assert 0 <= pacer.wait(7 * SECOND, 1) - SECOND <= 2_000
    assert 0 <= pacer.wait(7 * SECOND + SECOND // 4, 1) - 3 * SECOND // 4 <= 2_000
    assert pacer.wait(8 * SECOND, 1) == 0


def test_a_burst_is_a_tenth_of_a_second() -> None:
    pacer, passed = Pacer(60_000), 0
    while pacer.wait(SECOND, 1) == 0:
        pacer.take(SECOND, 1)
        passed += 1
    assert 100 <= passed <= 100 * SLACK


def test_a_cost_above_the_burst_is_paid_before_anything_else_passes() -> None:
    pacer = Pacer(60_000)
    assert pacer.wait(0, 5_000) == 0
    pacer.take(0, 5_000)
    assert 4.9 * SECOND <= pacer.wait(0, 1) <= 5 * SECOND
    # The next large one waits until the first has drained whole, so that the rate holds.
    assert 4.99 * SECOND <= pacer.wait(0, 5_000) <= 5.01 * SECOND


def test_a_refund_pays_a_debt_first() -> None:
    pacer = Pacer(60_000)
    pacer.take(0, 5_000)
    pacer.settle(0, -4_000)
    assert 0.9 * SECOND <= pacer.wait(0, 1) <= 1.01 * SECOND
    pacer.settle(0, -900)
    assert pacer.wait(0, 1) <= 0.1 * SECOND


def test_a_refund_is_a_credit_of_a_second_at_most() -> None:
    pacer, passed = Pacer(60_000), 0
    pacer.settle(0, -1_000_000)
    while pacer.wait(0, 1) == 0:
        pacer.take(0, 1)
        passed += 1
    assert 1_000 <= passed <= 1_000 + 100 * SLACK + 1


def test_a_credit_is_spent_once() -> None:
    pacer = Pacer(60)
    pacer.settle(0, -1)
    pacer.take(0, 1)
    assert pacer.wait(0, 1) == 0
    pacer.take(0, 1)
    assert pacer.wait(0, 1) > 0


def test_a_debt_is_paid_from_the_credit_first() -> None:
    pacer = Pacer(60_000)
    pacer.settle(0, -500)
    pacer.settle(0, 500)
    assert pacer.wait(0, 100) == 0
    pacer.settle(0, 1_100)
    assert 1 * SECOND <= pacer.wait(0, 1) <= 1.1 * SECOND


@given(rates, st.lists(st.tuples(st.floats(0.1, 5), st.floats(0.1, 5)), min_size=20, max_size=40))
def test_what_is_settled_is_what_counts_in_the_long_run(
    per_minute: float, plan: list[tuple[float, float]]
) -> None:
    pacer, burst, now, used = Pacer(per_minute), _burst(per_minute), 0, 0.0
    most = max(burst, per_minute / 60)
    for reserved, real in plan:
        now += pacer.wait(now, reserved * burst)
        pacer.take(now, reserved * burst)
        pacer.settle(now, (real - reserved) * burst)
        used += real * burst
        assert used <= 6 * burst + most + per_minute / 60 * now / SECOND * (1 + 1e-6)


def test_time_that_seems_to_go_back_gives_nothing_away() -> None:
    pacer = Pacer(60)
    pacer.take(10 * SECOND, 1)
    assert pacer.wait(9 * SECOND, 1) >= SECOND
    assert pacer.wait(11 * SECOND, 1) == 0


def test_taking_without_asking_is_a_bug_and_says_so() -> None:
    pacer = Pacer(60)
    pacer.take(0, 1)
    with pytest.raises(RuntimeError, match="report it as a bug"):
        pacer.take(0, 1)


def test_it_needs_no_event_loop_and_little_time() -> None:
    pacer, now = Pacer(6_000_000), 0
    began = time.perf_counter()
    for _ in range(20_000):
        now += pacer.wait(now, 1)
        pacer.take(now, 1)
    assert time.perf_counter() - began < 2


def test_what_it_has_said_holds_until_something_passes_or_comes_back() -> None:
    pacer, milli = Pacer(60_000), SECOND // 1_000
    pacer.take(0, 93)
    pacer.take(0, 1)
    said = pacer.wait(0, 10)
    assert 3.9 * milli <= said <= 4.1 * milli
    assert pacer.wait(milli, 10) == said - milli
    # What was taken in advance lets somebody pass without the bucket, and was counted on.
    pacer.take(0, 5)
    assert 8.9 * milli <= pacer.wait(0, 10) <= 9.1 * milli
    pacer.settle(0, -5)
    assert 3.9 * milli <= pacer.wait(0, 10) <= 4.1 * milli
