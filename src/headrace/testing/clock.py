"""Virtual time: a clock that only moves when an event loop has nothing else to do.

An hour of back-off costs milliseconds and comes out the same each time. The loop jumps over waits
for sockets too, so what talks to real sockets belongs on a real loop.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar, TypeVarTuple, cast

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from contextvars import Context

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Main: TypeAlias = Coroutine[object, object, T] | Callable[[], Coroutine[object, object, T]]
Ready: TypeAlias = list[tuple[selectors.SelectorKey, int]]

EPOCH: Final = 1_767_225_600.0
"""Where the wall clock starts: 2026-01-01T00:00:00Z."""

_SECOND: Final = 1_000_000_000
_CREEP: Final = 1e-6
_RESOLUTION: Final = 1e-9
_FOR_EXECUTOR: Final = 1.0
_FOR_FOREIGN_THREAD: Final = 0.001
_BEFORE_DEADLOCK: Final = 30.0


class DeadlockError(RuntimeError):
    """Nothing is ready and nothing is scheduled, so that the program would wait for ever."""


class LeftBehindError(RuntimeError):
    """The main coroutine ended while others that it started were still running."""


class VirtualClock:
    """A clock that stands still until it is told to move; the ``Clock`` of the engine."""

    __slots__ = ("_now", "_start", "epoch")

    def __init__(self, start: int = 1_000 * _SECOND, epoch: float = EPOCH) -> None:
        """``start``: monotonic nanoseconds; ``epoch``: wall time then, in seconds since 1970.

        ``epoch`` may be changed later, to make the wall clock jump while ``now`` does not.
        """
        self._now = self._start = start
        self.epoch = epoch

    def now(self) -> int:
        """Monotonic time in nanoseconds."""
        return self._now

    def wall(self) -> float:
        """Seconds since the epoch of 1970."""
        return self.epoch + (self._now - self._start) / _SECOND

    def advance(self, seconds: float) -> None:
        """Move forward, rounded to whole nanoseconds; raises ``ValueError`` for a step back."""
        if not seconds >= 0:
            msg = f"a clock only moves forward, not by {seconds} s"
            raise ValueError(msg)
        self._now += round(seconds * _SECOND)


class _Selector(selectors.DefaultSelector):
    """Jumps where an ordinary selector would sleep."""

    def __init__(self, jump: Callable[[float], None], *, allow_threads: bool) -> None:
        super().__init__()
        self.at_work = 0
        self._jump = jump
        self._allow_threads = allow_threads

    def select(self, timeout: float | None = None) -> Ready:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if patience := self._patience(timeout):
            ready = super().select(patience)
        if not ready:
            self._move_on(timeout)
        return ready

    def _patience(self, timeout: float | None) -> float:
        """Real seconds to give to other threads before time moves."""
        if not self.at_work and not self._allow_threads:
            return 0.0
        if timeout is None:
            return _BEFORE_DEADLOCK
        return _FOR_EXECUTOR if self.at_work else _FOR_FOREIGN_THREAD

    def _move_on(self, timeout: float | None) -> None:
        if timeout is None:
            msg = (
                "deadlock in virtual time: nothing is scheduled; something awaits what nobody will"
                " set (where another thread would, use allow_threads=True)"
            )
            raise DeadlockError(msg)
        self._jump(timeout)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on a virtual clock: whenever nothing is ready it jumps to the next timer.

    Calls in the loop's executors take no virtual time: the clock stands still for up to a real
    second until they end. ``allow_threads`` lets other threads speak up too (with
    ``call_soon_threadsafe``): each jump then waits a real millisecond for them. Where nothing is
    scheduled the loop raises ``DeadlockError``, with threads in play after 30 real seconds.
    """

    def __init__(self, clock: VirtualClock | None = None, *, allow_threads: bool = False) -> None:
        """Make a loop on ``clock``, or on a new one."""
        self.clock = VirtualClock() if clock is None else clock
        self._virtual = _Selector(self._jump, allow_threads=allow_threads)
        super().__init__(self._virtual)

    def time(self) -> float:
        """The virtual monotonic time in seconds."""
        return self.clock.now() / _SECOND

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """As on every loop; a timer in the future is at least a microsecond away.

        Whoever waits for a rounding error again and again would otherwise spin in one instant.
        """
        if when == math.inf:
            return asyncio.TimerHandle(when, callback, args, self, context)
        now = self.time()
        due = max(when, now + _CREEP) if when > now else when
        return super().call_at(due, callback, *args, context=context)

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """As on every loop; the clock waits for the call."""
        future = super().run_in_executor(executor, func, *args)
        self._virtual.at_work += 1
        future.add_done_callback(self._worked)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncio's own signature
        """As on every loop, however long it takes: a virtual timeout would pass at once."""
        del timeout
        self._virtual.at_work += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self._virtual.at_work -= 1

    def _worked(self, future: asyncio.Future[T]) -> None:
        del future
        self._virtual.at_work -= 1

    def _jump(self, seconds: float) -> None:
        self.clock.advance(max(seconds, _RESOLUTION))
        # Late in virtual years one step of a float is more than asyncio's nanosecond of tolerance,
        # and a timer that is exactly due would not be taken as due.
        self._clock_resolution = max(_RESOLUTION, 2 * math.ulp(self.time()))


def running_clock() -> VirtualClock:
    """The clock of the running ``VirtualLoop``; raises ``RuntimeError`` on any other loop."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualLoop):
        msg = "the running loop is not in virtual time; start the program with run_virtual()"
        raise RuntimeError(msg)  # noqa: TRY004 - as asyncio does where no loop runs
    return loop.clock


def run_virtual(
    main: Main[T], *, clock: VirtualClock | None = None, allow_threads: bool = False
) -> T:
    """Run a coroutine (or a function that makes one) to its end on a new ``VirtualLoop``.

    Raises what it raises, ``DeadlockError`` where it would hang, and ``LeftBehindError`` where it
    returns while coroutines that it started still run.
    """

    def new_loop() -> VirtualLoop:
        return VirtualLoop(clock, allow_threads=allow_threads)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        result = runner.run(main() if callable(main) else main)
        _check_nothing_left(cast("VirtualLoop", runner.get_loop()))
    return result


def _check_nothing_left(loop: VirtualLoop) -> None:
    if left := asyncio.all_tasks(loop):
        names = ", ".join(sorted(repr(each.get_coro()) for each in left)[:5])
        msg = f"{len(left)} coroutines were left behind; await or cancel them: {names}"
        raise LeftBehindError(msg)
