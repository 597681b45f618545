"""Limits as a server tells them in its replies: adopted while running, down and up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.engine.limits import Limit
from headrace.policy.allowance import Allowance, Counting, News
from headrace.policy.buckets import DAY, MINUTE, SECOND
from headrace.policy.cost import DIMENSIONS, NOTHING, Cost

if TYPE_CHECKING:
    from headrace.engine.limits import Scope
    from headrace.wire.failure import Limit as Heard
    from headrace.wire.failure import Limits

# More often than this nobody needs to be told.
OFTEN: Final = SECOND // 50
# After so many replies that told nothing, prompts are not measured any more for what may be told.
SILENT: Final = 16


class Told(Limit):
    """A limit as told: its pace, what we sent within its interval, and what is said to be left."""

    __slots__ = ("allowance", "interval")

    def __init__(self, interval: int, amount: float) -> None:
        """So much in each ``interval`` (nanoseconds); one below a minute is paced all the same."""
        super().__init__(_paced(amount, interval), max(interval, MINUTE))
        self.interval = interval
        self.allowance = Allowance(self._ring)

    def remember(self, now: int, cost: float) -> None:
        """Count what was admitted before anything was told: a debt, lest its burst come again."""
        super().take(now, cost)

    def wait(self, now: int, cost: float) -> int:
        """Nanoseconds until ``cost`` may be admitted."""
        return max(super().wait(now, cost), self.allowance.wait(now, cost))

    def take(self, now: int, cost: float) -> None:
        """Admit ``cost``."""
        super().take(now, cost)
        self.allowance.take(cost)


def _paced(amount: float, interval: int) -> float:
    """What a minute, or a day, may have of it."""
    return amount if interval >= DAY else amount * MINUTE / interval


class Hearing:
    """What one route's replies have told of its limits."""

    __slots__ = (
        "_counting",
        "_first_at",
        "_heard_at",
        "_news_of",
        "_scope",
        "_silent",
        "_told",
        "admitted",
    )

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._told: dict[int, Told] = {}
        self._counting: dict[int, Counting] = {}
        self._heard_at = self._news_of = -OFTEN
        self._silent = 0
        self._first_at = -1
        self.admitted = NOTHING

    @property
    def may_come(self) -> bool:
        """May the first news yet come, of limits that count tokens?"""
        return not self._told and self._silent < SILENT

    def hear_nothing(self, now: int) -> None:
        """A reply told nothing."""
        self._heard_at = now
        self._silent += 1

    def note(self, cost: Cost, now: int) -> Cost:
        """A request of this cost is admitted; returns all that was, to compare with later."""
        admitted = self.admitted
        if self._first_at < 0:
            self._first_at = now
        self.admitted = Cost(
            admitted[0] + cost[0],
            admitted[1] + cost[1],
            admitted[2] + cost[2],
            admitted[3] + cost[3],
        )
        return self.admitted

    def is_news(self, asked_at: int, now: int) -> bool:
        """Is a reply to what was admitted then worth reading?"""
        return now - self._heard_at >= OFTEN and asked_at >= self._news_of

    def hear(self, limits: Limits, mark: Cost, asked_at: int, now: int) -> None:
        """A reply's headers, to the request with which all of ``mark`` was admitted."""
        self._heard_at, self._news_of = now, asked_at
        since = self.admitted - mark
        for index, name in enumerate(DIMENSIONS):
            heard: Heard | None = getattr(limits, name)
            if heard is not None and heard.limit:
                news = _news(heard, heard.limit, asked_at)
                self._adopt(index, news, since[index], now)

    def _adopt(self, index: int, news: News, since: float, now: int) -> None:
        counting = self._counting.setdefault(index, Counting())
        interval, told = counting.seen(news), self._told.get(index)
        if not self._told:
            self._scope.concurrency.forgive()
        if told is None or told.interval != interval:
            told = Told(interval, news.limit)
            if now - self._first_at < interval:
                told.remember(now, self.admitted[index])
            self._scope.replace(index, self._told.get(index), told)
            self._told[index] = told
        elif told.amount != (amount := _paced(news.limit, interval)):
            told.change(now, amount)
        if news.remaining is not None:
            told.allowance.hear(news, counting)
            told.allowance.take(since)


def _news(heard: Heard, limit: float, asked_at: int) -> News:
    reset, stated = (
        None if seconds is None else int(seconds * SECOND)
        for seconds in (heard.reset, heard.interval)
    )
    return News(limit, heard.remaining, reset, stated, asked_at)
