"""A request that runs out of its deadline says what it was about, and of which limit."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from headrace import LLMClient, Model, RequestContext
from headrace.core.errors import AllRoutesLateError, OverloadedError, RateLimitError
from headrace.testing import FakeServer, Script

if TYPE_CHECKING:
    from headrace.testing.provider import Outcome
    from tests.scenarios.conftest import World

pytestmark = pytest.mark.once


def late(sim: World, *rows: object, **options: Any) -> str:
    """What the last of ``rows`` is told."""
    return str(sim.run([*rows, RequestContext(prompt="last", deadline=8.0)], **options)[-1].error)


@pytest.mark.parametrize(
    ("model", "options", "what"),
    [
        ({}, {"max_requests_per_minute": 1}, "requests/min of the client (1)"),
        ({}, {"max_concurrent_requests": 1}, "concurrency of the client (1)"),
        ({"requests_per_minute": 1}, {}, "requests/min of openai/m (1)"),
        ({"requests_per_day": 1}, {"patience": 1e6}, "requests/day of openai/m (1)"),
        ({"tokens_per_minute": 1_100}, {}, "tokens/min of openai/m (1,100)"),
        ({"input_tokens_per_minute": 8}, {}, "input tokens/min of openai/m (8)"),
        ({"output_tokens_per_minute": 1_024}, {}, "output tokens/min of openai/m (1,024)"),
        ({"max_concurrent_requests": 1}, {}, "concurrency of openai/m (1)"),
    ],
)
def test_of_a_limit(
    world: type[World], model: dict[str, Any], options: dict[str, Any], what: str
) -> None:
    sim = world(Script(latency=9.0), [Model(id="openai/m", **model)], **options)
    assert late(sim, "first") == (
        f"the deadline of 8 s passed while it waited for {what}; give it more time or raise the"
        " limits"
    )


def test_behind_one_who_waits_for_more(world: type[World]) -> None:
    sim = world(Script(latency=9.0), [Model(id="openai/m", input_tokens_per_minute=100)])
    said = late(sim, "x" * 200, "x" * 300)
    assert "waited for input tokens/min of openai/m (100); give" in said


def test_of_several_models_each_is_named(world: type[World]) -> None:
    models = [Model(id=f"openai/{name}", requests_per_minute=1) for name in "ab"]
    said = late(world(Script(), models), "one", "two")
    assert "for requests/min of openai/a (1) or requests/min of openai/b (1); give" in said


def test_of_quiet_and_of_a_repetition(world: type[World]) -> None:
    quiet = late(world(Script([RateLimitError("slow", status=429, hint=60.0)])))
    assert quiet.endswith(
        "while it waited for quiet that openai/m asked for, 52 s; give it more time or raise the"
        " limits (attempts: openai/m 1 rate_limited)"
    )

    def fail(*_: object) -> Outcome:
        return OverloadedError("busy", status=500)

    again = late(world(Script(fail), max_attempts=100))
    assert "passed before it could be asked again; give it more time" in again
    assert "(attempts: openai/m " in again


def test_of_several_routes_that_failed(world: type[World]) -> None:
    def fail(*_: object) -> Outcome:
        return OverloadedError("busy", status=500)

    sim = world(Script(fail), ["openai/a", "openai/b"], max_attempts=100)
    (row,) = sim.run([RequestContext(prompt="p", deadline=8.0)])
    assert isinstance(row.error, AllRoutesLateError)
    assert str(row.error).startswith("the deadline of 8 s passed before it could be asked again;")


def test_of_an_answer_that_does_not_come() -> None:
    async def main() -> str:
        async with (
            FakeServer(latency=30.0) as server,
            LLMClient("openai/m", base_url=server.base_url) as client,
        ):
            return str((await client.ask("p", deadline=0.5)).error)

    assert asyncio.run(main()) == (
        "the deadline of 0.5 s passed while openai/m had not answered; give it more time or raise"
        " the limits (attempts: openai/m 1 outcome_unknown)"
    )


def test_one_who_shares_the_answer_is_told_the_same(world: type[World]) -> None:
    sim = world(Script(latency=9.0), max_concurrent_requests=1, coalesce=True)
    assert "passed while it waited for concurrency of the client (1); give" in late(sim, "first")
    assert "passed while its answer was under way; give" in late(sim)
