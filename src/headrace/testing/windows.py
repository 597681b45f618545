"""How servers count what a minute allows: continuously, by the minute, by the second, sliding.

Seconds as floats throughout. A window is asked with ``wait_for`` and, where that is 0.0, charged
with ``take`` at the same time; ``take`` alone charges what nobody is asked about (a debt).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

MINUTE: Final = 60.0
DAY: Final = 86_400.0
# A hint in whole milliseconds is up to a rounding error short of a whole unit.
_DUST: Final = 1e-9
Counting: TypeAlias = Literal["continuous", "minute", "second", "sliding"]


class Level(NamedTuple):
    """How much of a limit is left; ``reset`` is the seconds until all of it is there again."""

    limit: float
    remaining: float
    reset: float


class Window(ABC):
    """One limit of ``limit`` a minute."""

    limit: float

    @abstractmethod
    def wait_for(self, amount: float, now: float) -> float:
        """Seconds until so much is there; 0.0 when it is."""

    @abstractmethod
    def take(self, amount: float, now: float) -> None:
        """Take so much, whether it is there or not."""

    @abstractmethod
    def level(self, now: float) -> Level:
        """What the headers tell."""

    @abstractmethod
    def change(self, per_minute: float, now: float) -> None:
        """From now on so much a minute; what was taken stays taken."""


class Bucket(Window):
    """Refills all the time; Anthropic documents this way, OpenAI's reset headers describe it."""

    __slots__ = ("_at", "_burst", "_level", "limit", "size")

    def __init__(self, per_minute: float, now: float, burst_seconds: float = MINUTE) -> None:
        """Full at ``now``; it holds what the rate gives in ``burst_seconds``, no less than one."""
        self._burst = burst_seconds / MINUTE
        self.limit = per_minute
        self.size = self._level = max(1.0, per_minute * self._burst)
        self._at = now

    def wait_for(self, amount: float, now: float) -> float:
        """See ``Window``."""
        self._refill(now)
        return max(0.0, amount - self._level) / self.limit * MINUTE

    def take(self, amount: float, now: float) -> None:
        """See ``Window``."""
        self._refill(now)
        self._level -= amount

    def level(self, now: float) -> Level:
        """See ``Window``."""
        self._refill(now)
        reset = (self.size - self._level) / self.limit * MINUTE
        return Level(self.limit, max(0.0, self._level // 1), reset)

    def change(self, per_minute: float, now: float) -> None:
        """See ``Window``."""
        self._refill(now)
        self.limit, self.size = per_minute, max(1.0, per_minute * self._burst)
        self._level = min(self._level, self.size)

    def _refill(self, now: float) -> None:
        gained = (now - self._at) * self.limit / MINUTE + _DUST
        self._level = min(self.size, self._level + gained)
        self._at = now


class DayBucket(Bucket):
    """One that holds a day's worth, and tells of that."""

    __slots__ = ()

    def level(self, now: float) -> Level:
        """See ``Window``."""
        return super().level(now)._replace(limit=self.size)


class Fixed(Window):
    """Counts from one full minute to the next, or from one second to the next."""

    __slots__ = ("_begun", "_interval", "_taken", "limit")

    def __init__(self, per_minute: float, now: float, interval: float = MINUTE) -> None:
        self.limit = per_minute
        self._interval = interval
        self._begun = now // interval
        self._taken = 0.0

    @property
    def _size(self) -> float:
        return self.limit * self._interval / MINUTE

    def wait_for(self, amount: float, now: float) -> float:
        """See ``Window``."""
        self._turn(now)
        return 0.0 if self._taken + amount <= self._size + _DUST else self._left(now)

    def take(self, amount: float, now: float) -> None:
        """See ``Window``."""
        self._turn(now)
        self._taken += amount

    def level(self, now: float) -> Level:
        """See ``Window``."""
        self._turn(now)
        return Level(self._size, max(0.0, self._size - self._taken), self._left(now))

    def change(self, per_minute: float, now: float) -> None:
        """See ``Window``."""
        self._turn(now)
        self.limit = per_minute

    def _left(self, now: float) -> float:
        return (now // self._interval + 1) * self._interval - now

    def _turn(self, now: float) -> None:
        if (at := now // self._interval) > self._begun:
            self._begun, self._taken = at, 0.0


class Sliding(Window):
    """Counts what came within the last 60 s, to the instant."""

    __slots__ = ("_log", "_taken", "limit")

    def __init__(self, per_minute: float, now: float) -> None:
        del now
        self.limit = per_minute
        self._log = deque[tuple[float, float]]()
        self._taken = 0.0

    def wait_for(self, amount: float, now: float) -> float:
        """See ``Window``."""
        self._forget(now)
        excess = self._taken + amount - self.limit
        for at, taken in self._log:
            if excess <= _DUST:
                break
            excess -= taken
            wait = at + MINUTE - now
            if excess <= _DUST:
                return wait
        return 0.0 if excess <= _DUST else MINUTE

    def take(self, amount: float, now: float) -> None:
        """See ``Window``."""
        self._forget(now)
        self._log.append((now, amount))
        self._taken += amount

    def level(self, now: float) -> Level:
        """See ``Window``."""
        self._forget(now)
        reset = self._log[-1][0] + MINUTE - now if self._log else 0.0
        return Level(self.limit, max(0.0, self.limit - self._taken), reset)

    def change(self, per_minute: float, now: float) -> None:
        """See ``Window``."""
        self._forget(now)
        self.limit = per_minute

    def _forget(self, now: float) -> None:
        while self._log and now - self._log[0][0] >= MINUTE - _DUST:
            self._taken -= self._log.popleft()[1]


_WINDOWS: Final[dict[Counting, Callable[[float, float], Window]]] = {
    "continuous": Bucket,
    "minute": Fixed,
    "second": lambda per_minute, now: Fixed(per_minute, now, 1.0),
    "sliding": Sliding,
}


def window(counting: Counting, per_minute: float, now: float) -> Window:
    """A window that counts in one of the four ways, with nothing taken yet."""
    return _WINDOWS[counting](per_minute, now)


def day_window(counting: Counting, per_minute: float, now: float) -> Window:
    """The same for what a day allows, all of which may go at once; windows turn at midnight."""
    return (DayBucket if counting == "continuous" else Fixed)(per_minute, now, DAY)
