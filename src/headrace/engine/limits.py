"""Limits and what they belong to. Synchronous arithmetic; ``engine.admission`` guards it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.adapters.pace import Pacer
from headrace.policy.buckets import DAY, MINUTE, Ring
from headrace.policy.cost import DIMENSIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.policy.adaptive import Concurrency
    from headrace.policy.cost import Cost

# The name of each limit as users write it, what it counts, and over how many nanoseconds.
_NAMED: Final = (
    ("requests_per_minute", DIMENSIONS.index("requests"), MINUTE),
    ("requests_per_day", DIMENSIONS.index("requests"), DAY),
    ("tokens_per_minute", DIMENSIONS.index("tokens"), MINUTE),
    ("input_tokens_per_minute", DIMENSIONS.index("input_tokens"), MINUTE),
    ("output_tokens_per_minute", DIMENSIONS.index("output_tokens"), MINUTE),
)
NAMES: Final = tuple(name for name, _, _ in _NAMED)


class Limit:
    """A rate: even pacing now, and nothing above it in any span of its interval."""

    __slots__ = ("_pacer", "_ring", "amount")
    # A server may have meant something else; only what somebody has set refuses a prompt for good.
    is_final = True

    def __init__(self, amount: float, interval: int = MINUTE) -> None:
        """So much in each ``interval`` (nanoseconds); what a day allows may go in an hour."""
        self.amount = amount
        self._pacer = Pacer(amount) if interval == MINUTE else None
        self._ring = Ring(amount, interval)

    def used(self, now: int) -> float:
        """What was admitted within the interval."""
        return self._ring.used(now)

    def wait(self, now: int, cost: float) -> int:
        """Nanoseconds until ``cost`` may be admitted."""
        wait = self._ring.wait(now, cost)
        if wait or self._pacer is None:
            return wait
        return self._pacer.wait(now, cost)

    def take(self, now: int, cost: float) -> None:
        """Admit ``cost``; ``wait`` said 0 at the same ``now``."""
        self._ring.add(now, cost)
        if self._pacer is not None:
            self._pacer.take(now, cost)

    def settle(self, admitted_at: int, now: int, difference: float) -> None:
        """Return what was not used (negative), or charge what was used beyond it."""
        self._ring.settle(admitted_at, now, difference)
        if self._pacer is not None:
            self._pacer.settle(now, difference)


class Scope:
    """Something that limits belong to: the client as a whole, an account, or one route."""

    __slots__ = ("_limits", "concurrency", "in_flight", "name")

    def __init__(
        self, name: str, *, concurrency: Concurrency, limits: Mapping[str, float | None]
    ) -> None:
        """``limits``: amounts by their public names; what is None is not limited."""
        self.name = name
        self.concurrency = concurrency
        self.in_flight = 0
        given = ((index, limits.get(name), interval) for name, index, interval in _NAMED)
        self._limits = tuple(
            (index, Limit(amount, interval)) for index, amount, interval in given if amount
        )

    @property
    def is_rated(self) -> bool:
        """Has it limits beside its slots?"""
        return bool(self._limits)

    @property
    def counts_tokens(self) -> bool:
        """Does one of its limits count tokens?"""
        return any(index for index, _ in self._limits)

    @property
    def most_input(self) -> float:
        """The most input tokens that one request may ever have here."""
        of_output = DIMENSIONS.index("output_tokens")
        final = (row for row in self._limits if row[1].is_final)
        amounts = (limit.amount for index, limit in final if index and index != of_output)
        return min(amounts, default=float("inf"))

    def replace(self, index: int, old: Limit | None, new: Limit) -> None:
        """From now on ``new`` limits it, too, in the place of ``old`` if there was one."""
        kept = tuple(row for row in self._limits if row[1] is not old)
        self._limits = (*kept, (index, new))

    def drop(self, limit: Limit) -> None:
        """It does not limit any more."""
        self._limits = tuple(row for row in self._limits if row[1] is not limit)

    def wait(self, now: int, cost: Cost) -> int:
        """Nanoseconds until the limits have room for one request of this cost."""
        wait = 0
        for index, limit in self._limits:
            if amount := cost[index]:
                wait = max(wait, limit.wait(now, amount))
        return wait

    def take(self, now: int, cost: Cost) -> None:
        """Charge one request."""
        for index, limit in self._limits:
            if amount := cost[index]:
                limit.take(now, amount)

    def settle(self, admitted_at: int, now: int, difference: Cost) -> None:
        """Return what one request did not use (negative), or charge what it used beyond it."""
        for index, limit in self._limits:
            if amount := difference[index]:
                limit.settle(admitted_at, now, amount)
