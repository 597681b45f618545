"""Limits as a server tells them in its replies: adopted while running, down and up."""

from __future__ import annotations

from operator import add
from typing import TYPE_CHECKING, Final, TypeAlias

from headrace.engine.limits import Limit
from headrace.policy.allowance import Counting, News, Others
from headrace.policy.breaker import NEVER
from headrace.policy.buckets import DAY, DUST, MINUTE, SECOND
from headrace.policy.cost import DIMENSIONS, NOTHING
from headrace.policy.known import ToldRate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from headrace.engine.limits import Row
    from headrace.policy.cost import Cost
    from headrace.wire.failure import Limit as Heard
    from headrace.wire.failure import Limits

# More often than this nobody needs to be told, unless others use the limit, too.
OFTEN: Final = SECOND // 50
# What is said to be there at a moment is asked for a little later: resets are rounded.
MARGIN: Final = SECOND // 20
# After so many replies that told nothing, prompts are not measured any more for what may be told.
SILENT: Final = 16
# So long may pass till a limit of a minute is there again, and no longer.
_PACED: Final = MINUTE + 2 * SECOND
# What is beyond these is no limit of requests or tokens, but a word for having none, or a fault.
LEAST: Final = 1.0
MOST: Final = 1e15
# What counted in each dimension when a request was admitted: in all, before anything was told.
Mark: TypeAlias = "tuple[int, ...] | dict[int, float]"


class Told(Limit):
    """A limit as told: its pace, what we sent within its interval, and what others hold of it."""

    __slots__ = ("_asked_at", "_full_at", "others", "since")
    is_final = False
    source = "told"

    def __init__(self, interval: int, amount: float, now: int) -> None:
        """So much in each ``interval`` (nanoseconds); one below a minute is paced all the same."""
        super().__init__(_paced(amount, interval), max(interval, MINUTE))
        self.interval = interval
        self.others = Others()
        self.since = now
        self._asked_at, self._full_at = 0, NEVER

    @property
    def stated(self) -> float:
        """The amount in its own interval, as the server said it."""
        return self.amount if self.interval >= DAY else self.amount * self.interval / MINUTE

    def start_evenly(self, now: int) -> None:
        """At the full rate from the first moment on, a burst beside it would be too much."""
        if self._pacer is not None:
            self._pacer.start_evenly(now)

    def change(self, now: int, amount: float, held: float) -> None:
        """Go on with another amount, of which the server says that it holds so much."""
        self.amount = amount
        self._ring.change(amount, min(amount, held))
        self._pace(now)

    def hear(self, news: News, ours: float, now: int, *, refills: bool) -> None:
        """A message; ``ours`` had been admitted when the request that brings it was."""
        if news.reset is not None:
            self._asked_at, self._full_at = news.asked_at, now + news.reset + MARGIN
        if self.interval != SECOND:
            self.others.hear(news, ours, now, self.interval, refills=refills)

    def wait(self, now: int, cost: float) -> int:
        """Nanoseconds until ``cost`` may be admitted; one above the limit waits for all of it."""
        if now >= self._full_at:
            # All of it was to be there again by now: what was sent before that does not count.
            self._ring.forget(self._asked_at)
            self._full_at = NEVER
        others = self.others.held(now)
        excess = self._ring.used(now) + others + min(cost, self.amount) - self.amount
        if excess <= DUST:
            return 0 if self._pacer is None else self._pacer.wait(now, cost)
        wait = min(self._ring.until(now, excess), self.others.until(now, excess))
        return max(1, min(wait, self._full_at - now))

    def foresee(self, now: int, cost: float) -> int:
        """The same: to ask changes nothing here."""
        return self.wait(now, cost)

    def absorb(self, newer: Told, now: int, asked_at: int) -> None:
        """Another turned out to be the same limit; it has just heard of it.

        What was sent by us when that was asked for, the other took for the doing of others.
        """
        ours = self._ring.used(now) - self._ring.since(now, now - asked_at)
        self._ring.absorb(newer._ring, now)
        self.others = newer.others
        self.others.less(ours)
        self.since = max(self.since, newer.since)
        self._asked_at, self._full_at = newer._asked_at, newer._full_at

    def settle(self, admitted_at: int, now: int, difference: float) -> None:
        """Return what was not used, or charge it; not for what was never counted here."""
        if admitted_at >= self.since:
            super().settle(admitted_at, now, difference)


def _paced(amount: float, interval: int) -> float:
    """What a minute, or a day, may have of it."""
    return amount if interval >= DAY else amount * MINUTE / interval


class Hearing:
    """What the replies of one account have told of its limits."""

    __slots__ = (
        "_counting",
        "_heard_at",
        "_news_of",
        "_recalled",
        "_silent",
        "_told",
        "admitted",
    )

    def __init__(self) -> None:
        self._told: dict[int, Told] = {}
        self._counting: dict[int, Counting] = {}
        self._heard_at = self._news_of = -OFTEN
        self._silent = 0
        # Told to an earlier run, and not yet to this one.
        self._recalled: set[int] = set()
        self.admitted: tuple[int, ...] = NOTHING

    @property
    def limits(self) -> tuple[Row, ...]:
        """Those that hold now."""
        return tuple(self._told.items())

    @property
    def has_pace(self) -> bool:
        """Was it told how many requests there may be in a minute?"""
        told = self._told.get(0)
        return told is not None and told.interval < DAY

    @property
    def may_come(self) -> bool:
        """May the first news yet come, of limits that count tokens?"""
        return not self._told and self._silent < SILENT

    def hear_nothing(self, now: int) -> None:
        """A reply told nothing."""
        self._heard_at = now
        self._silent += 1
        self._drop_recalled()

    def note(self, cost: Cost, now: int) -> Mark:
        """A request of this cost is admitted; what to compare with what its reply tells."""
        if self._told:
            return {index: told.used(now) for index, told in self._told.items()}
        self.admitted = tuple(map(add, self.admitted, cost))
        return self.admitted

    def is_news(self, asked_at: int, now: int) -> bool:
        """Is a reply to what was admitted then worth reading?"""
        if asked_at < self._news_of:
            return False
        # Asked without the lock: others may be told of another limit meanwhile.
        told = tuple(self._told.values())
        return now - self._heard_at >= OFTEN or any(each.others.held(now) for each in told)

    def hear(self, limits: Limits, mark: Mark, asked_at: int, now: int) -> bool:
        """A reply's headers, to the request whose ``note`` was ``mark``; are they the first?"""
        if asked_at < self._news_of:
            return False
        was_told = bool(self._told)
        self._heard_at, self._news_of = now, asked_at
        for index, news in _messages(limits, asked_at):
            self._adopt(index, news, mark, now)
            self._recalled.discard(index)
        self._drop_recalled()
        return not was_told and bool(self._told)

    def agrees(self, other: Hearing) -> bool:
        """Has the other been told the same limits?"""
        return bool(self._told) and set(self.known()) == set(other.known())

    def absorb(self, newer: Hearing, now: int, asked_at: int) -> None:
        """Another, which ``agrees``, was told of the same account, just now."""
        for index, told in self._told.items():
            told.absorb(newer._told[index], now, asked_at)
        # The marks of what was admitted before are those of one of the two.
        self._heard_at = self._news_of = now

    def known(self) -> tuple[ToldRate, ...]:
        """What was told."""
        return tuple(
            ToldRate(DIMENSIONS[index], told.interval / SECOND, told.stated)
            for index, told in tuple(self._told.items())
        )

    def recall(self, rates: Iterable[ToldRate], now: int) -> None:
        """Begin with what an earlier run was told; the first reply says it again, or ends it."""
        for rate in rates:
            index, interval = DIMENSIONS.index(rate.what), int(rate.seconds * SECOND)
            if index in self._told:
                continue
            told = self._told[index] = Told(interval, rate.amount, now)
            told.start_evenly(now)
            self._counting[index] = Counting(interval)
            self._recalled.add(index)

    def _drop_recalled(self) -> None:
        """A reply came, and said nothing of these."""
        while self._recalled:
            del self._told[self._recalled.pop()]

    def refuse(self) -> None:
        """A request was refused for a rate."""
        for index, told in self._told.items():
            told.others.refuse()
            self._counting[index].refuse()

    def exhausted(self, now: int) -> tuple[float, int]:
        """The limit whose end of waiting is the farthest, and the nanoseconds until then.

        What a minute brings back is paced, and nothing that patience is needed for.
        """
        waits = ((told.wait(now, LEAST), told) for told in self._told.values())
        beyond = ((w, t.amount) for w, t in waits if t.interval >= DAY or w > _PACED)
        wait, amount = max(beyond, default=(0, 0.0))
        return amount, wait

    def _adopt(self, index: int, news: News, mark: Mark, now: int) -> None:
        counting = self._counting.setdefault(index, Counting())
        interval, told = counting.seen(news), self._told.get(index)
        if told is None or told.interval != interval:
            told = self._begin(index, interval, news, mark, now)
            ours = 0.0
        else:
            ours = mark.get(index, 0.0) if isinstance(mark, dict) else news.held
            if told.amount != (amount := _paced(news.limit, interval)):
                told.change(now, amount, news.held)
        told.hear(news, ours, now, refills=counting.refills(news.asked_at))

    def _begin(self, index: int, interval: int, news: News, mark: Mark, now: int) -> Told:
        """From now on it is kept; what was admitted since the request that brought it counts."""
        told = Told(interval, news.limit, now)
        since = self.admitted[index] - mark[index] if isinstance(mark, tuple) else 0.0
        # More than what was left is refused, and does not count.
        told.take(now, min(since, news.limit - news.held))
        self._told[index] = told
        return told


def _messages(limits: Limits, asked_at: int) -> Iterator[tuple[int, News]]:
    for index, name in enumerate(DIMENSIONS):
        heard: Heard | None = getattr(limits, name)
        if heard is not None and heard.limit is not None and LEAST <= heard.limit <= MOST:
            yield index, _news(heard, heard.limit, asked_at)


def _news(heard: Heard, limit: float, asked_at: int) -> News:
    reset, stated = (
        None if seconds is None else int(seconds * SECOND)
        for seconds in (heard.reset, heard.interval)
    )
    remaining = None if heard.remaining is None else min(heard.remaining, limit)
    return News(limit, remaining, reset, stated, asked_at)
