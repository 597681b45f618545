"""What the replies of one route cost, and where its prices come from."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from headrace.adapters import prices
from headrace.core.prices import PriceList, Tariff
from headrace.core.response import NOTHING
from headrace.policy.buckets import SECOND
from headrace.wire import failure

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace.adapters.clock import Clock
    from headrace.core.errors import ProviderError
    from headrace.core.model import Rates, Route
    from headrace.core.response import APIResponse, Usage

OLD: Final = timedelta(days=180)
_UNREAD: Final = -math.inf
NEVER: Final = -1


class Pricing:
    """What replies cost: as the provider says, else by the user's row, else by price data.

    Price data are read once, and again when the next price begins. ``used_at`` is when they last
    priced a reply, ``missed_at`` when they would have been asked for one and were not there.
    """

    __slots__ = ("_clock", "_flat", "_model", "_until", "_vendor", "missed_at", "tariff", "used_at")

    def __init__(self, route: Route, clock: Clock) -> None:
        """Nothing is looked up yet."""
        given = route.model.price or route.endpoint.price
        self.tariff: Tariff | None = None if given is None else PriceList.flat(given.rates())
        self._flat = flat_of(self.tariff)
        self._vendor = "" if given is not None else route.endpoint.vendor
        self._model = route.model.name
        self._until = _UNREAD if self._vendor else math.inf  # on the clock that never goes back
        self._clock = clock
        self.used_at = self.missed_at = NEVER

    @property
    def is_unread(self) -> bool:
        """Are there price data to look into, and has nobody?"""
        return self._until == _UNREAD

    def read(self) -> None:
        """Look the prices up as of now; slow the first time in a process."""
        if not self._vendor:
            return
        wall = self._clock.wall()
        found = prices.find(self._vendor, self._model, wall)
        self.tariff = None if found is None else found.tariff
        self._flat = flat_of(self.tariff)
        left = math.inf if found is None else found.until - wall
        self._until = self._clock.now() + left * SECOND

    def cost(self, reply: APIResponse[object], now: int) -> int | None:
        """Nano-dollars for one reply; None where its price or its usage is unknown."""
        if reply.cost_nanos is not None:
            return reply.cost_nanos
        if now >= self._until:
            self.read()
        usage = reply.usage
        if usage is None:
            return None
        if self.tariff is None:
            self.missed_at = now
            return None
        self.used_at = now
        noted = reply.metadata
        if noted is NOTHING and self._flat is not None:
            return self._flat.cost(usage)
        tier = None if noted is NOTHING else noted.get("service_tier")
        return self.tariff.cost(usage, tier if type(tier) is str else None)

    def quote(self, usage: Usage, tier: str | None) -> int | None:
        """Nano-dollars that a reply with ``usage`` would cost; None: unknown."""
        if self._clock.now() >= self._until:
            self.read()
        return None if self.tariff is None else self.tariff.cost(usage, tier)

    def billed(self, error: ProviderError) -> int:
        """Nano-dollars that a failed attempt is known to have cost."""
        reported = None if error.reply is None else failure.reported_cost(error.reply)
        if reported is not None:
            return reported
        if error.usage is None or self.tariff is None:
            return 0
        return self.tariff.cost(error.usage, None) or 0

    @property
    def has_data(self) -> bool:
        """Do its prices come from price data, or would they?"""
        return bool(self._vendor)


def flat_of(tariff: Tariff | None) -> Rates | None:
    """The one price of the standard tier, where it has but one: the usual case."""
    if isinstance(tariff, PriceList) and len(tariff.standard) == 1:
        return tariff.standard[0][1]
    return None


async def read_all(several: Iterable[Pricing]) -> None:
    """Look up what nobody has looked up yet; off the loop where that takes a while."""
    unread = [pricing for pricing in several if pricing.is_unread]
    if unread and not prices.is_loaded():
        await asyncio.to_thread(prices.is_installed)
    for pricing in unread:
        pricing.read()


def remark(several: Iterable[Pricing], since: int, wall: float) -> str | None:
    """Where the prices of a run came from, or what would make them known; None: nothing to say."""
    of_data = [pricing for pricing in several if pricing.has_data]
    if any(pricing.used_at >= since for pricing in of_data):
        return origin(wall)
    if any(pricing.missed_at >= since for pricing in of_data):
        return missing()
    return None


def missing() -> str | None:
    """What to install to know prices; None where it is there."""
    if prices.is_installed():
        return None
    return f"Prices are known after {prices.INSTALL}, or give the model's row a price."


def origin(wall: float) -> str | None:
    """Which data the prices are, of when, and whether they are old."""
    found = prices.source(wall)
    if found is None:
        return None
    name, day = found
    if day is None:
        return f"Prices are those of {name}."
    said = f"Prices are those of {name}, the newest of {day}"
    age = datetime.fromtimestamp(wall, UTC).date() - day
    if age <= OLD:
        return f"{said}."
    return f"{said}, {age.days} days ago; update them with {prices.UPDATE}."
