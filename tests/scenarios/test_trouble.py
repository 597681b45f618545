"""Storms, outages, routes that die, prompts that poison: nothing is lost, nothing multiplies."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from headrace import NoRouteError, RequestContext
from headrace.core.errors import (
    GoneError,
    NotSentError,
    OutcomeUnknownError,
    OverloadedError,
    QuotaError,
    RateLimitError,
    RejectedError,
)
from headrace.core.events import BreakerChanged, RouteParked
from headrace.testing import Failure, Script
from headrace.testing.provider import prompt_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.scenarios.conftest import World

    from headrace.core.errors import ProviderError
    from headrace.core.events import Event
    from headrace.core.model import Route
    from headrace.testing.provider import Outcome, Rule

COUNT = 1_000
PROMPTS = [f"p{n}" for n in range(COUNT)]


def between(sim: list[World], start: float, end: float, error: ProviderError) -> Rule:
    """``error`` for what is sent between these seconds of the run, else an answer in half one."""

    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del context, route, n
        return Failure(error, 0.05) if start < sim[0].elapsed < end else 0.5

    return rule


def meet(world: type[World], start: float, end: float, error: ProviderError) -> World:
    place: list[World] = []
    sim = world(Script(between(place, start, end, error)), max_concurrent_requests=50)
    place.append(sim)
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
    place: list[World] = []
    refused: list[float] = []

    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del context, route
        if n in {20, 21, 150}:
            refused.append(place[0].elapsed)
            return Failure(RateLimitError("slow", status=429, hint=7.0), 0.0)
        return 0.5

    place.append(world(Script(rule), max_concurrent_requests=10))
    rows = place[0].run(PROMPTS[:300])
    assert len(rows.succeeded) == 300
    assert all(row.attempts <= 3 for row in rows)
    sent = [call.at - 1_000 for call in place[0].script.calls]
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
    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del context, n
        if route.id == "openai/a":
            return RateLimitError("slow", status=429, hint=600.0)
        return 0.5

    sim = world(Script(rule), ["openai/a", "openai/b"], max_concurrent_requests=50)
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
    assert all(row.attempts <= 10 for row in sim.client.last_run.responses)  # type: ignore[union-attr]
    # It is over soon after the outage is: the longest break is ten seconds, and some.
    assert sim.elapsed < 63 + 13 + 4 * 0.5 * COUNT / 50


def test_the_breaker_probes_one_at_a_time_and_rotates(world: type[World]) -> None:
    place: list[World] = []
    sim = world(
        Script(between(place, 1, 301, OutcomeUnknownError("dropped"))), max_concurrent_requests=20
    )
    place.append(sim)
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


def failing(share: float, seed: int = 2) -> Rule:
    dice = random.Random(seed)  # noqa: S311
    kinds = [
        RateLimitError("slow", status=429, hint=1.0),
        OverloadedError("busy", status=500),
        OutcomeUnknownError("dropped"),
        NotSentError("refused"),
    ]

    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del context, route, n
        return Failure(dice.choice(kinds), 0.05) if dice.random() < share else 0.1

    return rule


def test_a_quarter_of_all_attempts_may_fail(world: type[World]) -> None:
    sim = world(Script(failing(0.25)))
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
    rows = sim.run([f"p{n}" if n % 2 else f"good{n}" for n in range(4_000)])
    assert len(rows.succeeded) == 4_000
    # 2,000 retries: 500 saved up, one for each ten answers, ten a second.
    assert 0.9 < sim.elapsed / ((2_000 - 500 - 400) / 10) < 1.1


def test_a_poisoned_prompt_fails_alone(world: type[World]) -> None:
    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del route, n
        return OverloadedError("boom", status=500) if prompt_of(context) == "p7" else 0.1

    sim = world(Script(rule), max_concurrent_requests=10)
    rows = sim.run(PROMPTS)
    assert [row.id for row in rows.failed] == ["7"]
    error = rows[7].error
    assert isinstance(error, OverloadedError)
    assert rows[7].attempts == error.attempt == 5
    assert [type(e) for e in error.history] == [OverloadedError] * 4
    assert sim.elapsed < 0.1 * COUNT / 10 + 25


@pytest.mark.parametrize("most", [1, 3])
def test_max_attempts_counts_the_sends_of_one_prompt(world: type[World], most: int) -> None:
    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del route, n
        return OverloadedError("boom", status=500) if prompt_of(context) == "bad" else 0.1

    sim = world(Script(rule), max_attempts=most)
    rows = sim.run(["good"] * 5 + ["bad"] + ["good"] * 500)
    assert [row.attempts for row in rows.failed] == [most]
    assert Counter(call.prompt for call in sim.script.calls)["bad"] == most


def test_a_429_costs_no_attempt(world: type[World]) -> None:
    limits = [RateLimitError("slow", status=429, hint=0.1)] * 8
    sim = world(Script(limits), max_attempts=3)
    rows = sim.run(["p"])
    assert rows[0].completion == "echo: p"
    assert rows[0].attempts == 9


def test_a_prompt_that_is_always_throttled_ends(world: type[World]) -> None:
    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del route, n
        limit = RateLimitError("slow", status=429, hint=0.1)
        return limit if prompt_of(context) == "bad" else 0.1

    sim = world(Script(rule), max_attempts=3)
    rows = sim.run(["good"] * 200 + ["bad"] + ["good"] * 200)
    assert [type(row.error) for row in rows.failed] == [RateLimitError]
    assert len(rows.succeeded) == 400


def test_what_is_refused_is_not_repeated(world: type[World]) -> None:
    sim = world(Script([RejectedError("no", status=400)]), ["openai/a", "openai/b"])
    rows = sim.run(["p"])
    assert [type(row.error) for row in rows] == [RejectedError]
    assert len(sim.script.calls) == 1


def gone_after(count: int, *names: str) -> Rule:
    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del context
        return GoneError("401: the key is wrong") if route.id in names and n >= count else 0.5

    return rule


def test_a_route_that_dies_leaves_its_work_to_the_other(world: type[World]) -> None:
    sim = world(Script(gone_after(300, "openai/a")), ["openai/a", "openai/b"])
    rows = sim.run(PROMPTS)
    assert len(rows.succeeded) == COUNT
    after = [c for c in sim.script.calls if c.route == "openai/a" and c.n >= 300]
    assert len(after) <= 128


def test_a_route_that_dies_alone_stops_the_run_and_loses_nothing(
    world: type[World], tmp_path: Path
) -> None:
    journal = tmp_path / "run.journal"
    sim = world(Script(gone_after(300, "openai/m")), max_concurrent_requests=50)
    with pytest.raises(NoRouteError, match="401: the key is wrong"):
        sim.run(PROMPTS, journal=journal)
    assert sim.client.last_run is not None
    kept = sim.client.last_run.responses
    assert len(kept) == 300
    assert not kept.failed
    assert len(sim.script.calls) <= 350

    again = world(Script(latency=0.1))
    rows = again.run(PROMPTS, journal=journal)
    assert len(rows.succeeded) == COUNT
    assert len(again.script.calls) == COUNT - 300
    assert Counter(row.source for row in rows) == {"journal": 300, "provider": 700}


def test_a_quota_stop_ends_the_run(world: type[World]) -> None:
    stop = QuotaError("no credit is left", status=429)
    sim = world(Script(lambda _c, _r, n: stop if n >= 10 else 0.1), max_concurrent_requests=5)
    with pytest.raises(NoRouteError, match="no credit is left"):
        sim.run(PROMPTS)
    assert len(sim.script.calls) <= 15


@pytest.mark.parametrize(
    ("error", "most"),
    [
        (NotSentError("127.0.0.1:1 refused the connection"), 135),
        (GoneError("404: no such model"), 128),
        (OutcomeUnknownError("it hung up"), 135),
    ],
    ids=["refused", "gone", "dropped"],
)
def test_a_route_that_never_worked_stops_the_run_at_once(
    world: type[World], error: ProviderError, most: int
) -> None:
    sim = world(Script(lambda *_: Failure(error, 0.01)))
    with pytest.raises(NoRouteError, match=str(error)):
        sim.run(PROMPTS)
    assert sim.elapsed < 10
    assert len(sim.script.calls) <= most
    assert sim.client.last_run is not None
    assert not sim.client.last_run.responses


def test_a_server_with_nothing_but_errors_stops_the_run(world: type[World]) -> None:
    sim = world(Script(lambda *_: OverloadedError("boom", status=500)), max_attempts=50)
    with pytest.raises(NoRouteError, match="nothing but errors"):
        sim.run(PROMPTS)
    assert len(sim.script.calls) < 200


def test_patience_ends_the_wait_for_a_route_that_once_worked(world: type[World]) -> None:
    place: list[World] = []
    rule = between(place, 3, 1e9, OutcomeUnknownError("it hung up"))
    sim = world(Script(rule), max_concurrent_requests=20, patience=120)
    place.append(sim)
    with pytest.raises(NoRouteError, match="patience=120 s"):
        sim.run(PROMPTS)
    assert 120 < sim.elapsed < 150
    assert sim.client.last_run is not None
    kept = sim.client.last_run.responses
    assert len(kept.succeeded) == len(kept) == 140


def test_a_hint_beyond_patience_is_not_waited_for(world: type[World]) -> None:
    stop = RateLimitError("the day is used up", status=429, hint=86_400.0)
    sim = world(Script(["a", stop]), max_concurrent_requests=1)
    with pytest.raises(NoRouteError, match="the day is used up"):
        sim.run(PROMPTS)
    assert sim.elapsed < 1


def test_trouble_long_ago_does_not_use_up_patience(world: type[World]) -> None:
    busy = OverloadedError("busy", status=503)
    sim = world(Script(["a", busy, busy, 0.1, busy, 0.1]), max_attempts=2, patience=60)

    async def main() -> list[str | None]:
        said = [(await sim.client.ask("p")).completion]
        said.append((await sim.client.ask("fails")).completion)
        sim.clock.advance(3_600)
        return [*said, (await sim.client.ask("q")).completion]

    assert sim.play(main) == ["a", None, "echo: q"]


def test_who_waits_for_a_route_that_dies_goes_to_one_that_lives(world: type[World]) -> None:
    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del context
        if route.id == "openai/a":
            busy = Failure(OverloadedError("busy", status=500), 0.1)
            return busy if dice.random() < 0.2 else 0.2
        return Failure(GoneError("401"), 5.0) if n > 10 else 5.0

    dice = random.Random(3)  # noqa: S311
    sim = world(Script(rule), ["openai/a", "openai/b"], max_concurrent_requests=4, max_attempts=20)
    rows = sim.run(PROMPTS[:200])
    assert len(rows.succeeded) == 200


def test_a_dead_route_holds_back_nobody_who_failed_on_the_other(world: type[World]) -> None:
    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del context
        if route.id == "openai/a":
            busy = Failure(OverloadedError("busy", status=500), 0.1)
            return busy if dice.random() < 0.1 else 0.1
        return Failure(OutcomeUnknownError("dropped"), 0.1) if n > 100 else 0.1

    dice = random.Random(3)  # noqa: S311
    sim = world(Script(rule), ["openai/a", "openai/b"], max_concurrent_requests=20, max_attempts=20)
    rows = sim.run(PROMPTS)
    assert len(rows.succeeded) == COUNT
    assert sim.elapsed < 60


def test_only_the_row_fails_whose_own_model_is_gone(world: type[World]) -> None:
    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del context, n
        return GoneError("404: no such model") if route.id == "openai/old" else 0.1

    sim = world(Script(rule))
    rows = sim.run(
        RequestContext(prompt=f"p{n}", model="openai/old" if n % 10 == 0 else None)
        for n in range(300)
    )
    assert len(rows.succeeded) == 270
    assert {type(row.error) for row in rows.failed} == {GoneError}
    assert all("404" in str(row.error) for row in rows.failed)


def test_a_new_run_asks_again_for_a_rows_own_model(world: type[World]) -> None:
    sim = world(Script([GoneError("404: not yet")]))
    row = RequestContext(prompt="p", model="openai/new")

    async def main() -> list[bool]:
        rows = [await sim.client.process_single_request(row) for _ in range(2)]
        return [row.is_error for row in rows]

    assert sim.play(main) == [True, False]


def test_a_new_run_asks_again_where_the_last_was_turned_away(world: type[World]) -> None:
    sim = world(Script([GoneError("401")]))

    async def main() -> int:
        with pytest.raises(NoRouteError):
            await sim.client.process_prompts_async(["p"], show_progress=False)
        return len((await sim.client.process_prompts_async(["p"], show_progress=False)).succeeded)

    assert sim.play(main) == 1
