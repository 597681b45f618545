"""The thread that fsyncs for the journal, so that the event loop goes on, and who waits for it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING, Final

from headrace.core.errors import JournalError

if TYPE_CHECKING:
    import asyncio

    from headrace.adapters.disk import File

STAND_ASIDE: Final = 0.005
"""Seconds that a loop gives to a starved thread."""


class Fsync:
    """Fsyncs ``file``, one at a time; ``error`` is the first that went wrong, and stays."""

    __slots__ = ("_done", "_file", "_helped", "_thread", "error")

    def __init__(self, file: File) -> None:
        self._file = file
        self._thread: ThreadPoolExecutor | None = None
        self._done = Event()
        self._done.set()
        self._helped = False
        self.error: OSError | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """Begin one; the future ends with it and never fails, ``error`` does."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="headrace-journal")
        self._done.clear()
        self._helped = False
        return loop.run_in_executor(self._thread, self._run)

    def stand_aside(self) -> None:
        """Leave the interpreter lock to the thread for a moment, once for each fsync."""
        if not self._helped:
            self._helped = True
            self._done.wait(STAND_ASIDE)

    def close(self) -> None:
        """Wait for what is under way; afterwards ``error`` is final."""
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None

    def _run(self) -> None:
        try:
            self._file.fsync()
        except OSError as error:
            self.error = error
        finally:
            self._done.set()


def resolve(waiters: list[asyncio.Future[None]], error: str | None = None) -> None:
    """End all futures, with ``JournalError(error)`` where there is one, and empty the list."""
    for waiter in waiters:
        if waiter.done() or waiter.get_loop().is_closed():
            continue
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(JournalError(error))
    waiters.clear()
