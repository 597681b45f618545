"""Limits that nobody states and no header tells: found, held, and hardly ever run into."""

from __future__ import annotations

import math
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from benchmarks.scenarios.scenario import BURST, MINUTE, OK, Scenario, at_least, at_most
from headrace.testing.simulation import Terms

if TYPE_CHECKING:
    from benchmarks.scenarios.scenario import Aim, Figures, Scene
    from headrace.testing.windows import Counting

# From here on it is to be found.
FOUND: Final = 30.0
AIMS: Final = (
    at_most("90 % after", FOUND),
    at_least("used", 0.9),
    at_most("late 429s of all", 0.01),
)
# An address of a vendor, of whose prices nothing has to be read. Nobody is called there.
VENDORS: Final = "https://eu.api.openai.com/v1"
# Answers of minutes, in seconds; so many prompts, and so many of them at once are enough.
SLOW: Final = 120.0
SLOWLY: Final = 2_000
ENOUGH: Final = 200
# Whole minutes after it.
END, SMALL_END, ONE_MINUTE = 210.0, 150.0, 90.0
LATENCIES: Final = {60: 2.0, 600: 1.0, 6_000: 0.5}
COUNTINGS: Final[tuple[Counting, ...]] = ("continuous", "minute", "sliding")
Hints: TypeAlias = Literal[False, "seconds", "body"]
HINTS: Final[tuple[Hints, ...]] = ("seconds", False)
# What each is called.
SAID: Final[dict[Hints, str]] = {"seconds": "Retry-After", "body": "RetryInfo", False: "no hint"}


def found(per_minute: float, counting: Counting, hints: Hints) -> Scenario:
    """So many requests a minute, with or without a Retry-After."""
    latency = LATENCIES[int(per_minute)]
    return Scenario(
        name=f"found: {per_minute:,} requests, {counting}, {SAID[hints]}",
        terms=Terms(
            requests_per_minute=per_minute, counting=counting, first_token=latency, hints=hints
        ),
        limit=per_minute,
        late=FOUND,
        aims=AIMS,
        # Where minutes are counted, one that was used up at once has nothing left for its rest, so
        # that all counts from its beginning, the search for the limit too.
        start=FOUND if counting == "continuous" else 0.0,
        end=END,
        small_end=SMALL_END,
        spare=BURST,
    )


def at_once(most: int, latency: float = 1.0) -> Scenario:
    """So many at once, and the next one is refused."""
    return Scenario(
        name=f"found: {most} at once, {latency:g} s",
        terms=Terms(max_concurrent_requests=most, first_token=latency),
        limit=60 * most / latency,
        late=FOUND,
        aims=AIMS,
        start=FOUND,
        end=END,
        small_end=ONE_MINUTE,
    )


def of_minutes(at_once: int, aims: tuple[Aim, ...]) -> Scenario:
    """Answers take two minutes each, as those of models that think; so many are borne at once."""
    per_minute = at_once * MINUTE / SLOW
    # What so many at once take for all of them.
    whole = math.ceil(SLOWLY / at_once) * SLOW
    return Scenario(
        name=f"found: {at_once} at once, {SLOW:g} s",
        terms=Terms(max_concurrent_requests=at_once, first_token=SLOW, hints=False),
        limit=per_minute,
        aims=(*aims, at_most("lost", 0)),
        start=SLOW,
        end=whole,
        spare=SLOWLY / per_minute * MINUTE - whole,
        options={"base_url": VENDORS},
        more=partial(rounds, whole=whole),
    )


def rounds(scene: Scene, whole: float) -> Figures:
    """When enough were in flight, in latencies, and how long all took."""
    sends = scene.report.sends
    enough = (send.at / SLOW for send in sends if send.status == OK and send.in_flight >= ENOUGH)
    return {"200 at once": next(enough, None), "time of all": scene.report.ended / whole}


def knee(name: str, terms: Terms, limit: float) -> Scenario:
    """A server that slows down instead of refusing."""
    return Scenario(
        name=f"found: knee at {name}",
        terms=terms,
        limit=limit,
        aims=(at_most("90 % after", FOUND), at_least("used", 0.9), at_most("in flight", 2.0)),
        start=FOUND,
        end=END,
        small_end=ONE_MINUTE,
        more=crowd,
    )


def crowd(scene: Scene) -> Figures:
    """How many it serves at once, against what it serves at full speed."""
    parallel = scene.scenario.base.parallel
    late = [send.in_flight for send in scene.report.sends if FOUND <= send.at < scene.end]
    return {"in flight": median(late) / parallel if late and parallel else None}


FINDING: Final = (
    *(found(n, counting, hints) for n in LATENCIES for counting in COUNTINGS for hints in HINTS),
    found(600, "sliding", "body"),
    at_once(50),
    of_minutes(
        300,
        (at_most("200 at once", 3.0), at_most("time of all", 1.3), at_most("429s of all", 0.02)),
    ),
    of_minutes(50, (at_most("time of all", 1.3), at_most("429s of all", 0.02))),
    knee("20 at once", Terms(parallel=20, first_token=1.0), 1_200),
    knee(
        "20 at once, answers of all lengths",
        Terms(parallel=20, first_token=0.2, per_token=0.01, output=100, spread=0.8),
        1_000,
    ),
)
