"""Limits that the caller states: used to the full, kept in any 60 s, and never refused."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Final

from benchmarks.scenarios.scenario import Scenario, at_least, at_most, waits_of
from headrace import Model, RequestContext, SamplingParams
from headrace.testing.simulation import Terms, declared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.scenarios.scenario import Aim
    from headrace.testing.windows import Counting

ANY: Final = "openai/any"
KEPT: Final = (at_least("used", 0.99), at_most("most in 60 s", 1.0), at_most("429s", 0))
# Of a server that counts by the second.
BY_SECOND: Final = (
    at_least("used", 0.95),
    at_most("most in 60 s", 1.0),
    at_most("429s of all", 0.001),
)
LARGE: Final = (
    at_least("used", 0.8),
    at_most("most in 60 s", 1.0),
    at_most("429s", 0),
    at_most("largest waits", 2.0),
)
# Where requests arrive closer together than they were sent.
ON_THE_WAY: Final = (at_least("used", 0.95), at_most("429s of all", 0.001))
OFF: Final = (at_least("used", 0.95), at_most("429s of all", 0.001))
# More than a minute, so that any 60 s can be looked at.
SMALL_END: Final = 75.0
COUNTINGS: Final[tuple[Counting, ...]] = ("continuous", "minute", "sliding", "second")
# One of so many prompts has 60 % of a minute's tokens: one in two minutes, or in four.
SELDOM: Final = (500, 1_000)


def _aims(counting: Counting) -> tuple[Aim, ...]:
    return BY_SECOND if counting == "second" else KEPT


def of_tokens(tokens: int, most: int) -> Callable[[], Iterator[object]]:
    """Prompts of about so many tokens, with so many declared for the answer."""
    params = SamplingParams(max_tokens=most)
    filler = "word" * tokens

    def prompts() -> Iterator[object]:
        return (RequestContext(prompt=f"p{n:06}{filler}", params=params) for n in count())

    return prompts


def with_large(small: int, large: int, every: int) -> Callable[[], Iterator[object]]:
    """Prompts that declare a small maximum, and now and then a large one."""
    usual, seldom = SamplingParams(max_tokens=small), SamplingParams(max_tokens=large)

    def prompts() -> Iterator[object]:
        for n in count():
            is_large = n % every == every // 2
            yield RequestContext(prompt=f"p{n}", params=seldom if is_large else usual)

    return prompts


def requests(counting: Counting) -> Scenario:
    """So many requests a minute."""
    per_minute = 6_000 if counting == "second" else 600
    return Scenario(
        name=f"known: {per_minute:,} requests, {counting}",
        terms=Terms(requests_per_minute=per_minute, counting=counting),
        limit=per_minute,
        aims=_aims(counting),
        options={"max_requests_per_minute": per_minute},
        small_end=SMALL_END,
    )


def on_the_way(counting: Counting) -> Scenario:
    """The same, and each request takes up to a second to arrive."""
    row = requests(counting)
    return replace(
        row,
        name=f"{row.name}, up to 1 s on the way",
        terms=replace(row.base, way=1.0),
        aims=ON_THE_WAY,
        end=600.0,
        small_end=240.0,
    )


def tokens(counting: Counting) -> Scenario:
    """So many tokens a minute, a third of a percent of them in each request."""
    per_minute = 6_000_000 if counting == "second" else 300_000
    return Scenario(
        name=f"known: {per_minute:,} tokens, {counting}",
        terms=Terms(tokens_per_minute=per_minute, counting=counting),
        limit=per_minute,
        cost=declared,
        each=1_000,
        prompts=of_tokens(494, 500),
        aims=_aims(counting),
        options={"models": Model(id=ANY, tokens_per_minute=per_minute)},
        small_end=SMALL_END,
    )


def of_client(counting: Counting) -> Scenario:
    """The same, stated for the client as a whole."""
    row = tokens(counting)
    options = {"max_tokens_per_minute": row.limit}
    return replace(row, name=f"{row.name}, stated for the client", options=options)


def both(counting: Counting) -> Scenario:
    """Requests and tokens, of which tokens bind."""
    factor = 20 if counting == "second" else 1
    rpm, tpm = 310 * factor, 300_000 * factor
    return Scenario(
        name=f"known: {rpm:,} requests and {tpm:,} tokens, {counting}",
        terms=Terms(requests_per_minute=rpm, tokens_per_minute=tpm, counting=counting),
        limit=tpm,
        cost=declared,
        each=1_000,
        prompts=of_tokens(494, 500),
        aims=_aims(counting),
        options={"models": Model(id=ANY, requests_per_minute=rpm, tokens_per_minute=tpm)},
        small_end=SMALL_END,
    )


def large(counting: Counting, every: int) -> Scenario:
    """One prompt in so many has 60 % of a minute's tokens; the others are small, and endless."""
    per_minute, small = 300_000, 1_000
    most = int(per_minute * 0.6)
    return Scenario(
        name=f"known: {per_minute:,} tokens, one prompt of 60 % in {every:,}, {counting}",
        terms=Terms(tokens_per_minute=per_minute, counting=counting),
        limit=per_minute,
        cost=declared,
        each=small + most / every,
        prompts=with_large(small, most, every),
        aims=LARGE,
        options={"models": Model(id=ANY, tokens_per_minute=per_minute)},
        more=waits_of(most),
        end=every * 0.84,
        small_end=every * 0.56,
    )


def off(name: str, spread: float, bias: float) -> Scenario:
    """The vendor counts other input tokens than an estimate by size gives."""
    per_minute = 300_000
    return Scenario(
        name=f"known: {per_minute:,} tokens, estimates off by {name}",
        terms=Terms(tokens_per_minute=per_minute, counting="sliding", off=spread, bias=bias),
        limit=per_minute,
        cost=declared,
        each=1_000,
        prompts=of_tokens(944, 50),
        aims=OFF,
        options={"models": Model(id=ANY, tokens_per_minute=per_minute)},
        small_end=SMALL_END,
    )


KNOWN: Final = (
    *map(requests, COUNTINGS),
    on_the_way("minute"),
    on_the_way("sliding"),
    *map(tokens, COUNTINGS),
    of_client("sliding"),
    *map(both, COUNTINGS),
    *(large(counting, every) for every in SELDOM for counting in COUNTINGS[:3]),
    off("±15 %", 0.15, 0.0),
    off("+15 %", 0.0, 0.15),
    off("-15 %", 0.0, -0.15),
)
