"""How large replies are at most, mostly: a high quantile of the last of them. Pure."""

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

    __slots__ = ("_amounts", "_count", "_kept", "_least", "_share", "value")

    def __init__(self, share: float = SHARE, kept: int = KEPT, least: int = LEAST) -> None:
        """``share`` of the last ``kept`` are no larger; None is said before there are ``least``."""
        self._share, self._kept, self._least = share, kept, least
        self._amounts: list[int] = []
        self._count = 0
        self.value: int | None = None

    def add(self, amount: int) -> None:
        """One more."""
        if len(self._amounts) < self._kept:
            self._amounts.append(amount)
        else:
            self._amounts[self._count % self._kept] = amount
        self._count += 1
        if len(self._amounts) >= self._least and self._count % _EACH == 0:
            self.value = sorted(self._amounts)[int(self._share * len(self._amounts))]

    def at_most(self, bound: int) -> int:
        """What to expect of one that may be as large as ``bound``."""
        return bound if self.value is None else min(bound, self.value)
