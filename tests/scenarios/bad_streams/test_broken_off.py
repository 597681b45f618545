"""Group 19 and 20: streams that end too soon, fall silent, or have an error in them."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Final

import pytest

from headrace import Model, Price
from headrace.core.chunks import RestartChunk, UsageChunk
from headrace.testing.stream_faults import Cut, Drop, ErrorFrame, Silence
from tests.scenarios.bad_streams.meeting import (
    ATTEMPTS,
    SAID,
    Outcome,
    Place,
    check_answer,
    check_raised,
    each_dialect,
    frames_until,
    meet,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from headrace.core.chunks import Chunk
    from headrace.testing.faults import Fault

pytestmark = [pytest.mark.once, pytest.mark.timeout(30)]

# What breaks a stream after so many frames, and the code of what is raised for it.
BREAKS: Final[dict[str, tuple[Callable[[int], Fault], str]]] = {
    "cut": (Cut, "truncated"),
    "dropped": (Drop, "outcome_unknown"),
    "reset": (lambda after: Drop(after, reset=True), "outcome_unknown"),
    "silent": (Silence, "outcome_unknown"),
    "error": (ErrorFrame, "overloaded"),
}
# How many frames an answer is made of, without those that only tell of its usage or its end.
FINISH: Final = {
    "openai": 5,
    "openai-responses": 11,
    "anthropic": 8,
    "google": 3,
    "bedrock": 6,
    "bedrock-anthropic": 8,
    "cohere": 7,
    "ollama-native": 4,
}
each_break = pytest.mark.parametrize("name", BREAKS)


def fault_of(name: str, dialect: str, place: Place) -> Fault:
    return BREAKS[name][0](frames_until(dialect, place))


@each_dialect
@each_break
def test_what_breaks_before_the_first_word_is_sent_again(name: str, dialect: str) -> None:
    check_answer(meet(dialect, [fault_of(name, dialect, "before"), None]), sends=2)


@each_dialect
@each_break
def test_what_always_breaks_before_the_first_word_ends_as_what_it_is(
    name: str, dialect: str
) -> None:
    met = meet(dialect, [fault_of(name, dialect, "before")])
    check_raised(met, BREAKS[name][1], sends=ATTEMPTS, arrived=None)


@each_dialect
@each_break
def test_what_breaks_after_it_is_raised_with_what_had_arrived(name: str, dialect: str) -> None:
    met = meet(dialect, [fault_of(name, dialect, "within"), None])
    check_raised(met, BREAKS[name][1], sends=1, arrived="echo: one ")


@each_dialect
@each_break
def test_a_restart_ends_with_the_whole_answer(name: str, dialect: str) -> None:
    met = meet(dialect, [fault_of(name, dialect, "within"), None], on_break="restart")
    check_answer(met, sends=2)
    [restart] = [chunk for chunk in met.chunks if isinstance(chunk, RestartChunk)]
    assert restart.error.code == BREAKS[name][1]


@each_dialect
def test_both_sends_of_a_restart_are_paid(dialect: str) -> None:
    """The broken one by what it had told of its usage; that it may have cost more is counted."""
    model = Model(id=f"{dialect}/m", price=Price(input=1, output=1))  # type: ignore[arg-type]  # whole numbers are prices
    faults = [fault_of("cut", dialect, "within"), None]
    met = meet(dialect, faults, on_break="restart", models=model)
    alone = meet(dialect, [None], models=model)
    assert met.response is not None
    assert alone.response is not None
    assert alone.response.cost_nanos == 1_000 * (2 + 3)
    told = [chunk for chunk in until_restart(met) if isinstance(chunk, UsageChunk)]
    before = told[-1].usage.total_tokens * 1_000 if told else 0
    assert (before > 0) == (dialect in {"anthropic", "google", "bedrock-anthropic"})
    assert met.response.cost_nanos == alone.response.cost_nanos + before
    assert met.response.uncertain_attempts == 1
    assert met.response.usage == alone.response.usage


def until_restart(met: Outcome) -> Iterator[Chunk]:
    return takewhile(lambda chunk: not isinstance(chunk, RestartChunk), met.chunks)


@each_dialect
def test_a_stream_cut_after_any_frame_is_no_answer_before_its_finish(dialect: str) -> None:
    """After it only what is billed may be missing."""
    for after in range(FINISH[dialect]):
        met = meet(dialect, [Cut(after)], max_attempts=1)
        assert met.error is not None
        assert met.error.code == "truncated"
        assert SAID.startswith(met.text)
    met = meet(dialect, [Cut(FINISH[dialect])])
    assert met.response is not None
    assert met.text == met.response.completion == SAID
