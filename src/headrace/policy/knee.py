"""Where a server that refuses nothing only gets slower: found by the speed of its answers. Pure.

Up to the knee more requests at once give more answers; beyond it they only share what there is,
each of them takes longer in proportion, and going back costs nothing. So what is given at once is
compared with what fewer were given before. As slow answers may have other reasons (longer prompts,
a slow hour), the next look shows whether going back was of use. Where it was, even fewer are tried;
where it was not, the limit comes back, and the new speed is what others are measured by.

Who looks at the answers that come first sees the fast ones. Here requests that were sent one after
another are looked at together, and of these the faster half, as soon as nobody else can belong to
it. That half is the same whether some answers take a hundred times as long as others or not, and it
tells the same at any pace of sending. Slowness is time for each token, so that long answers are not
slow.
"""

from __future__ import annotations

from statistics import median
from typing import Final

# How many times as many at once, or as slow, is worth a look.
STEP: Final = 1.5
# More are of use where what they are given grows by this part of what they became more.
GROWS: Final = 0.15
# Going back is of use when the speed grows by this part of what the slots became fewer.
OF_USE: Final = 0.7
# Less than this part of what was given is less.
LESS: Final = 0.8
# Each answer takes its time, however short it is: as much as so many tokens.
OVERHEAD: Final = 32.0
# So many are looked at together, and more where their slowness differs: so many times the square of
# the range of its middle half (as a part of it) give it to about a tenth.
LEAST: Final = 16
MOST: Final = 1_024
FOR_RANGE: Final = 290.0
# With others so many times as many sent since, they are waited for no longer: too many have failed.
LATE: Final = 8


class Group:
    """Requests that were sent one after another, and their answers."""

    __slots__ = ("_answers", "_closed_at", "_due", "_first", "last", "size")

    def __init__(self, first: int, size: int) -> None:
        """Of so many requests, which come after that number."""
        self._first = first
        self.size = size
        # The number of the last one, once there are enough.
        self.last: int | None = None
        self._closed_at = self._due = 0
        # How long each took, and for each token, and beside how many.
        self._answers: list[tuple[int, float, int]] = []

    def add(self, number: int, crowd: int, latency: int, size: float) -> None:
        """One was answered."""
        if self._first < number <= (self.last or number):
            latency, crowd = max(latency, 1), max(crowd, 1)
            self._answers.append((latency, latency / (size + OVERHEAD), crowd))

    def is_complete(self, now: int, sent: int) -> bool:
        """Have enough been sent?"""
        if self.last is None and sent - self._first >= self.size:
            self.last, self._closed_at = sent, now
            self.size = sent - self._first
        return self.last is not None

    def is_stale(self, sent: int) -> bool:
        """Is it in vain to wait for more of them?"""
        return self.last is not None and sent - self.last > LATE * self.size

    def faster(self, now: int) -> tuple[float, list[float]] | None:
        """The crowd of its faster half, and how slow each was, in order; None: not known yet."""
        half = self.size // 2
        if self.last is None or now < self._due or len(self._answers) < half:
            return None
        answers = sorted(self._answers)[:half]
        # Who is not back by then was slower than all of these.
        self._due = self._closed_at + answers[-1][0]
        if now < self._due:
            return None
        return sum(crowd for *_, crowd in answers) / half, sorted(slow for _, slow, _ in answers)


class Knee:
    """Looks at groups of answers and says when another limit is better."""

    __slots__ = ("_closed", "_least", "_open", "_reference", "_size", "_tried", "is_met")

    def __init__(self) -> None:
        # How many at once, and how slow each was: what more are measured by.
        self._reference: tuple[float, float] | None = None
        # The same of what was just before a change.
        self._tried: tuple[float, float] | None = None
        # The fewest that gave no less.
        self._least = 0.0
        # Has it been found, so that it is to be met again with care?
        self.is_met = False
        self._size = LEAST
        # What is being sent, and what is being waited for.
        self._open = Group(0, LEAST)
        self._closed: Group | None = None

    @property
    def found(self) -> float | None:
        """The fewest at once that were given all there is; None: not known."""
        return self._least or None

    @property
    def is_trying(self) -> bool:
        """Has a change been made of which nobody knows yet whether it is of use?"""
        return self._tried is not None

    def seen(
        self, now: int, limit: int, crowd: int, latency: int, size: float, *, number: int, sent: int
    ) -> int | None:
        """An answer of ``size`` tokens took ``latency`` nanoseconds, beside so many; a new limit?

        It was to the request of this ``number``, and so many have been ``sent`` by now. None where
        the limit is right.
        """
        self._open.add(number, crowd, latency, size)
        group = self._closed
        if group is None:
            if self._open.is_complete(now, sent):
                self._closed, self._open = self._open, Group(sent, self._wanted(limit))
            return None
        group.add(number, crowd, latency, size)
        faster = group.faster(now)
        if faster is None:
            if group.is_stale(sent):
                self._restart(sent)
            return None
        self._closed = None
        self._size = _needed(faster[1])
        if group.size < self._size / 2:
            return None
        found = self._judge(faster[0], median(faster[1]))
        if found is not None:
            self._restart(sent, self._wanted(found))
        return found

    def _wanted(self, limit: int) -> int:
        return max(limit, self._size)

    def _restart(self, sent: int, size: int = LEAST) -> None:
        self._open, self._closed = Group(sent, size), None

    def _judge(self, crowd: float, slowness: float) -> int | None:
        seen = (crowd, slowness)
        if self._tried is not None:
            return self._try_on(self._tried, seen)
        if self._reference is None:
            self._reference = seen
            return None
        more, slower = crowd / self._reference[0], slowness / self._reference[1]
        if more >= STEP and more / slower - 1 >= GROWS * (more - 1):
            is_more = crowd > self._least * STEP and slower < 1 + (more - 1) / 2
            self.is_met, self._reference = self.is_met and not is_more, seen
        elif more >= STEP or slower >= STEP:
            if more / slower < LESS:
                self._least = 0.0  # together they are given less: it bears less than before
            return self._go_back(seen, max(slower, STEP))
        elif more <= 1:
            self._reference = seen
        return None

    def _go_back(self, seen: tuple[float, float], part: float) -> int:
        self._tried = seen
        return max(1, int(seen[0] / part))

    def _try_on(self, tried: tuple[float, float], seen: tuple[float, float]) -> int | None:
        """Was it of use? Then even fewer may do."""
        self._tried, self._reference = None, seen
        is_of_use = tried[1] / seen[1] - 1 >= OF_USE * (tried[0] / seen[0] - 1)
        if not is_of_use:
            self._least = tried[0] if self.is_met else 0.0
            return int(tried[0])
        self.is_met = True
        if seen[0] < max(self._least, 1.0) * STEP:
            return None
        return self._go_back(seen, STEP)


def _needed(slowness: list[float]) -> int:
    """How many it takes to know it well enough, where it differs so much; they are in order."""
    first, middle, third = (slowness[len(slowness) * n // 4] for n in (1, 2, 3))
    spread = (third - first) / middle if middle else 0.0
    return int(min(max(LEAST, FOR_RANGE * spread**2), MOST))
