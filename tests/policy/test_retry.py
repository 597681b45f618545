"""Shall it be tried again, and when: the whole table, and the bounds of every wait."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import (
    GoneError,
    NotSentError,
    OverloadedError,
    ProviderError,
    QuotaError,
    RateLimitError,
    RejectedError,
    ReplyError,
    TooLongError,
)
from headrace.policy.buckets import SECOND
from headrace.policy.retry import (
    LONGEST,
    LONGEST_GUESS,
    LONGEST_PARK,
    PARK_BASE,
    GiveUp,
    Retry,
    RetryBudget,
    decide,
    park,
)

chances = st.floats(0, 1, exclude_max=True)
KINDS = [
    GoneError,
    NotSentError,
    OverloadedError,
    QuotaError,
    RateLimitError,
    RejectedError,
    ReplyError,
    TooLongError,
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("forgiven", [False, True])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_the_table(kind: type[ProviderError], forgiven: bool, elsewhere: bool) -> None:
    decision = decide(
        kind("no"),
        attempts=0,
        max_attempts=5,
        forgiven=forgiven,
        elsewhere=elsewhere,
        chance=0.5,
    )
    if kind is RejectedError or (not kind.repeat_here and not elsewhere):
        assert decision == GiveUp()
    elif elsewhere or (forgiven and kind is not NotSentError):
        assert decision == Retry(0, counted=not forgiven)
    else:
        assert decision == Retry(SECOND // 4, counted=not forgiven)


@given(chances, st.integers(1, 1000), st.integers(0, 1000), st.none() | st.floats(0, 10**5))
def test_a_wait_is_bounded_and_never_shorter_than_the_hint(
    chance: float, most: int, attempts: int, hint: float | None
) -> None:
    decision = decide(
        OverloadedError("no", hint=hint),
        attempts=attempts,
        max_attempts=most,
        forgiven=False,
        elsewhere=False,
        chance=chance,
    )
    if attempts + 1 >= most:
        assert decision == GiveUp()
        return
    assert isinstance(decision, Retry)
    longest = min(0.5 * 2**attempts, LONGEST)
    assert decision.counted
    assert int((hint or 0) * SECOND) <= decision.wait
    assert decision.wait <= max(longest, hint or 0) * SECOND
    assert hint or decision.wait == int(chance * longest * SECOND)


@pytest.mark.parametrize("forgiven", [False, True])
def test_attempts_are_bounded(forgiven: bool) -> None:
    def after(attempts: int) -> Retry | GiveUp:
        return decide(
            RateLimitError("no"),
            attempts=attempts,
            max_attempts=3,
            forgiven=forgiven,
            elsewhere=True,
            chance=0.0,
        )

    assert isinstance(after(1), Retry)
    assert isinstance(after(2), Retry) is forgiven
    assert isinstance(after(3), GiveUp)


@given(st.integers(0, 10**6), chances)
def test_who_is_refused_alone_waits_apart_and_is_not_given_up(times: int, chance: float) -> None:
    decision = decide(
        RateLimitError("no", hint=5.0),
        attempts=0,
        apart=times,
        max_attempts=1,
        forgiven=True,
        elsewhere=False,
        chance=chance,
    )
    longest = min(2 ** min(times, 20), LONGEST_PARK)
    wait = max(5.0, chance * longest) if times else 0
    assert decision == Retry(int(wait * SECOND), counted=False)


@given(st.floats(0.001, 86_400), st.integers(1, 10**6), chances)
def test_quiet_is_what_the_server_asked_for(hint: float, in_a_row: int, chance: float) -> None:
    assert park(hint, in_a_row, chance) == int(hint * SECOND)


@pytest.mark.parametrize("hint", [None, 0.0])
@given(in_a_row=st.integers(1, 10**6), chance=chances)
def test_without_a_hint_quiet_is_short_at_first_and_grows_to_some_seconds(
    hint: float | None, in_a_row: int, chance: float
) -> None:
    longest = int(min(PARK_BASE * 2 ** min(in_a_row - 1, 20), LONGEST_GUESS) * SECOND)
    assert longest // 2 <= park(hint, in_a_row, chance) <= longest
    assert park(hint, in_a_row, 0.0) <= park(hint, in_a_row, chance)


def test_a_full_budget_delays_nobody_and_an_empty_one_everybody() -> None:
    budget = RetryBudget()
    waits = [budget.draw(1_000 * SECOND) for _ in range(600)]
    assert waits[:500] == [0] * 500
    assert waits[500] == SECOND // 10
    assert waits[599] == 10 * SECOND
    assert waits[500:] == sorted(waits[500:])


def test_a_budget_fills_with_time_and_with_successes() -> None:
    budget, now = RetryBudget(), 1_000 * SECOND
    for _ in range(500):
        budget.draw(now)
    assert budget.draw(now) > 0
    now += 2 * SECOND
    assert [budget.draw(now) for _ in range(19)] == [0] * 19
    assert budget.draw(now) > 0
    for _ in range(20):
        budget.succeed()
    assert budget.draw(now) == 0


@given(st.lists(st.tuples(st.booleans(), st.integers(0, SECOND)), max_size=1_500))
def test_retries_never_come_faster_than_the_budget_allows(plan: list[tuple[bool, int]]) -> None:
    budget, now, worked = RetryBudget(), 0, 0
    due: list[int] = []
    for success, step in plan:
        now += step
        if success:
            budget.succeed()
            worked += 1
        else:
            due.append(now + budget.draw(now))
            soon = sum(at <= now for at in due)
            earned = RetryBudget.PER_SECOND * now / SECOND + RetryBudget.PER_SUCCESS * worked
            assert soon <= RetryBudget.CAPACITY + earned + 1


def test_successes_do_not_overfill_the_budget() -> None:
    budget = RetryBudget()
    for _ in range(100_000):
        budget.succeed()
    assert [budget.draw(0) for _ in range(501)].count(0) == 500
