"""Hurried time: real sockets, and waits that take a fraction of their seconds.

For what virtual time cannot do, since it jumps over sockets: a client with its back-off and
time-outs before a ``FakeServer``. Everything in the loop hurries alike, the server's latencies too.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from headrace.adapters.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")
Ready: TypeAlias = list[tuple[selectors.SelectorKey, int]]
_SECOND: Final = 1_000_000_000


class HurriedClock:
    """A clock that runs ``rate`` times as fast as the machine's; the ``Clock`` of a client."""

    __slots__ = ("rate",)

    def __init__(self, rate: int = 20) -> None:
        """At a rate of 20 half a second of back-off takes 25 milliseconds."""
        self.rate = rate

    def now(self) -> int:
        """Monotonic time in nanoseconds, hurried."""
        return time.monotonic_ns() * self.rate

    def wall(self) -> float:
        """Seconds since the epoch, as they are."""
        return SystemClock.wall()


class _Selector(selectors.DefaultSelector):
    """Sleeps a fraction of what it is asked to."""

    rate = 1

    def select(self, timeout: float | None = None) -> Ready:
        return super().select(None if timeout is None else timeout / self.rate)


class _HurriedLoop(asyncio.SelectorEventLoop):
    def __init__(self, clock: HurriedClock) -> None:
        self._hurried = clock
        selector = _Selector()
        selector.rate = clock.rate
        super().__init__(selector)

    def time(self) -> float:
        return self._hurried.now() / _SECOND


def run_hurried(main: Coroutine[object, object, T], clock: HurriedClock) -> T:
    """``asyncio.run`` on a loop whose seconds are those of ``clock``.

    ``FakeServer.violations`` reads the machine's clock, so it means nothing here.
    """
    with asyncio.Runner(loop_factory=lambda: _HurriedLoop(clock)) as runner:
        return runner.run(main)
