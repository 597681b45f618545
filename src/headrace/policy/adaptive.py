"""A concurrency nobody stated: start sane, halve when the server says so, grow back slowly."""

from __future__ import annotations

from typing import Final

START: Final = 128
RAMP: Final = 8


class Concurrency:
    """Additive increase, multiplicative decrease, once for each episode of congestion.

    ``limit`` is the number of attempts that may be in flight, ``target`` what it aims at. A cut
    halves the target and lets the limit begin again at an eighth of it; each success adds one, so
    that it doubles with every round (slow start, as in TCP, RFC 5681): when a parked route opens,
    requests come out in a stream that widens and not as a herd. A cut answers only to requests
    that were sent after the cut before; so one storm of 429s is one cut.
    """

    __slots__ = ("_cut_at", "_level", "ceiling", "is_fixed", "limit")

    def __init__(self, ceiling: int = START, *, fixed: bool = False) -> None:
        """``fixed``: a plain number of slots that nothing changes."""
        self.ceiling = ceiling
        self.is_fixed = fixed
        self.limit = ceiling
        self._level = float(ceiling)
        self._cut_at = -1

    @property
    def target(self) -> int:
        """What the limit aims at."""
        return int(self._level)

    def succeed(self) -> None:
        """A request came back well: widen to the target, then by one slot for each round."""
        if self.limit == self.ceiling:
            return
        if self.limit >= int(self._level):
            self._level = min(self._level + 1 / self._level, float(self.ceiling))
        self.limit = min(self.limit + 1, int(self._level))

    def forgive(self) -> None:
        """What it was cut for is known to be another limit: begin anew."""
        self._level = float(self.ceiling)
        self.limit = self.ceiling

    def throttle(self, now: int, sent_at: int) -> None:
        """The server refused a request that was sent at ``sent_at`` because of load."""
        if not self.is_fixed and sent_at > self._cut_at:
            self._level = max(1.0, self._level / 2)
            self.limit = max(1, int(self._level) // RAMP)
            self._cut_at = now
