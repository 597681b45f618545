"""Limits as a real server keeps them: a bucket that refills all the time, for each key and model.

Anthropic documents this algorithm; OpenAI's reset headers describe it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Hashable


class Level(NamedTuple):
    """How full a bucket is; ``reset`` is the seconds until it is full again."""

    limit: float
    remaining: float
    reset: float


class Bucket:
    """Holds at most ``size`` and gains ``per_minute`` each minute."""

    __slots__ = ("_at", "_level", "_per_second", "limit", "size")

    def __init__(self, per_minute: float, size: float, now: float) -> None:
        """Begin full at the time ``now`` (seconds)."""
        self.limit = per_minute
        self.size = self._level = size
        self._per_second = per_minute / 60
        self._at = now

    def wait_for(self, amount: float, now: float) -> float:
        """Seconds until so much is there; 0.0 when it is."""
        self._refill(now)
        return max(0.0, amount - self._level) / self._per_second

    def take(self, amount: float) -> None:
        """Take so much."""
        self._level -= amount

    def level(self, now: float) -> Level:
        """What the headers tell."""
        self._refill(now)
        reset = (self.size - self._level) / self._per_second
        return Level(self.limit, max(0.0, self._level // 1), reset)

    def _refill(self, now: float) -> None:
        # A hint in whole milliseconds is up to a rounding error short of a whole unit.
        gained = (now - self._at) * self._per_second + 1e-9
        self._level = min(self.size, self._level + gained)
        self._at = now


class Limits:
    """Requests and tokens a minute, each scope by itself."""

    def __init__(
        self, requests: float | None, tokens: float | None, burst_seconds: float = 60.0
    ) -> None:
        """A bucket holds what its rate gives in ``burst_seconds``, and no less than one."""
        self._rates = {"requests": requests, "tokens": tokens}
        self._burst = burst_seconds / 60
        self._scopes: dict[Hashable, dict[str, Bucket]] = {}

    def admit(self, scope: Hashable, tokens: int, now: float) -> float:
        """Take one request and its tokens, or nothing: the seconds to wait, 0.0 if admitted."""
        buckets = self._of(scope, now)
        amounts = {"requests": 1, "tokens": tokens}
        wait = max((b.wait_for(amounts[what], now) for what, b in buckets.items()), default=0.0)
        if wait == 0.0:
            for what, bucket in buckets.items():
                bucket.take(amounts[what])
        return wait

    def levels(self, scope: Hashable, now: float) -> dict[str, Level]:
        """What is left, by the name of the limit."""
        return {what: bucket.level(now) for what, bucket in self._of(scope, now).items()}

    def _of(self, scope: Hashable, now: float) -> dict[str, Bucket]:
        if scope not in self._scopes:
            self._scopes[scope] = {
                what: Bucket(rate, max(1.0, rate * self._burst), now)
                for what, rate in self._rates.items()
                if rate is not None
            }
        return self._scopes[scope]
