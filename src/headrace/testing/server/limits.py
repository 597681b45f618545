"""Limits as a real server keeps them: buckets that refill all the time, for each scope."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.testing.windows import Bucket, Level

if TYPE_CHECKING:
    from collections.abc import Hashable


class Limits:
    """Requests and tokens a minute, each scope by itself."""

    def __init__(
        self, requests: float | None, tokens: float | None, burst_seconds: float = 60.0
    ) -> None:
        """A bucket holds what its rate gives in ``burst_seconds``, and no less than one."""
        self._rates = {"requests": requests, "tokens": tokens}
        self._burst = burst_seconds
        self._scopes: dict[Hashable, dict[str, Bucket]] = {}

    def admit(self, scope: Hashable, tokens: int, now: float) -> float:
        """Take one request and its tokens, or nothing: the seconds to wait, 0.0 if admitted."""
        buckets = self._of(scope, now)
        amounts = {"requests": 1, "tokens": tokens}
        wait = max((b.wait_for(amounts[what], now) for what, b in buckets.items()), default=0.0)
        if wait == 0.0:
            for what, bucket in buckets.items():
                bucket.take(amounts[what], now)
        return wait

    def levels(self, scope: Hashable, now: float) -> dict[str, Level]:
        """What is left, by the name of the limit."""
        return {what: bucket.level(now) for what, bucket in self._of(scope, now).items()}

    def _of(self, scope: Hashable, now: float) -> dict[str, Bucket]:
        if scope not in self._scopes:
            self._scopes[scope] = {
                what: Bucket(rate, now, self._burst)
                for what, rate in self._rates.items()
                if rate is not None
            }
        return self._scopes[scope]
