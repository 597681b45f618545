"""What a fake is told in numbers is refused with a sentence where it is none."""

from __future__ import annotations

import math
from typing import Any, Final

import pytest

from headrace import ConfigError
from headrace.testing import FakeServer
from headrace.testing.simulation import Terms, Vendor, simulate

NO_RATE: Final = (0, -1, math.nan, math.inf, 1e300, True, "6")
NO_PAUSE: Final = (-1, math.nan, math.inf, True, "soon")
NO_SHARE: Final = (-0.1, 1.1, math.nan, True)
NO_SLOTS: Final = (0, -1, 1.5, True, "6")
OF_SERVER: Final[dict[str, tuple[object, ...]]] = {
    "requests_per_minute": NO_RATE,
    "tokens_per_minute": NO_RATE,
    "latency": NO_PAUSE,
    "burst_seconds": NO_PAUSE,
    "max_concurrent": NO_SLOTS,
    "keep": (-1, 1.5, True, "6"),
    "port": (-1, 65_536, 99_999, "http"),
}
OF_TERMS: Final[dict[str, tuple[object, ...]]] = {
    "requests_per_minute": NO_RATE,
    "requests_per_day": NO_RATE,
    "tokens_per_minute": NO_RATE,
    "input_tokens_per_minute": NO_RATE,
    "output_tokens_per_minute": NO_RATE,
    "max_concurrent_requests": NO_SLOTS,
    "parallel": NO_SLOTS,
    "first_token": NO_PAUSE,
    "per_token": NO_PAUSE,
    "output": NO_PAUSE,
    "spread": NO_PAUSE,
    "off": NO_SHARE,
    "bias": (-1, math.nan, math.inf),
    "failures": NO_SHARE,
    "failure_status": (-1, 1_000, "500", True),
    "failure_wait": NO_PAUSE,
    "slow": NO_SHARE,
    "slow_times": NO_PAUSE,
    "way": NO_PAUSE,
    "shared": (1, None, "yes"),
    "refusals_count": (1, None, "yes"),
    "counting": ("hourly", None),
    "counts": ("said",),
    "headers": ("google", True),
    "hints": ("ms", None),
}


def cases(table: dict[str, tuple[object, ...]]) -> list[tuple[str, object]]:
    return [(name, value) for name, values in table.items() for value in values]


@pytest.mark.parametrize(("name", "value"), cases(OF_SERVER))
def test_a_server_names_what_is_wrong(name: str, value: object) -> None:
    given: Any = {name: value}
    with pytest.raises(ConfigError, match=rf"^FakeServer: {name}: it must be [^\n]*, not "):
        FakeServer(**given)


@pytest.mark.parametrize(("name", "value"), cases(OF_TERMS))
def test_terms_name_what_is_wrong(name: str, value: object) -> None:
    given: Any = {name: value}
    with pytest.raises(ConfigError, match=rf"^Terms: {name}: it must be [^\n]*, not "):
        Terms(**given)


def test_terms_are_all_checked_but_functions_and_sets() -> None:
    unchecked = {"crowding", "varying", "revoked", "retired"}
    assert Terms.__dataclass_fields__.keys() - OF_TERMS.keys() == unchecked


@pytest.mark.parametrize("second", NO_PAUSE)
def test_a_vendor_names_a_second_that_is_none(second: Any) -> None:  # noqa: ANN401  wrong on purpose
    with pytest.raises(ConfigError, match=r"^Vendor: phase: it must be "):
        Vendor(Terms(), phase=second)
    with pytest.raises(ConfigError, match=r"^Vendor: begins: it must be "):
        Vendor({0.0: Terms(), second: Terms()})


@pytest.mark.parametrize("terms", [5, None, {0: 5}, [Terms()]])
def test_a_vendor_has_terms(terms: Any) -> None:  # noqa: ANN401  wrong on purpose
    with pytest.raises(ConfigError, match=r"^a vendor has Terms, or a dict of them"):
        Vendor(terms)


@pytest.mark.parametrize("seconds", [-1, math.nan, True])
def test_a_simulation_lasts_for_seconds(seconds: float) -> None:
    with pytest.raises(ConfigError, match=r"^simulate: seconds: it must be"):
        simulate(Vendor(Terms()), ["p"], seconds=seconds)
    terms: Any = Terms()
    with pytest.raises(ConfigError, match="takes a Vendor"):
        simulate(terms, ["p"])


def test_what_is_odd_but_meant_is_taken() -> None:
    FakeServer(burst_seconds=0, latency=lambda seen: 0.1 * seen.nth, keep=0)
    FakeServer(requests_per_minute=0.001, tokens_per_minute=None, max_concurrent=1)
    Terms(first_token=0, failures=1, bias=-0.5, requests_per_minute=1)
