"""What a server says is left of a limit, and what that allows until it speaks again. Pure.

Servers tell a limit, what is left of it, and when all of it will be there again; mostly they do
not tell how they count. What has been sent since the request that brought the news was admitted may
not be counted in it, and is taken off. Two things add to it until the next message: what we sent
ourselves more than one interval ago, which no way of counting holds against us any longer; and,
where all messages so far fit a bucket that refills all the time, what that gains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from headrace.policy.buckets import DAY, MINUTE, SECOND

if TYPE_CHECKING:
    from headrace.policy.buckets import Ring

_NEVER: Final = 1 << 62
# How far what is inferred may be from a minute, or a day, and still be meant so.
_CLOSE: Final = 2.0
# Below any cost, above what adding and taking away floats may leave behind.
_DUST: Final = 1e-6


class News(NamedTuple):
    """A message about one limit, in a reply to what was admitted at ``asked_at``. Nanoseconds.

    ``reset`` is how long until it is full again, ``stated`` the interval that it is counted over,
    where the server says so.
    """

    limit: float
    remaining: float | None
    reset: int | None
    stated: int | None
    asked_at: int


class Counting:
    """How a server counts one limit, found out from what it tells.

    A bucket that refills all the time says of itself that what is missing comes back within the
    reset, so that all of it takes ``reset * limit / missing``: the same at each message. Where that
    is not so the limit is a window, which is at least as long as any reset.
    """

    __slots__ = ("_longest", "_refills", "interval")

    def __init__(self) -> None:
        self.interval = MINUTE
        self._refills: set[int] = {MINUTE, DAY}
        self._longest = 0

    @property
    def refills(self) -> bool:
        """Does it fit a bucket that gains all the time?"""
        return bool(self._refills)

    def seen(self, news: News) -> int:
        """After a message: the interval that the limit is counted over, in nanoseconds."""
        missing = 0.0 if news.remaining is None else news.limit - news.remaining
        if news.reset is not None and missing > 0:
            whole = news.reset * news.limit / missing
            self._refills = {i for i in self._refills if i / _CLOSE <= whole <= i * _CLOSE}
            self._longest = max(self._longest, news.reset)
        if news.stated is not None:
            self.interval = news.stated
        elif self._refills:
            self.interval = min(self._refills)
        else:
            self.interval = next((i for i in (SECOND, MINUTE) if self._longest <= i), DAY)
        return self.interval


class Allowance:
    """How much of one limit may be sent, by what the server said last; ``ring`` holds our sends."""

    __slots__ = ("_at", "_forgotten", "_full_at", "_gain", "_left", "_limit", "_ring")

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._limit = self._left = float("inf")
        self._gain = self._forgotten = 0.0
        self._at = 0
        self._full_at = _NEVER

    def hear(self, news: News, counting: Counting) -> None:
        """A message that says what is left; what was admitted since is yet to be taken off."""
        self._limit = news.limit
        self._left = news.limit if news.remaining is None else news.remaining
        self._at = news.asked_at
        self._full_at = news.asked_at + (news.reset or counting.interval)
        self._gain = news.limit / counting.interval if counting.refills else 0.0
        self._forgotten = self._ring.forgotten

    def left(self, now: int) -> float:
        """What may be sent now."""
        if now >= self._full_at:
            self._left, self._full_at = self._limit, _NEVER
        gained = (now - self._at) * self._gain + self._ring.forgotten - self._forgotten
        self._at, self._forgotten = now, self._ring.forgotten
        self._left = min(self._limit, self._left + gained)
        return self._left

    def wait(self, now: int, cost: float) -> int:
        """Nanoseconds until ``cost`` may be sent; a cost above the limit waits for all of it."""
        missing = min(cost, self._limit) - self.left(now)
        if missing <= _DUST:
            return 0
        wait = max(self._full_at - now, 1)
        if self._gain:
            wait = min(wait, int(missing / self._gain) + 1_000)
        return max(min(wait, self._ring.until(now, missing)), 1_000)

    def take(self, cost: float) -> None:
        """Send ``cost``."""
        self._left -= cost
