"""A circuit breaker for one route: closed, open for a while, then one probe at a time.

Five failures in a row open it. Every break is twice as long as the one before, up to ten seconds,
with jitter; after it one request is let through, and its outcome closes or opens the breaker.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from headrace.policy.buckets import SECOND

THRESHOLD: Final = 5
FIRST_BREAK: Final = 1 * SECOND
LONGEST_BREAK: Final = 10 * SECOND
NEVER: Final = 1 << 62


class State(StrEnum):
    """Whether requests may pass."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


class Breaker:
    """Counts failures in a row and says how long to stay away."""

    __slots__ = ("_failures", "_open_until", "breaks", "state")

    def __init__(self) -> None:
        self.state = State.CLOSED
        self._failures = 0
        self.breaks = 0
        self._open_until = 0

    def wait(self, now: int) -> int:
        """Nanoseconds until a request may pass; 0 is now, ``NEVER`` until the probe is back."""
        if self.state is State.CLOSED:
            return 0
        return NEVER if self.state is State.PROBING else max(0, self._open_until - now)

    def pass_through(self) -> None:
        """A request was admitted; behind an open breaker it is the probe."""
        if self.state is State.OPEN:
            self.state = State.PROBING

    def succeed(self) -> bool:
        """A request worked; True when that closed the breaker."""
        changed = self.state is not State.CLOSED
        self.state = State.CLOSED
        self._failures = self.breaks = 0
        return changed

    def fail(self, now: int, chance: float) -> bool:
        """A request failed in a way that counts; True when the breaker is (or goes) open."""
        self._failures += 1
        if self.state is State.CLOSED and self._failures < THRESHOLD:
            return False
        if self.state is not State.OPEN:
            length = min(FIRST_BREAK << min(self.breaks, 16), LONGEST_BREAK)
            self._open_until = now + int(length * (0.75 + chance / 2))
            self.breaks += 1
            self.state = State.OPEN
        return True

    def give_back(self, now: int) -> None:
        """The probe ended without an outcome (cancelled, not sent): let the next one try."""
        if self.state is State.PROBING:
            self.state = State.OPEN
            self._open_until = now
