"""The machine's clocks: one that never goes back, one that people read."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

from headrace.adapters.clock import Clock, SystemClock


def test_monotonic_time_is_in_nanoseconds_and_never_goes_back() -> None:
    clock: Clock = SystemClock()
    readings = [clock.now() for _ in range(1_000)]
    assert readings == sorted(readings)
    assert all(type(reading) is int for reading in readings)
    assert abs(clock.now() - time.monotonic_ns()) < 5_000_000_000


def test_monotonic_time_is_that_of_the_event_loop() -> None:
    async def difference() -> float:
        return asyncio.get_running_loop().time() - SystemClock().now() / 1e9

    assert abs(asyncio.run(difference())) < 5


def test_wall_time_is_that_of_the_calendar() -> None:
    assert abs(SystemClock().wall() - datetime.now(UTC).timestamp()) < 5
