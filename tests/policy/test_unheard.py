"""What is not refused for a while may be more, before its answer has come."""

from __future__ import annotations

from headrace.policy.adaptive import FIRST, START, Concurrency
from headrace.policy.breaker import NEVER
from headrace.policy.buckets import SECOND
from headrace.policy.silence import ACCEPTED
from headrace.policy.unheard import LONG, Unheard

MINUTES = 120 * SECOND


def fill(slots: Concurrency, now: int, seconds: int) -> int:
    """All slots are in use for so long; the limit after it."""
    until = now + seconds * SECOND
    while now < until:
        wait = slots.wait(now)
        now = until if wait == NEVER else now + wait
    return slots.limit


def test_it_doubles_in_silence_up_to_what_is_given() -> None:
    slots = Concurrency(unheard=START)
    assert slots.wait(0) == ACCEPTED
    assert slots.limit == FIRST
    assert slots.wait(ACCEPTED) == 0
    assert slots.limit == 2 * FIRST
    assert fill(slots, ACCEPTED, 60) == START


def test_a_server_of_ones_own_may_let_us_wait_and_is_not_filled() -> None:
    slots = Concurrency()
    assert slots.wait(0) == NEVER
    assert fill(slots, 0, 600) == FIRST


def test_slow_answers_show_that_twice_as_many_may_be_tried() -> None:
    slots = Concurrency()
    for _ in range(4):
        slots.succeed(MINUTES, FIRST, MINUTES, 100.0, FIRST)
    assert fill(slots, MINUTES, 60) == 2 * FIRST


def test_answers_that_have_become_slower_show_no_such_thing() -> None:
    unheard = Unheard(0)
    for _ in range(20):
        unheard.answer(MINUTES, 100.0, 16)
    for _ in range(20):
        unheard.answer(3 * MINUTES, 100.0, 48)
    assert unheard.most < 2 * 48


def test_answers_that_come_soon_are_waited_for() -> None:
    unheard = Unheard(START)
    unheard.answer(LONG - 1, 100.0, 1)
    assert unheard.wait(0, FIRST) == NEVER


def test_a_refusal_ends_it() -> None:
    slots = Concurrency(unheard=START)
    slots.throttle(SECOND, 1, FIRST)
    assert slots.wait(10 * SECOND) == NEVER
    slots.succeed(MINUTES, FIRST, MINUTES, 100.0, FIRST)
    assert slots.wait(MINUTES + 10 * SECOND) == NEVER
