"""Many requests: a window of workers over one lazy source, every worker awaited on the way out.

The window is the live part of a run. A request keeps its worker through back-off, parking and
waiting, and holds a slot only while an attempt is in flight; so the window is larger than the
slots, and nothing grows with the length of the run.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
)
from functools import partial
from typing import Final, TypeAlias

from headrace.core.errors import ConfigError

SMALLEST_WINDOW: Final = 256
WINDOW_PER_SLOT: Final = 4
# How long one turn of the event loop may go on with new prompts, in seconds: timers and the rest of
# the program wait meanwhile.
BREATH: Final = 0.003
# How many of those that have given way go on with one turn.
AT_ONCE: Final = 8
_SINGLE: Final = (str, bytes, Mapping)
_NOTHING: Final = object()

# Answers one prompt.
Handle: TypeAlias = Callable[[int, object], Coroutine[object, object, object]]


def window(slots: int) -> int:
    """How many requests are live at once for a ceiling of ``slots``."""
    return max(SMALLEST_WINDOW, WINDOW_PER_SLOT * slots)


class Breather:
    """Lets the event loop turn when its turn has lasted long enough.

    Answers that need no waiting (cache, journal) would keep it for the whole run, and hundreds of
    replies that come at once for as long as it takes to send hundreds of requests. Who gives way
    goes on in its turn, and only so many with each turn of the loop: all at once they would be the
    next long one. ``ready`` counts the workers that are about to go on: those that have given way,
    or have not begun.
    """

    def __init__(self) -> None:
        self.ready = 0
        self._loop = asyncio.get_running_loop()
        self._until: float | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def breathe(self) -> None:
        """Give way if this turn of the loop has lasted long enough, or others have given way."""
        if self._until is None:
            self._begin()
        elif self._waiting or self._loop.time() >= self._until:
            future = self._loop.create_future()
            self._waiting.append(future)
            self.ready += 1
            try:
                await future
            finally:
                self.ready -= 1

    def _begin(self) -> None:
        self._until = self._loop.time() + BREATH
        self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """The loop has turned: the next ones go on."""
        self._until = None
        if self._waiting:
            self._begin()
        for _ in range(min(AT_ONCE, len(self._waiting))):
            future = self._waiting.popleft()
            if not future.done():  # as that of a cancelled worker is
                future.set_result(None)


class Schedule:
    """Draws prompts one by one and hands each, with its number, to ``handle``.

    ``width`` bounds the live requests. Workers are added one by one as they are needed: not while
    ``is_crowded`` says that enough requests wait for a slot, since each worker is memory that the
    garbage collector walks through. ``on_stop`` is called once when the run has to stop early.
    """

    def __init__(
        self,
        prompts: Iterable[object] | AsyncIterable[object],
        handle: Handle,
        width: int,
        is_crowded: Callable[[], bool],
        on_stop: Callable[[], None] | None = None,
    ) -> None:
        """Raises ``ConfigError`` where ``prompts`` is a single prompt or cannot be drawn from."""
        self._handle = handle
        self._length = _length(prompts)
        self._width = width if self._length is None else min(width, max(1, self._length))
        self._is_crowded = is_crowded
        self._on_stop = on_stop
        self._drawn = 0
        self._ended = False
        self._failure: Exception | None = None
        self._workers: list[asyncio.Task[None]] = []
        self._working = 0
        self._drawer: asyncio.Task[None] | None = None
        self._work: Callable[[], Coroutine[object, object, None]]
        if isinstance(prompts, AsyncIterable):
            self._work = partial(self._work_async, aiter(prompts), asyncio.Lock())
        else:
            self._work = partial(self._work_sync, iter(_several(prompts)))

    def is_fed(self) -> bool:
        """May there be more to draw? Of a list it is known, else only once the end was met."""
        return not self._ended and (self._length is None or self._drawn < self._length)

    async def run(self) -> None:
        """Work until the source ends.

        When the run must stop, or the source itself fails, nothing more is drawn, what is live
        comes to its end, and the reason is raised.
        """
        self._breather = Breather()
        self._over = asyncio.get_running_loop().create_future()
        self._add()
        try:
            await self._over
        finally:
            for worker in self._workers:
                worker.cancel()
            await asyncio.gather(*self._workers, return_exceptions=True)
        if self._failure is not None:
            raise self._failure

    def grow(self) -> None:
        """Draw one more prompt if that is of use: one was drawn, or has left the line for a slot.

        It is when all have to wait and hardly anybody stands in line. Else a paced run with slow
        answers would have no more in flight than once stood in line.
        """
        if self._ended or self._breather.ready or len(self._workers) >= self._width:
            return
        if not self._is_crowded():
            self._add()

    def _add(self) -> None:
        worker = asyncio.create_task(self._work())
        self._breather.ready += 1
        worker.add_done_callback(self._leave)
        self._workers.append(worker)
        self._working += 1

    def _leave(self, worker: asyncio.Task[None]) -> None:
        """A worker has ended; it added others before, so the last one to end is the last."""
        self._working -= 1
        if self._over.done():
            return
        if worker.cancelled():
            self._over.cancel()
        elif (error := worker.exception()) is not None:
            self._over.set_exception(error)
        elif not self._working:
            self._over.set_result(None)

    async def _work_sync(self, source: Iterator[object]) -> None:
        self._breather.ready -= 1
        while not self._ended:
            try:
                prompt = next(source)
            except StopIteration:
                self._ended = True
                return
            except Exception as error:  # noqa: BLE001 - the caller's own iterator; raised by run()
                self._fail(error)
                return
            await self._one(prompt)
            await self._breather.breathe()

    async def _work_async(self, source: AsyncIterator[object], lock: asyncio.Lock) -> None:
        self._breather.ready -= 1
        while not self._ended:
            async with lock:
                prompt = await self._draw(source)
            if prompt is not _NOTHING:
                await self._one(prompt)
                await self._breather.breathe()

    async def _draw(self, source: AsyncIterator[object]) -> object:
        """The next prompt, or ``_NOTHING`` when there will be none."""
        if self._ended:
            return _NOTHING
        self._drawer = asyncio.current_task()
        try:
            return await anext(source)
        except StopAsyncIteration:
            self._ended = True
        except Exception as error:  # noqa: BLE001 - the caller's own iterator; raised by run()
            self._drawer = None
            self._fail(error)
        except asyncio.CancelledError:
            # Ours alone, when the run has to stop: nobody would want what the source gives.
            if self._failure is None or self._drawer is None or self._drawer.uncancel():
                raise
        finally:
            self._drawer = None
        return _NOTHING

    async def _one(self, prompt: object) -> None:
        number = self._drawn
        self._drawn += 1
        self.grow()
        try:
            await self._handle(number, prompt)
        except Exception as error:  # noqa: BLE001 - what stops the run; raised by run()
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if self._failure is not None:
            return
        self._failure = error
        self._ended = True
        if self._drawer is not None:
            self._drawer.cancel()
        if self._on_stop is not None:
            self._on_stop()


def _several(prompts: Iterable[object]) -> Iterable[object]:
    if not isinstance(prompts, Iterable) or isinstance(prompts, _SINGLE):
        msg = (
            f"prompts must be an iterable of prompts, not one {type(prompts).__name__};"
            " put it into a list, or use ask()"
        )
        raise ConfigError(msg)
    return prompts


def _length(prompts: object) -> int | None:
    return len(prompts) if isinstance(prompts, list | tuple) else None
