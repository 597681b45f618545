"""Storms, outages, routes that die, prompts that poison: nothing is lost, nothing multiplies."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from headrace.core.errors import (
    NotSentError,
    OutcomeUnknownError,
    OverloadedError,
    RateLimitError,
    RejectedError,
)
from headrace.core.events import BreakerChanged, RouteParked
from headrace.testing import Failure, Script
from headrace.testing.provider import prompt_of
from tests.scenarios.outages import COUNT, PROMPTS, at, between, elapsed, now_and_then, of

if TYPE_CHECKING:
    from headrace import RequestContext
    from headrace.core.errors import ProviderError
    from headrace.core.events import Event
    from headrace.core.model import Route
    from headrace.testing.provider import Outcome
    from tests.scenarios.conftest import World

pytestmark = pytest.mark.once


def meet(world: type[World], start: float, end: float, error: ProviderError) -> World:
    sim = world(Script(between(start, end, error)), max_concurrent_requests=50)
    rows = sim.run(PROMPTS)
    assert [row.completion for row in rows] == [f"echo: {prompt}" for prompt in PROMPTS]
    return sim


@pytest.mark.parametrize("hint", [None, 2.0])
def test_a_storm_of_429_costs_no_prompt_and_is_not_hammered(
    world: type[World], hint: float | None
) -> None:
    sim = meet(world, 3, 23, RateLimitError("slow down", status=429, hint=hint))
    assert len(sim.script.calls) <= 1.15 * COUNT
    within = [c for c in sim.script.calls if 1_003 < c.at < 1_023]
    # Those in flight at its beginning, then a few at each end of a quiet.
    assert len(within) <= 150
    assert sim.elapsed < 23 + 0.5 * COUNT / 50 * 4


def test_nothing_is_sent_before_a_hint_has_passed(world: type[World]) -> None:
    refused: list[float] = []

    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del context, route
        if n in {20, 21, 150}:
            refused.append(elapsed())
            return Failure(RateLimitError("slow", status=429, hint=7.0), 0.0)
        return 0.5

    sim = world(Script(rule), max_concurrent_requests=10)
    rows = sim.run(PROMPTS[:300])
    assert len(rows.succeeded) == 300
    assert all(row.attempts <= 3 for row in rows)
    sent = [call.at - 1_000 for call in sim.script.calls]
    for moment in refused:
        assert not [s for s in sent if moment < s < moment + 7.0]
    # It goes on as soon as the hint has passed.
    assert min(s for s in sent if s > refused[-1]) == pytest.approx(refused[-1] + 7, abs=0.01)


def test_a_hint_is_honoured_on_a_503_too(world: type[World]) -> None:
    sim = world(Script(["a", OverloadedError("busy", status=503, hint=30.0)]))
    rows = sim.run(["p", "q", "r"])
    assert len(rows.succeeded) == 3
    assert sim.elapsed == pytest.approx(30, abs=0.1)
    parked: list[Event] = []
    sim = world(Script([Failure(OverloadedError("busy", status=503, hint=9.0), 1.0)]))
    sim.client.add_listener(parked.append)
    sim.run(["p"])
    assert [e.seconds for e in parked if isinstance(e, RouteParked)] == [pytest.approx(9)]


def test_another_route_goes_on_while_one_is_parked(world: type[World]) -> None:
    parked = at("openai/a", RateLimitError("slow", status=429, hint=600.0), elsewhere=0.5)
    sim = world(Script(parked), ["openai/a", "openai/b"], max_concurrent_requests=50)
    rows = sim.run(PROMPTS)
    assert {row.route for row in rows} == {"openai/b"}
    assert sim.elapsed < 15


@pytest.mark.parametrize(
    "error",
    [OutcomeUnknownError("dropped"), OverloadedError("busy", status=503), NotSentError("refused")],
    ids=lambda error: str(error.code),
)
def test_a_minute_of_outage_loses_no_prompt(world: type[World], error: ProviderError) -> None:
    sim = meet(world, 3, 63, error)
    assert len(sim.script.calls) <= 1.15 * COUNT
    assert sim.client.last_run is not None
    assert all(row.attempts <= 10 for row in sim.client.last_run.responses)
    # It is over soon after the outage is: the longest break is eight seconds.
    assert sim.elapsed < 63 + 10 + 4 * 0.5 * COUNT / 50


def test_the_breaker_probes_one_at_a_time_and_rotates(world: type[World]) -> None:
    rule = between(1, 301, OutcomeUnknownError("dropped"))
    sim = world(Script(rule), max_concurrent_requests=20)
    states: list[str] = []
    sim.client.add_listener(lambda e: states.append(e.state) if type(e) is BreakerChanged else None)
    rows = sim.run(PROMPTS[:500])
    assert len(rows.succeeded) == 500
    probes = [c for c in sim.script.calls if 1_002 < c.at < 1_301]
    assert 20 < len(probes) < 60
    assert all(call.in_flight == 1 for call in probes)
    assert all(b.at - a.at >= 0.7 for a, b in pairwise(probes))
    # No single prompt is spent on probing.
    assert max(Counter(call.prompt for call in probes).values()) <= 2
    assert states[0] == "open"
    assert states[-1] == "closed"


def test_a_quarter_of_all_attempts_may_fail(world: type[World]) -> None:
    failures = [
        Failure(RateLimitError("slow", status=429, hint=1.0), 0.05),
        Failure(OverloadedError("busy", status=500), 0.05),
        Failure(OutcomeUnknownError("dropped"), 0.05),
        Failure(NotSentError("refused"), 0.05),
    ]
    sim = world(Script(now_and_then(0.25, *failures)), max_attempts=8)
    rows = sim.run(PROMPTS)
    assert len(rows.succeeded) == COUNT
    assert len(sim.script.calls) < 1.5 * COUNT


def test_an_empty_retry_budget_delays_and_fails_nothing(world: type[World]) -> None:
    seen: Counter[str] = Counter()

    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del route, n
        prompt = prompt_of(context)
        seen[prompt] += 1
        # Every prompt fails once, and in between something works, so that no breaker opens.
        return (
            OverloadedError("busy", status=500) if seen[prompt] == 1 and prompt[0] == "p" else 0.01
        )

    sim = world(Script(rule), max_concurrent_requests=4)
    rows = sim.run([f"p{n}" if n % 2 else f"good{n}" for n in range(2_000)])
    assert len(rows.succeeded) == 2_000
    # 1,000 retries: 500 saved up, one for each ten answers, ten a second.
    assert 0.9 < sim.elapsed / ((1_000 - 500 - 200) / 10) < 1.1


def test_a_poisoned_prompt_fails_alone(world: type[World]) -> None:
    poison = of("p7", OverloadedError("boom", status=500))
    sim = world(Script(poison), max_concurrent_requests=10)
    rows = sim.run(PROMPTS)
    assert [row.id for row in rows.failed] == ["7"]
    error = rows[7].error
    assert isinstance(error, OverloadedError)
    assert rows[7].attempts == error.attempt == 5
    assert [type(e) for e in error.history] == [OverloadedError] * 4
    assert sim.elapsed < 0.1 * COUNT / 10 + 25


@pytest.mark.parametrize("most", [1, 3])
def test_max_attempts_counts_the_sends_of_one_prompt(world: type[World], most: int) -> None:
    poison = of("bad", OverloadedError("boom", status=500))
    sim = world(Script(poison), max_attempts=most)
    rows = sim.run(["good"] * 5 + ["bad"] + ["good"] * 500)
    assert [row.attempts for row in rows.failed] == [most]
    assert Counter(call.prompt for call in sim.script.calls)["bad"] == most


def test_a_429_costs_no_attempt(world: type[World]) -> None:
    limits = [RateLimitError("slow", status=429, hint=0.1)] * 8
    sim = world(Script(limits), max_attempts=3)
    rows = sim.run(["p"])
    assert rows[0].completion == "echo: p"
    assert rows[0].attempts == 9


def test_what_is_refused_is_not_repeated(world: type[World]) -> None:
    sim = world(Script([RejectedError("no", status=400)]), ["openai/a", "openai/b"])
    rows = sim.run(["p"])
    assert [type(row.error) for row in rows] == [RejectedError]
    assert len(sim.script.calls) == 1


@pytest.mark.parametrize("coalesce", [False, True])
def test_a_provider_that_is_cancelled_from_inside_costs_its_row_alone(
    world: type[World], coalesce: bool
) -> None:
    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del route, n
        if prompt_of(context) == "p1":
            raise asyncio.CancelledError
        return 0.1

    rows = world(Script(rule), coalesce=coalesce).run(PROMPTS[:5])
    assert [row.error and row.error.code for row in rows] == [None, "unexpected", None, None, None]
