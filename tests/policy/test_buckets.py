"""The ring: nothing above the limit in any sixty seconds, and no waiting longer than needed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.policy.buckets import DUST, MINUTE, SECOND, Ring

SLOT = SECOND * 6 // 100
# A quarter of a second more than a minute, for requests that arrive unevenly.
KEPT = MINUTE + SECOND // 4
steps = st.one_of(
    st.integers(0, SLOT),
    st.integers(0, 2 * SECOND),
    st.sampled_from([20 * SECOND, 59 * SECOND, MINUTE, MINUTE + SLOT, 3 * MINUTE]),
)
# What costs nothing is never asked for.
asked = st.lists(st.tuples(steps, st.integers(1, 30)), min_size=1, max_size=60)


@given(st.integers(1, 20), st.integers(0, 10**15), asked)
def test_no_sixty_seconds_exceed_the_limit(
    limit: int, now: int, plan: list[tuple[int, int]]
) -> None:
    ring, admitted = Ring(limit), list[tuple[int, int]]()
    for step, cost in plan:
        now += step
        if ring.has_room(now, cost):
            ring.add(now, cost)
            admitted.append((now, cost))
    assert admitted, "an empty ring has room"
    for start, first in admitted:
        inside = [cost for at, cost in admitted if start <= at < start + MINUTE]
        # What is larger than the limit goes alone, or would never go.
        assert sum(inside) <= max(limit, first)


@given(st.integers(1, 20), st.integers(0, 10**15), asked)
def test_a_wait_is_long_enough_and_less_than_a_slot_too_long(
    limit: int, now: int, plan: list[tuple[int, int]]
) -> None:
    ring, admitted = Ring(limit), list[tuple[int, int]]()
    for step, cost in plan:
        now += step
        wait = ring.wait(now, cost)
        assert (wait == 0) is ring.has_room(now, cost)
        if wait:
            early = now + wait - 2 * SLOT
            used = sum(c for at, c in admitted if at > early - KEPT)
            assert early < now or used + min(cost, limit) > limit
        now += wait
        assert ring.has_room(now, cost)
        assert ring.wait(now, cost) == 0
        ring.add(now, cost)
        admitted.append((now, cost))


@given(
    st.integers(10, 50),
    st.lists(st.tuples(steps, st.integers(1, 12), st.integers(-12, 12), steps), max_size=40),
)
def test_settled_costs_are_what_counts(limit: int, plan: list[tuple[int, int, int, int]]) -> None:
    ring, now, counted = Ring(limit), 1_000 * SECOND, list[tuple[int, int]]()
    for step, cost, difference, later in plan:
        now += step
        now += ring.wait(now, cost)
        ring.add(now, cost)
        used = max(0, cost + difference)
        ring.settle(now, now + later, used - cost)
        counted.append((now, min(used, cost)))
        counted.append((now + later, max(0, used - cost)))
        now += later
        least = sum(c for at, c in counted if at > now - MINUTE)
        most = sum(c for at, c in counted if at > now - KEPT - 2 * SLOT)
        assert least <= ring.used(now) <= most


def test_a_refund_for_what_is_long_forgotten_is_nothing() -> None:
    ring = Ring(10)
    ring.add(0, 10)
    ring.settle(0, 2 * MINUTE, -10)
    assert ring.used(2 * MINUTE) == 0
    ring.settle(0, 2 * MINUTE, 3)
    assert ring.used(2 * MINUTE) == 3


def test_a_debt_above_the_limit_is_waited_for() -> None:
    ring = Ring(10)
    ring.add(0, 10)
    ring.settle(0, SECOND, 90)
    assert ring.used(SECOND) == 100
    wait = ring.wait(SECOND, 1)
    assert MINUTE <= wait <= MINUTE + SECOND
    assert ring.has_room(SECOND + wait, 1)


def test_time_that_seems_to_go_back_counts_as_now() -> None:
    ring = Ring(2)
    ring.add(10 * SECOND, 1)
    ring.add(9 * SECOND, 1)
    assert not ring.has_room(8 * SECOND, 1)
    assert ring.used(10 * SECOND) == 2


def test_fractions_of_a_cost_leave_nothing_behind() -> None:
    ring, now = Ring(1), 0
    for _ in range(3_000):
        ring.add(now, 0.1)
        now += SECOND // 10
    now += MINUTE + SECOND // 2
    assert ring.wait(now, 1) == 0
    assert ring.has_room(now, 5)


def test_an_even_stream_uses_nearly_all_of_the_limit() -> None:
    ring, now, admitted = Ring(600), 0, 0
    while now < 10 * MINUTE:
        wait = ring.wait(now, 1)
        if wait:
            now += wait
            continue
        ring.add(now, 1)
        admitted += 1
        now += SECOND // 10
    assert 0.98 * 6_000 <= admitted <= 6_000


@given(
    st.integers(1, 20),
    st.integers(0, 10**15),
    st.lists(st.tuples(steps, st.integers(1, 8), st.sampled_from([0, 1, 2, 8, 16]))),
)
def test_a_wider_margin_counts_what_had_been_too_old(
    limit: int, now: int, plan: list[tuple[int, int, int]]
) -> None:
    ring, admitted, margin = Ring(limit), list[tuple[int, int]](), SECOND // 4
    for step, cost, wider in plan:
        now += step
        if wider:
            margin = wider * SECOND // 4
            ring.widen(now, margin)
        inside = sum(c for at, c in admitted if at > now - MINUTE - margin)
        longer = sum(c for at, c in admitted if at > now - MINUTE - margin - 2 * SLOT)
        assert inside - DUST <= ring.used(now) <= longer + DUST
        ring.add(now, cost)
        admitted.append((now, cost))


@pytest.mark.parametrize("wide", [(True, False), (False, True), (True, True)])
def test_two_that_become_one_count_what_both_have_within_the_wider_margin(
    wide: tuple[bool, bool],
) -> None:
    rings = Ring(10), Ring(10)
    for ring, is_wide in zip(rings, wide, strict=True):
        ring.add(SECOND, 3)
        if is_wide:
            ring.widen(2 * SECOND, 4 * SECOND)
    rings[0].absorb(rings[1], 62 * SECOND)
    assert rings[0].used(62 * SECOND) == 6
    assert rings[0].used(70 * SECOND) == 0
