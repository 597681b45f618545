"""A limit that is shared with other processes, spent from what its store has lent.

Synchronous arithmetic, as ``engine.limits`` has it: admission guards it, ``engine.leasing`` asks
for more and brings it.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from headrace.policy import leases
from headrace.policy.breaker import NEVER
from headrace.policy.leases import Ask

if TYPE_CHECKING:
    from collections.abc import Callable

_MICRO: Final = 1_000
_MINUTE: Final = 60_000_000_000


class _Lease:
    """What may be spent from ``start`` until ``end``, in nanoseconds of our clock."""

    __slots__ = ("end", "left", "stamp", "start")

    def __init__(self, amount: int, stamp: int, start: int, end: int) -> None:
        self.left = amount
        self.stamp = stamp
        self.start = start
        self.end = end

    def __lt__(self, other: _Lease) -> bool:
        return self.start < other.start


class _Drawn:
    """How much was drawn with one stamp, from when on: to know where a refund belongs."""

    __slots__ = ("amount", "since", "stamp")

    def __init__(self, since: int, stamp: int, amount: int) -> None:
        self.since = since
        self.stamp = stamp
        self.amount = amount


class LeasedLimit:
    """One limit of one scope; ``engine.limits.Rate``."""

    __slots__ = (
        "_call",
        "_call_soon",
        "_cost",
        "_drawn",
        "_held",
        "_leases",
        "_name",
        "_need",
        "_owed",
        "_returned",
        "_vain_since",
        "_wish",
        "amount",
        "interval",
    )
    is_final = True
    source = "shared"

    def __init__(
        self,
        name: str,
        amount: float,
        interval: int,
        call: Callable[[], None],
        call_soon: Callable[[], None],
    ) -> None:
        """``interval`` in nanoseconds; ``call`` for more, ``call_soon`` to give back."""
        self._name = name
        self.amount = amount
        self.interval = interval
        self._call = call
        self._call_soon = call_soon
        self.forget()

    def forget(self) -> None:
        """Have nothing: in a forked child what was lent is the parent's."""
        self._leases: list[_Lease] = []
        self._need = self._cost = self._held = self._wish = self._owed = 0
        self._returned: dict[int, int] = {}
        # Since when it has been asked for in vain.
        self._vain_since: int | None = None
        self._drawn: list[_Drawn] = []

    # What admission asks.

    def wait(self, now: int, cost: float) -> int:
        """Nanoseconds until ``cost`` may be admitted; ``NEVER``: more was asked for."""
        wait = self.foresee(now, cost)
        if wait == NEVER:
            self._cost = math.ceil(cost)
            self._need = max(self._need, self._cost)
            self._vain_since = now if self._vain_since is None else self._vain_since
        if wait:
            # What may be spent now is spent: ask for what comes after this.
            self._call()
        return wait

    def foresee(self, now: int, cost: float) -> int:
        """The same, without asking for more."""
        lacking = cost
        for lease in self._live(now):
            lacking -= lease.left
            if lacking <= 0:
                return max(0, lease.start - now)
        return NEVER

    def is_spent(self, now: int, patience: int) -> bool:
        """Has nothing been lent for so long, though it was asked for?"""
        # What other limits of its scope lack, it is not lent either: a minute makes that up.
        longest = max(patience, 2 * _MINUTE)
        return self._vain_since is not None and now - self._vain_since > longest

    def used(self, now: int) -> None:
        """The store knows what all have used."""
        del now

    def take(self, now: int, cost: float, late: int = 0) -> None:
        """Admit ``cost``; ``wait`` said 0 at the same ``now``."""
        del late
        left = math.ceil(cost)
        for lease in self._leases:
            drawn = min(left, lease.left)
            if drawn:
                self._note(now, lease.stamp, drawn)
                lease.left -= drawn
                left -= drawn
            if not left:
                break
        self._leases = [lease for lease in self._leases if lease.left]
        self._owed += left

    def doubt(self, now: int, admitted_at: int) -> bool:
        """What margin there is is the store's."""
        del now, admitted_at
        return False

    def settle(self, admitted_at: int, now: int, difference: float) -> None:
        """Give back what was not used (negative), or owe what was used beyond it."""
        del now
        if difference > 0:
            self._owed += math.ceil(difference)
        else:
            self._refund(admitted_at, math.floor(-difference))

    # What leasing asks.

    @property
    def returns(self) -> bool:
        """Is there something to give back?"""
        return bool(self._returned)

    def ask(self, now: int, waiting: int) -> Ask:
        """What to say to the store, while so many wait; it counts as said."""
        held = self._held = sum(lease.left for lease in self._live(now))
        wanted = min(waiting * self._cost, self._wish)
        ask = Ask(
            self._name,
            self.amount,
            self.interval // _MICRO,
            need=max(0, self._need - held),
            most=max(0, max(wanted, self._need) - held),
            owed=self._owed,
            returned=tuple(self._returned.items()),
        )
        if not self._need:
            self._vain_since = None
        self._need = self._owed = 0
        self._returned = {}
        return ask

    def unheard(self, ask: Ask) -> None:
        """Nobody knows whether it was heard: to owe twice is safe, to give back twice is not."""
        self._owed += ask.owed

    def lend(self, amount: int, stamp: int, start: int, end: int) -> None:
        """The store has lent so much, to be spent from ``start`` to ``end``."""
        self._vain_since = None
        insort(self._leases, _Lease(amount, stamp, start, end))
        # Where that is used up and more wait, twice as much; what is not used, others lack.
        self._wish = 2 * (self._held + amount)

    def surrender(self) -> None:
        """Give back all that is held."""
        for lease in self._leases:
            self._give_back(lease.stamp, lease.left)
        self._leases = []

    def _live(self, now: int) -> list[_Lease]:
        if any(lease.end <= now for lease in self._leases):
            for lease in self._leases:
                if lease.end <= now:
                    self._give_back(lease.stamp, lease.left)
                    self._wish = max(0, self._wish - 2 * lease.left)
            self._leases = [lease for lease in self._leases if lease.end > now]
        return self._leases

    def _give_back(self, stamp: int, amount: int) -> None:
        if amount:
            self._returned[stamp] = self._returned.get(stamp, 0) + amount

    def _note(self, now: int, stamp: int, amount: int) -> None:
        if self._drawn and self._drawn[-1].stamp == stamp:
            self._drawn[-1].amount += amount
            return
        if len(self._drawn) >= 2 * leases.SLOTS:
            del self._drawn[: leases.SLOTS]
        self._drawn.append(_Drawn(now, stamp, amount))

    def _refund(self, admitted_at: int, amount: int) -> None:
        """Give back of what was drawn then, or may have been: what is forgotten first, at first."""
        is_first = not self._returned
        place = bisect_left(self._drawn, admitted_at, key=attrgetter("since"))
        for drawn in self._drawn[max(0, place - 1) :]:
            back = min(amount, drawn.amount)
            if drawn.since > admitted_at or not amount:
                break
            drawn.amount -= back
            amount -= back
            self._give_back(drawn.stamp, back)
        if is_first:
            self._call_soon()
