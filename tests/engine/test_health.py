"""What an outcome does to its route."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from headrace import Model
from headrace.core.errors import (
    ConnectionLostError,
    ContentFilterError,
    GoneError,
    NotSentError,
    OutcomeUnknownError,
    OverloadedError,
    QuotaError,
    RateLimitError,
    RejectedError,
    ReplyError,
)
from headrace.engine import health
from headrace.engine.admission import Permit
from headrace.engine.limits import Scope
from headrace.engine.refusals import Refusal
from headrace.engine.scope import RouteState
from headrace.policy.adaptive import FIRST, Concurrency
from headrace.policy.breaker import State
from headrace.policy.buckets import SECOND
from headrace.policy.cost import ONE
from headrace.registry.resolve import Place, route

if TYPE_CHECKING:
    from headrace.core.errors import ProviderError

NOW: Final = 1_000 * SECOND
PATIENCE: Final = 900 * SECOND
BUSY: Final = OverloadedError("busy", status=503)


@pytest.fixture
def state() -> RouteState:
    concurrency = Concurrency(1_000_000, stated=True)
    client = Scope("client", concurrency=concurrency, limits={})
    place = Place(base_url="http://127.0.0.1:1/v1")
    return RouteState(route(Model(id="openai/m"), place), client)


def fail(state: RouteState, error: ProviderError, now: int = NOW, sent: int = NOW - SECOND) -> bool:
    return health.fail(Permit(state, ONE, sent), error, now, 0.5, PATIENCE, is_fed=True)


def succeed(state: RouteState, now: int = NOW) -> bool:
    return health.succeed(Permit(state, ONE, now - SECOND), now)


@pytest.mark.parametrize(
    "error", [GoneError("401"), QuotaError("no credit")], ids=["gone", "quota"]
)
def test_a_route_that_is_closed_to_us_is_gone_and_costs_no_attempt(
    state: RouteState, error: ProviderError
) -> None:
    assert fail(state, error)
    assert state.gone is error


def test_a_hint_parks_for_as_long_as_it_says(state: RouteState) -> None:
    assert fail(state, RateLimitError("slow", status=429, hint=7.0))
    assert state.account.parked_until == NOW + 7 * SECOND
    fail(state, RateLimitError("slow", status=429, hint=2.0))
    assert state.account.parked_until == NOW + 7 * SECOND  # the longer of two hints holds


def test_one_attempt_parks_once(state: RouteState) -> None:
    permit = Permit(state, ONE, NOW - SECOND)
    limit = RateLimitError("slow", status=429, hint=7.0)
    assert health.park(permit, 7.0, NOW, 0.5)
    assert health.fail(permit, limit, NOW + SECOND, 0.5, PATIENCE, is_fed=True)
    assert state.account.parked_until == NOW + 7 * SECOND


def test_what_a_body_asks_for_beyond_its_head_is_heard(state: RouteState) -> None:
    permit = Permit(state, ONE, NOW - SECOND)
    assert health.park(permit, None, NOW, 0.5)
    assert health.fail(
        permit,
        RateLimitError("slow", status=429, hint=30.0),
        NOW + SECOND,
        0.5,
        PATIENCE,
        is_fed=True,
    )
    assert state.account.parked_until == NOW + 31 * SECOND
    assert state.account.throttles == 1


def test_what_a_body_asks_for_takes_the_place_of_a_guess(state: RouteState) -> None:
    state.account.throttles = 5
    storm = [Permit(state, ONE, NOW - SECOND) for _ in range(3)]
    for permit in storm:
        assert health.park(permit, None, NOW, 0.5) == (permit is storm[0])
    guessed = state.account.parked_until
    assert guessed > NOW + 5 * SECOND
    for permit, hint in zip(storm, [0.2, 0.1, 0.3], strict=True):
        health.park(permit, hint, NOW, 0.5)
    assert state.account.parked_until == NOW + int(0.3 * SECOND)


def test_a_storm_without_hints_is_one_quiet_and_the_next_is_longer(state: RouteState) -> None:
    limit = RateLimitError("slow", status=429)
    for _ in range(20):
        fail(state, limit)
    first = state.account.parked_until - NOW
    assert 0 < first <= SECOND
    later = NOW + 10 * SECOND
    for _ in range(20):
        fail(state, limit, later, later - SECOND)
    assert state.account.throttles == 2
    assert state.account.parked_until - later == 2 * first
    health.succeed(Permit(state, ONE, later + 1), later + SECOND)
    assert state.account.throttles == 0


def test_throttling_is_one_cut_for_a_storm(state: RouteState) -> None:
    slots = state.own.concurrency
    state.own.in_flight = slots.limit
    for _ in range(20):
        fail(state, RateLimitError("slow", status=429, hint=1.0))
    assert slots.target == int(FIRST * 0.9)
    state.own.in_flight = slots.limit = slots.target
    fail(state, BUSY, NOW + 5 * SECOND, NOW + 4 * SECOND)
    assert slots.target == 12


def test_a_prompt_that_is_refused_apart_from_others_throttles_nobody(state: RouteState) -> None:
    slots = state.own.concurrency
    permit, slow = Permit(state, ONE, NOW), RateLimitError("slow", status=429)
    health.fail(permit, slow, NOW, 0.5, PATIENCE, is_fed=True, refusal=Refusal(is_apart=True))
    assert (slots.limit, state.account.found.rate) == (FIRST, None)


def test_five_failures_in_a_row_open_the_breaker_and_are_forgiven_then(state: RouteState) -> None:
    succeed(state, NOW)
    forgiven = [fail(state, BUSY) for _ in range(6)]
    assert forgiven == [False] * 4 + [True] * 2
    assert state.breaker.wait(NOW) > 0
    assert succeed(state, NOW)
    assert state.breaker.wait(NOW) == 0


@pytest.mark.parametrize("error", [RejectedError("no", status=400), ContentFilterError("no")])
def test_a_refusal_of_one_request_proves_that_the_route_works(
    state: RouteState, error: ProviderError
) -> None:
    for _ in range(4):
        fail(state, BUSY)
    assert not fail(state, error)
    fail(state, BUSY)
    assert state.breaker.state is State.CLOSED


def test_an_unreadable_reply_neither_trips_nor_heals(state: RouteState) -> None:
    succeed(state, NOW)
    for _ in range(20):
        assert not fail(state, ReplyError("not JSON", status=200))
    assert state.breaker.state is State.CLOSED
    assert state.gone is None


@pytest.mark.parametrize(
    "error",
    [NotSentError("refused"), ConnectionLostError("dropped"), OutcomeUnknownError("cut off")],
    ids=["refused", "dropped", "cut"],
)
def test_a_route_that_never_said_a_word_is_gone_with_its_first_break(
    state: RouteState, error: ProviderError
) -> None:
    forgiven = [fail(state, error) for _ in range(5)]
    # What nobody has worked on is no attempt.
    never_came = isinstance(error, NotSentError | ConnectionLostError)
    assert forgiven == [never_came] * 5
    assert "never answered" in str(state.gone)


def test_a_route_that_only_ever_failed_is_gone_after_some_breaks(state: RouteState) -> None:
    now = NOW
    for _ in range(4):
        fail(state, BUSY, now, now)
    for _ in range(health.BREAKS_WITHOUT_ANSWER):
        assert state.gone is None
        fail(state, BUSY, now, now)
        now += state.breaker.wait(now)
        state.breaker.pass_through()
    assert "nothing but errors" in str(state.gone)


def test_patience_counts_from_the_first_failure_after_an_answer(state: RouteState) -> None:
    succeed(state, NOW)
    fail(state, BUSY, NOW)
    succeed(state, NOW + SECOND)
    for _ in range(5):
        fail(state, BUSY, NOW + 2 * SECOND)
    fail(state, BUSY, NOW + 2 * SECOND + PATIENCE)
    assert state.gone is None
    fail(state, BUSY, NOW + 2 * SECOND + PATIENCE + 1)
    assert "patience=900 s" in str(state.gone)


def test_a_hint_beyond_patience_ends_the_route(state: RouteState) -> None:
    succeed(state, NOW)
    fail(state, RateLimitError("tomorrow", status=429, hint=901.0))
    assert "tomorrow" in str(state.gone)
