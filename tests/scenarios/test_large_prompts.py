"""Large and small prompts share a token limit; nobody passes the one that waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headrace import RequestContext, SamplingParams
from headrace.testing import Answer, Script

if TYPE_CHECKING:
    from headrace.core.model import Route
    from headrace.testing.provider import Outcome
    from tests.scenarios.conftest import World

pytestmark = pytest.mark.once

PER_MINUTE = 60_000
SMALL = SamplingParams(max_tokens=90)


def row(tokens: int, name: str) -> RequestContext:
    text = (name + " ").ljust(4 * (tokens - 4 - 90), "x")
    return RequestContext(prompt=text, id=name, params=SMALL)


def as_reserved(context: RequestContext, route: Route, n: int) -> Outcome:
    del route, n
    size = len(context.conversation.messages[0].text) // 4 + 4
    return Answer("a", 0.1, input_tokens=size, output_tokens=90)


def test_a_large_prompt_is_served_in_its_turn(world: type[World]) -> None:
    sim = world(Script(as_reserved), max_tokens_per_minute=PER_MINUTE)
    rows = [row(100, f"a{n}") for n in range(200)]
    rows += [row(20_000, "large")]
    rows += [row(100, f"b{n}") for n in range(1_000)]
    done = sim.run(rows)
    assert len(done.succeeded) == 1_201
    order = [call.prompt.split()[0] for call in sim.script.calls]
    assert order == [r.id for r in rows]
    at = next(c.at for c in sim.script.calls if c.prompt.startswith("large"))
    # What stood before it, and its own turn; the pacer lets it begin and charges what comes after.
    assert at - sim.script.calls[0].at <= 200 * 100 / 1_000 + 1


def test_small_ones_pay_for_the_large_one_before_them(world: type[World]) -> None:
    sim = world(Script(as_reserved), max_tokens_per_minute=PER_MINUTE)
    sim.run([row(30_000, "large"), *(row(100, f"s{n}") for n in range(10))])
    at = {call.prompt.split()[0]: call.at for call in sim.script.calls}
    assert at["s0"] - at["large"] >= 29


def test_many_large_ones_are_served_at_the_rate(world: type[World]) -> None:
    sim = world(Script(as_reserved), max_tokens_per_minute=PER_MINUTE)
    mixed = [row(3_000 if n % 10 == 0 else 100, f"m{n}") for n in range(600)]
    done = sim.run(mixed)
    assert len(done.succeeded) == 600
    total = 60 * 3_000 + 540 * 100
    # A minute is cut into whole prompts: up to one large one may not fit into each.
    assert sim.elapsed <= total / (PER_MINUTE - 3_000) * 60
