"""A concurrency that nobody stated: one cut for each storm, and a slow way back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace.policy.adaptive import START, Concurrency


@given(
    st.integers(1, 300),
    st.booleans(),
    st.lists(st.tuples(st.booleans(), st.integers(0, 50)), max_size=200),
)
def test_it_stays_between_one_and_its_ceiling(
    ceiling: int, fixed: bool, plan: list[tuple[bool, int]]
) -> None:
    slots, now = Concurrency(ceiling, fixed=fixed), 100
    for worked, age in plan:
        now += 1
        before = slots.limit
        if worked:
            slots.succeed()
            assert before <= slots.limit <= before + 1
        else:
            slots.throttle(now, now - age)
            assert slots.limit <= before
        assert 1 <= slots.limit <= slots.target <= ceiling
        assert not fixed or slots.limit == ceiling


def test_one_storm_is_one_cut() -> None:
    slots = Concurrency()
    for i in range(START):
        slots.throttle(1_000 + i, 900 + i % 50)
    assert slots.target == START // 2
    slots.throttle(2_000, 1_000)
    assert slots.target == START // 2
    slots.throttle(2_000, 1_001)
    assert slots.target == START // 4


def test_after_a_cut_it_widens_with_every_round_and_is_no_herd() -> None:
    slots = Concurrency(256)
    slots.throttle(10, 5)
    rounds = [slots.limit]
    while slots.limit < slots.target:
        for _ in range(slots.limit):
            slots.succeed()
        rounds.append(slots.limit)
    assert rounds == [16, 32, 64, 128]


def test_it_never_falls_below_one_and_comes_back() -> None:
    slots = Concurrency(8)
    for i in range(20):
        slots.throttle(10 * i + 1, 10 * i)
    assert slots.limit == 1
    rounds = 0
    while slots.limit < 8:
        for _ in range(slots.limit):
            slots.succeed()
        rounds += 1
    assert 7 <= rounds <= 16


def test_a_given_number_of_slots_is_kept() -> None:
    slots = Concurrency(5, fixed=True)
    slots.throttle(10, 5)
    slots.succeed()
    assert slots.limit == 5
