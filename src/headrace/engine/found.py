"""A rate of requests that nobody has stated: what a server has refused, and what it has borne.

Nothing is paced until the first refusal. Then the pace is what was borne just before, and from then
on it is cut and comes back as ``policy.adaptive.Level`` says; no refusal is needed to know that a
server which bears so much in a minute, or since the beginning, will not bear much more.
"""

from __future__ import annotations

from typing import Final

from headrace.adapters.pace import Pacer
from headrace.policy.adaptive import ENOUGH, SPAN, Level
from headrace.policy.buckets import DUST, MINUTE, SECOND, Ring

# Where a minute is counted as such, the rest of it brings a handful of refusals.
ENOUGH_IN_WINDOWS: Final = 4 * ENOUGH
# What was borne in the first minute may have been a bucket's burst: then the last of it counts.
LATELY: Final = 5 * SECOND
# Of fewer requests no rate is made.
MEANINGFUL: Final = 20
# After so many storms without an answer it is not the pace.
SHUT: Final = 3
# How far beyond what was borne on average it may be sought.
BEYOND: Final = 1.1
# Where minutes are counted as such, no more beyond that in the minute after a cut.
WITHIN: Final = 1.15
# A slower pace would not be told from none, in requests a minute.
LEAST: Final = 1.0
# Which part of a change is worth a new pace.
_STEP: Final = 0.003


class Found:
    """What one account bears, in requests a minute; ``engine.admission`` guards it."""

    __slots__ = (
        "_before",
        "_begun",
        "_cut_at",
        "_is_known",
        "_is_pressed",
        "_is_window",
        "_level",
        "_offset",
        "_pacer",
        "_rate",
        "_refused_at",
        "_ring",
        "_seen_at",
        "_shut_at",
        "_taken",
        "is_paced",
    )

    def __init__(self, offset: int = 0) -> None:
        """``offset``: nanoseconds that wall clocks are ahead of the time that it will be told."""
        self._offset = offset
        self._ring = Ring(float("inf"))
        self._level = Level()
        self._pacer: Pacer | None = None
        self._rate = float("inf")
        self._begun = self._seen_at = self._shut_at = self._refused_at = 0
        self._cut_at = -1
        self._before = self._taken = 0.0
        self._is_pressed = self._is_window = self._is_known = False
        # Was anything refused, so that requests may have to wait?
        self.is_paced = False

    @property
    def rate(self) -> float | None:
        """Requests a minute; None where nothing was refused."""
        return None if self._pacer is None else self._rate

    @property
    def is_binding(self) -> bool:
        """Had a request to wait for it lately?"""
        return self._pacer is not None and self._is_pressed

    def wait(self, now: int) -> int:
        """Nanoseconds until a request may be admitted."""
        if self._pacer is None:
            return 0
        wait = self._pacer.wait(now, 1)
        self._is_pressed = self._is_pressed or wait > 0
        return wait

    def foresee(self, now: int) -> int:
        """What ``wait`` says, asked by who only wants to know: nobody is pressed by that."""
        return 0 if self._pacer is None else self._pacer.wait(now, 1)

    def take(self, now: int, late: int = 0) -> None:
        """Admit a request that was due ``late`` nanoseconds ago."""
        if self._ring.add(now, 1) <= 1:
            self._begun = now  # the first one within the minute
        if self._pacer is not None:
            self._grow(now)
            self._pacer.take(now, 1, late)

    def refuse(self, now: int, admitted_at: int, in_a_row: int, *, is_full: bool) -> None:
        """A request that was admitted then was refused, for its pace.

        ``in_a_row``: how many storms there have been without an answer, with this one. Several say
        that the server takes nothing now, and no more of how much it would take. ``is_full``:
        others wait to be sent, so that what was sent is what can be.
        """
        self._ring.settle(admitted_at, now, -1)
        if admitted_at <= self._cut_at:
            return
        if in_a_row > (1 if self._is_window else SHUT):
            if not self._shut_at:
                self._shut_at, self._taken = self._cut_at, self._ring.used(now)
                self._is_known = self._shut_at - self._begun >= MINUTE
            self._refused_at = now
            return
        borne = self._borne(now) if is_full else None
        if self._pacer is not None or borne is not None:
            refused = min(self._rate, borne or self._rate)
            # The first storm may have been taken for something else.
            if in_a_row == 1 or not self._before:
                self._before = refused
            self._cut(now, refused)

    def succeed(self, now: int) -> None:
        """The first answer after a storm.

        It may be that of a new minute, where these are counted: then all that was borne in the one
        before was what a minute may have. Else it was an outage, and no more is known than before.
        """
        was_shut, self._shut_at = self._shut_at, 0
        before, self._before = self._before or self._rate, 0.0
        # Where a rate has been found, little of a minute is left when it is used up.
        is_long = self._is_known and now - was_shut > MINUTE // 2
        self._is_window = bool(was_shut) and not is_long and self._has_turned(now)
        if not was_shut or self._pacer is None:
            return
        if not self._is_window:
            self._level.cut(before, self._level.span)
            self._level.grow(self._level.span)
            self._pace(now)
        elif not self._is_known:
            span = max(now - self._begun, MINUTE)
            self._cut(now, min(self._rate, self._taken * MINUTE / span))

    def absorb(self, other: Found, now: int) -> None:
        """What another has borne, was borne here as well."""
        self._ring.absorb(other._ring, now)

    def known(self, now: int) -> tuple[float, bool] | None:
        """The pace that was borne, and whether it is counted by windows; None: nothing refused.

        Beyond what was refused only what went out in a whole minute counts.
        """
        if self._pacer is None:
            return None
        top = self._level.top
        return max(top, min(self._level.value, self._ring.used(now))), self._is_window

    def recall(self, now: int, pace: float, *, by_windows: bool) -> None:
        """Begin just below the pace that an earlier run has found."""
        self._is_window, self._seen_at = by_windows, now
        pace = max(pace, LEAST)
        self._level.cut(pace, self._span(pace))
        self._rate = self._level.value
        self._pacer, self.is_paced = Pacer(self._rate), True

    def restore(self, now: int, rate: float) -> None:
        """Cuts since then were of no use."""
        self._shut_at = 0
        if rate == float("inf"):
            self._pacer, self._rate = None, rate
        elif self._pacer is not None:
            self._level.cut(rate, self._level.span)
            self._level.grow(self._level.span)
            self._pace(now)

    def _has_turned(self, now: int) -> bool:
        """Has a minute begun since the last refusal: by the clock, or since all this began?"""
        before = self._refused_at
        if before - self._begun < MINUTE + SECOND and now - self._begun > MINUTE - SECOND:
            return True
        return (before + self._offset) // MINUTE != (now + self._offset) // MINUTE

    def _cut(self, now: int, refused: float) -> None:
        self._cut_at = self._seen_at = now
        self._is_pressed = False
        refused = max(refused, LEAST)
        self._level.cut(refused, self._span(refused))
        self._pace(now)

    def _span(self, refused: float) -> int:
        enough = ENOUGH_IN_WINDOWS if self._is_window else ENOUGH
        return max(SPAN, int(enough / refused * MINUTE))

    def _borne(self, now: int) -> float | None:
        """Requests a minute that were not refused, and somewhat more; None: nobody knows yet.

        Within the first minute that may have been the burst of a bucket: the last of it counts.
        """
        known = now - self._begun
        if known >= MINUTE:
            used = self._ring.used(now)
            return BEYOND * used if used > DUST else None
        span = max(min(known, LATELY), SECOND // 10)
        while (borne := self._ring.since(now, span)) < MEANINGFUL and span < known:
            span = min(2 * span, known)
        return borne * MINUTE / span if borne >= MEANINGFUL else None

    def _aim(self, now: int) -> float:
        """What the level says; but a minute that is counted as such ends before it shows more."""
        is_early = self._is_window and now - self._cut_at < MINUTE
        return min(self._level.value, self._level.top * WITHIN) if is_early else self._level.value

    def _grow(self, now: int) -> None:
        self._level.grow(min(now - self._seen_at, self._most_spent) if self._is_pressed else 0)
        self._seen_at, self._is_pressed = now, False
        if abs(self._aim(now) / self._rate - 1) > _STEP:
            self._pace(now)

    @property
    def _most_spent(self) -> int:
        return max(SECOND, int(2 * MINUTE / self._rate))

    def _pace(self, now: int) -> None:
        self._rate = self._aim(now)
        if self._pacer is None:
            self._pacer, self.is_paced = Pacer(self._rate), True
            self._pacer.take(now, 1)
        else:
            self._pacer.change(now, self._rate)
