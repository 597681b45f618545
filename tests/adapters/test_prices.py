"""Price data as rates: what they come to is what genai-prices itself computes."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime
from functools import cache
from typing import Final

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given
from hypothesis import strategies as st

from headrace.adapters import prices
from headrace.adapters.prices import Found
from headrace.core.prices import PriceList
from headrace.core.response import Usage
from headrace.registry import endpoints

pytestmark = pytest.mark.once
DAY: Final = 86_400.0
# A day after the floor of the data, so that newer data still know it.
WALL: Final = datetime(2026, 11, 21, 12, 0, tzinfo=UTC).timestamp()


@cache
def models() -> list[tuple[str, str]]:
    return [(p.id, model.id) for p in get_snapshot().providers for model in p.models]


def of_genai(
    vendor: str, model: str, usage: Usage, tier: str | None, wall: float
) -> genai_prices.types.PriceCalculation:
    read, written = usage.cache_read_tokens, usage.cache_write_tokens
    context = {"processing": "batch"} if tier == "batch" else {"service_tier": tier or ""}
    return genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=usage.input_tokens + read + written,
            output_tokens=usage.output_tokens,
            cache_read_tokens=read,
            cache_write_tokens=written,
            output_reasoning_tokens=usage.reasoning_tokens,
        ),
        model,
        provider_id=vendor,
        genai_request_timestamp=datetime.fromtimestamp(wall, UTC),
        price_context=context if tier else None,
    )


counts = st.one_of(
    st.just(0),
    st.integers(0, 3_000),
    st.integers(0, 2_000_000),
    st.sampled_from([200_000, 272_000]),
)
usages = st.builds(
    lambda fresh, output, read, written, part: Usage(
        fresh, output, read, written, output * part // 8
    ),
    counts,
    counts,
    counts,
    counts,
    st.integers(0, 8),
)


@given(st.data(), usages, st.floats(WALL - 400 * DAY, WALL + 400 * DAY))
def test_every_list_comes_to_what_the_data_say(
    data: st.DataObject, usage: Usage, wall: float
) -> None:
    vendor, model = data.draw(st.sampled_from(models()))
    found = prices.find(vendor, model, wall)
    if found is None:
        return
    tiers = getattr(found.tariff, "tiers", None) or {}
    tier = data.draw(st.sampled_from([None, *sorted(tiers)]))
    cost = found.tariff.cost(usage, tier)
    try:
        expected = of_genai(vendor, model, usage, tier, wall)
    except ValueError:
        assert cost is None
        return
    if cost is None:
        price = expected.model_price
        assert None in {price.input_mtok, price.output_mtok}, "only what has no price is unknown"
    else:
        assert abs(cost - expected.total_price * 10**9) <= 0.5


@given(st.data(), usages)
def test_prices_hold_until_they_say(data: st.DataObject, usage: Usage) -> None:
    vendor, model = data.draw(st.sampled_from(models()))
    found = prices.find(vendor, model, WALL)
    if found is None or found.until == float("inf"):
        return
    assert found.until > WALL
    late = prices.find(vendor, model, found.until - 1)
    assert late is not None
    assert late.until == found.until
    assert late.tariff.cost(usage, None) == found.tariff.cost(usage, None)


def listed(vendor: str, model: str, wall: float = WALL) -> PriceList:
    found = prices.find(vendor, model, wall)
    assert found is not None
    assert isinstance(found.tariff, PriceList)
    return found.tariff


def test_long_input_costs_more_for_all_of_it() -> None:
    tariff = listed("openai", "gpt-5.6")
    [(above, _), _] = tariff.standard
    short, long = tariff.cost(Usage(above, 0)), tariff.cost(Usage(above - 9, 0, 5, 5))
    assert short is not None
    assert long is not None
    more = tariff.cost(Usage(above + 1, 0))
    assert more is not None
    assert more > 1.5 * short


def test_a_tier_has_its_own_price_and_an_unlisted_one_none() -> None:
    tariff, usage = listed("openai", "gpt-5.6"), Usage(1_000, 100)
    standard, flex = tariff.cost(usage), tariff.cost(usage, "flex")
    assert standard is not None
    assert flex == standard // 2
    assert tariff.cost(usage, "batch") == flex
    assert tariff.cost(usage, "default") == tariff.cost(usage, "auto") == standard
    assert tariff.cost(usage, "scale") is None


def test_prices_that_change_with_the_hour_hold_until_it_strikes() -> None:
    found = prices.find("deepseek", "deepseek-chat", WALL)
    assert isinstance(found, Found)
    assert 0 < found.until - WALL <= DAY


@pytest.mark.parametrize(
    ("vendor", "model"),
    [
        ("openai", "no-such"),
        ("nobody", "gpt-4.1-mini"),
        ("my-anthropic-proxy", "claude-opus-4-5"),
    ],
)
def test_what_is_not_in_the_data_is_unknown(vendor: str, model: str) -> None:
    assert prices.find(vendor, model, WALL) is None


def test_what_bears_no_price_is_unknown_and_not_free() -> None:
    found = prices.find("openai", "text-embedding-3-small", WALL)
    assert found is not None
    assert found.tariff.cost(Usage(1_000_000, 0), None) == 20_000_000
    assert found.tariff.cost(Usage(1_000_000, 1), None) is None
    assert found.tariff.cost(Usage(1, 0), "flex") is None


def test_the_data_say_of_when_they_are() -> None:
    found = prices.source(WALL)
    assert found is not None
    name, day = found
    assert name.startswith("genai-prices 0.")
    assert day is not None
    assert date(2026, 6, 1) < day <= date(2026, 11, 21)
    assert prices.source(0.0) == (name, None)


def test_nothing_is_loaded_by_importing_or_making_a_client() -> None:
    call = (
        "import sys, headrace; client = headrace.LLMClient('openai/gpt-4.1-mini', api_key='k')\n"
        "assert 'genai_prices' not in sys.modules, 'loaded'\n"
        "assert 'bpe_openai' not in sys.modules, 'loaded'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", call], check=False, timeout=50, capture_output=True
    )
    assert done.returncode == 0, done.stderr


def test_each_endpoint_has_the_prices_of_its_own_vendor() -> None:
    vendors = {provider.id for provider in get_snapshot().providers}
    rows = endpoints.known()
    named = {name: row.vendor for name, row in rows.items() if row.prices}
    assert not set(named.values()) - vendors
    assert {name: row.vendor for name, row in rows.items() if name in vendors} == {
        name: name for name in rows if name in vendors
    }
    assert rows["vertex-express"].vendor == "google"
