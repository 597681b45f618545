"""A circuit breaker for one route: closed, open for a while, then half-open: a probe at a time.

Failures in a row open it. Every break is twice as long as the one before, up to the longest, with
jitter; after it a request is let through, and its outcome closes or opens the breaker.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from headrace.core.breaking import BreakerSettings
from headrace.policy.buckets import SECOND

if TYPE_CHECKING:
    from headrace.core.errors import ProviderError

NEVER: Final = 1 << 62


class State(StrEnum):
    """Whether requests may pass."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker:
    """Counts failures in a row and says how long to stay away."""

    __slots__ = ("_by_hand", "_failures", "_open_until", "_probing", "_settings", "breaks", "state")

    def __init__(self, settings: BreakerSettings | None = None) -> None:
        self._settings = settings or BreakerSettings()
        self.reset()

    def reset(self) -> None:
        """Closed, with nothing counted."""
        self.state = State.CLOSED
        self._failures = self.breaks = self._open_until = self._probing = 0
        self._by_hand = False

    def counts(self, error: ProviderError) -> bool:
        """Is ``error`` one of those that open it?"""
        return isinstance(error, self._settings.counts)

    def wait(self, now: int) -> int:
        """Nanoseconds until a request may pass; 0 is now, ``NEVER`` until a probe is back."""
        if self.state is State.CLOSED:
            return 0
        if self.state is State.HALF_OPEN:
            return 0 if self._probing < self._settings.probes else NEVER
        return NEVER if self._open_until == NEVER else max(0, self._open_until - now)

    def pass_through(self) -> None:
        """A request was admitted; behind a breaker that is not closed it is a probe."""
        if self.state is not State.CLOSED:
            self.state = State.HALF_OPEN
            self._by_hand = False
            self._probing += 1

    def succeed(self) -> bool:
        """A request worked; True when that closed the breaker, which it does not by hand."""
        if self._by_hand:
            return False
        changed = self.state is not State.CLOSED
        if changed or self._failures:
            self.reset()
        return changed

    def fail(self, now: int, chance: float) -> bool:
        """A request failed in a way that counts; True when failures hold, or now turn, it open."""
        if self._by_hand:
            return False
        self._failures += 1
        if self.state is State.CLOSED and self._failures < self._settings.failures:
            return False
        if self.state is not State.OPEN:
            length = min(
                self._settings.first_break * 2.0 ** min(self.breaks, 64),
                self._settings.longest_break,
            )
            self.breaks += 1
            self._open(now + int(length * (0.75 + chance / 4) * SECOND))
        return True

    def trip(self, now: int, seconds: float | None) -> None:
        """Open by hand: for so long, or (None) until it is reset."""
        self._by_hand = True
        self._open(NEVER if seconds is None else now + int(seconds * SECOND))

    def hear_open(self, until: int) -> None:
        """Others have found the route broken, and ask it again then."""
        self._open(until)

    def give_back(self, now: int) -> None:
        """A probe ended without an outcome (cancelled, not sent): let the next one try."""
        if self.state is State.HALF_OPEN:
            self._probing -= 1
            if not self._probing:
                self._open(now)

    def forget_probes(self) -> None:
        """In a forked child: those under way are the parent's."""
        if self.state is State.HALF_OPEN:
            self._open(0)

    def _open(self, until: int) -> None:
        self.state = State.OPEN
        self._open_until = until
        self._probing = 0
