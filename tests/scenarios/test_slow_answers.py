"""A rate that is known is used from the first seconds on, however long an answer takes."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from headrace.testing.simulation import Terms, Vendor, simulate


@pytest.mark.once
@pytest.mark.parametrize("latency", [0.2, 2, 10])
def test_a_stated_rate_is_used_at_once_though_answers_take_long(latency: float) -> None:
    vendor = Vendor(Terms(requests_per_minute=3_000, first_token=latency))
    limits: dict[str, Any] = {"max_requests_per_minute": 3_000, "max_concurrent_requests": 1_000}
    report = simulate(vendor, (f"p{n}" for n in count()), seconds=40, **limits).report()
    assert report.share(3_000, 0, 29) >= 0.99
    assert report.refusals() == 0
