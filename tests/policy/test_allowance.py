"""What a server says is left: kept, whatever way it counts, and made the most of."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.policy.allowance import Allowance, Counting, News
from headrace.policy.buckets import DAY, MINUTE, SECOND, Ring
from headrace.testing import windows


def news(level: windows.Level, at: float, stated: int | None = None) -> News:
    reset = int(level.reset * SECOND)
    return News(level.limit, level.remaining, reset, stated, int(at * SECOND))


@pytest.mark.parametrize(
    ("counting", "interval", "refills"),
    [
        ("continuous", MINUTE, True),
        ("minute", MINUTE, False),
        ("second", SECOND, False),
        ("sliding", MINUTE, False),
    ],
)
def test_the_way_of_counting_is_found_out(
    counting: windows.Counting, interval: int, *, refills: bool
) -> None:
    server, found = windows.window(counting, 6_000, 90.2), Counting()
    for n in range(40):
        at = 90.2 + n * 0.13
        server.take(1, at)
        found.seen(news(server.level(at), at))
    assert (found.interval, found.refills) == (interval, refills)


def test_a_limit_of_a_day_is_told_by_how_slowly_it_comes_back() -> None:
    """Groq's requests: 14,400 a day, of which 30 come back in three minutes."""
    found = Counting()
    found.seen(News(14_400, 14_370, 180 * SECOND, None, 0))
    assert (found.interval, found.refills) == (DAY, True)


def test_an_interval_that_is_stated_is_believed() -> None:
    found = Counting()
    assert found.seen(News(100, 50, None, MINUTE, 0)) == MINUTE
    assert found.seen(News(10, 5, SECOND // 2, SECOND, 0)) == SECOND


@given(
    st.sampled_from(get_args(windows.Counting)),
    st.lists(st.tuples(st.floats(0, 5), st.integers(1, 5)), min_size=1, max_size=80),
)
def test_who_is_told_each_time_never_sends_what_is_refused(
    counting: windows.Counting, steps: list[tuple[float, int]]
) -> None:
    """Once the way of counting is known; before, a window may pass for a bucket."""
    server, ring = windows.window(counting, 300, 30.0), Ring(float("inf"))
    found, allowance, at = Counting(), Allowance(ring), 30.0
    for n in range(3):
        server.take(1, at + n * 0.3)
        found.seen(news(server.level(at + n * 0.3), at + n * 0.3))
    at += 1.0
    allowance.hear(news(server.level(at), at), found)
    for pause, cost in steps:
        at += pause
        now = int(at * SECOND)
        ring.used(now)
        while wait := allowance.wait(now, cost):
            now += wait
            ring.used(now)
        at = now / SECOND
        assert server.wait_for(cost, at) <= 1e-3
        server.take(cost, at)
        ring.add(now, cost)
        allowance.take(cost)
        found.seen(news(server.level(at), at))
        allowance.hear(news(server.level(at), at), found)


def test_what_was_sent_since_is_taken_off_and_comes_back_when_it_is_too_old() -> None:
    ring = Ring(float("inf"))
    found, allowance = Counting(), Allowance(ring)
    message = News(10, 0, MINUTE, None, 0)
    found.seen(message._replace(remaining=9))  # whatever it is, it is no bucket
    ring.add(0, 4)
    allowance.hear(message, found)
    assert not found.refills
    assert allowance.wait(SECOND, 4) == pytest.approx(MINUTE, rel=0.02)
    ring.used(MINUTE + SECOND)
    assert allowance.wait(MINUTE + SECOND, 4) == 0


def test_a_cost_above_the_limit_waits_for_all_of_it() -> None:
    found, allowance = Counting(), Allowance(Ring(float("inf")))
    allowance.hear(News(10, 10, None, MINUTE, 0), found)
    assert allowance.wait(SECOND, 1_000) == 0
    allowance.take(1_000)
    assert allowance.wait(SECOND, 1) > 0
