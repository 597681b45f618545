"""The sync side: one thread with an event loop of its own, for scripts, threads and notebooks.

No loop is patched. The caller's thread waits for the coroutine as for any blocking call, so it
also works inside a running event loop (which it blocks meanwhile). Ctrl-C cancels the coroutine,
waits until it has put its things in order, and is raised again.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from headrace.core.errors import ConfigError, RunStoppedError
from headrace.engine.loops import running

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")


class Portal:
    """Runs coroutines on a background loop, started on first use."""

    def __init__(
        self,
        close: Callable[[], Coroutine[object, object, None]],
        is_needed: Callable[[], bool] = lambda: False,
    ) -> None:
        """``close`` is awaited on the loop before the loop ends.

        ``is_needed`` says whether what a call may wait for is under way in the caller's own loop.
        """
        self._close = close
        self._is_needed = is_needed
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._process = os.getpid()

    def call(self, coroutine: Callable[[], Coroutine[object, object, T]]) -> T:
        """Run ``coroutine()`` to its end and return or raise what it does.

        Raises ``ConfigError`` where the calling loop, which stands still meanwhile, is the portal's
        own or needed, and ``RunStoppedError`` when the portal is closed meanwhile.
        """
        if threading.current_thread() is self._thread or self._is_needed():
            msg = (
                "a sync call would wait for requests of this client that are under way in this very"
                " event loop; await the async form"
            )
            raise ConfigError(msg)
        call = _Call(coroutine)
        loop: asyncio.AbstractEventLoop | None = None
        try:
            # Begun under the lock, so that a close() at the same time ends the loop after it.
            with self._lock:
                loop = self._running_loop()
                loop.call_soon_threadsafe(call.start)
            return call.outcome.result()
        except KeyboardInterrupt:
            # Wait until what the coroutine holds is in order. A second Ctrl-C stops waiting.
            if loop is not None:
                call.interrupt(loop)
            raise

    def close(self) -> None:
        """End the thread, after what it holds was closed."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        atexit.unregister(self.close)
        if loop is None or thread is None or self._process != os.getpid():
            return
        loop.call_soon_threadsafe(loop.stop)
        if thread is not threading.current_thread():
            thread.join()

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None or self._process != os.getpid():
            # What a forked child inherits belongs to its parent, and is never finalised here.
            if self._loop is not None:
                _dropped.append(self._loop)
            self._loop = self._start()
        return self._loop

    def _start(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        self._process = os.getpid()
        self._thread = threading.Thread(
            target=self._run, args=(loop,), name="headrace-sync", daemon=True
        )
        self._thread.start()
        atexit.register(self.close)
        return loop

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            _go_on(loop.run_forever)
            _go_on(lambda: loop.run_until_complete(_cancel_all()))
            loop.run_until_complete(self._close())
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()


class _Call(Generic[T]):
    """One coroutine on its way through the portal."""

    def __init__(self, coroutine: Callable[[], Coroutine[object, object, T]]) -> None:
        self.outcome: Future[T] = Future()
        self._coroutine = coroutine
        self._cancel: Callable[[], object] = self.outcome.cancel

    def start(self) -> None:
        """Begin; on the loop."""
        work = asyncio.create_task(self._work())
        work.add_done_callback(self._end)
        self._cancel = work.cancel

    def interrupt(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cancel, and wait for the end; from the caller's thread."""
        # A loop that has been closed meanwhile has ended the call, too.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(self._stop)
        wait([self.outcome])

    def _stop(self) -> None:
        self._cancel()

    async def _work(self) -> T:
        return await self._coroutine()

    def _end(self, ended: asyncio.Task[T]) -> None:
        if ended.cancelled():
            msg = "the client was closed during the call; what is finished is kept, call again"
            self.outcome.set_exception(RunStoppedError(msg))
        elif (error := ended.exception()) is not None:
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(ended.result())


def run_apart(work: Callable[[], Coroutine[object, object, T]]) -> T:
    """``asyncio.run(work())``, in a thread of its own where a loop runs in this one."""
    if running() is None:
        return asyncio.run(work())
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(work())).result()


def _go_on(step: Callable[[], object]) -> None:
    """Call ``step``, again where a callback of the user wanted to leave the program.

    asyncio lets ``SystemExit`` through the loop, which would end this thread; the one who shall
    get it is the caller of the coroutine, and gets it as its outcome.
    """
    while True:
        try:
            step()
        except (SystemExit, KeyboardInterrupt):
            continue
        return


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for each in others:
        each.cancel()
    await asyncio.gather(*others, return_exceptions=True)


# What a forked child inherited: kept, so that nothing of it is ever finalised there.
_dropped: Final[list[object]] = []
