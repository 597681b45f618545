"""Shall a request that takes long be sent a second time, and when? Pure; the caller brings time.

When: after the time within which most answers of its route came. First copies alone teach that, and
one that is given up since its second copy was faster counts with the time that it had lasted:
without them the slow ones would be missing, and ever more would count as slow. Times are not
divided by the size of answers, as elsewhere: of one that is waited for nobody knows the size.

Whether: second copies are paid from a purse that gets a share of all that is spent, and holds a
few copies at most, so that a server that becomes slow for everyone is not sent everything twice.
"""

from __future__ import annotations

import math
from typing import Final

from headrace.policy.buckets import SECOND
from headrace.policy.quantile import Quantile

# So many of the newest answers say what is slow, and that only after so many slow ones.
KEPT: Final = 256
SLOW_ONES: Final = 2
# Of the last answers none was dearer, so that hardly a copy costs more than was put aside for it.
DEAREST: Final = 0.999
# So many copies' worth is saved at most.
SAVED: Final = 20
# So many of them are left to those that are this many times as slow: they are worth more, and at
# the end of a run, when nothing more is earned, there is something left for the last ones.
SPARED: Final = 10
VERY: Final = 2
# When to look again, at the earliest, where nothing is known yet, or the purse is empty.
FIRST_LOOK: Final = SECOND // 4
# Where all answers take the same time, one that is about to come is not slow.
MARGIN: Final = SECOND // 1000


class Pace:
    """How long the answers of one route take, and what they cost."""

    __slots__ = ("_costs", "_times")

    def __init__(self, quantile: float) -> None:
        self._times = Quantile(quantile, KEPT, math.ceil(SLOW_ONES / (1 - quantile)))
        self._costs = Quantile(DEAREST, KEPT)

    def take(self, nanos: int) -> None:
        """A first copy was answered, or given up, after so many nanoseconds."""
        self._times.add(nanos)

    def price(self, nanos: int) -> None:
        """An answer cost so many nano-dollars."""
        self._costs.add(nanos)

    @property
    def cost(self) -> int:
        """Nano-dollars that a copy will hardly exceed; 0: nobody knows, or it is for nothing."""
        return self._costs.value or 0

    def wait(self, elapsed: int) -> int:
        """Nanoseconds until one that has lasted for so long is slow, or may be; 0: it is."""
        slow = self._times.value
        return later(elapsed) if slow is None else max(0, slow + MARGIN - elapsed)

    def spared(self, elapsed: int) -> int:
        """How many copies' worth one that has lasted for so long has to leave to slower ones."""
        slow = self._times.value
        return SPARED if slow is None or elapsed < VERY * slow else 0


def later(elapsed: int) -> int:
    """Nanoseconds after which to look again at one that cannot be sent a second time yet.

    Each time twice as late: few looks, however long it takes.
    """
    return max(FIRST_LOOK, elapsed)


class Purse:
    """What second copies may cost; amounts are of one kind, nano-dollars or requests."""

    __slots__ = ("_level", "_share")

    def __init__(self, share: float) -> None:
        self._share = share
        self._level = 0.0

    def earn(self, spent: float, copy: float) -> None:
        """So much was spent, of whatever copy; and one more may cost ``copy``."""
        most = SAVED * copy
        if self._level < most:
            self._level = min(self._level + self._share * spent, most)

    def draw(self, copy: float, spared: int = 0) -> bool:
        """Pay for a second copy in advance, if so many copies' worth are left after it."""
        if self._level < copy * (1 + spared):
            return False
        self._level -= copy
        return True

    def settle(self, drawn: float, cost: float) -> None:
        """It ``cost`` other than what was ``drawn``; what is missing is saved before the next."""
        self._level += drawn - cost
