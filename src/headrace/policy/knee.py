"""Where a server that refuses nothing only gets slower: found by the speed of its answers. Pure.

Speed is what one slot gives: output in the time that it took. As long as a server bears more, the
speed of each slot stays the same when there are more of them; beyond the knee they share what there
is. It is measured over whole rounds, so that long and short answers even out. Where it has fallen
too far the limit goes back in proportion; and as slow answers may have other reasons (longer
prompts, a slow hour), the next round shows whether that was of use. Where it was not, the limit
comes back, and the new speed is what others are measured by.
"""

from __future__ import annotations

from typing import Final

# Below this part of the best speed the slots stand in each other's way.
TOO_SLOW: Final = 0.66
# Going back is of use when the speed grows by this part of what the slots became fewer.
OF_USE: Final = 0.5
# Each answer takes its time, however short it is: as much as so many tokens.
OVERHEAD: Final = 32.0
LEAST_ROUND: Final = 8
# After a change to far fewer it is so many times these; those of before are under way yet.
ROUNDS: Final = 8
# A change to more than this part of it is too small to show anything.
CLEARLY_LESS: Final = 0.8
# By which part the best speed fades with each round: what was once is not for ever.
FADING: Final = 0.001


class Knee:
    """Counts rounds of answers and says when another limit is better."""

    __slots__ = ("_answers", "_best", "_crowd", "_latency", "_round", "_since", "_size", "_tried")

    def __init__(self) -> None:
        self._best = 0.0
        # What the round before a change has shown: how many at once, and at what speed.
        self._tried: tuple[float, float] | None = None
        self._since = -1
        self._begin(LEAST_ROUND)

    @property
    def is_trying(self) -> bool:
        """Has a change been made of which nobody knows yet whether it is of use?"""
        return self._tried is not None

    def seen(self, now: int, limit: int, crowd: int, latency: int, size: float) -> int | None:
        """An answer of ``size`` tokens took ``latency`` nanoseconds, beside so many; a new limit?

        None where the limit is right.
        """
        if now - latency <= self._since:
            return None  # sent before the last change
        self._answers += 1
        self._crowd += crowd
        self._latency += latency
        self._size += size + OVERHEAD
        if self._answers < self._round or not self._latency:
            return None
        crowded, speed = self._crowd / self._answers, self._size / self._latency
        found = self._judge(crowded, speed)
        if found is not None:
            self._since = now
            # A round of what was before would take ages with few at once.
            limit = min(limit, ROUNDS * found)
        self._begin(max(limit, LEAST_ROUND))
        return found

    def _begin(self, answers: int) -> None:
        self._round = answers
        self._answers = self._crowd = 0
        self._latency = self._size = 0.0

    def _judge(self, crowd: float, speed: float) -> int | None:
        tried, self._tried = self._tried, None
        if tried is not None and speed / tried[1] - 1 < OF_USE * (tried[0] / crowd - 1):
            self._best = speed
            return int(tried[0])
        self._best = max(speed, self._best * (1 - FADING))
        bearable = crowd * speed / self._best / TOO_SLOW
        if speed >= self._best * TOO_SLOW or bearable >= crowd:
            return None
        self._tried = (crowd, speed) if bearable < crowd * CLEARLY_LESS else None
        return max(1, int(bearable))
