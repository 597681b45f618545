"""How many requests a server bears at once, where nobody has said it. Pure.

It begins small and grows by one with each answer, so that it doubles with each round of them (slow
start, RFC 5681), and beyond ``START`` more slowly. Two things end that. A server that refuses shows
where its limit is: the level falls below it and comes back along a cubic (``Level``). A server that
only gets slower shows it by its speed, and falls back to what it bears (``policy.knee``). Where
answers take long, what is not refused shows it, too (``policy.unheard``).
"""

from __future__ import annotations

from typing import Final

from headrace.policy.breaker import NEVER
from headrace.policy.buckets import SECOND
from headrace.policy.knee import Knee
from headrace.policy.unheard import Unheard

FIRST: Final = 16
START: Final = 128
MOST: Final = 1_024
RAMP: Final = 8
NO_HERD: Final = 4
# Beyond START so many answers are needed for one more.
SLOWLY: Final = 8
# From which part of the limit on it is in use, so that it may grow, or was it that was refused.
USED: Final = 0.9
# What was refused before is met again from this part of it on.
NEARLY: Final = 0.95
# Beside fewer than this part of it, and with no answer since, refusing has another cause.
FEW: Final = 0.5
# Answers beside so many times what was refused show that it was not their number.
CONTRADICTED: Final = 1.25
# Others of the same storm were refused beside fewer: those say it better, unless nobody is left.
LEAST: Final = 0.8
# A level comes back in the time of so many answers, if that is longer: one refusal with each time
# is less than one in a hundred.
ENOUGH: Final = 150
# And in no less than this, however many answers there are.
SPAN: Final = 9 * SECOND


class Level:
    """What a server has refused, and how far to go below it and beyond it again.

    A cut goes below the level that was refused; the way back is fast at first, slow about that
    level, and ever faster beyond it: a cubic, as in RFC 9438, so that a limit that was raised is
    found in three spans, and one that was not is hardly touched. Only the time counts in which the
    level was in use. At twice the level it goes on from there as if that had been refused.
    """

    __slots__ = ("_spent", "span", "top")

    DROP: Final = 0.1

    def __init__(self) -> None:
        self.top = float("inf")
        self.span = self._spent = SECOND

    @property
    def value(self) -> float:
        """Where it stands now."""
        return self.top * (1 + self.DROP * (self._spent / self.span - 1) ** 3)

    @property
    def borne(self) -> float | None:
        """What was refused, or was borne beyond that since; None where nothing was refused."""
        return None if self.top == float("inf") else max(self.top, self.value)

    def cut(self, refused: float, span: int) -> None:
        """``refused`` is too much; come back to it in ``span`` nanoseconds."""
        self.top = refused
        self.span, self._spent = span, 0

    def grow(self, spent: int) -> None:
        """It was in use for so many nanoseconds more."""
        self._spent += spent
        if self.value > 2 * self.top:
            # Twice as much comes back in half the time.
            self.span = max(self.span // 2, min(self.span, SPAN))
            self.top, self._spent = 2 * self.top, self.span


class Concurrency:
    """``limit`` is the number of attempts that may be in flight, between 1 and the ``ceiling``.

    A cut answers only to requests that were sent after the cut before; so one storm of 429s is one
    cut.
    """

    __slots__ = (
        "_cut_at",
        "_grown",
        "_has_answered",
        "_knee",
        "_latency",
        "_least",
        "_level",
        "_seen_at",
        "_unheard",
        "ceiling",
        "is_fixed",
        "limit",
    )

    def __init__(
        self,
        ceiling: int = MOST,
        *,
        fixed: bool = False,
        stated: bool = False,
        unheard: int = 0,
    ) -> None:
        """``fixed``: nothing changes it; ``stated``: somebody knows the ceiling to be right.

        ``unheard``: so many at once may be tried before the first answer.
        """
        self.ceiling = ceiling
        self.is_fixed = fixed
        self._level = Level()
        self._knee = None if fixed or stated else Knee()
        self._unheard = Unheard(0 if fixed or stated else unheard)
        self._grown = self._latency = 0
        self._cut_at = self._seen_at = -1
        self._has_answered = True
        self._least = 0.0
        self.limit = ceiling if fixed or stated else min(FIRST, ceiling)

    @property
    def is_stated(self) -> bool:
        """Did somebody say what it is, so that it is only ever cut?"""
        return self._knee is None

    @property
    def target(self) -> int:
        """What the limit aims at."""
        return max(1, int(min(self._level.value, self.ceiling)))

    def has_met(self, in_flight: int) -> bool:
        """Were so many at once refused before?"""
        return in_flight >= self._level.top * NEARLY

    def wait(self, now: int) -> int:
        """All are in flight: nanoseconds until there may be more; ``NEVER``: after an answer."""
        wait = NEVER if self.limit >= self.ceiling else self._unheard.wait(now, self.limit)
        if not wait:
            step = self.limit if self.limit < START else self.limit // SLOWLY
            self.limit = min(self.limit + step, self._unheard.most, self.ceiling)
        return wait

    def succeed(
        self,
        now: int,
        in_flight: int,
        latency: int = 0,
        size: float = 0.0,
        crowd: int = 0,
        *,
        number: int = 0,
        sent: int = 0,
    ) -> None:
        """An answer of so much ``size`` came after ``latency``; so many are in flight with it.

        ``crowd``: so many were when it was sent. It was the one of this ``number``, of so many that
        have been ``sent`` by now.
        """
        if self.is_fixed:
            return
        self._latency += (latency - self._latency) // 8
        self._has_answered = self._has_answered or now - latency > self._cut_at
        if crowd > self._level.top * CONTRADICTED:
            self._level.top = crowd  # others were answered beside more: it was not their number
        is_used = in_flight >= self.limit * USED
        if self._level.top <= self.ceiling:
            self._level.grow(min(now - self._seen_at, max(SECOND, latency)) if is_used else 0)
            self._seen_at = now
        if self._knee is not None:
            self._unheard.answer(latency, size, crowd)
            knee = self._knee
            self._turn(knee.seen(now, self.limit, crowd, latency, size, number=number, sent=sent))
        if is_used and self.limit < self.ceiling:
            self._grow()

    def throttle(self, now: int, sent_at: int, in_flight: int = 0, *, gently: bool = True) -> bool:
        """The server refused a request, sent with so many in flight, for load; was that new?

        ``gently``: what follows comes out in a stream that widens, and not as a herd.
        """
        if self.is_fixed:
            return False
        if sent_at <= self._cut_at:
            if self._least <= in_flight < self._level.top:
                self._level.top = in_flight
                self.limit = min(self.limit, self.target)
            return False
        self._cut_at = self._seen_at = now
        self._unheard.stop()
        if not self._has_answered and in_flight < self._level.top * FEW:
            # It refuses whatever comes, which says nothing of how much it bears: ask with one.
            self.limit = 1
            return True
        self._has_answered = False
        self._least = in_flight * LEAST
        refused = max(1.0, min(in_flight or self.limit, self.limit, self._level.value))
        self._level.cut(refused, max(SPAN, int(ENOUGH * self._latency / refused)))
        self.limit = max(self.target // RAMP, min(self.target, NO_HERD)) if gently else self.target
        return True

    def restore(self, now: int, most: float) -> None:
        """Cuts since it aimed at so many were of no use."""
        if not self.is_fixed:
            self._level, self._least = Level(), float("inf")
            self._cut_at = self._seen_at = now
            self.limit = max(self.limit, min(int(most), self.ceiling))

    def shrink(self) -> None:
        """It refuses whatever comes: ask with one."""
        if not self.is_fixed:
            self._unheard.stop()
            self.limit = 1

    def trust(self) -> None:
        """A rate is known: how many are in flight follows from it, and what was refused before."""
        if not self.is_fixed:
            self._level, self._knee = Level(), None
            self._unheard.stop()
            self._cut_at = -1
            self.limit = self.ceiling

    def known(self) -> tuple[float, bool] | None:
        """How many at once were borne, and whether more were refused; None: stated, or unknown."""
        if self._knee is None:
            return None
        bound, found = self._level.borne, self._knee.found
        if bound is not None:
            return min(bound, self.ceiling), True
        return (found or float(self.limit), False) if found or self.limit > FIRST else None

    def recall(self, now: int, at_once: float, *, is_bound: bool) -> None:
        """Begin with what an earlier run has borne, or just below what was refused then."""
        if self._knee is None:
            return
        if is_bound:
            self._level.cut(max(at_once, 1.0), SPAN)
            self._unheard.stop()
            self._seen_at = now
            at_once = self._level.value
        self.limit = max(1, int(min(at_once, self.ceiling)))

    def _grow(self) -> None:
        if self._knee is not None and self._knee.is_trying:
            return
        self._grown += 1
        is_new = self._knee is None or not self._knee.is_met
        if (self.limit < START and is_new) or self._grown >= SLOWLY:
            self._grown = 0
            self.limit = min(self.limit + 1, max(self.target, 1))

    def _turn(self, limit: int | None) -> None:
        """The speed has shown that another limit is better."""
        if limit is not None:
            self._unheard.stop()
            self.limit = max(1, min(limit, self.ceiling))
