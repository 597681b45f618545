"""The door to aiolimiter: the pacer that spreads a limit evenly over the minute.

It is asked and never waited on, because aiolimiter itself serves the smallest waiter first. What
aiolimiter lacks is added here: refunds (they empty its bucket, and what is left is a credit that
later costs draw on), costs above the burst and other debts (they fill its bucket above the brim,
and nothing else passes until that has drained), and the caller's own time, so that it knows no
event loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Never, cast

from aiolimiter import AsyncLimiter

if TYPE_CHECKING:
    import asyncio

_BURST_SECONDS: Final = 0.1
_AT_ONCE: Final = 1 / 16
# Who takes a whole burst may come so late, in nanoseconds, before that is lost to those behind.
_LATE: Final = 100_000_000
_NANOS: Final = 1_000_000_000
# One microsecond more than computed: a rounding error must not wake us too early.
_MARGIN: Final = 1_000
# Then it may well pass already, and is to be asked.
_NEARLY: Final = range(1, _MARGIN + 1)
# What adding and taking away floats may leave behind, as a part of the burst.
_DUST: Final = 1e-9


class _Time:
    """Stands where aiolimiter looks for an event loop, of which it asks only the time."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = 0.0

    def time(self) -> float:
        return self.now

    def create_future(self) -> Never:
        msg = "the pacer was asked for more than it had; please report it as a bug of headrace"
        raise RuntimeError(msg)


class _Bucket(AsyncLimiter):
    """A leaky bucket that is told the time, and so may be used from any event loop."""

    __slots__ = ("_loop", "told")

    def __init__(self, capacity: float, per_second: float) -> None:
        super().__init__(capacity, capacity / per_second)
        self.told = _Time()
        self._loop = cast("asyncio.AbstractEventLoop", self.told)  # type: ignore[misc]  # a slot is faster than their property

    def _leak(self) -> None:
        """Nothing has dripped out where no time has passed, which is often so."""
        if self.told.now != self._last_check:
            super()._leak()

    def has_capacity(self, amount: float = 1) -> bool:
        """Does ``amount`` fit now? Rounding errors do not count."""
        self._leak()
        return self._level + amount - self.max_rate <= self.max_rate * _DUST

    def missing(self, amount: float) -> float:
        """Seconds until ``amount`` fits; 0 when it does."""
        self._leak()
        excess = self._level + amount - self.max_rate
        return excess / self._rate_per_sec if excess > self.max_rate * _DUST else 0.0

    def take(self, amount: float) -> None:
        """Take ``amount``, which must fit: then ``acquire`` ends without suspending."""
        try:
            self.acquire(amount).send(None)
        except StopIteration:
            return

    def level(self) -> float:
        """How full it is; above the brim, where something is owed."""
        self._leak()
        return self._level

    def pour(self, amount: float) -> float:
        """Fill in (above the brim, if need be) or take out; returns what could not be taken."""
        self._leak()
        level = self._level + amount
        if level >= 0:
            self._level = level
            return 0.0
        self._level = 0.0
        return -level


class Pacer:
    """Even spacing at ``per_minute``, with a burst of one unit or a tenth of a second's worth."""

    __slots__ = ("_asked", "_at", "_bucket", "_burst", "_credit", "_most_credit")

    def __init__(self, per_minute: float) -> None:
        self._credit = 0.0
        # What was asked for last and had to wait, and for which moment: most often the first in
        # line, who is looked at again and again. Forgotten when anything else changes.
        self._asked, self._at = -1.0, 0
        self._set(per_minute)

    def _set(self, per_minute: float) -> None:
        per_second = per_minute / 60
        self._asked = -1.0
        self._burst = max(1.0, per_second * _BURST_SECONDS)
        self._bucket = _Bucket(self._burst, per_second)
        # A second's worth: enough to go on at the full rate, too little to burst.
        self._most_credit = max(self._burst, per_second)

    def change(self, now: int, per_minute: float) -> None:
        """Go on at another rate; what was taken, and what is owed, is carried over."""
        self._bucket.told.now = now / _NANOS
        owed = self._bucket.level()
        self._set(per_minute)
        self._bucket.told.now = now / _NANOS
        self._bucket.pour(owed)
        self._credit = min(self._credit, self._most_credit)

    def start_evenly(self, now: int) -> None:
        """Begin without a burst; one unit may pass at once."""
        self._bucket.told.now = now / _NANOS
        self._asked = -1.0
        self._bucket.pour(self._burst - 1)

    def wait(self, now: int, cost: float) -> int:
        """Nanoseconds until ``cost`` may pass; 0 when it may pass now."""
        if cost <= self._credit:
            return 0
        if cost == self._asked and (known := self._at - now) not in _NEARLY:
            return max(known, 0)
        self._bucket.told.now = now / _NANOS
        step = min(cost - self._credit, self._burst)
        missing = self._bucket.missing(step)
        if not missing:
            return 0
        wait = int(missing * _NANOS) + _MARGIN
        self._asked, self._at = cost, now + wait
        return wait

    def take(self, now: int, cost: float, late: int = 0) -> None:
        """Let ``cost`` pass; ``wait`` said 0 at the same ``now``.

        It was due ``late`` nanoseconds ago. No event loop is on time, and an empty bucket saves
        nothing up for those behind: so it counts from when it was due, a tenth of a second at most.
        """
        # Who had to wait has left nothing to take for others.
        is_full, self._asked = cost == self._asked, -1.0
        if cost <= self._credit:
            self._credit -= cost
            return
        cost -= self._credit
        step = min(cost, self._burst)
        self._bucket.told.now = (now - min(late, int(_LATE * step / self._burst))) / _NANOS
        if late and self._bucket.missing(step):
            self._bucket.told.now = now / _NANOS
        # Where the burst is many requests wide, take for some of them at once.
        if not is_full and step < (several := self._burst * _AT_ONCE):
            step = step if self._bucket.missing(several) else several
        self._bucket.take(step)
        self._credit = max(step - cost, 0.0)
        if cost > step:
            self._bucket.pour(cost - step)

    def settle(self, now: int, difference: float) -> None:
        """Correct what was taken: a negative difference is a refund, a positive one a debt."""
        self._bucket.told.now = now / _NANOS
        self._asked = -1.0
        if difference > 0:
            # A debt draws on the credit first, so that there is never both.
            drawn = min(self._credit, difference)
            self._credit -= drawn
            difference -= drawn
        if left := self._bucket.pour(difference):
            self._credit = min(self._credit + left, self._most_credit)
