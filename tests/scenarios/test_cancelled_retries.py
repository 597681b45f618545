"""A retry that waits for the retry budget, and whose caller leaves, is not paid for."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from headrace import RequestContext
from headrace.core.errors import OverloadedError
from headrace.testing import Failure, Script
from headrace.testing.provider import prompt_of
from tests.clients import check_nothing_is_held
from tests.scenarios.outages import elapsed

if TYPE_CHECKING:
    from headrace.core.model import Route
    from headrace.testing.provider import Outcome, Rule
    from tests.scenarios.conftest import World

pytestmark = pytest.mark.once
# So many retries are paid for at once, and each tenth of a second one more.
PAID, ALL = 500, 700


def failing_once() -> Rule:
    """Each prompt fails once; no two in the same instant."""
    seen = set[str]()

    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del route, n
        prompt = prompt_of(context)
        is_first = prompt not in seen
        seen.add(prompt)
        latency = 0.1 + int(prompt[1:]) / 1e6
        return Failure(OverloadedError("boom", status=500), latency) if is_first else 0.1

    return rule


async def ask(sim: World, n: int, *, leaves: bool, by_deadline: bool) -> None:
    """Ask, and leave after a second if that is said."""
    deadline = 1.0 if leaves and by_deadline else None
    context = RequestContext(prompt=f"p{n}", deadline=deadline)
    asking = asyncio.create_task(sim.client.process_single_request(context))
    await asyncio.wait({asking}, timeout=1.0 if leaves else None)
    asking.cancel()


@pytest.mark.parametrize("by_deadline", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_a_retry_that_nobody_waits_for_any_more_is_not_paid_for(
    world: type[World], seed: int, by_deadline: bool
) -> None:
    dice = random.Random(seed)
    leaving = {n for n in range(PAID, ALL) if dice.random() < 0.9}
    sim = world(
        Script(failing_once()),
        max_concurrent_requests=1_000,
        breaker={"failures": 10_000},
        chance=lambda: 0.0,
    )

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for n in range(ALL):
                group.create_task(ask(sim, n, leaves=n in leaving, by_deadline=by_deadline))
            await asyncio.sleep(2)
            began = elapsed()
            assert (await sim.client.ask("p9999")).attempts == 2
            # Its turn comes after those who are left before it.
            assert elapsed() - began <= 0.3 + (ALL - PAID - len(leaving)) / 10
        check_nothing_is_held(sim.client)

    sim.play(main)
    # Nobody came later than was said, which is in the order of asking.
    at = {call.prompt: call.at - 1_000 for call in sim.script.calls if call.n >= ALL}
    left = [n for n in range(PAID, ALL) if n not in leaving]
    said = [pytest.approx(0.1 + (n - PAID + 1) / 10, abs=0.001) for n in left]
    assert [at[f"p{n}"] for n in left] == said
