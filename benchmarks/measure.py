"""What a contender's process reads off itself: CPU, wall time, memory, and how late its loop is."""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

KIB_PER_MAXRSS = 1024 if sys.platform == "darwin" else 1
STATUS = Path("/proc/self/status")
TICK = 0.005


@dataclass(frozen=True, slots=True)
class Figures:
    """One measured run. ``cpu`` and ``wall`` in seconds, ``base`` and ``peak`` in KiB, lag in s.

    ``base`` is the resident size with the prompts built and the contender warm, ``peak`` the
    largest until the results were counted; ``marks`` are resident sizes on the way.
    """

    name: str
    prompts: int
    answered: int
    cpu: float
    wall: float
    base: int
    peak: int
    lag: float = 0.0
    marks: tuple[int, ...] = ()

    @property
    def micros(self) -> float:
        """Microseconds of CPU a prompt."""
        return self.cpu / self.prompts * 1e6

    @property
    def grown(self) -> float:
        """Bytes of peak memory a prompt beyond the prompts."""
        return (self.peak - self.base) * 1024 / self.prompts


def _status(field: str) -> int:
    for line in STATUS.read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1])
    raise LookupError(f"{STATUS} holds no {field}.")


def resident() -> int:
    """KiB in memory now (the peak so far where the system does not tell)."""
    return _status("VmRSS:") if STATUS.exists() else peak()


def peak() -> int:
    """KiB in memory at the worst moment since ``reset_peak`` (else since the process began).

    VmHWM and not ru_maxrss where there is a choice: a child inherits the latter over its exec.
    """
    if STATUS.exists():
        return _status("VmHWM:")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // KIB_PER_MAXRSS


def reset_peak() -> None:
    """Let ``peak`` count from now, where the system can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


class Lag:
    """How late the loop would serve a callback that is due now, asked every 5 ms.

    A loop that is busy for 100 ms is late for all twenty ticks in it, not for one: each is counted.
    """

    def __init__(self) -> None:
        self.seen: list[float] = []
        self._due = 0.0

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        while self._due <= now:
            self.seen.append(now - self._due)
            self._due += TICK
        self._timer = loop.call_at(self._due, self._tick, loop)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch the running loop for the time of a block."""
        loop = asyncio.get_running_loop()
        self._due = loop.time() + TICK
        self._timer = loop.call_at(self._due, self._tick, loop)
        try:
            yield
        finally:
            self._timer.cancel()

    def at(self, share: float) -> float:
        """The lag in seconds that ``share`` of the ticks stay below; 0 when nothing was seen."""
        return sorted(self.seen)[int(share * (len(self.seen) - 1))] if self.seen else 0.0


@dataclass(slots=True)
class Stopwatch:
    """CPU (user and system, all threads) and wall seconds of a block."""

    cpu: float = 0.0
    wall: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Measure the block."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.cpu, self.wall = time.process_time() - cpu, time.perf_counter() - wall
