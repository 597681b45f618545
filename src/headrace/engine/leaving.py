"""Requests that are left before their end give back what they hold, and say what they spent."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from threading import Lock, Thread
from typing import TYPE_CHECKING, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.core.response import APIResponse

    # Counts what was spent on a row that is not finished.
    WriteOff: TypeAlias = Callable[[APIResponse[object]], None]

T = TypeVar("T")


def is_cancelled() -> bool:
    """Is a ``CancelledError`` meant for who runs here? Else it comes from what is called."""
    current = asyncio.current_task()
    return current is None or current.cancelling() > 0


def undo(error: BaseException, lock: Lock, call: Callable[[T], None], what: T) -> None:
    """``call(what)``, which takes admission's ``lock``, for a request that is left by ``error``.

    A request whose loop ended without it is closed by the garbage collector, in whatever thread
    that runs and perhaps while that thread itself holds the lock: there nothing may wait for it.
    A lock that nobody holds is not held by this thread; so it is when a stream is closed.
    """
    if not isinstance(error, GeneratorExit) or not lock.locked():
        call(what)
    elif not sys.is_finalizing():
        with suppress(RuntimeError):  # the interpreter is about to end: nobody is left to care
            Thread(target=call, args=(what,), daemon=True).start()
