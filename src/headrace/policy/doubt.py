"""Refusals that do not become fewer when less is sent are for something else. Pure.

A limit shows itself: after a cut nothing is refused until the level has come back to it, or at
least less and less is. Where refusals go on before that, and in the same proportion as before (one
machine of many is overloaded, or dice are thrown), sending less is of no use and would end at
nothing.

The proportion is one of what was sent, not of what was answered: refusals come at once, and answers
when they are ready. So requests are told by their numbers, in the order of sending, and what comes
of the last ones is waited for.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

# So many cuts, soon after each other, before anybody doubts; half of them are compared with the
# other half.
CUTS: Final = 6
# From this part of what was refused before it is met again; below it a storm comes early.
MET: Final = 0.98
# So many early ones among these cuts are no chance of a limit's.
EARLY: Final = 3
# In the last of them something new may just have begun.
LATEST: Final = 2
# One in so many is a lone one.
RARE: Final = 75
# Only where less is sent than just before may it be seen to be of no use.
LESS: Final = 0.95
# Of fewer requests no proportion is made.
ENOUGH: Final = 40
# How much larger the part that is taken has become when cutting is of use, how much smaller the
# part that is refused; and how much larger that is where something new has begun.
BETTER: Final = 1.2
FEWER: Final = 1.7
MORE: Final = 3.0
# Where less is taken, it is a limit or an outage.
MOSTLY: Final = 0.5
# So many refusals beyond ``MORE`` are no chance any more.
TOO_MANY: Final = 10.0
# The best of so many cuts is what was before.
REMEMBERED: Final = 32


class Epoch:
    """What was sent until a storm and since the one before, and at which rate and slots."""

    __slots__ = ("at", "last", "rate", "refused", "sent", "slots")

    def __init__(self, at: int, last: int, sent: int, rate: float, slots: float) -> None:
        self.at = at
        # The number of its last request.
        self.last = last
        self.sent = sent
        self.refused = 0
        self.rate = rate
        self.slots = slots


class Doubt:
    """Watches what becomes of cuts."""

    __slots__ = ("_epochs", "_excess", "_refused", "_share", "is_sure")

    def __init__(self) -> None:
        # Those that are over, and what was refused of the one that goes on.
        self._epochs: list[Epoch] = []
        self._refused = 0
        # The part that is refused by chance, and by how many there were more lately.
        self._share = _Share([])
        self._excess = 0.0
        self.is_sure = False

    @property
    def before(self) -> tuple[float, float]:
        """What the rate and the slots were before all these cuts."""
        return max(e.rate for e in self._epochs), max(e.slots for e in self._epochs)

    def refuse(self, number: int) -> None:
        """The request of this number was refused."""
        if self._epochs and number <= self._epochs[-1].last:
            self._epochs[-1].refused += 1
        else:
            self._refused += 1

    def storm(self, now: int, sent: int, rate: float, slots: float) -> bool:
        """A new storm, after so many requests; True where a cut is of use, as usual."""
        known = _enough(self._epochs)
        if self.is_sure:
            self._follow(known[-1])
            if not self.is_sure:
                # It was something else: what was restored for it is nothing that was borne.
                self._begin(now, sent, 0.0, 0.0)
                del self._epochs[:-1]
                return True
        elif len(known) >= CUTS and _is_useless(known):
            self.is_sure, self._excess, self._share = True, 0.0, _Share(known)
        self._begin(now, sent, rate, slots)
        return not self.is_sure

    @property
    def is_rare(self) -> bool:
        """Was hardly anything refused before the latest storm?"""
        return bool(self._epochs) and self._epochs[-1].sent >= RARE * max(
            self._epochs[-1].refused, 1
        )

    def _follow(self, epoch: Epoch) -> None:
        """Is that as before?"""
        share = self._share.value
        most = min(share * MORE, (1 + share) / 2)
        self._excess = max(self._excess + epoch.refused - most * epoch.sent, 0.0)
        self._share.add(epoch)
        self.is_sure = self._excess <= TOO_MANY

    def _begin(self, now: int, sent: int, rate: float, slots: float) -> None:
        before = self._epochs[-1].last if self._epochs else 0
        self._epochs.append(Epoch(now, sent, sent - before, rate, slots))
        self._epochs[-1].refused, self._refused = self._refused, 0
        del self._epochs[:-REMEMBERED]


class _Share:
    """The refused part of what was sent."""

    __slots__ = ("_refused", "_sent")

    def __init__(self, epochs: list[Epoch]) -> None:
        self._sent = self._refused = 0
        for epoch in epochs:
            self.add(epoch)

    @property
    def value(self) -> float:
        return self._refused / max(self._sent, self._refused, 1)

    def add(self, epoch: Epoch) -> None:
        self._sent += epoch.sent
        self._refused += epoch.refused


def _enough(epochs: list[Epoch]) -> list[Epoch]:
    """The last ones, and of those with few requests as many as make a proportion."""
    count = CUTS
    while count < len(epochs) and sum(epoch.sent for epoch in epochs[-count:]) < ENOUGH:
        count += 1
    return epochs[-count:]


def _is_useless(epochs: list[Epoch]) -> bool:
    """Were storms early, and as many refused in the end as at the beginning?"""
    half = len(epochs) // 2
    earlier, later = _Share(epochs[:half]).value, _Share(epochs[half:]).value
    latest = _Share(epochs[-LATEST:]).value
    is_same = earlier / FEWER <= later <= min(earlier * FEWER, MOSTLY)
    is_same = is_same and latest <= _Share(epochs).value * MORE
    is_enough = sum(epoch.sent for epoch in epochs) >= ENOUGH
    is_better = 1 - later > (1 - earlier) * BETTER
    is_less = _pace(epochs[-3:]) <= LESS * _pace(epochs[-5:-2])
    return is_enough and is_same and not is_better and is_less and _early(epochs) >= EARLY


def _pace(epochs: list[Epoch]) -> float:
    """How many were sent in a nanosecond, from the first storm to the last."""
    return (epochs[-1].last - epochs[0].last) / max(epochs[-1].at - epochs[0].at, 1)


def _early(epochs: list[Epoch]) -> int:
    """How many came before the level was back."""
    pairs = pairwise(epochs)
    return sum(b.rate < a.rate * MET or b.slots < a.slots * MET for a, b in pairs)
