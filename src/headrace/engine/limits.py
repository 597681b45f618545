"""Limits and what they belong to. Synchronous arithmetic; ``engine.admission`` guards it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from headrace.adapters.pace import Pacer
from headrace.policy.buckets import DAY, JITTER, MINUTE, Ring
from headrace.policy.cost import DIMENSIONS
from headrace.policy.margin import Margin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headrace.policy.adaptive import Concurrency

# From this part of a limit on, what is refused may have arrived closer together than it was sent.
NEARLY: Final = 0.9
# The name of each limit as users write it, what it counts, and over how many nanoseconds.
_NAMED: Final = (
    ("requests_per_minute", DIMENSIONS.index("requests"), MINUTE),
    ("requests_per_day", DIMENSIONS.index("requests"), DAY),
    ("tokens_per_minute", DIMENSIONS.index("tokens"), MINUTE),
    ("input_tokens_per_minute", DIMENSIONS.index("input_tokens"), MINUTE),
    ("output_tokens_per_minute", DIMENSIONS.index("output_tokens"), MINUTE),
)
NAMES: Final = tuple(name for name, _, _ in _NAMED)


# Such a part of a limit in one request waits until as much is free; nothing goes out meanwhile, nor
# when others are full of it. A server that bears it at once does not spread its minute evenly, so
# that what was missed may be caught up with, at twice the pace, as far as the minute allows.
LARGE: Final = 0.5


class Rate(Protocol):
    """A limit as admission asks it: of this process alone, or shared with others."""

    amount: float
    # In so many nanoseconds.
    interval: int

    @property
    def source(self) -> str:
        """Who says so: ``"given"``, ``"told"`` by the server, ``"shared"`` with other processes."""

    @property
    def is_final(self) -> bool:
        """Does it refuse a prompt for good? What a server tells may mean something else."""

    def wait(self, now: int, cost: float) -> int:
        """Nanoseconds until ``cost`` may be admitted; ``NEVER`` until more is known."""

    def foresee(self, now: int, cost: float) -> int:
        """What ``wait`` says, asked by who only wants to know and asks for nothing."""

    def is_spent(self, now: int, patience: int) -> bool:
        """Is nothing of it to be had for so many nanoseconds?"""

    def used(self, now: int) -> float | None:
        """How much of it was used within its interval; None: others know."""

    def take(self, now: int, cost: float, late: int = 0) -> None:
        """Admit ``cost``; ``wait`` said 0 at the same ``now``, and before: ``late`` ns ago."""

    def settle(self, admitted_at: int, now: int, difference: float) -> None:
        """Return what was not used (negative), or charge what was used beyond it."""

    def doubt(self, now: int, admitted_at: int) -> bool:
        """A request of then was refused; True where more margin may spare others that."""


class Limit:
    """A rate: even pacing now, and nothing above it in any span of its interval."""

    __slots__ = ("_catching_up", "_is_held_up", "_margin", "_pacer", "_ring", "amount", "interval")
    is_final = True
    source = "given"

    def __init__(self, amount: float, interval: int = MINUTE) -> None:
        """So much in each ``interval`` (nanoseconds); what a day allows may go in an hour."""
        self.amount = amount
        self.interval = interval
        self._pacer = Pacer(amount) if interval == MINUTE else None
        self._ring = Ring(amount, interval)
        # Until then what is free is used up faster; None: at the usual pace.
        self._catching_up: int | None = None
        self._is_held_up = False  # by a large one, which waits for room
        self._margin = Margin()

    def used(self, now: int) -> float:
        """What was admitted within the interval."""
        return self._ring.used(now)

    def wait(self, now: int, cost: float) -> int:
        """Nanoseconds until ``cost`` may be admitted."""
        wait = self._ring.wait(now, cost)
        if wait or self._pacer is None:
            self._is_held_up = wait > 0 and cost >= self.amount * LARGE
            return wait
        if self._catching_up is not None and now >= self._catching_up:
            self._go_on_evenly(now)
        return self._pacer.wait(now, cost)

    def foresee(self, now: int, cost: float) -> int:
        """The same, and nothing is changed by asking."""
        wait = self._ring.wait(now, cost)
        return wait if wait or self._pacer is None else self._pacer.wait(now, cost)

    def is_spent(self, now: int, patience: int) -> bool:
        """Is nothing to be had for so long?"""
        return self.wait(now, 1) > patience

    def take(self, now: int, cost: float, late: int = 0) -> None:
        """Admit ``cost``; ``wait`` said 0 at the same ``now``, and before: ``late`` ns ago."""
        if now >= self._margin.due:
            self._margin.narrow(now)
            self._keep(now)
        self._ring.add(now, cost)
        if self._pacer is None:
            return
        if self._is_held_up and cost >= self.amount * LARGE:
            self._is_held_up = False
            self._catching_up = now + 2 * self.interval
            self._pace(now)
        else:
            self._pacer.take(now, cost, late)

    def settle(self, admitted_at: int, now: int, difference: float) -> None:
        """Return what was not used (negative), or charge what was used beyond it."""
        self._ring.settle(admitted_at, now, difference)
        if self._pacer is None:
            return
        if self._catching_up is not None and difference <= -self.amount * LARGE:
            self._go_on_evenly(now)  # it was not sent, or not used: nobody has borne it
        else:
            self._pacer.settle(now, difference)

    def _go_on_evenly(self, now: int) -> None:
        self._catching_up = None
        self._pace(now)

    def doubt(self, now: int, admitted_at: int) -> bool:
        """A request of then was refused; True where more margin may spare others that."""
        if self._pacer is None or self._ring.used(now) + 1 < self.amount * NEARLY:
            return False
        is_of_use = self._margin.widen(now, admitted_at)
        self._keep(now)
        return is_of_use

    def _keep(self, now: int) -> None:
        """Keep to the margin as it is now."""
        self._ring.widen(now, self._margin.span)
        self._pace(now)

    def _pace(self, now: int) -> None:
        if self._pacer is not None:
            wider = MINUTE + self._margin.span - JITTER
            faster = 1 if self._catching_up is None else 2
            self._pacer.change(now, faster * self.amount * MINUTE / wider)


# A limit, and which of the amounts of a cost it counts.
Row: TypeAlias = "tuple[int, Rate]"
# Makes a limit: of which scope, called what, how much in how many nanoseconds.
Make: TypeAlias = "Callable[[str, str, float, int], Rate]"


def alone(scope: str, name: str, amount: float, interval: int) -> Rate:
    """A limit that this process keeps by itself."""
    del scope, name
    return Limit(amount, interval)


class Scope:
    """Something that limits belong to: the client as a whole, an account, or one route."""

    __slots__ = ("concurrency", "in_flight", "limits", "make", "name")

    def __init__(
        self,
        name: str,
        *,
        concurrency: Concurrency,
        limits: Mapping[str, float | None],
        make: Make = alone,
    ) -> None:
        """``limits``: amounts by their public names; what is None is not limited."""
        self.name = name
        self.make = make
        self.concurrency = concurrency
        self.in_flight = 0
        self.limits: tuple[Row, ...] = tuple(
            (index, make(self.name, name, amount, interval))
            for name, index, interval in _NAMED
            if (amount := limits.get(name))
        )

    @property
    def most_input(self) -> float:
        """The most input tokens that one request may ever have here."""
        of_output = DIMENSIONS.index("output_tokens")
        final = (row for row in self.limits if row[1].is_final)
        amounts = (limit.amount for index, limit in final if index and index != of_output)
        return min(amounts, default=float("inf"))
