"""Several models: drawn by weight from the request itself, or interchangeable."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from headrace import Model, NoRouteError, RequestContext, SamplingParams
from headrace.core.errors import (
    GoneError,
    OverloadedError,
    ProviderError,
    RateLimitError,
    RejectedError,
    TooLongError,
)
from headrace.testing import Failure, Script
from tests.scenarios.outages import PROMPTS, at

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.core.model import Route
    from headrace.testing.provider import Outcome
    from tests.scenarios.conftest import World

pytestmark = pytest.mark.once

A, B = "openai/a", "openai/b"
SOME = PROMPTS[:300]


def test_shares_match_the_weights(world: type[World]) -> None:
    sim = world(Script(latency=0.1), [A, B], model_weights=[3, 1])
    rows = sim.run(PROMPTS * 2)
    assert len(rows.succeeded) == 2_000
    assert Counter(row.route for row in rows)[A] == pytest.approx(1_500, abs=80)


def test_a_weight_of_zero_is_no_share(world: type[World]) -> None:
    sim = world(Script(latency=0.1), [A, B], model_weights=[0, 1])
    assert {row.route for row in sim.run(PROMPTS)} == {B}


def drawn(world: type[World], prompts: list[str], seed: int = 0) -> dict[tuple[str, int], str]:
    """Which model each prompt, and each repetition of it, was sent to."""
    sim = world(Script(latency=0.1), [A, B], model_weights=[1, 1], seed=seed)
    seen: Counter[str] = Counter()
    found = {}
    for prompt, row in zip(prompts, sim.run(prompts), strict=True):
        found[prompt, seen[prompt]] = str(row.route)
        seen[prompt] += 1
    return found


def test_the_draw_is_the_contents_and_the_seeds(world: type[World]) -> None:
    first = drawn(world, SOME)
    assert drawn(world, SOME[::-1]) == first
    assert drawn(world, SOME, seed=1) != first
    repeated = drawn(world, ["same"] * 200)
    assert Counter(repeated.values())[A] == pytest.approx(100, abs=35)


def test_a_resume_draws_the_same_models(world: type[World], tmp_path: Path) -> None:
    expected = drawn(world, SOME)
    journal = tmp_path / "run.journal"
    sim = world(Script(latency=0.1), [A, B], model_weights=[1, 1])
    sim.run(SOME[::2], journal=journal)
    again = world(Script(latency=0.1), [A, B], model_weights=[1, 1])
    rows = again.run(SOME, journal=journal)
    assert len(again.script.calls) == 150
    assert {(p, 0): row.route for p, row in zip(SOME, rows, strict=True)} == expected


def test_a_cache_is_asked_for_the_model_that_is_drawn(world: type[World]) -> None:
    sim = world(Script(latency=0.1), [A, B], model_weights=[1, 1], cache="memory")
    first, second = sim.run(PROMPTS), sim.run(PROMPTS)
    assert {row.source for row in second} == {"cache"}
    assert [row.route for row in first] == [row.route for row in second]
    assert len(sim.script.calls) == 1_000


@pytest.mark.parametrize(
    "error",
    [GoneError("404"), OverloadedError("busy", status=500), TooLongError("long", status=400)],
    ids=lambda error: str(error.code),
)
def test_a_failing_model_leaves_its_draws_to_the_other(
    world: type[World], error: OverloadedError
) -> None:
    sim = world(Script(at(A, Failure(error, 0.1))), [A, B], model_weights=[1, 1])
    rows = sim.run(PROMPTS[:200])
    assert len(rows.succeeded) == 200
    assert {row.route for row in rows} == {B}


def test_the_share_of_a_dead_model_is_shared_as_the_weights_say(world: type[World]) -> None:
    names = [A, B, "openai/c"]

    sim = world(Script(at(A, GoneError("404"))), names, model_weights=[2, 1, 1])
    rows = sim.run(PROMPTS)
    assert Counter(row.route for row in rows)[B] == pytest.approx(500, abs=60)


def test_a_move_to_the_other_model_looks_up_the_cache_again(world: type[World]) -> None:
    broken = [False]

    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del context, n
        return TooLongError("long", status=400) if route.id == A and broken[0] else 0.1

    sim = world(Script(rule), [A, B], model_weights=[1, 1], cache="memory")
    sim.run(PROMPTS[:50], model=B)
    broken[0] = True
    calls = len(sim.script.calls)
    rows = sim.run(PROMPTS[:50])
    assert {(row.route, row.source) for row in rows} == {(B, "cache")}
    # Only those drawn for the first model were sent anywhere, and to it alone.
    assert {call.route for call in sim.script.calls[calls:]} == {A}


def test_what_every_model_refuses_fails_with_the_last_word(world: type[World]) -> None:
    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del context, n
        return TooLongError(f"too long for {route.id}", status=400)

    sim = world(Script(rule), [A, B], model_weights=[1, 1])
    rows = sim.run(["p"])
    assert isinstance(rows[0].error, TooLongError)
    assert len(sim.script.calls) == 2


def test_no_model_left_stops_the_run_with_weights_too(world: type[World]) -> None:
    sim = world(Script(lambda *_: GoneError("401")), [A, B], model_weights=[1, 1])
    with pytest.raises(NoRouteError, match="401"):
        sim.run(PROMPTS)


def test_interchangeable_models_are_both_used(world: type[World]) -> None:
    sim = world(Script(latency=0.5), [A, B], max_concurrent_requests=20)
    rows = sim.run(PROMPTS)
    assert Counter(row.route for row in rows)[A] == pytest.approx(500, abs=50)


def test_a_full_route_does_not_hold_back_the_other(world: type[World]) -> None:
    slow = Model(id=A, max_concurrent_requests=1)
    sim = world(Script(lambda _c, r, _n: 60.0 if r.id == A else 0.1), [slow, B])
    rows = sim.run(PROMPTS)
    assert len(rows.succeeded) == 1_000
    assert Counter(row.route for row in rows)[A] == 1
    assert sim.elapsed == pytest.approx(60, abs=1)


def test_a_retry_goes_where_this_request_has_not_failed(world: type[World]) -> None:
    sim = world(Script([OverloadedError("busy", status=500)]), [A, B])
    rows = sim.run(["p"])
    assert {call.route for call in sim.script.calls} == {A, B}
    assert rows[0].attempts == 2
    assert sim.elapsed == 0  # where there is another, nothing is waited for


def test_a_429_waits_or_goes_elsewhere_but_closes_nothing(world: type[World]) -> None:
    limit = RateLimitError("slow", status=429, hint=5.0)
    sim = world(Script([limit]), [A, B], max_concurrent_requests=1)
    rows = sim.run(["p", "q"])
    assert len(rows.succeeded) == 2
    assert sim.elapsed == 0


def test_what_is_too_long_for_one_model_moves_to_another(world: type[World]) -> None:
    sim = world(Script(at(A, TooLongError("long", status=400))), [A, B], max_concurrent_requests=4)
    rows = sim.run(PROMPTS[:100])
    assert {row.route for row in rows} == {B}


@pytest.mark.parametrize("weights", [None, (1.0, 1.0)])
def test_what_one_model_has_no_place_for_moves_to_another(
    world: type[World], weights: tuple[float, float] | None
) -> None:
    """A codec refuses before anything is sent: no status, no reply, and no attempt."""
    blind = RejectedError("takes no images")
    options: dict[str, Any] = {} if weights is None else {"model_weights": weights}
    sim = world(Script(at(A, blind)), [A, B], max_concurrent_requests=4, **options)
    rows = sim.run(PROMPTS[:40])
    assert {row.route for row in rows} == {B}
    assert {row.attempts for row in rows} == {1}
    sim = world(Script(lambda *_: RejectedError("takes no images")), [A, B], **options)
    rows = sim.run(["p", "q"])
    assert [(type(row.error), row.attempts) for row in rows] == [(RejectedError, 0)] * 2


def test_what_a_codec_refuses_is_not_tried_with_every_key(world: type[World]) -> None:
    script = Script(lambda *_: RejectedError("takes no images"))
    sim = world(script, [A], api_key=["sk-one", "sk-two", "sk-three"])
    [row] = sim.run(["p"])
    assert (type(row.error), row.attempts) == (RejectedError, 0)
    assert len(script.calls) == 1


def test_who_is_refused_by_one_and_finds_the_other_gone_fails_alone(world: type[World]) -> None:
    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del n
        if route.id == B:
            return GoneError("401")
        long = context.conversation.messages[0].text == "long"
        return TooLongError("too long", status=400) if long else 0.1

    sim = world(Script(rule), [A, B], max_concurrent_requests=4)
    rows = sim.run(["p"] * 50 + ["long"] * 3 + ["q"] * 50)
    assert [type(row.error) for row in rows.failed] == [TooLongError] * 3
    assert len(rows.succeeded) == 100


def test_back_to_a_route_that_failed_when_the_other_is_gone(world: type[World]) -> None:
    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del context
        if n == 0:
            return OverloadedError("busy", status=500)
        return 0.1 if route.id == A else GoneError("401")

    sim = world(Script(rule), [A, B])
    rows = sim.run(["p"])
    assert [call.route for call in sim.script.calls] == [A, B, A]
    assert rows[0].route == A


def test_parameters_of_each_model_are_its_own(world: type[World]) -> None:
    seen: dict[str, object] = {}

    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del n
        assert context.params is not None
        seen[route.id] = context.params.given()
        return 0.1

    own = [SamplingParams(temperature=0.0), SamplingParams(temperature=1.0, max_tokens=5)]
    sim = world(Script(rule), [A, B], sampling_params=own, max_concurrent_requests=2)
    sim.run(["p", "q"], sampling_params=SamplingParams(seed=1))
    assert seen == {
        A: {"temperature": 0.0, "seed": 1},
        B: {"temperature": 1.0, "max_tokens": 5, "seed": 1},
    }


def test_a_rows_own_model_and_a_calls(world: type[World]) -> None:
    sim = world(Script(latency=0.1))
    rows = sim.run([RequestContext(prompt="p", model=A), "q"], model=B)
    assert [row.route for row in rows] == [A, B]
    assert [row.route for row in sim.run(["r"])] == ["openai/m"]


def test_a_rejected_prompt_is_not_asked_elsewhere_with_weights(world: type[World]) -> None:
    sim = world(Script([RejectedError("no", status=400)]), [A, B], model_weights=[1, 1])
    assert [type(row.error) for row in sim.run(["p"])] == [RejectedError]
    assert len(sim.script.calls) == 1


@pytest.mark.parametrize(
    "first",
    [RejectedError("takes no images"), GoneError("404"), OverloadedError("busy", status=500)],
    ids=["by its codec", "gone", "busy"],
)
@pytest.mark.parametrize("weights", [None, [1e12, 1e-12]])
def test_who_comes_back_to_a_model_that_failed_it_waits(
    world: type[World], first: ProviderError, weights: list[float] | None
) -> None:
    """No model is asked again at once because another one could not answer either."""

    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del context, n
        return first if route.id == A else OverloadedError("busy", status=500)

    sim = world(Script(rule), [A, B], model_weights=weights, max_attempts=4, chance=lambda: 0.5)
    [row] = sim.run(["p"])
    assert isinstance(row.error, OverloadedError)
    for asked in (A, B):
        times = [call.at for call in sim.script.calls if call.route == asked]
        assert all(later - sooner >= 0.25 for sooner, later in itertools.pairwise(times))
