"""Where a server that refuses nothing only gets slower."""

from __future__ import annotations

import random

import pytest

from headrace.policy.adaptive import Concurrency
from headrace.policy.buckets import SECOND


def serve(knee: float, rounds: int, slow: float = 1.0, seed: int = 1) -> list[int]:
    """The limits that a server's answers lead to, which bears ``knee`` at full speed."""
    dice = random.Random(seed)
    slots, now, limits = Concurrency(), 0, []
    for n in range(rounds):
        crowd = slots.limit
        factor = max(1.0, crowd / knee) * (slow if n > rounds / 3 else 1.0)
        for _ in range(crowd):
            size = dice.lognormvariate(4.6, 0.6)
            latency = int((0.2 + 0.01 * size) * factor * SECOND)
            slots.succeed(now + latency, crowd, latency, size, crowd)
        now += int(1.4 * factor * SECOND)
        limits.append(slots.limit)
    return limits


@pytest.mark.parametrize("knee", [20, 60, 200])
def test_it_stays_near_what_the_server_bears(knee: int) -> None:
    late = serve(knee, 60)[20:]
    assert knee <= sorted(late)[len(late) // 2] <= 2.5 * knee


def test_a_server_that_bears_all_of_it_gets_all_of_it() -> None:
    assert serve(10_000, 60)[-1] == 1_024


def test_prompts_that_take_longer_are_no_crowd() -> None:
    """Three times as slow for another reason: going back is of no use, so it comes back."""
    assert serve(10_000, 90, slow=3.0)[-1] == 1_024


def test_a_stall_of_our_own_is_made_good_within_some_answers() -> None:
    """A loop that stands still makes every answer under way a slow one."""
    slots, now, answers = Concurrency(), 0, 0
    while slots.limit < 200:
        slots.succeed(now := now + SECOND // 200, slots.limit, SECOND, 100, slots.limit)
    for _ in range(400):
        slots.succeed(now + 3_600 * SECOND, 200, 3_601 * SECOND, 100, 200)
    assert slots.limit < 10
    now += 3_600 * SECOND
    while slots.limit < 100:
        now += SECOND // slots.limit
        slots.succeed(now, slots.limit, SECOND // 2, 100, slots.limit)
        answers += 1
    assert answers < 150
