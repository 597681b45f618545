"""What one route's attempts have come to while the client lives."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from headrace.core.errors import RateLimitError
from headrace.core.response import Usage
from headrace.policy.buckets import SECOND

if TYPE_CHECKING:
    from headrace.core.errors import ProviderError

# So many of the newest answers say how long answers take.
REMEMBERED: Final = 256
# Seconds of which it is known what came to an end in each.
LATELY: Final = 60


class Tokens:
    """What replies have used, added up; cheaper than a sum of ``Usage``, which is made anew."""

    __slots__ = ("_sums",)

    def __init__(self) -> None:
        self._sums = [0, 0, 0, 0, 0]

    def add(self, usage: Usage) -> None:
        """Count what one reply has used."""
        sums = self._sums
        sums[0] += usage.input_tokens
        sums[1] += usage.output_tokens
        sums[2] += usage.cache_read_tokens
        sums[3] += usage.cache_write_tokens
        sums[4] += usage.reasoning_tokens

    @property
    def usage(self) -> Usage:
        """All of them."""
        return Usage(*self._sums)


class Tally:
    """Counts; guarded by admission's lock."""

    __slots__ = (
        "_lately",
        "_latencies",
        "_tokens",
        "abandoned",
        "cost_nanos",
        "failed",
        "hedged",
        "rate_limited",
        "succeeded",
        "unpriced",
    )

    def __init__(self) -> None:
        self.succeeded = self.failed = self.rate_limited = 0
        # Second copies that were sent, and copies that were given up for the other one.
        self.hedged = self.abandoned = 0
        self.cost_nanos = self.unpriced = 0
        self._tokens = Tokens()
        self._latencies: deque[int] = deque(maxlen=REMEMBERED)
        # The second, and the attempts and tokens in it.
        self._lately: deque[list[int]] = deque([[-LATELY, 0, 0]], maxlen=LATELY)

    def succeed(self, usage: Usage | None, nanos: int | None, latency: int, now: int) -> None:
        """An answer came after ``latency`` nanoseconds; ``nanos`` None: nobody knows its cost."""
        self.succeeded += 1
        self._latencies.append(latency)
        self._bill(usage, nanos, now)

    def fail(self, error: ProviderError, nanos: int, now: int) -> None:
        """An attempt failed; ``nanos`` is what it is known to have cost."""
        if isinstance(error, RateLimitError):
            self.rate_limited += 1
        else:
            self.failed += 1
        self._bill(error.usage, nanos, now)

    def give_up(self, now: int) -> None:
        """An attempt was given up for its other copy; what it costs nobody knows."""
        self.abandoned += 1
        self._bill(None, 0, now)

    def _bill(self, usage: Usage | None, nanos: int | None, now: int) -> None:
        last, second = self._lately[-1], now // SECOND
        if last[0] != second:
            last = [second, 0, 0]
            self._lately.append(last)
        last[1] += 1
        if usage is not None:
            last[2] += usage.total_tokens
            self._tokens.add(usage)
        if nanos is None:
            self.unpriced += 1
        else:
            self.cost_nanos += nanos

    def __str__(self) -> str:
        ends = (
            (self.succeeded, "answered"),
            (self.failed, "failed"),
            (self.rate_limited, "limited"),
            (self.abandoned, "given up"),
        )
        return " and ".join(f"{count:,} {end}" for count, end in ends if count) or "none"

    @property
    def usage(self) -> Usage:
        """All tokens that replies have told."""
        return self._tokens.usage

    def lately(self, now: int) -> tuple[int, int]:
        """The attempts that have ended in the last 60 seconds, and their tokens."""
        since = now // SECOND - LATELY
        recent = [one for one in self._lately if one[0] > since]
        return sum(one[1] for one in recent), sum(one[2] for one in recent)

    def latency(self, part: float) -> int | None:
        """Nanoseconds within which this part of the newest answers came; None: none did."""
        ordered = sorted(self._latencies)
        return ordered[min(int(part * len(ordered)), len(ordered) - 1)] if ordered else None
