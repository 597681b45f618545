"""Limits that change while a run goes on, and answers far below what was declared for them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from benchmarks.scenarios.scenario import (
    BURST,
    MINUTE,
    OK,
    Scenario,
    after_replies,
    at_least,
    at_most,
)
from headrace import Model, SamplingParams
from headrace.testing.simulation import Terms, used

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.scenarios.scenario import Figures, Scene
    from headrace.testing.simulation.headers import HeaderDialect
    from headrace.testing.windows import Counting

COUNTINGS: Final[tuple[Counting, ...]] = ("continuous", "minute", "sliding")
PER_MINUTE: Final = 300
# And, where nothing tells it, a limit whose answers show it in half a minute.
LARGER: Final = 3_000
CHANGE: Final = 90.0
# Without headers, so long after a limit was halved nothing is refused any more.
SOON: Final = 10.0
# So long after it was doubled 90 % of it are used.
ADOPTED: Final = 30.0


def _terms(
    limit: int, counting: Counting, headers: HeaderDialect | None, factor: float
) -> dict[float, Terms]:
    before = Terms(
        requests_per_minute=limit,
        counting=counting,
        first_token=1.0,
        headers=headers,
        hints="seconds",
    )
    return {0.0: before, CHANGE: replace(before, requests_per_minute=limit * factor)}


def _name(
    what: str, limit: int, counting: Counting, headers: HeaderDialect | None, factor: float
) -> str:
    told = "told by headers" if headers else "no headers"
    return f"{what}: {limit:,} to {limit * factor:,.0f} requests, {counting}, {told}"


def halved(limit: int, counting: Counting, headers: HeaderDialect | None) -> Scenario:
    """Half as much in the middle of a run; what was used before may count for a minute."""
    # Nothing but a refusal now and then shows that it has not been raised again.
    few = () if headers else (at_most("late 429s of all", 0.01),)
    return Scenario(
        name=_name("halved", limit, counting, headers, 0.5),
        terms=_terms(limit, counting, headers, 0.5),
        limit=limit / 2,
        late=after_replies(2, CHANGE) if headers else CHANGE + SOON,
        since=CHANGE,
        aims=(at_most("late 429s", 0), *few, at_least("used", 0.9)),
        start=CHANGE + MINUTE,
        end=CHANGE + 3 * MINUTE,
        small_end=CHANGE + 2 * MINUTE,
        spare=2 * (BURST + CHANGE),
    )


def doubled(limit: int, counting: Counting, headers: HeaderDialect | None) -> Scenario:
    """Twice as much in the middle of a run."""
    return Scenario(
        name=_name("doubled", limit, counting, headers, 2.0),
        terms=_terms(limit, counting, headers, 2.0),
        limit=limit * 2,
        late=CHANGE + ADOPTED,
        since=CHANGE,
        aims=(at_most("90 % after", ADOPTED), at_least("used", 0.9)),
        start=CHANGE + ADOPTED,
        end=CHANGE + ADOPTED + 2 * MINUTE,
        small_end=CHANGE + ADOPTED + MINUTE,
        spare=BURST,
    )


# What is declared for an answer, and what it is.
MOST, SAID, TOKENS = 1_000, 100, 60_000
INPUT: Final = 5


def ten_times(scene: Scene) -> Figures:
    """Answers a minute, against what reserving the declared maximum would let through."""
    start, end = scene.scenario.start, scene.end
    answered = sum(send.status == OK and start <= send.at < end for send in scene.report.sends)
    reserving = scene.scenario.limit / (MOST + scene.scenario.each - SAID)
    return {"throughput": answered * MINUTE / (end - start) / reserving}


def small_answers(
    name: str, terms: Mapping[str, Any], row: Mapping[str, Any], each: float
) -> Scenario:
    """A tenth of what was declared is said, at a vendor that counts what is said."""
    return Scenario(
        name=f"output a tenth of max_tokens: {name}",
        terms=Terms(counts="used", output=SAID, spread=0.5, first_token=1.0, **terms),
        limit=TOKENS,
        cost=used,
        each=each,
        aims=(at_least("throughput", 5.0),),
        start=30.0,
        end=150.0,
        small_end=90.0,
        options={
            "models": Model(id="anthropic/any", **row),
            "sampling_params": SamplingParams(max_tokens=MOST),
        },
        more=ten_times,
    )


CHANGING: Final = (
    *(halved(PER_MINUTE, counting, "openai") for counting in COUNTINGS),
    *(halved(n, counting, None) for n in (PER_MINUTE, LARGER) for counting in COUNTINGS),
    *(doubled(PER_MINUTE, counting, "openai") for counting in COUNTINGS),
    *(doubled(n, counting, None) for n in (PER_MINUTE, LARGER) for counting in COUNTINGS),
    small_answers(
        "tokens stated",
        {"tokens_per_minute": TOKENS, "counting": "sliding"},
        {"tokens_per_minute": TOKENS},
        INPUT + SAID,
    ),
    small_answers(
        "output tokens stated",
        {"output_tokens_per_minute": TOKENS, "counting": "minute"},
        {"output_tokens_per_minute": TOKENS},
        INPUT + SAID,
    ),
    small_answers(
        "output tokens told",
        {"output_tokens_per_minute": TOKENS, "headers": "anthropic"},
        {},
        INPUT + SAID,
    ),
)
