"""What a model's tokens cost: by the size of the input, and by the service tier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from headrace.core.model import Rates

if TYPE_CHECKING:
    from headrace.core.response import Usage

Steps: TypeAlias = tuple[tuple[int, Rates], ...]
"""Rates and the input tokens above which they hold for all of a request's tokens; highest first."""

# What servers call the tier of who asked for none.
_STANDARD: Final = frozenset({"default", "standard", "auto", "on_demand"})
ALWAYS: Final = -1


class Tariff(Protocol):
    """What a reply's usage costs."""

    def cost(self, usage: Usage, tier: str | None) -> int | None:
        """Nano-dollars for ``usage`` at a service tier (None: the standard one); None: unknown."""


@dataclass(frozen=True, slots=True)
class PriceList:
    """Rates by input size, for the standard tier and for others.

    ``tiers`` None: the rates hold whatever the tier. A tier that is not listed has no known price.
    """

    standard: Steps
    tiers: Mapping[str, Steps] | None = None

    @classmethod
    def flat(cls, rates: Rates) -> PriceList:
        """One price for everything."""
        return cls(((ALWAYS, rates),))

    def cost(self, usage: Usage, tier: str | None = None) -> int | None:
        """Nano-dollars for ``usage``, rounded half up; None where the tier's price is unknown."""
        steps = self.standard
        if tier is not None and self.tiers is not None:
            found = self.tiers.get(tier)
            if found is None and not is_standard(tier):
                return None
            steps = found or steps
        if len(steps) == 1:
            return steps[0][1].cost(usage)
        given = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
        for above, rates in steps:
            if given > above:
                return rates.cost(usage)
        return None


def is_standard(tier: str | None) -> bool:
    """Is it the tier of who asked for none?"""
    return tier is None or tier in _STANDARD


def nanos(dollars: object) -> int | None:
    """A cost in USD as a server's JSON says it, in nano-dollars; None for what is no cost."""
    if type(dollars) is int:
        return dollars * 1_000_000_000 if 0 <= dollars <= _MOST else None
    if type(dollars) is not float or not 0 <= dollars <= _MOST:
        return None
    # The shortest decimal is what was written; binary fractions would be off by a nano-dollar.
    mantissa, _, exponent = f"{dollars!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits, power = int(whole + fraction), int(exponent or 0) - len(fraction) + 9
    unit: int = 10 ** abs(power)
    return digits * unit if power >= 0 else (digits + unit // 2) // unit


# Dollars for one reply; what is above is no price but a mistake.
_MOST: Final = 1_000_000
