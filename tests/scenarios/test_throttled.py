"""Rate limits for as long as they last: no prompt is given up for them, and none waits for ever."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest

from headrace import NoRouteError, RequestContext
from headrace.core.errors import DeadlineError, RateLimitError
from headrace.testing import Failure, Script
from headrace.testing.provider import prompt_of
from headrace.testing.simulation import Terms, Vendor, simulate
from tests.thoroughly import first_of

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.core.model import Route
    from headrace.testing.provider import Outcome, Rule
    from tests.scenarios.conftest import World

pytestmark = pytest.mark.once


def limit(hint: float | None) -> Failure:
    return Failure(RateLimitError("slow", status=429, hint=hint), 0.05)


def only(route: str, hint: float | None) -> Rule:
    def rule(context: RequestContext, at: Route, n: int) -> Outcome:
        del context, n
        return limit(hint) if at.id == route else 0.1

    return rule


@pytest.mark.parametrize("most", [1, 5])
def test_many_refusals_in_a_row_cost_no_prompt(world: type[World], most: int) -> None:
    sim = world(Script([limit(1.0)] * 200), max_attempts=most)
    rows = sim.run(["p", "q"])
    assert len(rows.succeeded) == 2
    assert sim.elapsed < 900


@pytest.mark.parametrize("hint", first_of(None, 0.0, 0.5, 30.0, 899.0, shown=3))
@pytest.mark.parametrize("count", [1, 300])
def test_a_server_that_refuses_for_ever_stops_the_run(
    world: type[World], tmp_path: Path, hint: float | None, count: int
) -> None:
    journal = tmp_path / "run.journal"
    prompts = [f"p{n}" for n in range(count)]
    sim = world(Script(lambda *_: limit(hint)), max_attempts=2)
    with pytest.raises(NoRouteError, match=r"slow .*nothing for longer than patience=900 s"):
        sim.run(prompts, journal=journal)
    assert 900 < sim.elapsed <= 900 + max(60, hint or 0) + 1
    assert sim.client.last_run is not None
    assert sim.client.last_run.summary.total == 0

    again = world(Script(latency=0.1))
    assert len(again.run(prompts, journal=journal).succeeded) == count
    assert again.client.last_run is not None
    assert again.client.last_run.summary.resent == 0


def test_a_deadline_ends_the_wait(world: type[World]) -> None:
    sim = world(Script(lambda *_: limit(1.0)), deadline=100.0)
    rows = sim.run(["p", "q"])
    assert {type(row.error) for row in rows} == {DeadlineError}
    assert sim.elapsed == pytest.approx(100)


@pytest.mark.parametrize("weights", [None, [1.0, 1.0]])
def test_another_route_answers_meanwhile(world: type[World], weights: list[float] | None) -> None:
    sim = world(Script(only("openai/a", 60.0)), ["openai/a", "openai/b"], model_weights=weights)
    rows = sim.run([f"p{n}" for n in range(100)])
    assert {row.route for row in rows} == {"openai/b"}
    # Without weights they go where there is room; with them they wait for the model drawn.
    assert sim.elapsed < (10 if weights is None else 900 + 61)


def test_a_row_with_its_own_model_is_given_up_alone(world: type[World]) -> None:
    sim = world(Script(only("openai/own", 10.0)))
    rows = sim.run(["p", RequestContext(prompt="q", model="openai/own"), "r"])
    assert [type(row.error) for row in rows] == [type(None), RateLimitError, type(None)]


@pytest.mark.parametrize("hint", first_of(None, 0.1))
def test_a_prompt_that_is_always_refused_hardly_holds_up_the_others(
    world: type[World], hint: float | None
) -> None:
    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del route, n
        return limit(hint) if prompt_of(context) == "bad" else 0.5

    sim = world(Script(rule))
    rows = sim.run(["bad"] + ["good"] * 20_000)
    assert [type(row.error) for row in rows.failed] == [RateLimitError]
    # Without it they take 78 seconds, and nobody is there to single it out after them.
    assert 900 < sim.elapsed < 900 + 78 + 61
    calls = sim.script.calls
    assert max(call.at for call in calls if call.prompt == "good") - 1_000 < 78 / 0.9
    assert sum(call.prompt == "bad" for call in calls) < 100


def test_what_was_refused_by_a_model_is_told_by_the_next(world: type[World]) -> None:
    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del context, n
        return limit(3_600.0) if route.id == "openai/a" else 0.1

    sim = world(Script(rule), ["openai/a", "openai/b"], model_weights=[1, 1], max_attempts=1)
    rows = sim.run([f"p{n}" for n in range(20)])
    assert {row.route for row in rows} == {"openai/b"}
    assert sum(row.attempts for row in rows) == len(sim.script.calls) > 20


@pytest.mark.parametrize("part", first_of(0.02, 0.1))
def test_refusals_by_chance_do_not_slow_a_run_down(part: float) -> None:
    """One machine of many is overloaded: sending less would be of no use."""
    terms = Terms(failures=part, failure_status=429, hints=False, first_token=1.0)
    prompts = (f"p{n}" for n in count())
    report = simulate(Vendor(terms), prompts, seconds=300, max_concurrent_requests=20).report()
    assert report.between(200, 300) >= 0.9 * 20 * 100
