"""A concurrency that nobody stated: a slow start, one cut for each storm, and a cubic back."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.policy.adaptive import FIRST, MOST, SLOWLY, START, Concurrency, Level
from headrace.policy.breaker import NEVER
from headrace.policy.buckets import SECOND


def answer(slots: Concurrency, now: int, latency: int = SECOND) -> None:
    """An answer to what was sent when all slots were in use."""
    slots.succeed(now, slots.limit, latency, 0.0, slots.limit)


@given(
    st.integers(1, 300),
    st.booleans(),
    st.booleans(),
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 50), st.integers(1, 400), st.booleans()),
        max_size=200,
    ),
)
def test_it_stays_between_one_and_its_ceiling(
    ceiling: int, fixed: bool, stated: bool, plan: list[tuple[bool, int, int, bool]]
) -> None:
    slots, now = Concurrency(ceiling, fixed=fixed, stated=stated), 100
    for worked, age, crowd, gently in plan:
        now += SECOND
        if worked:
            slots.succeed(now, crowd, age * SECOND, 10.0, crowd)
        else:
            slots.throttle(now, now - age * SECOND, crowd, gently=gently)
        assert 1 <= slots.limit <= ceiling
        assert not fixed or slots.limit == ceiling


def test_what_is_stated_is_used_at_once_and_what_is_not_begins_small() -> None:
    assert Concurrency(200, stated=True).limit == 200
    assert Concurrency().limit == FIRST
    assert Concurrency(4).limit == 4


def test_it_doubles_with_each_round_and_then_grows_slowly() -> None:
    slots, now, rounds = Concurrency(), 0, []
    while slots.limit < MOST:
        now += SECOND
        for _ in range(slots.limit):
            answer(slots, now)
        rounds.append(slots.limit)
    assert rounds[:3] == [32, 64, START]
    assert all(after <= before * 1.13 for before, after in pairwise(rounds[2:]))


def test_what_is_not_in_use_does_not_grow() -> None:
    slots = Concurrency()
    for n in range(100):
        slots.succeed(n * SECOND, 3, SECOND, 0.0, 3)
    assert slots.limit == FIRST


def test_one_storm_is_one_cut_below_the_smallest_crowd_that_was_refused() -> None:
    slots = Concurrency(100, stated=True)
    for n in range(60):
        slots.throttle(1_000 + n, 900 + n % 50, 100 - n // 6, gently=False)
    assert slots.target == 81  # nine tenths of 91
    slots.throttle(4_000, 3_500, 80)
    assert slots.target == 72


def test_refused_whatever_comes_it_asks_with_one_and_keeps_its_aim() -> None:
    slots = Concurrency(100, stated=True)
    slots.throttle(10 * SECOND, 9 * SECOND, 100)
    aim = slots.target
    for n in range(11, 40):
        slots.throttle(n * SECOND, n * SECOND - 1, 1)
        assert (slots.limit, slots.target) == (1, aim)
    answer(slots, 41 * SECOND, 1)
    assert slots.limit == 2


def test_after_a_cut_it_widens_with_every_round_and_is_no_herd() -> None:
    slots = Concurrency(256, stated=True)
    slots.throttle(10, 5, 256)
    assert slots.limit == slots.target // 8
    slots.throttle(10, 5, 256, gently=False)
    before = slots.limit
    for _ in range(before):
        answer(slots, 11, 1)
    assert slots.limit == 2 * before


def test_it_finds_back_to_what_was_refused_and_beyond_it() -> None:
    slots = Concurrency(1_000, stated=True)
    slots.throttle(1, 0, 100, gently=False)
    assert slots.limit == 100 - 10
    reached = dict[int, float]()
    for n in range(1, 400):
        for _ in range(SLOWLY):
            answer(slots, n * SECOND // 10, SECOND // 10)
        reached.setdefault(slots.limit, n / 10)
    assert 4 < reached[99] < reached[101] < 14
    assert 25 < next(at for limit, at in reached.items() if limit >= 180) < 29


def test_answers_beside_many_more_show_that_it_was_not_their_number() -> None:
    slots = Concurrency()
    slots.throttle(100, 50, 1)
    assert slots.limit == 1
    slots.succeed(200, 1, 150, 0.0, 16)
    assert slots.target == int(16 * 0.9)


def test_a_given_number_of_slots_is_kept() -> None:
    slots = Concurrency(5, fixed=True)
    slots.throttle(10, 5, 5)
    answer(slots, 11)
    assert slots.limit == 5


@given(st.floats(1, 1e6), st.integers(1, 100))
def test_a_level_falls_by_a_tenth_is_back_in_its_span_and_doubles_in_three(
    refused: float, seconds: int
) -> None:
    level = Level()
    level.cut(refused, seconds * SECOND)
    assert level.value == pytest.approx(refused * 0.9)
    level.grow(seconds * SECOND)
    assert level.value == pytest.approx(refused)
    level.grow(2 * seconds * SECOND)
    assert level.value == pytest.approx(refused * 1.8)
    level.grow(seconds * SECOND)
    assert level.top == pytest.approx(2 * refused)


def test_no_silence_leads_beyond_the_ceiling() -> None:
    slots = Concurrency(20, unheard=START)
    for second in range(60):
        slots.wait(second * SECOND)
    assert slots.limit == 20
    assert slots.wait(60 * SECOND) == NEVER


def test_what_is_remembered_to_be_refused_is_not_overrun_in_silence() -> None:
    slots = Concurrency(unheard=START)
    slots.recall(0, 20.0, is_bound=True)
    assert all(slots.wait(second * SECOND) == NEVER for second in range(60))
    assert slots.limit <= 20


def test_who_was_refused_before_a_cut_was_taken_back_changes_nothing() -> None:
    slots = Concurrency()
    slots.throttle(SECOND, 0, 100)
    slots.restore(2 * SECOND, 200.0)
    slots.throttle(3 * SECOND, SECOND, 90)
    assert slots.limit == 200
