"""Prompts that are refused for ever while others are answered: they wait, and fail, alone."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from headrace import NoRouteError
from headrace.core.errors import RateLimitError
from headrace.testing import Failure, Script
from headrace.testing.provider import prompt_of
from tests.clients import virtual
from tests.thoroughly import first_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from headrace import LLMClient
    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.testing.provider import Outcome, Rule
    from tests.scenarios.conftest import World

pytestmark = pytest.mark.once

PATIENCE = 900
GOOD = [f"good {n}" for n in range(1_000)]


def bad(count: int) -> list[str]:
    return [f"bad {n}" for n in range(count)]


def refusing(hint: float | None, latency: float) -> Rule:
    """Some are too rich for this account, for ever; all others are answered."""

    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del route, n
        refusal = RateLimitError("too rich", status=429, hint=hint)
        return Failure(refusal, 0.05) if "bad" in prompt_of(context) else latency

    return rule


def last_good(sim: World) -> float:
    """When the last of the others was sent, in seconds."""
    return max(call.at for call in sim.script.calls if "good" in call.prompt) - 1_000


@pytest.mark.parametrize("place", [0, 500])
def test_others_lose_one_quiet_and_no_more(world: type[World], place: int) -> None:
    alone = world(Script(refusing(30.0, 6.0)), max_concurrent_requests=20)
    alone.run(GOOD)
    sim = world(Script(refusing(30.0, 6.0)), max_concurrent_requests=20)
    rows = sim.run([*GOOD[:place], "bad", *GOOD[place:]])
    assert [row.id for row in rows.failed] == [str(place)]
    assert last_good(sim) <= last_good(alone) / 0.9


@pytest.mark.parametrize("hint", first_of(30.0, None))
def test_nor_does_their_speed_come_down(world: type[World], hint: float | None) -> None:
    """Nothing is stated, so that refusals might be taken for a limit."""
    alone = world(Script(refusing(hint, 6.0)))
    alone.run(GOOD * 20)
    sim = world(Script(refusing(hint, 6.0)))
    rows = sim.run([*GOOD * 2, *bad(1), *GOOD * 18])
    assert len(rows.failed) == 1
    assert last_good(sim) <= last_good(alone) / 0.9 + (hint or 0.0)


@pytest.mark.parametrize("hint", [30.0, None])
@pytest.mark.parametrize("count", first_of(5, 1, 20))
@pytest.mark.parametrize("drawn_from", [list, iter])
def test_the_last_of_a_run_fail_alone_after_patience(
    world: type[World],
    count: int,
    hint: float | None,
    drawn_from: Callable[[list[str]], object],
) -> None:
    sim = world(Script(refusing(hint, 1.0)))
    rows = sim.run(drawn_from([*GOOD, *bad(count)]))
    assert len(rows.succeeded) == len(GOOD)
    assert [row.error and row.error.code for row in rows.failed] == ["rate_limited"] * count
    assert PATIENCE < sim.elapsed < PATIENCE + 60 + (hint or 8.0) * (count + 1)


def test_where_many_are_left_it_is_the_route_and_the_run_can_be_resumed(
    world: type[World], tmp_path: Path
) -> None:
    path = tmp_path / "run.journal"
    sim = world(Script(refusing(30.0, 1.0)))
    with pytest.raises(NoRouteError, match="nothing for longer than patience=900 s"):
        sim.run([*GOOD, *bad(300)], journal=path)
    again = world(Script(latency=0.1))
    rows = again.run([*GOOD, *bad(300)], journal=path)
    assert len(rows.succeeded) == len(GOOD) + 300
    assert len(again.script.calls) == 300


@pytest.mark.parametrize("hint", [30.0, None])
def test_nor_does_an_outage_at_the_end_fail_the_last_ones(
    world: type[World], hint: float | None
) -> None:
    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del route, n
        is_down = sim.elapsed > 5 and sim.elapsed < 600
        refusal = RateLimitError("slow", status=429, hint=hint)
        return Failure(refusal, 0.05) if is_down and "bad" in prompt_of(context) else 1.0

    sim = world(Script(rule), max_concurrent_requests=100)
    rows = sim.run([*GOOD, *bad(5)])
    assert len(rows.succeeded) == len(rows)


@pytest.mark.parametrize("hint", [30.0, None])
def test_where_nobody_has_been_answered_yet_it_holds_up_nobody(hint: float | None) -> None:
    """It is the first to be sent, and the answers of others take a minute."""
    script = Script(refusing(hint, 60.0))

    async def prompts() -> AsyncIterator[str]:
        yield "bad"
        for n in range(200):
            await asyncio.sleep(0.2)
            yield f"good {n}"

    async def main(client: LLMClient) -> list[float]:
        began = client_time()
        async with client.process_stream(prompts(), show_progress=False) as responses:
            return [client_time() - began async for row in responses if row.error is None]

    ends = virtual(script, main, max_concurrent_requests=1_000)
    assert len(ends) == 200
    # 40 s of prompts, an answer of a minute, and a few quiets, until others have been answered.
    assert ends[-1] < 40 + 60 + 10 + 4 * (hint or 0)
    bad = [call.at for call in script.calls if call.prompt == "bad"]
    assert all(later - before >= (hint or 0) for before, later in pairwise(bad))


def client_time() -> float:
    return asyncio.get_running_loop().time()
