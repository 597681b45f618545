"""Event loops are never on time: what they are late by is no loss of what a limit allows."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, TypeVarTuple

import pytest

from headrace import Model, SamplingParams
from headrace.testing import Answer, Script, VirtualLoop
from headrace.testing.simulation.run import push
from tests.scenarios.test_limits import most_in_a_minute
from tests.thoroughly import first_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

    from headrace.testing import VirtualClock
    from tests.scenarios.conftest import World

pytestmark = pytest.mark.once
Ts = TypeVarTuple("Ts")
# Seconds.
LATE = 0.01


class LateLoop(VirtualLoop):
    """Calls everything up to so late."""

    def __init__(self, clock: VirtualClock, seed: int) -> None:
        super().__init__(clock)
        self._dice = random.Random(seed)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        late = when + self._dice.uniform(0, LATE)
        return super().call_at(late, callback, *args, context=context)


@pytest.mark.parametrize("seed", first_of(*range(3)))
@pytest.mark.parametrize("per_minute", first_of(600, 60, 650, 900, 1_800))
def test_requests_use_all_that_is_allowed_and_never_more(
    world: type[World], per_minute: int, seed: int
) -> None:
    sim = world(Script(latency=0.5), max_requests_per_minute=per_minute)
    at = pushed(sim, seed)
    assert most_in_a_minute(at, [1] * len(at)) <= per_minute
    assert len(at) >= 0.99 * per_minute * 2


@pytest.mark.parametrize("seed", range(3))
def test_so_do_tokens(world: type[World], seed: int) -> None:
    row = Model(id="openai/m", tokens_per_minute=60_000)
    reply = Answer("a", 0.5, input_tokens=5, output_tokens=95)
    sim = world(Script(lambda *_: reply), row, sampling_params=SamplingParams(max_tokens=95))
    at = pushed(sim, seed)
    assert most_in_a_minute(at, [100] * len(at)) <= 60_000
    assert len(at) >= 0.99 * 600 * 2


def pushed(sim: World, seed: int) -> list[float]:
    """When requests were sent within two minutes."""
    endless = iter(lambda: "p", None)
    with asyncio.Runner(loop_factory=lambda: LateLoop(sim.clock, seed)) as runner:
        runner.run(push(sim.client, endless, 120))
    return [call.at for call in sim.script.calls]
