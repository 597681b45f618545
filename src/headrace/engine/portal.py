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
from typing import TYPE_CHECKING, TypeVar

from headrace.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")


class Portal:
    """Runs coroutines on a background loop, started on first use."""

    def __init__(self, close: Callable[[], Coroutine[object, object, None]]) -> None:
        """``close`` is awaited on the loop before the loop ends."""
        self._close = close
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._process = os.getpid()

    def call(self, coroutine: Callable[[], Coroutine[object, object, T]]) -> T:
        """Run ``coroutine()`` to its end and return or raise what it does."""
        loop = self._running_loop()
        if threading.current_thread() is self._thread:
            msg = "a sync call from headrace's own loop would wait for itself; use the async form there"
            raise ConfigError(msg)
        ended = threading.Event()
        future = asyncio.run_coroutine_threadsafe(_until_ended(coroutine, ended), loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            # The future is cancelled at once, the coroutine a little later; wait for the latter,
            # so that what it holds is in order. A second Ctrl-C stops waiting.
            future.cancel()
            ended.wait()
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
        thread.join()

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._process != os.getpid():
                self._start()
            assert self._loop is not None
            return self._loop

    def _start(self) -> None:
        self._process = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._run, args=(self._loop,), name="headrace-sync", daemon=True
        )
        self._thread.start()
        atexit.register(self.close)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            loop.run_until_complete(self._close())
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()


async def _until_ended(
    coroutine: Callable[[], Coroutine[object, object, T]], ended: threading.Event
) -> T:
    try:
        return await coroutine()
    finally:
        ended.set()
