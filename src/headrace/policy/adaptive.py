"""A concurrency nobody stated: start sane, halve when the server says so, grow back slowly."""

from __future__ import annotations

from typing import Final

START: Final = 128


class Concurrency:
    """Additive increase, multiplicative decrease, once for each episode of congestion.

    ``limit`` is the number of attempts that may be in flight. A cut answers only to requests that
    were sent after the cut before; so one storm of 429s is one cut.
    """

    __slots__ = ("_cut_at", "_level", "ceiling", "is_fixed", "limit")

    def __init__(self, ceiling: int = START, *, fixed: bool = False) -> None:
        """``fixed``: a plain number of slots that nothing changes."""
        self.ceiling = ceiling
        self.is_fixed = fixed
        self.limit = ceiling
        self._level = float(ceiling)
        self._cut_at = -1

    def succeed(self) -> None:
        """A request came back well: about one more slot for each round of the window."""
        if self.limit < self.ceiling:
            self._level = min(self._level + 1 / self._level, float(self.ceiling))
            self.limit = int(self._level)

    def throttle(self, now: int, sent_at: int) -> None:
        """The server refused a request that was sent at ``sent_at`` because of load."""
        if not self.is_fixed and sent_at > self._cut_at:
            self._level = max(1.0, self._level / 2)
            self.limit = int(self._level)
            self._cut_at = now
