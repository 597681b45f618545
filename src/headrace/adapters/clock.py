"""Time and work for the engine: injected, so that tests bring their own."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two readings: one that never goes back, one that people can read."""

    def now(self) -> int:
        """Nanoseconds of a monotonic clock."""

    def wall(self) -> float:
        """Seconds since the epoch."""


class SystemClock:
    """The machine's own clocks; the monotonic one is the event loop's."""

    __slots__ = ()

    now = staticmethod(time.monotonic_ns)

    @staticmethod
    def wall() -> float:
        """Seconds since the epoch."""
        return time.time()
