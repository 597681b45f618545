"""Prices of the vendors' models: the one door to genai-prices (extra ``prices``).

Its data lie in the package, and nothing is fetched. Importing it takes a third of a second, so it
is loaded by who first needs a price. A model's prices are read once, into whole nano-dollars; what
they cannot express is computed by genai-prices for each reply.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from headrace.core.model import Rates
from headrace.core.prices import ALWAYS, PriceList, Steps, Tariff, is_standard

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from headrace.core.response import Usage

INSTALL: Final = "pip install 'headrace[prices]'"
UPDATE: Final = "pip install -U genai-prices"
_BILLION: Final = Decimal(10**9)
# Priced by something that Rates do not hold.
_OTHER: Final = ("output_reasoning_mtok", "requests_kcount")
_OF_INPUT: Final = ("cache_read_mtok", "cache_write_mtok")


@dataclass(frozen=True, slots=True)
class Found:
    """A model's prices, and until when they hold, in seconds since the epoch."""

    tariff: Tariff
    until: float


def is_loaded() -> bool:
    """Would a look-up be quick?"""
    return bool(_package.cache_info().currsize)


def is_installed() -> bool:
    """Is the extra there? The first call loads it."""
    return _package() is not None


def find(vendor: str, model: str, wall: float) -> Found | None:
    """The prices of a model at ``wall``; None where none are known, or without the extra."""
    package = _package()
    if package is None:
        return None
    at = datetime.fromtimestamp(wall, UTC)
    ask = _Question(package, vendor, model, at)
    try:
        standard = ask.answer(package.Usage(), None)
    except LookupError:
        return None
    if standard.provider.id != vendor:
        return None  # found by likeness; another server's name may be like a vendor's
    info = standard.model
    tiers = _tiers(info, at) if any(info is own for own in standard.provider.models) else {}
    steps = _steps(standard.model_price)
    of_tiers = {
        tier: _steps(ask.answer(package.Usage(), context).model_price)
        for tier, context in tiers.items()
    }
    if steps is None or None in of_tiers.values():
        return Found(_Computed(ask, tiers), _until(info, at))
    listed = {tier: found for tier, found in of_tiers.items() if found is not None}
    return Found(PriceList(steps, listed), _until(info, at))


def source(wall: float) -> tuple[str, date | None] | None:
    """Which data these are, and the day when the newest price among them began, as of ``wall``."""
    if not is_installed():
        return None
    days = _days()
    before = bisect_right(days, datetime.fromtimestamp(wall, UTC).date())
    return f"genai-prices {version('genai-prices')}", days[before - 1] if before else None


@cache
def _package() -> Any | None:  # noqa: ANN401  an extra, which may not be there
    try:
        import genai_prices  # noqa: PLC0415  an extra, loaded by who uses it
    except ImportError:
        return None
    _data()  # now, and not at the first look-up
    return genai_prices


def _data() -> Any:  # noqa: ANN401  an extra's type
    from genai_prices import data_snapshot  # noqa: PLC0415  an extra, loaded by who uses it

    return data_snapshot.get_snapshot()


@cache
def _days() -> list[date]:
    """Every day on which a price begins; the data bear no date of their own."""
    models = (model for provider in _data().providers for model in provider.models)
    return sorted({day for model in models for day in _starts(model)})


@dataclass(frozen=True, slots=True)
class _Question:
    package: Any
    vendor: str
    model: str
    at: datetime

    def answer(self, usage: object, context: Mapping[str, str] | None) -> Any:  # noqa: ANN401  an extra's type
        return self.package.calc_price(
            usage,
            self.model,
            provider_id=self.vendor,
            genai_request_timestamp=self.at,
            price_context=context,
        )


@dataclass(frozen=True, slots=True)
class _Computed:
    """Prices that no list of rates holds: genai-prices is asked for each reply."""

    ask: _Question
    tiers: Mapping[str, Mapping[str, str]]

    def cost(self, usage: Usage, tier: str | None = None) -> int | None:
        context = None if tier is None else self.tiers.get(tier)
        if context is None and not is_standard(tier):
            return None
        read, written = usage.cache_read_tokens, usage.cache_write_tokens
        given = usage.input_tokens + read + written
        try:
            found = self.ask.answer(
                self.ask.package.Usage(
                    input_tokens=given,
                    output_tokens=usage.output_tokens,
                    cache_read_tokens=read,
                    cache_write_tokens=written,
                    output_reasoning_tokens=usage.reasoning_tokens,
                ),
                context,
            )
        except (LookupError, ValueError):
            return None
        price = found.model_price
        # What bears no price counts as nothing there, and is unknown here.
        if (given and price.input_mtok is None) or (
            usage.output_tokens and price.output_mtok is None
        ):
            return None
        return int((found.total_price * _BILLION).to_integral_value(ROUND_HALF_UP))


def _tiers(info: Any, at: datetime) -> dict[str, dict[str, str]]:  # noqa: ANN401  an extra's type
    """The service tiers that have prices of their own, and what selects each."""
    tiers = {}
    for variant in info.price_variants or ():
        if len(variant.when) == 1 and (not variant.constraint or variant.constraint.active(at)):
            [(kind, name)] = variant.when.items()
            if kind == "service_tier" or (kind, name) == ("processing", "batch"):
                tiers[name] = {kind: name}
    return tiers


def _steps(price: Any) -> Steps | None:  # noqa: ANN401  an extra's type
    """The prices as rates by input size; None where rates cannot say them."""
    names = ("input_mtok", "output_mtok", *_OF_INPUT)
    values = [getattr(price, name) for name in names]
    others = (getattr(price, name) for name in _OTHER)
    if values[0] is None or values[1] is None or any(p is not None for p in others):
        return None
    starts = {tier.start for value in values for tier in getattr(value, "tiers", ())}
    steps = []
    for above in sorted(starts | {ALWAYS}, reverse=True):
        nanos = [_at(values[0] if value is None else value, above) * _BILLION for value in values]
        if any(nano % 1 for nano in nanos):
            return None
        steps.append((above, Rates(*map(int, nanos))))
    return tuple(steps)


def _at(value: Any, above: int) -> Decimal:  # noqa: ANN401  an extra's type
    """A price for input just above so many tokens."""
    if isinstance(value, Decimal):
        return value
    price: Decimal = value.base
    for tier in value.tiers:  # in ascending order
        if above >= tier.start:
            price = tier.price
    return price


def _constraints(info: Any) -> Iterable[Any]:  # noqa: ANN401  an extra's type
    several = info.prices if isinstance(info.prices, list) else ()
    for priced in (*several, *(info.price_variants or ())):
        if priced.constraint is not None:
            yield priced.constraint


def _starts(info: Any) -> Iterable[date]:  # noqa: ANN401  an extra's type
    return (c.start_date for c in _constraints(info) if hasattr(c, "start_date"))


def _until(info: Any, at: datetime) -> float:  # noqa: ANN401  an extra's type
    """When the next price begins: on a later day, or at an hour of each day."""
    changes = [datetime.combine(day, time(), UTC) for day in _starts(info)]
    for constraint in _constraints(info):
        if hasattr(constraint, "start_time"):
            for hour in (constraint.start_time, constraint.end_time):
                today = datetime.combine(at.date(), hour, hour.tzinfo or UTC)
                changes += [today + timedelta(days=n) for n in (-1, 0, 1, 2)]
    return min((c.timestamp() for c in changes if c > at), default=math.inf)
