"""Slow requests are sent a second time, and the first recorded reply wins."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import pytest

from headrace import APIResponse, Model, Price, RequestContext, SamplingParams, VendorTool
from headrace.core.errors import (
    DeadlineError,
    OutcomeUnknownError,
    OverloadedError,
    RateLimitError,
    RejectedError,
    UnexpectedError,
)
from headrace.testing import Answer, Failure, Script
from headrace.testing.provider import prompt_of
from tests.clients import check_nothing_is_held

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.core.errors import ProviderError
    from headrace.testing.provider import Outcome
    from tests.scenarios.conftest import World

pytestmark = pytest.mark.once

# So many answers of a second each say that more is slow, and save enough for some copies.
WARM: Final = [f"w{n}" for n in range(400)]
BUSY: Final = OverloadedError("busy", status=500)
LIMITED: Final = RateLimitError("slow", status=429, hint=1.0)
REFUSED: Final = RejectedError("no", status=400)


def script(**outcomes: Sequence[Outcome]) -> Script:
    """Each prompt meets its outcomes in the order of its sends, all others a second's answer."""
    met: dict[str, int] = {}

    def rule(context: RequestContext, route: object, n: int) -> Outcome:
        del route, n
        prompt = prompt_of(context)
        met[prompt] = met.get(prompt, -1) + 1
        own = outcomes.get(prompt, [])
        return own[met[prompt]] if met[prompt] < len(own) else 1.0

    return Script(rule)


def sent(sim: World, prompt: str) -> list[str]:
    """By which routes it was sent, in order."""
    return [call.route for call in sim.script.calls if call.prompt == prompt]


def asked(sim: World, **options: Any) -> tuple[APIResponse[Any], float]:
    """The answer, and after how many seconds it came, when it is known what is slow."""

    async def main() -> tuple[APIResponse[Any], float]:
        await sim.client.process_prompts_async(WARM, show_progress=False)
        began = sim.elapsed
        row = await sim.client.ask("slow", **options)
        check_nothing_is_held(sim.client)
        assert sim.script.in_flight == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return row, sim.elapsed - began

    return sim.play(main)


def test_a_slow_request_is_sent_again_and_the_second_answer_wins(world: type[World]) -> None:
    sim = world(script(slow=[100.0, Answer("second", 1.0)]), hedge=True)
    row, took = asked(sim)
    assert row.completion == "second"
    assert took == pytest.approx(2, abs=0.1)
    assert (row.attempts, row.uncertain_attempts) == (2, 1)
    found = sim.client.statistics()
    assert (found.hedged, found.abandoned, found.sent) == (1, 1, len(WARM) + 2)


def test_the_first_answer_wins_where_it_comes_first(world: type[World]) -> None:
    sim = world(script(slow=[Answer("first", 1.5), 100.0]), hedge=True)
    row, took = asked(sim)
    assert (row.completion, row.attempts, row.uncertain_attempts) == ("first", 2, 1)
    assert took == pytest.approx(1.5)


def test_without_being_asked_for_nothing_is_sent_twice(world: type[World]) -> None:
    for hedge in (None, False):
        sim = world(script(slow=[100.0]), hedge=hedge)
        row, took = asked(sim)
        assert row.attempts == 1
        assert took == pytest.approx(100)


def test_what_is_not_slow_is_sent_once(world: type[World]) -> None:
    sim = world(script(slow=[1.0]), hedge=True)
    row, _ = asked(sim)
    assert row.attempts == 1
    assert sim.client.statistics().hedged == 0


def test_the_second_copy_prefers_another_route_though_it_is_busier(world: type[World]) -> None:
    busy = {f"b{n}": [50.0] for n in range(3)}
    sim = world(script(slow=[100.0, 1.0], **busy), ["openai/a", "openai/b"], hedge=True)

    async def main() -> APIResponse[Any]:
        await sim.client.process_prompts_async(WARM, show_progress=False)
        slow = asyncio.ensure_future(sim.client.ask("slow"))
        await asyncio.sleep(0.1)
        others = [asyncio.ensure_future(sim.client.ask(b, model="openai/b")) for b in busy]
        await asyncio.wait([slow, *others])
        return slow.result()

    row = sim.play(main)
    assert sent(sim, "slow") == ["openai/a", "openai/b"]
    assert row.route == "openai/b"


def test_the_second_copy_stays_with_the_drawn_model_while_that_has_room(
    world: type[World],
) -> None:
    slow: dict[str, list[Outcome]] = {f"s{n}": [100.0, 1.0] for n in range(4)}
    models = ["openai/a", "openai/b"]
    sim = world(script(**slow), models, model_weights=[1, 1], spill=True, hedge=True)

    async def main() -> None:
        await sim.client.process_prompts_async(WARM * 2, show_progress=False)
        await sim.client.process_prompts_async(list(slow), show_progress=False)

    sim.play(main)
    routes = [sent(sim, prompt) for prompt in slow]
    assert {first for first, _ in routes} == set(models)
    assert all(first == second for first, second in routes)


def test_what_stands_by_is_not_for_second_copies(world: type[World]) -> None:
    models: list[str | Model] = [Model(id="openai/spare", priority=2), "openai/a"]
    sim = world(script(slow=[100.0, 1.0]), models, hedge=True)
    asked(sim)
    assert sent(sim, "slow") == ["openai/a", "openai/a"]


def test_where_the_other_route_is_in_trouble_it_takes_the_same(world: type[World]) -> None:
    sim = world(script(slow=[100.0, 1.0]), ["openai/a", "openai/b"], hedge=True)
    sim.client.trip("openai/b")
    asked(sim)
    assert sent(sim, "slow") == ["openai/a", "openai/a"]


def test_the_second_copy_waits_in_line_behind_all_others(world: type[World]) -> None:
    waiting = {f"q{n}": [50.0] for n in range(4)}
    sim = world(script(slow=[40.0], **waiting), hedge=True, max_concurrent_requests=2)

    async def main() -> APIResponse[Any]:
        await sim.client.process_prompts_async(WARM, show_progress=False)
        slow, *_ = await asyncio.gather(*map(sim.client.ask, ["slow", *waiting]))
        return slow

    row = sim.play(main)
    # It never had its turn, and is as if it had never been.
    assert (row.attempts, row.uncertain_attempts) == (1, 0)
    assert len(sent(sim, "slow")) == 1


@pytest.mark.parametrize("refusal", [LIMITED, REFUSED, OverloadedError("busy", status=409)])
def test_never_after_a_4xx(world: type[World], refusal: ProviderError) -> None:
    models = ["openai/a", "openai/b"]  # so that a refusal is tried elsewhere
    sim = world(script(slow=[Failure(refusal, 0.1), 50.0, 1.0, 1.0]), models, hedge=True)
    row, took = asked(sim)
    assert took > 50 or row.is_error
    assert sim.client.statistics().hedged == 0


def test_a_repetition_after_a_server_error_may_be_sent_twice(world: type[World]) -> None:
    sim = world(script(slow=[Failure(BUSY, 0.1), 50.0, 1.0]), hedge=True)
    row, took = asked(sim)
    assert (row.attempts, row.uncertain_attempts) == (3, 1)
    assert took < 4


def test_what_may_do_more_than_answer_is_sent_once(world: type[World]) -> None:
    tools = [VendorTool("web_search")]
    params = SamplingParams(extra_body={"mcp_servers": []})
    for options in ({"tools": tools}, {"sampling_params": params}):
        sim = world(script(slow=[50.0]), hedge=True)
        row, _ = asked(sim, **options)
        assert row.attempts == 1
    models = ["openai/a", "openai/b"]
    sim = world(script(slow=[50.0]), models, hedge=True, sampling_params=[params, params])
    assert asked(sim)[0].attempts == 1


def test_a_stream_is_sent_once(world: type[World]) -> None:
    sim = world(script(slow=[Answer("word " * 50, 50.0)]), hedge=True)

    async def main() -> int:
        await sim.client.process_prompts_async(WARM, show_progress=False)
        return len([chunk async for chunk in sim.client.stream_tokens("slow")])

    assert sim.play(main) > 50
    assert len(sent(sim, "slow")) == 1


# Failures.


def test_a_failure_waits_for_the_other_copy(world: type[World]) -> None:
    either: list[list[Outcome]] = [
        [Failure(BUSY, 1.5), Answer("good", 3.0)],
        [Answer("good", 3.0), BUSY],
    ]
    for outcomes in either:
        sim = world(script(slow=outcomes), hedge=True, max_attempts=1)
        row, took = asked(sim)
        assert (row.completion, row.attempts, row.uncertain_attempts) == ("good", 2, 0)
        assert 2.9 < took < 4.1


def test_two_failures_of_one_attempt_cost_one(world: type[World]) -> None:
    outcomes: list[Outcome] = [*[Failure(BUSY, 1.5)] * 4, Answer("third", 1.0)]
    sim = world(script(slow=outcomes), hedge=True, max_attempts=3)
    row, _ = asked(sim)
    assert (row.completion, row.attempts) == ("third", 5)


def test_the_last_error_tells_of_both_copies(world: type[World]) -> None:
    sim = world(script(slow=[Failure(BUSY, 1.5), Failure(BUSY, 1.5)]), hedge=True, max_attempts=1)
    row, _ = asked(sim)
    assert isinstance(row.error, OverloadedError)
    assert row.attempts == 2
    assert [error.code for error in row.error.history] == ["overloaded"]


def test_the_history_tells_which_send_met_what(world: type[World]) -> None:
    outcomes = [Failure(BUSY, 50.0), *[Failure(BUSY, 1.0)] * 3]
    sim = world(script(slow=outcomes), hedge=True, max_attempts=3)
    row, _ = asked(sim)
    assert isinstance(row.error, OverloadedError)
    assert [error.attempt for error in row.error.history] == [2, 1, 3]
    assert (row.error.attempt, row.attempts) == (4, 4)


def test_what_is_final_holds_whatever_the_other_copy_met(world: type[World]) -> None:
    broken = Failure(OutcomeUnknownError("broke off"), 2.0)
    for outcomes in ([Failure(REFUSED, 1.5), broken], [broken, Failure(REFUSED, 0.1)]):
        sim = world(script(slow=outcomes), hedge=True)
        row, _ = asked(sim)
        assert isinstance(row.error, RejectedError)
        assert (row.attempts, row.uncertain_attempts) == (2, 1)


def test_a_failure_while_the_second_copy_stands_in_line_does_not_wait_for_it(
    world: type[World],
) -> None:
    sim = world(
        script(slow=[Failure(BUSY, 5.0), Answer("again", 1.0)], other=[100.0]),
        hedge=True,
        max_concurrent_requests=2,
    )

    async def main() -> APIResponse[Any]:
        await sim.client.process_prompts_async(WARM, show_progress=False)
        other = asyncio.ensure_future(sim.client.ask("other"))
        await asyncio.sleep(0.1)
        row = await sim.client.ask("slow")
        await other
        check_nothing_is_held(sim.client)
        return row

    row = sim.play(main)
    assert (row.completion, row.attempts) == ("again", 2)


def test_a_deadline_ends_both_copies(world: type[World]) -> None:
    late = Failure(OutcomeUnknownError("gave no whole reply"), 5.0)
    sim = world(script(slow=[late, 100.0]), hedge=True)
    row, took = asked(sim, deadline=4.9)
    assert isinstance(row.error, DeadlineError)
    assert took == pytest.approx(5)
    assert (row.attempts, row.uncertain_attempts) == (2, 2)


@pytest.mark.parametrize("bug", [LookupError("a bug"), asyncio.CancelledError()])
def test_a_bug_of_either_copy_is_the_request_s_error(
    world: type[World], bug: BaseException
) -> None:
    def rule(context: RequestContext, route: object, n: int) -> Outcome:
        del route
        if prompt_of(context) == "slow" and n > len(WARM):
            raise bug
        return 100.0 if prompt_of(context) == "slow" else 1.0

    sim = world(Script(rule), hedge=True)

    async def main() -> APIResponse[Any]:
        await sim.client.process_prompts_async(WARM, show_progress=False)
        return await sim.client.ask("slow")

    row = sim.play(main)
    assert isinstance(row.error, UnexpectedError)
    assert ("a bug" in str(row.error)) == isinstance(bug, LookupError)
    check_nothing_is_held(sim.client)


def test_a_retry_that_the_other_copy_spares_is_not_paid_for(world: type[World]) -> None:
    either: list[list[Outcome]] = [
        [Failure(BUSY, 1.5), Answer("good", 3.0)],
        [Failure(BUSY, 1.5), Failure(REFUSED, 1.0)],
        [Failure(BUSY, 1.5), Answer("too late", 100.0)],
    ]
    for outcomes in either:
        sim = world(script(slow=outcomes), hedge=True)
        asked(sim, deadline=50)
        assert len(sent(sim, "slow")) == 2
        budget = sim.client._sender._budget  # noqa: SLF001  it shows in hundreds of lost ones
        assert budget._level >= budget.CAPACITY  # noqa: SLF001  it shows in hundreds of lost ones


# Money.


def test_a_second_copy_that_is_not_charged_costs_nothing(world: type[World]) -> None:
    slow: dict[str, list[Outcome]] = {f"s{n}": [60.0, Failure(LIMITED, 0.1)] for n in range(3)}
    sim = world(script(**slow), hedge={"share": 0.005})  # enough for two

    async def main() -> None:
        await sim.client.process_prompts_async(WARM, show_progress=False)
        for prompt in slow:
            assert not (await sim.client.ask(prompt)).is_error

    sim.play(main)
    assert sim.client.statistics().hedged == 3


def test_both_costs_are_counted(world: type[World]) -> None:
    price = Price(input=Decimal(1), output=Decimal(10))
    model = Model(id="openai/m", price=price)
    billed = Answer("not json", 1.5, input_tokens=10, output_tokens=100)
    good = Answer("[1]", 3.0, input_tokens=10, output_tokens=50)
    sim = world(script(slow=[billed, good]), model, hedge=True)
    row, _ = asked(sim, output_schema=list[int])
    assert row.parsed == [1]
    assert (row.attempts, row.uncertain_attempts) == (2, 0)
    assert row.cost == pytest.approx((20 + 1500) / 1e6)
