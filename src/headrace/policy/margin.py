"""How far apart requests may have to be admitted for what happens on their way. Pure.

What was admitted within a minute and a little more may arrive within a minute; a server that counts
what arrives refuses then though we have kept its limit. So that little, a quarter of a second at
first, is doubled when that is seen, and comes back when it has not been seen for long. As much as
the way takes, at the most, is enough; where all of it is of no use, it was something else.
"""

from __future__ import annotations

from typing import Final

from headrace.policy.breaker import NEVER
from headrace.policy.buckets import JITTER, MINUTE, WIDEST

# Half of it is tried again after so long.
QUIET: Final = 30 * MINUTE


class Margin:
    """``span`` nanoseconds are kept beside the interval of a limit; it changes when ``due``."""

    __slots__ = ("_changed_at", "due", "span")

    def __init__(self) -> None:
        self.span = JITTER
        self.due = NEVER
        self._changed_at = -1

    def widen(self, now: int, admitted_at: int) -> bool:
        """A request was refused that was admitted then; False where no margin would help."""
        if admitted_at <= self._changed_at:
            return self.span > JITTER
        is_tried = self.due < NEVER and self.span == JITTER
        if is_tried:
            return False
        self._change(now, JITTER if self.span >= WIDEST else 2 * self.span)
        return self.span > JITTER

    def narrow(self, now: int) -> None:
        """It is ``due``: try with less."""
        self._change(now, max(JITTER, self.span // 2))
        if self.span == JITTER:
            self.due = NEVER

    def _change(self, now: int, span: int) -> None:
        self.span = span
        self._changed_at, self.due = now, now + QUIET
