"""What a server has not refused for a while it has accepted, though its answer may take minutes.

Pure. Servers refuse at once, for a rate as for a number at once; so silence says as much as an
answer, only sooner.
"""

from __future__ import annotations

from collections import deque
from typing import Final, TypeAlias

from headrace.policy.buckets import SECOND

# So long nothing is heard of what was accepted. Beside one that was refused so many times what
# that took is enough.
ACCEPTED: Final = 2 * SECOND
SLOWER: Final = 2
# Sends are counted together within so many nanoseconds, and so many of these are remembered.
_TOGETHER: Final = SECOND // 8
_REMEMBERED: Final = 32
# How much had been sent, and how much of it was lost, at some moment.
Moment: TypeAlias = tuple[int, int]
START: Final[Moment] = (0, 0)


class Silence:
    """Counts what was sent, and what failed."""

    __slots__ = ("_counted", "_last", "_lost", "_sent", "_since")

    def __init__(self) -> None:
        self._sent = self._lost = 0
        self._since = self._last = -1
        # The last send of each group before this one, and how much had been sent with it.
        self._counted = deque[tuple[int, int]](maxlen=_REMEMBERED)

    def send(self, now: int) -> None:
        """One more is on its way."""
        if now - self._since > _TOGETHER:
            self._counted.append((self._last, self._sent))
            self._since = now
        self._sent += 1
        self._last = now

    def lose(self) -> None:
        """One came back without an answer."""
        self._lost += 1

    @property
    def sent(self) -> int:
        """How many there were, which is the number of the last one."""
        return self._sent

    @property
    def moment(self) -> Moment:
        """How much there was until now."""
        return self._sent, self._lost

    def has_accepted(self, since: Moment, until: int) -> bool:
        """Was something accepted that was sent since then, and not after ``until``?"""
        sent = self._sent if self._last <= until else self._before(until)
        return sent - since[0] > self._lost - since[1]

    def _before(self, until: int) -> int:
        counts = (sent for last, sent in reversed(self._counted) if last <= until)
        return next(counts, 0)
