"""What a server says of a limit: how it counts, and what of it is not ours."""

from __future__ import annotations

import pytest

from headrace.policy.allowance import DOUBTFUL, Counting, News, Others
from headrace.policy.breaker import NEVER
from headrace.policy.buckets import DAY, MINUTE, SECOND
from headrace.testing import windows


def news(level: windows.Level, at: float) -> News:
    reset = int(level.reset * SECOND)
    return News(level.limit, level.remaining, reset, None, int(at * SECOND))


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
    server, found, at = windows.window(counting, 6_000, 90.2), Counting(), 90.2
    for n in range(40):
        at = 90.2 + n * 0.13
        server.take(4, at)
        found.seen(news(server.level(at), at))
    assert (found.interval, found.refills(int(at * SECOND))) == (interval, refills)


def test_a_limit_of_a_day_is_told_by_how_slowly_it_comes_back() -> None:
    """Groq's requests: 14,400 a day, of which 128 come back in 13 minutes."""
    found = Counting()
    assert found.seen(News(14_400, 14_272, 768 * SECOND, None, 0)) == DAY


def test_a_minute_that_is_overdrawn_is_no_day_and_a_day_may_be_taken_back() -> None:
    found = Counting()
    assert found.seen(News(600, 0, 95 * SECOND, None, 0)) == MINUTE
    assert found.seen(News(600, 0, 700 * SECOND, None, 0)) == DAY
    assert found.seen(News(600, 300, 30 * SECOND, None, 1)) == MINUTE


def test_a_small_bucket_is_no_window_of_a_second() -> None:
    """1,200 a minute, of which a second's worth may come at once."""
    found = Counting()
    for n in range(30):
        assert found.seen(News(1_200, n % 20, (20 - n % 20) * SECOND // 20, None, n * SECOND)) == (
            MINUTE
        )


def test_what_is_back_soon_each_time_is_held_by_nobody() -> None:
    others = Others()
    for n in range(4):
        others.hear(News(1_200, 4, SECOND, None, n * SECOND), 16, n * SECOND, MINUTE, refills=False)
    assert others.held(3 * SECOND) == 0


def test_an_interval_that_is_stated_is_believed() -> None:
    found = Counting()
    assert found.seen(News(100, 50, None, MINUTE, 0)) == MINUTE
    assert found.seen(News(10, 5, SECOND // 2, SECOND, 0)) == SECOND


@pytest.mark.parametrize(
    ("limit", "remaining", "reset"),
    [(2_000_000, 1_999_982, 0), (4_000, 3_999, SECOND), (100, 98, SECOND)],
)
def test_a_bucket_whose_reset_is_rounded_is_none_of_a_second(
    limit: float, remaining: float, reset: int
) -> None:
    found = Counting()
    for n in range(20):
        assert found.seen(News(limit, remaining, reset, None, n * SECOND)) == MINUTE


def test_the_end_of_a_minute_is_no_window_of_a_second() -> None:
    found = Counting()
    assert found.seen(News(6_000, 1_000, SECOND // 2, None, 0)) == MINUTE
    assert found.seen(News(6_000, 5_990, 59 * SECOND, None, SECOND)) == MINUTE
    assert found.seen(News(6_000, 1_000, SECOND // 2, None, 60 * SECOND)) == MINUTE


def test_who_is_refused_in_what_was_taken_for_a_second_goes_back_to_a_minute() -> None:
    found = Counting()
    for n in range(3):
        found.seen(News(100, 60, SECOND // 2, None, n * SECOND))
    assert found.interval == SECOND
    found.refuse()
    assert found.seen(News(100, 60, SECOND // 2, None, 9 * SECOND)) == MINUTE
    assert found.seen(News(100, 60, SECOND // 2, None, 11 * SECOND)) == MINUTE
    assert found.seen(News(100, 60, SECOND // 2, None, 12 * SECOND)) == SECOND


def test_what_we_have_sent_ourselves_is_not_held_by_others() -> None:
    others = Others()
    others.hear(News(100, 60, 30 * SECOND, None, 0), 40, 0, MINUTE, refills=False)
    assert others.held(SECOND) == 0


def test_what_others_hold_is_gone_at_the_reset() -> None:
    others = Others()
    others.hear(News(100, 10, 30 * SECOND, None, 0), 40, 0, MINUTE, refills=False)
    assert others.held(29 * SECOND) == 50
    assert others.until(10 * SECOND, 20) == 20 * SECOND
    assert others.held(30 * SECOND) == 0


def test_without_a_reset_it_is_gone_after_the_interval() -> None:
    others = Others()
    others.hear(News(100, 10, None, None, 0), 40, 0, MINUTE, refills=False)
    assert (others.held(59 * SECOND), others.held(60 * SECOND)) == (50, 0)


def test_in_a_bucket_it_fades() -> None:
    others = Others()
    others.hear(News(100, 40, 36 * SECOND, None, 0), 0, 0, MINUTE, refills=True)
    assert others.held(18 * SECOND) == pytest.approx(30)
    assert others.until(18 * SECOND, 15) == pytest.approx(9 * SECOND, rel=0.01)
    assert others.until(18 * SECOND, 31) == NEVER


def test_who_says_that_nothing_is_left_and_answers_all_the_same_is_not_believed_for_ever() -> None:
    others = Others()
    for n in range(DOUBTFUL):
        others.hear(News(100, 0, MINUTE, None, n), 0, n, MINUTE, refills=False)
        assert others.held(n) == 100
    others.hear(News(100, 0, MINUTE, None, DOUBTFUL), 0, DOUBTFUL, MINUTE, refills=False)
    assert others.held(DOUBTFUL) == 0
    # One who says again that something is left is, and so is one who does refuse.
    others.hear(News(100, 5, MINUTE, None, 20), 0, 20, MINUTE, refills=False)
    assert others.held(20) == 95
    for n in range(30, 32 + DOUBTFUL):
        others.hear(News(100, 0, MINUTE, None, n), 0, n, MINUTE, refills=False)
    others.refuse()
    for n in range(50, 51 + DOUBTFUL):
        others.hear(News(100, 0, MINUTE, None, n), 0, n, MINUTE, refills=False)
        assert others.held(n) == 100
