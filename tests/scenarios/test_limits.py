"""Limits are used to the full, and hold in any sixty seconds, whatever the replies do."""

from __future__ import annotations

import random
from itertools import accumulate
from typing import TYPE_CHECKING

import pytest

from headrace import Model, SamplingParams
from headrace.core.errors import NotSentError, OverloadedError, TooLargeError
from headrace.testing import Answer, Failure, Script

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.testing.provider import Outcome
    from tests.scenarios.conftest import World

pytestmark = pytest.mark.once


def most_in_a_minute(at: Sequence[float], costs: Sequence[float]) -> float:
    """The largest sum of costs in any window of sixty seconds."""
    sums = [0.0, *accumulate(costs)]
    most, left = 0.0, 0
    for right, moment in enumerate(at):
        while moment - at[left] >= 60:
            left += 1
        most = max(most, sums[right + 1] - sums[left])
    return most


def test_the_measure_itself_finds_an_excess() -> None:
    assert most_in_a_minute([0, 59.9, 60.1], [1, 1, 1]) == 2
    assert most_in_a_minute([0, 1, 2], [1, 1, 1]) == 3


def words(count: int) -> str:
    """A prompt that is estimated at ``count`` tokens with the four of its message."""
    return "x" * 4 * (count - 4)


@pytest.mark.parametrize(("per_minute", "minutes"), [(30, 4), (600, 4), (1_800, 2)])
def test_requests_use_98_percent_and_never_more(
    world: type[World], per_minute: int, minutes: int
) -> None:
    sim = world(Script(latency=0.5), max_requests_per_minute=per_minute)
    rows = sim.run(f"p{n}" for n in range(per_minute * minutes))
    at = [call.at for call in sim.script.calls]
    assert len(rows.succeeded) == per_minute * minutes
    assert most_in_a_minute(at, [1] * len(at)) <= per_minute
    # The first minute has the burst, the rest has the steady rate.
    assert len(at) / (at[-1] - at[0]) * 60 >= 0.98 * per_minute


def test_requests_hold_when_a_burst_comes_after_silence(world: type[World]) -> None:
    sim = world(Script(latency=0.1), max_requests_per_minute=600)
    sim.run(["p"] * 700)
    sim.clock.advance(45)
    sim.run(["p"] * 700)
    sim.clock.advance(600)
    sim.run(["p"] * 700)
    at = [call.at for call in sim.script.calls]
    assert most_in_a_minute(at, [1] * len(at)) <= 600


def test_the_clients_total_and_a_rows_own_limit_hold_together(world: type[World]) -> None:
    small = Model(id="openai/small", requests_per_minute=120)
    sim = world(Script(latency=0.1), [small, "openai/large"], max_requests_per_minute=600)
    sim.run(f"p{n}" for n in range(1_500))
    at = [call.at for call in sim.script.calls]
    of_small = [call.at for call in sim.script.calls if call.route == "openai/small"]
    assert most_in_a_minute(at, [1] * len(at)) <= 600
    assert most_in_a_minute(of_small, [1] * len(of_small)) <= 120
    assert len(at) / (at[-1] - at[0]) * 60 >= 0.98 * 600
    assert of_small


def token_rule(actual: Callable[[int], int]) -> Callable[[RequestContext, Route, int], Outcome]:
    """Replies whose usage is what ``actual`` says, for prompts of 100 estimated tokens."""

    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del context, route
        used = actual(n)
        return Answer("a", 0.05, input_tokens=100, output_tokens=used - 100)

    return rule


@pytest.mark.parametrize(
    ("name", "actual", "slack"),
    [
        ("as reserved", lambda _: 1_124, 0),
        ("output ten times smaller", lambda n: 200 + n % 5, 0),
        # What a reply takes beyond its reservation cannot be known before; it is paid back.
        ("overruns", lambda n: 1_124 if n % 10 else 3_000, 4_000),
    ],
)
def test_tokens_use_98_percent_and_never_more(
    world: type[World], name: str, actual: Callable[[int], int], slack: int
) -> None:
    per_minute = 100_000
    sim = world(Script(token_rule(actual)), max_tokens_per_minute=per_minute)
    sim.run([words(100)] * 1_000)
    at = [call.at for call in sim.script.calls]
    costs = [actual(n) for n in range(len(at))]
    assert most_in_a_minute(at, costs) <= per_minute + slack, name
    # Less the last, which nothing had to wait for.
    assert sum(costs[:-1]) / (at[-1] - at[0]) * 60 >= 0.98 * per_minute, name
    assert sum(costs[:-1]) / (at[-1] - at[0]) * 60 <= 1.03 * per_minute, name


def test_declared_output_is_what_is_reserved(world: type[World]) -> None:
    sim = world(
        Script(token_rule(lambda _: 150)),
        max_tokens_per_minute=15_000,
        sampling_params=SamplingParams(max_tokens=50),
    )
    sim.run([words(100)] * 400)
    at = [call.at for call in sim.script.calls]
    assert most_in_a_minute(at, [150] * 400) <= 15_000
    assert (at[-1] - at[0]) <= 399 * 0.6 / 0.98


def test_what_was_never_sent_gives_its_place_back(world: type[World]) -> None:
    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del context, route
        return Failure(NotSentError("refused"), 0.05) if n % 2 else 0.05

    sim = world(Script(rule), max_requests_per_minute=600, max_attempts=50)
    rows = sim.run(f"p{n}" for n in range(1_000))
    assert len(rows.succeeded) == 1_000
    # Half of all attempts cost nothing of the limit: it serves as many answers as ever.
    assert sim.script.calls[1_900].at - sim.script.calls[0].at <= 1.05 * 95


def test_failures_of_the_server_cost_a_request_and_no_tokens(world: type[World]) -> None:
    dice = random.Random(5)

    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del context, route, n
        if dice.random() < 0.3:
            return Failure(OverloadedError("busy", status=503), 0.05)
        return Answer("a", 0.05, input_tokens=100, output_tokens=1_024)

    sim = world(Script(rule), max_tokens_per_minute=112_400, max_attempts=50)
    rows = sim.run([words(100)] * 400)
    assert len(rows.succeeded) == 400
    assert sim.elapsed <= 400 * 0.6 * 1.1


def test_a_prompt_beyond_the_limit_is_an_error_at_once(world: type[World]) -> None:
    sim = world(Script(latency=0.1), max_tokens_per_minute=1_000)
    rows = sim.run([words(1_001), "short", words(1_000)])
    assert isinstance(rows[0].error, TooLargeError)
    assert "1001" in str(rows[0].error)
    assert "1000" in str(rows[0].error)
    assert [row.is_error for row in rows] == [True, False, False]
    assert len(sim.script.calls) == 2


def test_a_prompt_beyond_one_models_limit_goes_to_the_other(world: type[World]) -> None:
    small = Model(id="openai/small", tokens_per_minute=1_000)
    sim = world(Script(latency=0.1), [small, "openai/large"])
    rows = sim.run([words(5_000)] * 4)
    assert [row.route for row in rows] == ["openai/large"] * 4


def test_a_concurrency_that_is_given_is_never_exceeded_and_is_used(world: type[World]) -> None:
    sim = world(Script(latency=1.0), max_concurrent_requests=7)
    sim.run(["p"] * 70)
    assert sim.script.in_flight_peak == 7
    assert sim.elapsed == pytest.approx(10, abs=0.01)


def test_a_models_own_concurrency_is_kept(world: type[World]) -> None:
    small = Model(id="openai/small", max_concurrent_requests=3)
    sim = world(Script(latency=1.0), [small, "openai/large"], max_concurrent_requests=10)
    sim.run(["p"] * 100)
    busiest = most_in_flight([c.at for c in sim.script.calls if c.route == "openai/small"])
    assert busiest == 3
    assert sim.script.in_flight_peak == 10


@pytest.mark.parametrize(
    ("each", "client", "most"),
    [
        ([1_000], None, 1_000),
        ([600, 900], None, 1_500),
        ([1_000], 50, 50),
        ([700, 700], 1_000, 1_000),
    ],
)
@pytest.mark.parametrize("streams", [False, True])
def test_all_that_the_models_may_have_in_flight_is_used(
    world: type[World], each: list[int], client: int | None, most: int, streams: bool
) -> None:
    models = [Model(id=f"openai/{n}", max_concurrent_requests=m) for n, m in enumerate(each)]
    sim = world(Script(latency=1.0), models, max_concurrent_requests=client)

    async def main() -> None:
        async with sim.client.process_stream(f"p{n}" for n in range(3 * most)) as responses:
            async for response in responses:
                assert response.error is None

    if streams:
        sim.play(main)
    else:
        sim.run(f"p{n}" for n in range(3 * most))
    assert sim.script.in_flight_peak == most
    assert sim.elapsed == pytest.approx(3, abs=0.1)


def most_in_flight(at: list[float]) -> int:
    """For calls of one second each."""
    return max(sum(start <= moment < start + 0.999 for start in at) for moment in at)


def test_nothing_limits_where_no_limit_is_given(world: type[World]) -> None:
    sim = world(Script(latency=1.0))
    sim.run(["p"] * 1_280)
    # It doubles with each round, up to 128, and goes on more slowly.
    assert 128 < sim.script.in_flight_peak < 256
    assert sim.elapsed < 12
