"""Servers without any limit, which refuse by chance or answer unevenly: what nobody should heed."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from statistics import NormalDist
from typing import Final, Literal

from benchmarks.scenarios.found import knee
from benchmarks.scenarios.scenario import MINUTE, Scenario, at_least
from headrace.testing.simulation import Terms

# Refused by chance: so many at once, whose answers take so long, and a refusal so long.
AT_ONCE: Final = 200
LATENCY, REFUSAL = 2.0, 0.05
# From here on it is to be known.
KNOWN: Final = 90.0
SHARES: Final = (0.001, 0.003, 0.01, 0.03, 0.1)
# Answers a minute that a second of quiet after each refusal leaves, with nothing else done about
# them.
QUIET: Final = {0.01: 5_590.0, 0.1: 5_150.0}

SIGMA: Final = 1.5
NORMAL: Final = NormalDist()


def by_chance(share: float, status: Literal[429, 503]) -> Scenario:
    """The limit is what comes without any control."""
    seconds = LATENCY + REFUSAL * share / (1 - share)
    return Scenario(
        name=f"by chance: {share:.1%} are refused with {status}",
        terms=Terms(failures=share, failure_status=status, first_token=LATENCY, hints=False),
        limit=AT_ONCE * MINUTE / seconds,
        aims=(at_least("used", 0.9),),
        start=KNOWN,
        end=KNOWN + 2 * MINUTE,
        small_end=KNOWN + MINUTE,
        options={"max_concurrent_requests": AT_ONCE},
    )


def with_quiet(share: float) -> Scenario:
    """Each refusal asks for a second of quiet, which it gets."""
    scenario = by_chance(share, 429)
    asking = replace(scenario.base, failure_wait=1.0, hints="seconds")
    name = f"{scenario.name}, Retry-After 1 s"
    return replace(scenario, name=name, terms=asking, limit=QUIET[share])


def uneven(name: str, terms: Terms, limit: float, end: float) -> Scenario:
    """Answers of all lengths, whatever the load; the limit is what comes without any control."""
    return Scenario(
        name=f"uneven answers: {name}",
        terms=terms,
        limit=limit,
        aims=(at_least("used", 0.9),),
        start=30.0,
        end=end + 120.0,
        small_end=end,
    )


def lengths(place: float) -> float:
    """Lognormal, 1 on average."""
    return math.exp(SIGMA * NORMAL.inv_cdf(place) - SIGMA**2 / 2)


def sometimes(place: float) -> float:
    """One in ten takes a hundred times as long."""
    return 1.0 if place < 0.9 else 100.0


def batched(step: int, most: int, in_flight: int) -> float:
    """All in one batch: with ``step`` in it twice as long as alone, and no more than ``most``."""
    return 1 + min(in_flight, most) / step


STEP_AT, MOST = 48, 256
BATCH: Final = Terms(
    parallel=MOST,
    crowding=partial(batched, STEP_AT, MOST),
    first_token=0.2,
    per_token=0.01,
    output=100,
    spread=0.5,
)

UNLIMITED: Final = (
    *(by_chance(share, status) for share in SHARES for status in (429, 503)),
    *(with_quiet(share) for share in QUIET),
    uneven("0.3 s, one in ten 30 s", Terms(first_token=0.3, varying=sometimes), 18_000, 60.0),
    uneven("2 s, lognormal", Terms(first_token=2.0, varying=lengths), 31_000, 60.0),
    knee(
        "256 at once, all in one batch",
        BATCH,
        MOST * MINUTE / (1.2 * batched(STEP_AT, MOST, MOST)),
    ),
)
