"""What a server's messages about one limit mean, beside what we know ourselves. Pure.

Servers tell a limit, what is left of it, and when all of it will be there again; mostly they do
not tell how they count. But whatever way they count, what they hold against us is no more than what
we sent within the interval. So what they hold beyond that is not ours: other processes with the
same key, or tokens that are counted in another way. That is taken off until the next message says
otherwise, or the server has said that it will be gone.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from headrace.policy.breaker import NEVER
from headrace.policy.buckets import DAY, DUST, MINUTE, SECOND

# No reset of a limit of a minute takes longer, were it overdrawn many times.
_BEYOND_A_MINUTE: Final = 10 * MINUTE
# What is said to be back so soon, each time, is not waited for: it is a small bucket.
_SOON: Final = 2 * SECOND
# No reset of a limit of a second takes longer, rounded up to whole seconds.
_BEYOND_A_SECOND: Final = 1_100_000_000
# A bucket of a minute would take so long for it, so that what a second says is clearly sooner.
_CLEAR: Final = 600_000_000
# How far the reset of a bucket may be from what its refilling makes of it.
_CLOSE: Final = 0.1
# So many answers in a row, to requests sent when nothing was left, show that it was not so.
DOUBTFUL: Final = 8


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

    @property
    def held(self) -> float:
        """What the server holds against the limit."""
        return 0.0 if self.remaining is None else max(self.limit - self.remaining, 0.0)


class Counting:
    """How a server counts one limit, found out from what it tells.

    A minute, until something shows otherwise: a reset of more than that is a day's. A reset within
    a second, where a bucket of a minute would take longer, is the end of a window of a minute or
    one of a second; when it comes again after a second with no longer one between, it is a second.
    """

    __slots__ = ("_brief_since", "_enough", "_odd_at", "interval")

    def __init__(self, interval: int = MINUTE) -> None:
        """``interval``: what to begin with."""
        self.interval = interval
        self._brief_since: int | None = None
        self._enough = _BEYOND_A_SECOND
        self._odd_at = -NEVER

    def seen(self, news: News) -> int:
        """After a message: the interval that the limit is counted over, in nanoseconds."""
        if news.stated is not None:
            self.interval = news.stated
        elif news.reset is not None:
            self.interval = self._inferred(news, news.reset)
        if not self._is_refill(news):
            self._odd_at = news.asked_at
        return self.interval

    def refuse(self) -> None:
        """A request was refused though all had been kept: the second has to be shown for longer."""
        if self.interval == SECOND:
            self.interval, self._brief_since = MINUTE, None
            self._enough *= 2

    def refills(self, now: int) -> bool:
        """Have its resets lately been those of a bucket that gains all the time?"""
        return now - self._odd_at > 2 * SECOND

    def _inferred(self, news: News, reset: int) -> int:
        if reset > _BEYOND_A_MINUTE:
            return DAY
        if self.interval == DAY and reset > DAY * news.held / news.limit / 2:
            return DAY
        if reset > _BEYOND_A_SECOND:
            self._brief_since = None
            return MINUTE
        refilled = MINUTE * news.held / news.limit
        # A window of a second is mostly empty at the pace of a minute; a small bucket never is.
        if refilled < _CLEAR or not 0 < reset <= refilled / 2 or news.held > news.limit / 2:
            return MINUTE if self.interval == DAY else self.interval
        if self._brief_since is None:
            self._brief_since = news.asked_at
        is_shown = news.asked_at - self._brief_since > self._enough
        return SECOND if is_shown else self.interval

    def _is_refill(self, news: News) -> bool:
        """Does what is missing come back in proportion?"""
        if news.reset is None:
            return False
        expected = self.interval * news.held / news.limit
        return abs(news.reset - expected) <= _CLOSE * expected + SECOND // 20


class Others:
    """What is held against a limit and is not ours: all of it until it is told to be gone."""

    __slots__ = (
        "_amount",
        "_at",
        "_gone_at",
        "_in_a_row",
        "_is_fading",
        "_most",
        "_since",
        "_soon_since",
    )

    def __init__(self) -> None:
        self._amount = 0.0
        self._at = self._gone_at = 0
        self._is_fading = False
        self._since = self._soon_since = NEVER
        self._in_a_row = 0
        self._most = DOUBTFUL

    def hear(self, news: News, ours: float, now: int, interval: int, *, refills: bool) -> None:
        """A message; ``ours`` is what we had sent within the interval when it was asked for."""
        self._count(news)
        is_believed = self._in_a_row < self._most
        is_held = is_believed and not self._is_always_soon(news)
        self._amount = max(0.0, news.held - ours) if is_held else 0.0
        self._at = now
        self._gone_at = now + (interval if news.reset is None else news.reset)
        self._is_fading = refills and news.held > 0

    def refuse(self) -> None:
        """A request was refused: when nothing was said to be left, it was so."""
        if self._in_a_row >= self._most:
            self._most *= 2
        self._in_a_row, self._since = 0, NEVER

    def held(self, now: int) -> float:
        """What still counts of it."""
        if now >= self._gone_at or not self._amount:
            return 0.0
        if not self._is_fading:
            return self._amount
        return self._amount * (self._gone_at - now) / max(self._gone_at - self._at, 1)

    def less(self, amount: float) -> None:
        """So much of it was ours, as it turns out."""
        self._amount = max(0.0, self._amount - amount)

    def until(self, now: int, missing: float) -> int:
        """Nanoseconds until so much of it is gone; the end of time where it is less."""
        held = self.held(now)
        if held + DUST < missing:
            return NEVER
        left = self._gone_at - now
        return int(left * min(missing / held, 1.0)) + 1_000 if self._is_fading else left

    def _is_always_soon(self, news: News) -> bool:
        """Has each reset been so soon, for longer than any minute comes to its end?"""
        if news.reset is None or news.reset >= _SOON:
            self._soon_since = NEVER
            return False
        self._soon_since = min(self._soon_since, news.asked_at)
        return news.asked_at - self._soon_since > _SOON

    def _count(self, news: News) -> None:
        if news.remaining is None or news.remaining >= 1:
            self._in_a_row, self._since = 0, NEVER
        elif self._since == NEVER:
            self._since = news.asked_at
        else:
            self._in_a_row += news.asked_at > self._since
