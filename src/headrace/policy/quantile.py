"""How much replies use at most, mostly: a high quantile of the last of them. Pure."""

from __future__ import annotations

from typing import Final

# Nineteen of twenty are no larger; the one that is leaves a debt that later ones pay.
SHARE: Final = 0.95
KEPT: Final = 64
# Too few say nothing of one in twenty.
LEAST: Final = 20
_EACH: Final = 8


class Quantile:
    """Remembers the last amounts; what it says is as old as a few of them."""

    __slots__ = ("_amounts", "_count", "value")

    def __init__(self) -> None:
        self._amounts: list[int] = []
        self._count = 0
        self.value: int | None = None

    def add(self, amount: int) -> None:
        """One more."""
        if len(self._amounts) < KEPT:
            self._amounts.append(amount)
        else:
            self._amounts[self._count % KEPT] = amount
        self._count += 1
        if len(self._amounts) >= LEAST and self._count % _EACH == 0:
            self.value = sorted(self._amounts)[int(SHARE * len(self._amounts))]

    def at_most(self, bound: int) -> int:
        """What to expect of one that may be as large as ``bound``."""
        return bound if self.value is None else min(bound, self.value)
