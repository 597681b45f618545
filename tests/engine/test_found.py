"""A pace that nobody stated: none before a refusal, and what was borne after it."""

from __future__ import annotations

from typing import Final

import pytest

from headrace.engine.found import Found
from headrace.policy.buckets import MINUTE, SECOND

NOW: Final = 1_000 * MINUTE


def send(found: Found, since: float, seconds: float, rate: float) -> int:
    """Send at an even rate (a second), from one moment on; returns the last moment."""
    at = NOW
    for n in range(int(seconds * rate)):
        at = NOW + int((since + n / rate) * SECOND)
        found.take(at)
    return at


def test_nothing_is_paced_before_a_refusal() -> None:
    found = Found()
    send(found, 0, 10, 100)
    assert (found.rate, found.wait(NOW + 10 * SECOND)) == (None, 0)


def test_a_refusal_paces_a_little_below_what_was_borne() -> None:
    found = Found()
    last = send(found, 0, 10, 100)
    found.refuse(last + 1, last, 1, is_full=True)
    assert found.rate == pytest.approx(6_000 * 0.9, rel=0.05)


def test_one_refusal_among_a_few_requests_paces_nothing() -> None:
    found = Found()
    last = send(found, 0, 1, 5)
    found.refuse(last + 1, last, 1, is_full=True)
    assert found.rate is None


def test_a_refusal_of_the_only_request_in_minutes_paces_nothing() -> None:
    found = Found()
    found.take(NOW)
    found.refuse(NOW + 2 * MINUTE, NOW, 1, is_full=True)
    assert found.rate is None


def test_what_two_have_borne_was_borne_by_one_server() -> None:
    one, other = Found(), Found()
    send(one, 0, 10, 50)
    last = send(other, 0, 10, 50)
    one.absorb(other, last)
    one.refuse(last + 1, last, 1, is_full=True)
    assert one.rate == pytest.approx(6_000 * 0.9, rel=0.05)


def test_who_sends_little_by_choice_has_found_no_limit() -> None:
    found = Found()
    last = send(found, 0, 300, 1)
    found.refuse(last + 1, last, 1, is_full=False)
    assert found.rate is None


def test_one_storm_is_one_cut() -> None:
    found = Found()
    last = send(found, 0, 10, 100)
    for n in range(50):
        found.refuse(last + 1 + n, last - n, 1, is_full=True)
    assert found.rate == pytest.approx(6_000 * 0.9, rel=0.05)


def test_a_server_that_takes_nothing_for_a_while_is_no_slower_after_it() -> None:
    found = Found()
    last = send(found, 0, 90, 10)
    for row in range(1, 12):
        found.refuse(last + row * SECOND, last + row * SECOND - 1, row, is_full=True)
    found.succeed(last + 13 * SECOND)
    assert found.rate is not None
    assert found.rate > 600 * 0.7


def test_a_minute_that_was_used_up_at_once_is_what_the_next_may_have() -> None:
    found = Found()
    last = send(found, 0, 2, 300)
    for row in range(1, 9):
        found.refuse(last + row * 7 * SECOND, last + row * 7 * SECOND - 1, row, is_full=True)
    found.succeed(NOW + 63 * SECOND)
    assert found.rate == pytest.approx(600 * 0.9, rel=0.1)
