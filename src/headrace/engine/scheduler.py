"""Many requests: a window of workers over one lazy source, every worker awaited on the way out.

The window is the live part of a run. A request keeps its worker through back-off, parking and
waiting, and holds a slot only while an attempt is in flight; so the window is larger than the
slots, and nothing grows with the length of the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Iterator
from typing import Final, TypeAlias

from headrace.core.errors import RunStoppedError

SMALLEST_WINDOW: Final = 256
WINDOW_PER_SLOT: Final = 4
# How long answers that need no waiting (cache, journal) may keep the event loop, in seconds.
BREATH: Final = 0.004

# Answers one prompt; True when it had to wait for it, and so gave way to others.
Handle: TypeAlias = Callable[[int, object], Coroutine[object, object, bool]]


def window(slots: int) -> int:
    """How many requests are live at once for a ceiling of ``slots``."""
    return max(SMALLEST_WINDOW, WINDOW_PER_SLOT * slots)


class Breather:
    """Lets the event loop turn when answers come without waiting for anything."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._until = self._loop.time() + BREATH
        self._asked = False

    async def breathe(self) -> None:
        """Give way if this turn of the loop has lasted long enough."""
        if self._loop.time() < self._until:
            return
        if not self._asked:
            self._asked = True
            self._loop.call_soon(self._renew)
        await asyncio.sleep(0)

    def _renew(self) -> None:
        self._asked = False
        self._until = self._loop.time() + BREATH


class Schedule:
    """Draws prompts one by one and hands each, with its number, to ``handle``.

    ``width`` bounds the live requests. Workers are added one by one as they are needed: not while
    ``is_crowded`` says that enough requests wait for a slot, since each worker is memory that the
    garbage collector walks through.
    """

    def __init__(
        self,
        prompts: Iterable[object] | AsyncIterable[object],
        handle: Handle,
        width: int,
        is_crowded: Callable[[], bool],
    ) -> None:
        self._handle = handle
        self._width = min(width, max(1, _length(prompts, width)))
        self._is_crowded = is_crowded
        self._drawn = 0
        self._failure: BaseException | None = None
        self._workers: list[asyncio.Task[None]] = []
        self._sync: Iterator[object] | None = None
        self._async: AsyncIterator[object] | None = None
        if isinstance(prompts, AsyncIterable):
            self._async = aiter(prompts)
        else:
            self._sync = iter(prompts)

    async def run(self) -> None:
        """Work until the source ends.

        When the run must stop, or the source itself fails, nothing more is drawn, what is live
        comes to its end, and the reason is raised.
        """
        self._breather = Breather()
        self._lock = asyncio.Lock()
        self._add()
        try:
            # The list grows while it is awaited; a worker adds others before it ends itself.
            for worker in self._workers:  # noqa: B909 - that is what it is for
                await worker
        finally:
            for worker in self._workers:
                worker.cancel()
            await asyncio.gather(*self._workers, return_exceptions=True)
        if self._failure is not None:
            raise self._failure

    def _add(self) -> None:
        work = self._work() if self._sync is not None else self._work_async()
        self._workers.append(asyncio.create_task(work))

    async def _work(self) -> None:
        source = self._sync
        assert source is not None
        while self._failure is None:
            try:
                prompt = next(source)
            except StopIteration:
                return
            except Exception as error:  # noqa: BLE001 - the caller's own iterator; raised by run()
                self._failure = error
                return
            if not await self._one(prompt):
                await self._breather.breathe()

    async def _work_async(self) -> None:
        source = self._async
        assert source is not None
        while self._failure is None:
            async with self._lock:
                try:
                    prompt = await anext(source)
                except StopAsyncIteration:
                    return
                except Exception as error:  # noqa: BLE001 - the caller's own iterator
                    self._failure = error
                    return
            if not await self._one(prompt):
                await self._breather.breathe()

    async def _one(self, prompt: object) -> bool:
        number = self._drawn
        self._drawn += 1
        if len(self._workers) < self._width and not self._is_crowded():
            self._add()
        try:
            return await self._handle(number, prompt)
        except RunStoppedError as error:
            self._failure = self._failure or error
            return True


def _length(prompts: object, default: int) -> int:
    return len(prompts) if isinstance(prompts, list | tuple) else default
