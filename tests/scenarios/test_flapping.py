"""Servers that come and go, keys that are revoked and models that are retired in mid-run."""

from __future__ import annotations

import random
from bisect import bisect
from collections import Counter
from itertools import accumulate
from typing import TYPE_CHECKING, Final

import pytest

from headrace import Model
from headrace.core.errors import ConnectionLostError, GoneError, NotSentError, OverloadedError
from headrace.core.events import BreakerChanged
from headrace.testing import Failure, Script
from headrace.testing.simulation import Terms, Vendor, simulate
from tests.scenarios.outages import elapsed
from tests.thoroughly import first_of

if TYPE_CHECKING:
    from headrace import RequestContext
    from headrace.core.errors import ProviderError
    from headrace.core.events import Event
    from headrace.core.model import Route
    from headrace.testing.provider import Outcome, Rule
    from tests.scenarios.conftest import World

pytestmark = pytest.mark.once

MANY: Final = [f"p{n}" for n in range(10_000)]
FLAPPER: Final = Model(id="openai/flapper", max_concurrent_requests=20)
SPARE: Final = Model(id="openai/spare", max_concurrent_requests=20, priority=2)
ERRORS: Final[list[ProviderError]] = [
    OverloadedError("boom", status=500),
    NotSentError("refused"),
    ConnectionLostError("dropped"),
]


def flapping(seed: int) -> Rule:
    """One route that is up, down, up, … for two to twelve seconds each; all others are well."""
    dice = random.Random(seed)
    turns = list(accumulate(dice.uniform(2, 12) for _ in range(200)))

    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del context, n
        is_down = route.id == FLAPPER.id and bisect(turns, elapsed()) % 2
        return Failure(dice.choice(ERRORS), 0.02) if is_down else 0.1

    return rule


@pytest.mark.parametrize("seed", first_of(*range(4)))
def test_a_server_that_comes_and_goes_loses_no_prompt(world: type[World], seed: int) -> None:
    sim = world(Script(flapping(seed)), FLAPPER)
    rows = sim.run(MANY)
    assert len(rows.succeeded) == len(MANY)
    assert len(sim.script.calls) < 1.1 * len(MANY)
    assert all(row.attempts <= 10 for row in rows)


@pytest.mark.parametrize("seed", first_of(*range(4)))
def test_with_a_spare_it_takes_hardly_longer_than_a_server_that_is_well(
    world: type[World], seed: int
) -> None:
    sim = world(Script(flapping(seed)), [FLAPPER, SPARE])
    states: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, BreakerChanged) and event.route == FLAPPER.id:
            states.append(event.state)

    sim.client.add_listener(listen)
    assert len(sim.run(MANY).succeeded) == len(MANY)
    assert sim.elapsed < 1.1 * 0.1 * len(MANY) / 20
    routes = Counter(call.route for call in sim.script.calls)
    assert routes[FLAPPER.id] > 0.1 * len(MANY)
    # What is told is a walk through the states of a breaker, and ends where it stands.
    after = {"open": {"half-open", "closed"}, "half-open": {"open", "closed"}, "closed": {"open"}}
    assert all(b in after[a] for a, b in zip(["closed", *states], states, strict=False))
    assert states[-1:] == [sim.client.routes()[0].state]


@pytest.mark.parametrize("seed", first_of(*range(3)))
def test_a_key_that_is_revoked_in_mid_run_leaves_its_work_to_the_others(seed: int) -> None:
    well = Terms(max_concurrent_requests=60)
    vendor = Vendor({0: well, 5: Terms(revoked=frozenset({2}))}, seed=seed)
    keys = [f"sk-{n}-0123456789" for n in range(3)]
    run = simulate(vendor, MANY, api_key=keys, chance=random.Random(seed).random)
    assert (run.answered, run.failed) == (len(MANY), 0)
    late = [send for send in vendor.sends if send.key == 2 and send.at > 5]
    assert 0 < len(late) <= 128


def test_a_model_that_is_retired_in_mid_run_leaves_its_work_to_the_spare(
    world: type[World],
) -> None:
    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del context, n
        is_gone = route.id == FLAPPER.id and elapsed() > 10
        return GoneError("404: the model has been retired") if is_gone else 0.1

    sim = world(Script(rule), [FLAPPER, SPARE])
    rows = sim.run(MANY)
    assert len(rows.succeeded) == len(MANY)
    assert sim.client.routes()[0].gone == "404: the model has been retired"
    failed = [call for call in sim.script.calls if call.route == FLAPPER.id and call.at > 1_010]
    assert len(failed) <= 20
