"""Breakers in a whole run: who probes, what that costs, and how soon a run is back."""

from __future__ import annotations

import random
from collections import Counter
from itertools import count
from typing import TYPE_CHECKING

import pytest

from headrace.core.errors import OverloadedError
from headrace.testing import Failure, Script
from headrace.testing.simulation import Terms, Vendor, simulate
from tests.scenarios.outages import PROMPTS, elapsed
from tests.thoroughly import first_of

if TYPE_CHECKING:
    from headrace import RequestContext
    from headrace.core.model import Route
    from headrace.testing.provider import Outcome
    from tests.scenarios.conftest import World

pytestmark = pytest.mark.once

BUSY = OverloadedError("busy", status=503)
FAULT = OverloadedError("boom", status=500)


@pytest.mark.parametrize("seed", first_of(*range(5)))
def test_after_a_minute_of_outage_the_rate_is_back_within_ten_seconds(seed: int) -> None:
    well, out = Terms(first_token=0.5), Terms(first_token=0.5, failures=1.0)
    vendor = Vendor({0: well, 30: out, 90: well}, seed=seed)
    run = simulate(
        vendor,
        (f"p{n}" for n in count()),
        seconds=110,
        max_concurrent_requests=50,
        chance=random.Random(seed).random,
    )
    report = run.report()
    rate = report.between(20, 30) / 10
    assert rate == pytest.approx(100, rel=0.05)
    assert report.between(100, 101) >= 0.9 * rate
    failed = [send for send in vendor.sends if 30 <= send.at < 90]
    # One for each slot at its beginning, then probes that go on and rotate over prompts.
    assert 5 < len(failed) - 50 < 25
    assert max(Counter(send.prompt for send in failed).values()) <= 2
    assert run.failed == 0


def test_a_failed_probe_costs_its_prompt_no_attempt(world: type[World]) -> None:
    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del context, route, n
        return Failure(BUSY, 0.05) if elapsed() < 8 else 0.1

    # It has never worked, so that nothing else is forgiven: those that open it are lost.
    sim = world(Script(rule), max_concurrent_requests=1, max_attempts=1)
    rows = sim.run(PROMPTS[:20])
    assert [row.index for row in rows.failed] == [0, 1, 2, 3, 4]
    probes = [call.prompt for call in sim.script.calls if 1_000.3 < call.at < 1_008]
    assert len(probes) >= 3
    assert len(set(probes)) == len(probes)


def test_several_probes_may_be_out_at_once(world: type[World]) -> None:
    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del context, route, n
        return Failure(FAULT, 0.5) if 1 < elapsed() < 20 else 0.1

    sim = world(Script(rule), max_concurrent_requests=20, breaker={"probes": 3})
    rows = sim.run(PROMPTS[:500])
    assert len(rows.succeeded) == 500
    probes = [c.in_flight for c in sim.script.calls if 1_003 < c.at < 1_020]
    assert max(probes) == 3
