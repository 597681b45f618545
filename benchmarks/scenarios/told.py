"""Limits that a server tells in its headers: nothing is refused once it has spoken."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Final

from benchmarks.scenarios.scenario import BURST, MINUTE, Scenario, after_replies, at_least, at_most
from headrace import Model, SamplingParams
from headrace.testing.clock import running_clock
from headrace.testing.simulation import Terms, declared, used

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.testing.simulation.headers import HeaderDialect
    from headrace.testing.windows import Counting

AIMS: Final = (at_most("late 429s", 0), at_least("used", 0.9))
# Whole minutes, whatever a minute is counted from.
START, END, SMALL_END = 30.0, 210.0, 90.0
# At which prompt the clock jumps by how many seconds.
JUMPS: Final = {700: 3_600.0, 1_200: -7_200.0}


def told(headers: HeaderDialect, counting: Counting, per_minute: float, latency: float) -> Scenario:
    """So many requests a minute, in the words of one vendor."""
    return Scenario(
        name=f"told: {headers}, {per_minute:,} requests, {counting}, {latency:g} s",
        terms=Terms(
            requests_per_minute=per_minute,
            counting=counting,
            first_token=latency,
            headers=headers,
            hints="seconds",
        ),
        limit=per_minute,
        late=after_replies(1),
        aims=AIMS,
        start=START,
        end=END,
        small_end=SMALL_END,
        spare=BURST,
        options={"models": f"{headers}/any"},
    )


def tokens(counting: Counting) -> Scenario:
    """Tokens as declared, at a vendor that tells of requests as well."""
    return Scenario(
        name=f"told: openai, 600,000 tokens, {counting}, 1 s",
        terms=Terms(
            requests_per_minute=3_000,
            tokens_per_minute=600_000,
            counting=counting,
            first_token=1.0,
            headers="openai",
            hints="seconds",
        ),
        limit=600_000,
        each=1_005,
        cost=declared,
        late=after_replies(1),
        aims=AIMS,
        start=START,
        end=END,
        small_end=SMALL_END,
        spare=BURST,
        options={"sampling_params": SamplingParams(max_tokens=1_000)},
    )


def groq() -> Scenario:
    """Requests of a day and tokens of a minute, under the names that others use for a minute's."""
    return Scenario(
        name="told: groq, 14,400 requests a day and 60,000 tokens, continuous, 1 s",
        terms=Terms(
            requests_per_day=14_400,
            tokens_per_minute=60_000,
            first_token=1.0,
            headers="groq",
            hints="seconds",
            counts="used",
        ),
        limit=60_000,
        each=105,
        cost=used,
        late=after_replies(1),
        aims=AIMS,
        start=START,
        end=END,
        small_end=SMALL_END,
        spare=BURST,
        options={"models": "groq/any", "sampling_params": SamplingParams(max_tokens=100)},
    )


def of_refusals(per_minute: float) -> Scenario:
    """A refused request counts as well, so that asking again makes it worse."""
    row = told("openai", "sliding", per_minute, 1.0)
    name, terms = f"{row.name}, refusals count", replace(row.base, refusals_count=True)
    return replace(row, name=name, terms=terms)


def on_the_way(counting: Counting) -> Scenario:
    """Each request takes up to a second to arrive."""
    row = told("openai", counting, 600, 1.0)
    return replace(
        row,
        name=f"{row.name}, up to 1 s on the way",
        terms=replace(row.base, way=1.0),
        aims=(at_least("used", 0.95), at_most("429s of all", 0.001)),
        end=600.0,
        small_end=240.0,
    )


def clock_jumps() -> Scenario:
    """Resets are dates, and our wall clock jumps on and back meanwhile."""

    def prompts() -> Iterator[object]:
        for n in count():
            if n in JUMPS:
                running_clock().epoch += JUMPS[n]
            yield f"p{n}"

    row = told("anthropic", "sliding", 600, 1.0)
    return replace(row, name=f"{row.name}, clock jumps by hours", prompts=prompts)


def of_two_keys(*, shared: bool) -> Scenario:
    """Two keys, with limits of their own or with one account's, which is told."""
    whose = "one account" if shared else "two accounts"
    return Scenario(
        name=f"told: two keys of {whose}, 600 requests each, sliding, 1 s",
        terms=Terms(
            requests_per_minute=600,
            counting="sliding",
            shared=shared,
            first_token=1.0,
            headers="openai",
            hints="seconds",
        ),
        limit=600 if shared else 1_200,
        late=after_replies(2),
        aims=AIMS,
        start=START,
        end=END,
        small_end=START + 2 * MINUTE,
        options={"api_key": ["sk-one", "sk-two"]},
    )


def of_one_account() -> Scenario:
    """Two keys whose account is stated, at a vendor that does not tell it."""
    row = of_two_keys(shared=True)
    return replace(
        row,
        name=f"{row.name}, stated",
        terms=replace(row.base, headers="mistral"),
        options={**row.options, "models": Model(id="mistral/any", account="ours")},
    )


TOLD: Final = (
    told("openai", "continuous", 60, 10.0),
    told("openai", "minute", 600, 1.0),
    told("openai", "second", 6_000, 0.3),
    told("openai", "sliding", 600, 10.0),
    told("openai", "continuous", 6_000, 10.0),
    told("anthropic", "continuous", 6_000, 0.3),
    told("anthropic", "sliding", 60, 1.0),
    told("anthropic", "minute", 60, 10.0),
    told("mistral", "minute", 600, 1.0),
    told("mistral", "sliding", 60, 3.0),
    told("cerebras", "minute", 600, 1.0),
    told("together", "second", 600, 1.0),
    told("together", "second", 6_000, 3.0),
    told("fireworks", "continuous", 600, 0.3),
    told("fireworks", "sliding", 6_000, 1.0),
    tokens("continuous"),
    tokens("minute"),
    tokens("sliding"),
    groq(),
    of_refusals(60),
    of_refusals(600),
    on_the_way("minute"),
    on_the_way("sliding"),
    clock_jumps(),
    of_two_keys(shared=False),
    of_two_keys(shared=True),
    of_one_account(),
)
