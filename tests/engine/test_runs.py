"""A run in numbers, and in the sentences that are shown at its end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.conversation import Conversation
from headrace.core.errors import BadRowError, HeadraceError, NoRouteError, OverloadedError
from headrace.core.model import dollars
from headrace.core.response import APIResponse, Source, Usage
from headrace.engine.runs import MARKS, Run, Summary


def answer(
    index: int = 0,
    *,
    source: Source = "provider",
    cost: int | None = None,
    attempts: int = 1,
    uncertain: int = 0,
    finish: str = "stop",
    usage: Usage | None = None,
    error: HeadraceError | None = None,
) -> APIResponse[object]:
    return APIResponse(
        index=index,
        source=source,
        cost_nanos=cost,
        attempts=attempts,
        uncertain_attempts=uncertain,
        finish_reason=finish,
        usage=usage,
        error=error,
    )


def run_of(*responses: APIResponse[object], keep: bool = False) -> Run:
    run = Run(keep=keep, counts_duplicates=True)
    for response in responses:
        run.finish(response)
    return run


@given(st.permutations(range(12)), st.integers(0, 12))
def test_what_is_finished_is_kept_in_the_order_of_the_prompts(order: list[int], done: int) -> None:
    run = run_of(*(answer(index) for index in order[:done]), keep=True)
    assert [response.index for response in run.responses] == sorted(order[:done])


def test_a_stream_keeps_nothing() -> None:
    run = run_of(answer(0), answer(1))
    assert run.responses == []
    assert run.summary.total == 2


def test_every_row_is_counted_once() -> None:
    run = run_of(
        answer(usage=Usage(1, 2, 3, 4, 1), cost=5),
        answer(usage=Usage(10, 20, 30, 40, 10), cost=50, attempts=3, finish="length"),
        answer(source="cache", usage=Usage(100, 100), cost=500, attempts=7),
        answer(source="journal"),
        answer(source="coalesced", finish="length"),
        answer(error=OverloadedError("busy"), attempts=2, uncertain=1),
        answer(error=BadRowError("no"), attempts=0),
        answer(error=BadRowError("no"), attempts=0),
    )
    summary = run.close(2.0)
    assert summary is run.summary
    assert (summary.total, summary.succeeded, summary.failed) == (8, 5, 3)
    assert (summary.truncated, summary.sends, summary.uncertain) == (2, 6, 1)
    assert summary.errors == {"overloaded": 1, "bad_row": 2}
    assert summary.sources == {"provider": 2, "cache": 1, "journal": 1, "coalesced": 1}
    # What others sent, or an earlier run, is not spent again.
    assert summary.usage == Usage(11, 22, 33, 44, 11)
    assert (summary.cost_nanos, summary.unpriced, summary.unsettled) == (55, 0, 1)
    assert summary.elapsed == 2.0


def test_what_was_spent_on_a_row_is_counted_though_it_is_not_finished() -> None:
    run = run_of()
    gone = NoRouteError("gone")
    run.write_off(answer(error=gone, attempts=0))
    run.write_off(answer(error=gone, attempts=3))
    assert (run.summary.sends, run.summary.unsettled) == (3, 0)
    run.write_off(answer(error=gone, attempts=2, uncertain=1))
    run.write_off(answer(usage=Usage(1, 2), cost=5))
    run.write_off(answer(source="coalesced", usage=Usage(1, 2), cost=5))
    summary = run.close(1.0)
    assert (summary.total, summary.succeeded, summary.failed) == (0, 0, 0)
    assert (summary.sends, summary.uncertain, summary.unsettled) == (6, 1, 1)
    assert (summary.usage, summary.cost_nanos) == (Usage(1, 2), 5)


def test_duplicates_are_noticed_where_they_matter() -> None:
    run = Run(keep=False, counts_duplicates=True)
    for prompt in ("a", "a", "a", Conversation.of("b"), Conversation().user("b"), "c"):
        run.see(prompt)
    assert run.summary.duplicates == 3
    shared = Run(keep=False, counts_duplicates=False)
    shared.see("a")
    shared.see("a")
    assert shared.summary.duplicates == 0


def test_no_duplicates_are_invented_however_long_the_run() -> None:
    run = Run(keep=False, counts_duplicates=True)
    for number in range(2 * MARKS):
        run.see(str(number))
    assert run.summary.duplicates == 0
    run.see(str(2 * MARKS - 1))
    assert run.summary.duplicates == 1


def test_occurrences_are_numbered_for_each_request() -> None:
    run = Run(keep=False, counts_duplicates=False)
    assert [run.occurrence(key) for key in "abaab"] == [0, 0, 1, 2, 1]
    run.close(0.0)
    assert run.occurrence("a") == 0


@pytest.mark.parametrize(
    ("nanos", "unpriced", "cost"),
    [(0, 0, 0.0), (0, 3, None), (1_500_000_000, 0, 1.5), (1_500_000_000, 3, 1.5)],
)
def test_an_unknown_cost_is_not_zero(nanos: int, unpriced: int, cost: float | None) -> None:
    assert Summary(cost_nanos=nanos, unpriced=unpriced).cost == cost


@pytest.mark.parametrize(
    ("summary", "sentence"),
    [
        (Summary(), "0 of 0 answered in 0.0 s. 0 sent, 0 tokens, $0."),
        (
            Summary(expected=40, is_complete=False, elapsed=0.5),
            "The run ended early: 0 of 40 answered in 0.5 s. 0 sent, 0 tokens, $0.",
        ),
        (
            Summary(
                total=10,
                succeeded=9,
                failed=1,
                errors={"bad_row": 1},
                is_complete=False,
                unsettled=2,
                sends=3,
            ),
            (
                "The run ended early: 9 answered so far in 0.0 s. 1 failed (1 bad_row)."
                " 3 sent, 0 tokens, cost unknown."
            ),
        ),
        (
            Summary(
                total=2_000,
                succeeded=2_000,
                elapsed=4.0,
                sends=2_100,
                usage=Usage(1_000_000, 500),
                cost_nanos=123_400_000,
                sources={"provider": 2_000},
            ),
            "2,000 of 2,000 answered in 4.0 s (500.0/s). 2,100 sent, 1,000,500 tokens, $0.1234.",
        ),
        (
            Summary(
                total=10,
                succeeded=7,
                failed=3,
                elapsed=2.0,
                sends=4,
                unpriced=4,
                errors={"overloaded": 1, "bad_row": 2},
                sources={"provider": 1, "cache": 2, "coalesced": 1, "journal": 3},
            ),
            (
                "7 of 10 answered in 2.0 s (5.0/s). 3 failed (2 bad_row, 1 overloaded)."
                " Not sent: 2 from the cache, 1 shared, 3 from the journal."
                " 4 sent, 0 tokens, cost unknown."
            ),
        ),
        (
            Summary(
                truncated=1,
                duplicates=2,
                uncertain=3,
                resent=4,
                unpriced=5,
                unsettled=6,
                cost_nanos=76,
            ),
            (
                "0 of 0 answered in 0.0 s. 0 sent, 0 tokens, $0.000000076."
                " 1 cut off at their output bound; raise max_tokens."
                " 2 asked more than once; a cache would share their answers."
                " 3 sent without a readable reply and may have been charged."
                " 4 in flight when an earlier run ended may have been sent twice."
                " 5 without a known price or usage are not in the cost."
                " 6 whose outcome is unknown are not in the cost."
            ),
        ),
    ],
    ids=["nothing", "stopped", "stopped, of unknown length", "all well", "all sorts", "remarks"],
)
def test_the_sentences(summary: Summary, sentence: str) -> None:
    assert str(summary) == sentence


def test_a_run_shows_itself_as_its_sentence() -> None:
    run = run_of(answer(usage=Usage(1, 2)))
    run.close(2.0)
    said = "1 of 1 answered in 2.0 s (0.5/s). 1 sent, 3 tokens, cost unknown."
    assert (repr(run), repr(run.summary)) == (f"<Run: {said}>", f"<Summary: {said}>")


@pytest.mark.parametrize(
    ("nanos", "shown"),
    [
        (0, "$0"),
        (1, "$0.000000001"),
        (7_600, "$0.0000076"),
        (123_456, "$0.00012"),
        (999_999, "$0.00100"),
        (12_345_678, "$0.0123"),
        (1_500_000_000, "$1.5000"),
    ],
)
def test_a_cost_is_shown_with_two_significant_digits(nanos: int, shown: str) -> None:
    assert dollars(nanos) == shown
