"""How many may be in flight at once before their answers have come. Pure.

Answers show how many a server bears, and where one takes minutes it would take as long to find that
out. A server that refuses does so at once; so what it has not refused for a while it bears, and
more may be tried. That goes up to twice as many as answers have come back from at full speed, since
some servers do not refuse: they let everybody wait. Before the first answer it is up to a number
that is given: none for a server of one's own, which may wait with them.
"""

from __future__ import annotations

from typing import Final

from headrace.policy.breaker import NEVER
from headrace.policy.buckets import SECOND
from headrace.policy.knee import OVERHEAD
from headrace.policy.silence import ACCEPTED

# Sooner than this answers show it soon enough.
LONG: Final = 10 * SECOND
# Below this part of the best speed they stand in each other's way.
TOO_SLOW: Final = 0.66


class Unheard:
    """Says when there may be more, in silence."""

    __slots__ = ("_best", "_full_at", "_is_over", "_speed", "most")

    def __init__(self, most: int) -> None:
        """Up to ``most`` before the first answer."""
        self.most = most
        self._full_at = -1
        self._speed = self._best = 0.0
        self._is_over = False

    def wait(self, now: int, limit: int) -> int:
        """All of ``limit`` are in flight: nanoseconds until there may be more."""
        if limit >= self.most:
            return NEVER
        if self._full_at < 0:
            self._full_at = now
        wait = self._full_at + ACCEPTED - now
        if wait > 0:
            return wait
        self._full_at = -1
        return 0

    def answer(self, latency: int, size: float, crowd: int) -> None:
        """An answer of so much ``size`` came back; so many were in flight when it was sent."""
        if self._is_over or not latency:
            return
        speed = (size + OVERHEAD) / latency
        self._speed += (speed - self._speed) / 8 if self._speed else speed
        self._best = max(self._best, self._speed)
        if latency < LONG:
            self.most = 0
        elif min(speed, self._speed) >= self._best * TOO_SLOW:
            self.most = max(self.most, 2 * crowd)

    def stop(self) -> None:
        """Something else has shown how many it bears."""
        self.most, self._is_over = 0, True
