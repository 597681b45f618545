"""Where a server that refuses nothing only gets slower."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable
from typing import Final

import pytest

from headrace.policy.adaptive import Concurrency
from headrace.policy.buckets import SECOND

# Seconds of an answer of so much, with so many in flight.
Speed = Callable[[float, int, random.Random], float]
MOST: Final = 1_024


def serve(speed: Speed, answers: int, seed: int = 1) -> list[int]:
    """The limit at each answer of a server that is kept busy."""
    dice, slots = random.Random(seed), Concurrency()
    limits: list[int] = []
    flying: list[tuple[int, int, float, int, int]] = []
    now = sent = 0
    while len(limits) < answers:
        while len(flying) < slots.limit:
            sent += 1
            crowd, size = len(flying) + 1, dice.lognormvariate(4.6, 0.6)
            latency = int(speed(size, crowd, dice) * SECOND)
            heapq.heappush(flying, (now + latency, sent, size, latency, crowd))
        in_flight = len(flying)
        now, number, size, latency, crowd = heapq.heappop(flying)
        slots.succeed(now, in_flight, latency, size, crowd, number=number, sent=sent)
        limits.append(slots.limit)
    return limits


def knee(most: float) -> Speed:
    return lambda size, crowd, _: (0.2 + 0.01 * size) * max(1.0, crowd / most)


def any_length(size: float, crowd: int, dice: random.Random) -> float:
    """A few take a hundred times as long as most."""
    del size, crowd
    return dice.lognormvariate(0.0, 1.5)


def two_lengths(size: float, crowd: int, dice: random.Random) -> float:
    del size, crowd
    return 30.0 if dice.random() < 0.1 else 0.3


@pytest.mark.parametrize("most", [5, 20, 60, 200])
@pytest.mark.parametrize("seed", range(3))
def test_it_stays_near_what_the_server_bears(most: int, seed: int) -> None:
    late = serve(knee(most), 100 * most, seed)[40 * most :]
    assert 0.8 * most <= sorted(late)[len(late) // 2] <= 2.2 * most


@pytest.mark.parametrize("speed", [any_length, two_lengths])
@pytest.mark.parametrize("seed", range(3))
def test_answers_of_all_lengths_are_no_crowd(speed: Speed, seed: int) -> None:
    late = serve(speed, 30_000, seed)[20_000:]
    assert sum(late) / len(late) >= 0.9 * MOST


def test_a_server_that_gives_more_to_more_gets_more() -> None:
    """One that makes a batch of all: each takes longer, and together they are faster."""

    def batch(size: float, crowd: int, _: random.Random) -> float:
        return 0.01 * size * (1 + min(crowd, 128) / 64) * max(1.0, crowd / 128)

    late = serve(batch, 20_000)[10_000:]
    assert 100 <= sorted(late)[len(late) // 2] <= 256


def test_a_server_that_bears_all_of_it_gets_all_of_it() -> None:
    assert serve(knee(10_000), 20_000)[-1] == MOST


def test_prompts_that_take_longer_are_no_crowd() -> None:
    """Three times as slow for another reason: going back is of no use, so it comes back."""
    answered = 0

    def slower(size: float, crowd: int, dice: random.Random) -> float:
        nonlocal answered
        del crowd, dice
        answered += 1
        return (0.2 + 0.01 * size) * (3.0 if answered > 20_000 else 1.0)

    assert serve(slower, 40_000)[-1] == MOST


def test_those_that_never_come_back_are_not_waited_for() -> None:
    """Most fail for a while; then the knee is found all the same."""
    slots = Concurrency()
    slots.succeed(SECOND, 16, SECOND, 100.0, 16, number=1, sent=1_000)
    slots.succeed(2 * SECOND, 16, SECOND, 100.0, 16, number=1_001, sent=50_000)
    sent, now = 50_000, 2 * SECOND
    limits = []
    for _ in range(400):
        crowd = slots.limit
        latency = int(max(1.0, crowd / 20) * SECOND)
        for _ in range(crowd):
            sent += 1
            ended, seen = now + latency, sent + crowd
            slots.succeed(ended, crowd, latency, 100.0, crowd, number=sent, sent=seen)
        now += latency
        limits.append(slots.limit)
    assert sorted(limits)[200] <= 60


def test_what_takes_no_time_is_no_reason_to_fail() -> None:
    assert serve(lambda *_: 0.0, 1_000)[-1] >= 128
    assert math.isfinite(serve(lambda *_: 1e-9, 1_000)[-1])


def test_a_stall_of_our_own_is_made_good_within_some_answers() -> None:
    """A loop that stands still makes every answer under way a slow one."""
    slots, now, number = Concurrency(), 0, 0

    def answer(after: float, latency: float) -> None:
        nonlocal now, number
        now, number, crowd = now + int(after * SECOND), number + 1, slots.limit
        took, sent = int(latency * SECOND), number + crowd
        slots.succeed(now, crowd, took, 100, crowd, number=number, sent=sent)

    while slots.limit < 200:
        answer(1 / slots.limit, 1.0)
    now += 3_600 * SECOND
    for _ in range(400):
        answer(0.0, 3_601.0)
    began = now
    while slots.limit < 100:
        answer(0.5 / slots.limit, 0.5)
    assert now - began < 20 * SECOND
