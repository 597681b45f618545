"""What was admitted lately, so that a limit holds in *any* sixty seconds, or any day.

Pure arithmetic: the caller brings the time, as integer nanoseconds of a monotonic clock.
"""

from __future__ import annotations

from operator import add
from typing import Final

SECOND: Final = 1_000_000_000
MINUTE: Final = 60 * SECOND
DAY: Final = 1_440 * MINUTE
# Requests admitted evenly arrive unevenly; a quarter of a second is kept for that, so that the
# server, too, sees no sixty seconds above the limit.
JITTER: Final = SECOND // 4
# And no more than this, where it was seen that a quarter is not enough.
WIDEST: Final = 4 * SECOND
_SLOTS: Final = 1024
# Older ones are remembered, for a minute's margin at its widest.
_SPARE: Final = 64
_ALL: Final = _SLOTS + _SPARE
# Below any cost, above what adding and taking away floats may leave behind.
DUST: Final = 1e-6


class Ring:
    """The cost admitted within the last ``interval`` nanoseconds, kept in fixed memory.

    Time is cut into slots, of about 60 ms for a minute; a slot counts until the whole of it is too
    old, so the sum is never too small. ``limit`` is the cost allowed in any such span.
    """

    __slots__ = ("_costs", "_counted", "_interval", "_last", "_slot", "_sum", "_turn", "limit")

    def __init__(self, limit: float, interval: int = MINUTE) -> None:
        self.limit = limit
        self._interval = interval
        self._slot = (interval + JITTER) // (_SLOTS - 1)
        self._counted = _SLOTS
        self._costs = [0.0] * _ALL
        self._last = 0
        self._sum = 0.0
        self._turn = 0

    def used(self, now: int) -> float:
        """What counts against the limit at ``now``."""
        self._advance(now)
        return self._sum

    def has_room(self, now: int, cost: float) -> bool:
        """Would ``cost`` stay within the limit? A cost above the limit fits an empty ring."""
        self._advance(now)
        return self._sum + min(cost, self.limit) - self.limit <= DUST

    def add(self, now: int, cost: float) -> float:
        """Count ``cost`` at ``now``; returns what counts with it."""
        if now >= self._turn:
            self._advance(now)
        self._costs[self._last % _ALL] += cost
        self._sum += cost
        return self._sum

    def settle(self, admitted_at: int, now: int, difference: float) -> None:
        """Correct what was reserved at ``admitted_at``: a refund where it stood, a debt now."""
        if now >= self._turn:
            self._advance(now)
        slot = self._last if difference > 0 else admitted_at // self._slot
        age = self._last - slot
        if age < _ALL:
            self._costs[slot % _ALL] += difference
        if age < self._counted:
            self._sum += difference

    def wait(self, now: int, cost: float) -> int:
        """Nanoseconds until ``cost`` has room, if nothing else is admitted before."""
        if now >= self._turn:
            self._advance(now)
        if self._sum + cost <= self.limit:
            return 0
        excess = self._sum + min(cost, self.limit) - self.limit
        return 0 if excess <= DUST else self.until(now, excess)

    def change(self, limit: float, held: float) -> None:
        """Go on with another limit, of which so much is ``held`` against us.

        A server that has gone on refilling holds less than what was sent; where it holds all that
        it may, it may hold more than that.
        """
        if held < min(self._sum, limit):
            part = held / self._sum
            self._costs = [cost * part for cost in self._costs]
            self._sum *= part
        self.limit = limit

    def widen(self, now: int, margin: int) -> None:
        """Count what was admitted within the interval and ``margin`` nanoseconds, up to 4 s."""
        self._advance(now)
        counted = min(-(-(self._interval + margin) // self._slot) + 1, _ALL)
        ages = range(min(counted, self._counted), max(counted, self._counted))
        amount = sum(self._costs[(self._last - age) % _ALL] for age in ages)
        self._sum += amount if counted > self._counted else -amount
        self._counted = counted

    def since(self, now: int, span: int) -> float:
        """What was admitted within a shorter span."""
        self._advance(now)
        first = max((now - span) // self._slot, self._last - self._counted + 1)
        return sum(self._costs[slot % _ALL] for slot in range(first, self._last + 1))

    def forget(self, before: int) -> None:
        """What was admitted before that moment does not count any more."""
        for slot in range(self._last - _ALL + 1, min(before // self._slot, self._last + 1)):
            if self._last - slot < self._counted:
                self._sum -= self._costs[slot % _ALL]
            self._costs[slot % _ALL] = 0.0

    def absorb(self, other: Ring, now: int) -> None:
        """Count what another of the same interval has counted, too."""
        self._advance(now)
        other._advance(now)
        self._costs = list(map(add, self._costs, other._costs))
        # What is kept for the way may differ; the wider counts.
        self._counted = max(self._counted, other._counted)
        self._sum = sum(self._costs[(self._last - age) % _ALL] for age in range(self._counted))

    def until(self, now: int, excess: float) -> int:
        """Nanoseconds until so much of it is too old to count, or all of it."""
        slot = self._last - self._counted
        while excess > DUST and slot < self._last:
            slot += 1
            excess -= self._costs[slot % _ALL]
        return (slot + self._counted) * self._slot - now

    def _advance(self, now: int) -> None:
        slot = now // self._slot
        if (steps := slot - self._last) <= 0:
            return
        if steps >= _ALL:
            self._costs = [0.0] * _ALL
            self._sum = 0.0
        else:
            for new in range(self._last + 1, slot + 1):
                self._sum -= self._costs[(new - self._counted) % _ALL]
                self._costs[new % _ALL] = 0.0
        self._last = slot
        self._turn = (slot + 1) * self._slot
