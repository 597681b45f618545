"""What a simulated run shows: how much of what was allowed was used, and at what price."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from headrace.testing.simulation.vendor import Send

_OK: Final = 200
_REFUSED: Final = 429
_MINUTE: Final = 60.0


def one(send: Send) -> float:
    """A request counts as one."""
    del send
    return 1.0


def declared(send: Send) -> float:
    """Input and the declared maximum of output."""
    return send.input + send.declared


def used(send: Send) -> float:
    """Input and output as they were."""
    return send.input + send.output


class Report:
    """The sends of one run, in order of arrival, and what can be counted of them.

    ``cost`` says what counts against the limit; what was refused costs nothing. Times are seconds
    since the first send.
    """

    def __init__(self, sends: Iterable[Send], cost: Callable[[Send], float] = one) -> None:
        self.sends = sorted(sends, key=lambda send: send.at)
        self._cost = cost
        self._taken = [send for send in self.sends if send.status == _OK]
        self._at = [send.at for send in self._taken]
        self._sums = [0.0, *accumulate(map(cost, self._taken))]

    def between(self, start: float, end: float) -> float:
        """The cost of what was taken from ``start`` to ``end``."""
        return self._sums[bisect_left(self._at, end)] - self._sums[bisect_left(self._at, start)]

    def share(self, per_minute: float, start: float, end: float) -> float:
        """Of what a limit allows in this time, the part that was used.

        More than 1 where a bucket was full at ``start``: its burst is allowed beside.
        """
        return self.between(start, end) / (per_minute * (end - start) / _MINUTE)

    def most(self, seconds: float = _MINUTE) -> float:
        """The largest cost in any window of so many seconds."""
        return max((self.between(at, at + seconds) for at in self._at), default=0.0)

    def refusals(self, start: float = 0.0, end: float = float("inf")) -> int:
        """How many 429s were sent to requests that came in this time."""
        return sum(send.status == _REFUSED and start <= send.at < end for send in self.sends)

    def reaches(
        self, per_minute: float, part: float = 0.9, seconds: float = 5.0, since: float = 0.0
    ) -> float | None:
        """When, for so many seconds, ``part`` of the allowed rate was first used; None: never."""
        enough = per_minute * part * seconds / _MINUTE
        times = self._at[bisect_left(self._at, since) :]
        found = (at for at in times if self.between(at, at + seconds) >= enough)
        return next(found, None)

    @property
    def ended(self) -> float:
        """When the last answer came."""
        return max((send.ended or 0.0 for send in self._taken), default=0.0)

    def tail(self, part: float = 0.01) -> float:
        """How long the last ``part`` of the answers took, beyond all others."""
        ends: Sequence[float] = sorted(send.ended or 0.0 for send in self._taken)
        before = int(len(ends) * (1 - part))
        return ends[-1] - (ends[before - 1] if before else 0.0) if ends else 0.0
