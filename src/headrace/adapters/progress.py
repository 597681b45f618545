"""The door to tqdm: a bar on a terminal or in a notebook, one honest line now and then elsewhere.

Nothing from prompts or replies is shown: only counts, tokens, money and time.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, Never, Protocol, TextIO, TypedDict

from headrace.core.model import dollars

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from headrace.core.response import APIResponse
    from headrace.core.status import Binding

BETWEEN_LINES: Final = 30.0
BETWEEN_DRAWS: Final = 0.1
# The rate is that of the last 15 to 30 seconds.
SPAN: Final = 15.0
BETWEEN_TICKS: Final = 1.0
# So often it is asked what binds; what has for so long is shown, and over such gaps it has.
BETWEEN_LOOKS: Final = 0.25
WORTH_SAYING: Final = 1.0
GAP: Final = 1.5

_WITH_TOTAL: Final = "{percentage:3.0f}%|{bar}| {desc}"
_WITHOUT: Final = "{desc}"


class Bar(Protocol):
    """What is used of tqdm's bars."""

    n: float

    def set_description_str(self, desc: str, refresh: bool) -> None:  # noqa: FBT001 - tqdm's own
        """Set the words beside the bar, and draw it."""

    def close(self) -> None:
        """Leave it as it is drawn."""


class Waiting:
    """What a run has been waiting for; told a few times a second."""

    def __init__(self, binding: Callable[[], Iterable[Binding]]) -> None:
        self._binding = binding
        self._looked = float("-inf")
        # The name of each: since when, and seen last.
        self._bound: dict[str, tuple[float, float]] = {}

    def look(self, now: float) -> None:
        """See what binds, if it is time to."""
        if now - self._looked < BETWEEN_LOOKS:
            return
        self._looked = now
        kept = {name: span for name, span in self._bound.items() if now - span[1] <= GAP}
        names = [binding.name for binding in self._binding()]
        seen = {name: (kept.pop(name, (now, now))[0], now) for name in names}
        self._bound = seen | kept

    def __str__(self) -> str:
        """What has bound for a while, and does: the first that was told."""
        for name, (since, last) in self._bound.items():
            if last == self._looked and last - since >= WORTH_SAYING:
                return f" | waits for {name}"
        return ""


class Progress:
    """Shows done, failed, rate, tokens, cost, the time that is left, and what a run waits for.

    Cheap for each row: a few additions, and a look at the clock. A stream that cannot be written
    any more is left alone: watching must not end a run.
    """

    def __init__(
        self,
        total: int | None,
        stream: TextIO | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        binding: Callable[[], Iterable[Binding]] = tuple,
    ) -> None:
        """``total`` rows, None when unknown; ``clock`` gives seconds, ``binding`` what binds."""
        # None where the program has no console.
        self._stream: TextIO | None = stream or sys.stderr
        self._total = total
        self._clock = clock
        self._done = self._failed = self._known = self._tokens = self._cost = 0
        self._priced = False
        self._waiting = Waiting(binding)
        now = clock()
        self._shown = now
        # Where the last span began, and the one before it: (time, rows asked until then).
        self._span = self._span_before = (now, 0)
        self._bar = _bar(total, self._stream)

    def show(self, response: APIResponse[object]) -> None:
        """One more row is done; what an earlier run or row has paid for is not counted again."""
        is_new = response.source == "provider"
        usage = response.usage if is_new else None
        self.add(
            failed=response.is_error,
            tokens=0 if usage is None else usage.total_tokens,
            cost_nanos=response.cost_nanos if is_new else None,
            known=response.source == "journal",
        )

    def add(
        self, *, failed: bool, tokens: int, cost_nanos: int | None, known: bool = False
    ) -> None:
        """One more row is done; ``known``: from an earlier run, so it says nothing of the rate."""
        self._done += 1
        self._failed += failed
        self._known += known
        self._tokens += tokens
        if cost_nanos is not None:
            self._cost += cost_nanos
            self._priced = True
        self.tick()

    def tick(self) -> None:
        """Show how things stand, if it is time to; call it now and then when nothing is done."""
        now = self._clock()
        self._waiting.look(now)
        if now - self._shown >= (BETWEEN_LINES if self._bar is None else BETWEEN_DRAWS):
            self._show(now)

    @asynccontextmanager
    async def ticking(self) -> AsyncIterator[None]:
        """Keep its time honest meanwhile, also while no row is finished."""
        ticker = asyncio.create_task(self._tick_on())
        try:
            yield
        finally:
            ticker.cancel()
            await asyncio.gather(ticker, return_exceptions=True)

    async def _tick_on(self) -> None:
        while True:
            await asyncio.sleep(BETWEEN_TICKS)
            self.tick()

    def close(self) -> None:
        """Draw the last state and leave it standing."""
        if self._bar is not None:
            self._waiting = Waiting(tuple)  # it is over
            self._show(self._clock())
            with suppress(OSError, ValueError):
                self._bar.close()
            self._bar = None

    def _show(self, now: float) -> None:
        self._shown = now
        said = self._line(now)
        if now - self._span[0] >= SPAN:
            self._span_before, self._span = self._span, (now, self._done - self._known)
        with suppress(AttributeError, OSError, ValueError):
            if self._bar is not None:
                self._bar.n = self._done
                self._bar.set_description_str(said, refresh=True)
            elif self._stream is not None:
                self._stream.write(said + "\n")
                self._stream.flush()

    def _line(self, now: float) -> str:
        rate = self._rate(now)
        of = "" if self._total is None else f" of {self._total:,}"
        said = [f"{self._done:,}{of} done"]
        if self._failed:
            said.append(f"{self._failed:,} failed")
        said.append(f"{rate:.1f}/s" if rate >= 1 or not rate else f"{rate * 60:.1f}/min")
        said.append(f"{self._tokens:,} tokens")
        if self._priced:
            said.append(dollars(self._cost))
        if self._total is not None and rate and self._done < self._total:
            said.append(f"{_duration((self._total - self._done) / rate)} left")
        return ", ".join(said) + str(self._waiting)

    def _rate(self, now: float) -> float:
        since, asked = self._span_before
        return (self._done - self._known - asked) / max(now - since, 1e-9)


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:  # noqa: PLR2004 - a minute
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def _bar(total: int | None, stream: TextIO | None) -> Bar | None:
    """A bar where there is something to draw it on."""
    layout = _WITHOUT if total is None else _WITH_TOTAL
    notebook = _in_notebook()
    if notebook and _has_widgets():
        from tqdm.notebook import tqdm as wide  # noqa: PLC0415 - only where there are widgets

        widget: wide[Never] = wide(total=total, bar_format=layout)
        return widget
    if stream is None or not (notebook or _is_terminal(stream)):
        return None
    from tqdm import tqdm  # noqa: PLC0415 - loaded when there is something to draw on

    bar: tqdm[Never] = tqdm(total=total, file=stream, bar_format=layout, **_size(stream))
    return bar


class Size(TypedDict, total=False):
    """How large tqdm draws."""

    dynamic_ncols: bool
    ncols: int
    nrows: int


def _size(stream: TextIO) -> Size:
    """As the terminal says; one that says nothing gets a usual size."""
    try:
        columns, lines = os.get_terminal_size(stream.fileno())
    except (AttributeError, OSError, ValueError):
        columns, lines = 0, 0
    if columns and lines:
        return {"dynamic_ncols": True}
    return {"ncols": 100, "nrows": 24}


def _is_terminal(stream: TextIO) -> bool:
    """What stands in the place of stderr may be closed, or have nothing but ``write``."""
    with suppress(AttributeError, OSError, ValueError):
        return stream.isatty()
    return False


def _in_notebook() -> bool:
    """Is this a kernel of Jupyter? Asked without importing anything."""
    shell = sys.modules.get("IPython")
    current = shell.get_ipython() if shell is not None else None
    return current is not None and "IPKernelApp" in current.config


def _has_widgets() -> bool:
    try:
        importlib.import_module("ipywidgets")
    except ImportError:
        return False
    return True
