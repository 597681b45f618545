"""The garbage collector while a run is under way: it looks less often.

A run keeps hundreds of requests alive at once, each some fifty objects that reference counting
frees without the collector's help. A pass walks through all that live and are young, so that its
length is that of the requests in flight, however low the threshold: at the default of 700 new
objects a fifth of the CPU of a request, and pauses of up to 0.2 s with 2,000 in flight. While any
run is under way the threshold is above what comes and goes with the requests; afterwards it is what
it was. Whoever has set a higher one, or turned the collector off, is left alone.
"""

from __future__ import annotations

import gc
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

DURING_RUNS: Final = (250_000, 10, 10)

# Reentrant: the collector may close a run that was left behind, and so end it, in here.
_lock = threading.RLock()
_runs = 0
_before: tuple[int, int, int] | None = None


@contextmanager
def relieved() -> Iterator[None]:
    """Hold the thresholds up; runs may overlap, in any threads."""
    _begin()
    try:
        yield
    finally:
        _end()


def _begin() -> None:
    global _runs, _before  # noqa: PLW0603  the collector is one for the process, and so is this
    with _lock:
        _runs += 1
        now = gc.get_threshold()
        if _runs == 1 and gc.isenabled() and 0 < now[0] < DURING_RUNS[0]:
            _before = now
            gc.set_threshold(*DURING_RUNS)


def _end() -> None:
    global _runs, _before  # noqa: PLW0603  as above
    with _lock:
        _runs -= 1
        if _runs or _before is None:
            return
        # Somebody else may have set them meanwhile; then theirs are the ones that count.
        if gc.get_threshold() == DURING_RUNS:
            gc.set_threshold(*_before)
        _before = None
