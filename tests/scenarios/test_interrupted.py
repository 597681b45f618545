"""The summary of an interrupted run: what was sent and has no reply may have been charged."""

from __future__ import annotations

import asyncio
import errno
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from headrace import Model, NoRouteError, Price, RequestContext
from headrace.core.errors import (
    DeadlineError,
    GoneError,
    JournalError,
    OutcomeUnknownError,
    OverloadedError,
    ReplyError,
)
from headrace.core.reply import Reply
from headrace.testing import Answer, Script
from headrace.testing.disk import FaultyDisk

if TYPE_CHECKING:
    from headrace import APIResponse
    from headrace.core.fingerprint import Key
    from headrace.core.model import Route
    from headrace.engine.runs import Run, Summary
    from headrace.testing.provider import Outcome
    from tests.scenarios.conftest import World

PROMPTS = [f"p{n}" for n in range(50)]
PRICED = Model(id="openai/m", price=Price(input=Decimal(1), output=Decimal(2)))


def cancelled(sim: World, prompts: object, after: float, **options: Any) -> Summary:
    """The summary of a run that is cancelled after so many seconds."""
    client: Any = sim.client

    async def main() -> None:
        run = asyncio.create_task(
            client.process_prompts_async(prompts, show_progress=False, **options)
        )
        await asyncio.sleep(after)
        run.cancel()
        await asyncio.wait({run})
        assert run.cancelled()

    sim.play(main)
    return summary_of(sim)


def summary_of(sim: World) -> Summary:
    assert sim.client.last_run is not None
    return sim.client.last_run.summary


@pytest.mark.parametrize("shares", [False, True])
def test_what_is_in_flight_when_a_run_is_cancelled(world: type[World], shares: bool) -> None:
    sim = world(Script(latency=1.0), PRICED, max_concurrent_requests=20, coalesce=shares)
    summary = cancelled(sim, PROMPTS, 1.5)
    assert (summary.succeeded, summary.total) == (20, 20)
    assert (summary.sends, summary.uncertain, summary.unsettled) == (40, 20, 20)
    assert "20 sent without a readable reply and may have been charged" in str(summary)


def test_what_is_in_flight_when_a_stream_is_left(world: type[World]) -> None:
    sim = world(Script(lambda _c, _r, n: 1.0 if n < 5 else 9.0), max_concurrent_requests=5)

    async def main() -> None:
        async with sim.client.process_stream(PROMPTS) as responses:
            async for response in responses:
                if response.index == 4:
                    break

    sim.play(main)
    assert (summary_of(sim).sends, summary_of(sim).uncertain) == (10, 5)


@pytest.mark.parametrize(
    ("error", "uncertain"),
    [(OverloadedError("busy", status=503, hint=60.0), 0), (OutcomeUnknownError("cut"), 1)],
    ids=["refused", "unknown"],
)
def test_what_was_sent_before_it_waited_again(
    world: type[World], error: OverloadedError | OutcomeUnknownError, uncertain: int
) -> None:
    error.hint = 60.0
    summary = cancelled(world(Script([error]), PRICED), ["p"], 5)
    assert (summary.sends, summary.uncertain, summary.unsettled) == (1, uncertain, uncertain)
    assert summary.cost == (None if uncertain else 0)


def test_what_never_left_is_not_counted(world: type[World]) -> None:
    sim = world(Script(latency=9.0), max_concurrent_requests=1)
    assert cancelled(sim, PROMPTS, 5).sends == 1


def test_an_answer_that_came_and_was_not_handed_out_is_paid(world: type[World]) -> None:
    sim = world(Script([Answer("a", 1.0, 7, 3)]), PRICED, cache=Slow(), coalesce=False)
    summary = cancelled(sim, ["p"], 5)
    assert (summary.total, summary.sends, summary.uncertain) == (0, 1, 0)
    assert (summary.usage.total_tokens, summary.cost) == (10, 13e-6)


class Slow:
    """A cache of the caller's own that takes its time."""

    async def get(self, key: Key) -> None:
        del key

    async def put(self, key: Key, response: APIResponse[object]) -> None:
        del key, response
        await asyncio.sleep(60)

    async def aclose(self) -> None:
        """Nothing to close."""


def test_a_failed_attempt_that_cannot_be_recorded_is_counted(world: type[World]) -> None:
    disk = FaultyDisk()
    disk.fail("fsync", 3, errno.EIO)
    odd = ReplyError("odd", reply=Reply(200, b"{"))
    sim = world(Script([odd]), PRICED, disk=disk)
    with pytest.raises(JournalError):
        sim.run(["p"], journal="run.journal")
    assert (summary_of(sim).sends, summary_of(sim).uncertain) == (1, 1)


@pytest.mark.parametrize("shares", [False, True])
def test_an_answer_that_cannot_be_recorded_is_paid(world: type[World], shares: bool) -> None:
    disk = FaultyDisk()
    disk.fail("fsync", 3, errno.EIO)
    sim = world(Script([Answer("a", 1.0, 7, 3)]), PRICED, disk=disk, coalesce=shares)
    with pytest.raises(JournalError):
        sim.run(["p"], journal="run.journal")
    summary = summary_of(sim)
    assert (summary.sends, summary.uncertain, summary.cost) == (1, 0, 13e-6)


def test_a_run_that_stops_counts_what_its_rows_had_sent(world: type[World]) -> None:
    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del context, route
        return OutcomeUnknownError("cut") if n == 0 else GoneError("401")

    sim = world(Script(rule), PRICED, max_concurrent_requests=1)
    with pytest.raises(NoRouteError):
        sim.run(["p"])
    summary = summary_of(sim)
    assert (summary.sends, summary.uncertain, summary.unsettled) == (2, 1, 1)


def test_what_was_only_refused_costs_nothing(world: type[World]) -> None:
    sim = world(Script([GoneError("401")]))
    with pytest.raises(NoRouteError):
        sim.run(["p"])
    assert (summary_of(sim).sends, summary_of(sim).uncertain) == (1, 0)
    assert summary_of(sim).cost == 0


def test_something_unforeseen_in_an_attempt_is_counted(world: type[World]) -> None:
    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del context, route
        if n == 0:
            raise LookupError("a bug of the provider's")
        return 1.0

    sim = world(Script(rule))
    assert [row.is_error for row in sim.run(["p", "q"])] == [True, False]
    assert (summary_of(sim).sends, summary_of(sim).uncertain) == (2, 1)


# Shared sends.


def test_a_shared_send_that_is_cut_by_its_last_deadline(world: type[World]) -> None:
    sim = world(Script(latency=10.0), coalesce=True)
    rows = sim.run(RequestContext(prompt="same", deadline=d) for d in (1.0, 5.0, 3.0))
    assert {type(row.error) for row in rows} == {DeadlineError}
    # It belongs to the one that ended it.
    assert [(row.attempts, row.uncertain_attempts) for row in rows] == [(0, 0), (1, 1), (0, 0)]
    assert (summary_of(sim).sends, summary_of(sim).uncertain) == (1, 1)
    assert rows[1].error is not None
    assert [e.code for e in rows[1].error.history] == ["outcome_unknown"]


def test_a_shared_send_counts_once_when_its_run_is_cancelled(world: type[World]) -> None:
    sim = world(Script(latency=10.0), coalesce=True)
    summary = cancelled(sim, ["same"] * 5 + ["other"], 5)
    assert (summary.sends, summary.uncertain) == (2, 2)


@pytest.mark.parametrize("stays", [True, False])
def test_a_shared_send_counts_for_the_run_that_ends_it(world: type[World], stays: bool) -> None:
    sim = world(Script(latency=10.0), coalesce=True)

    async def main() -> list[Run | None]:
        runs, kept = [], []
        for _ in range(2):
            run = sim.client.process_prompts_async(["same"], show_progress=False)
            runs.append(asyncio.create_task(run))
            await asyncio.sleep(1)
            kept.append(sim.client.last_run)
        runs[0].cancel()
        await asyncio.wait(runs[:1])
        if not stays:
            runs[1].cancel()
        await asyncio.wait(runs)
        return kept

    first, second = (run.summary for run in sim.play(main) if run is not None)
    assert (first.sends, first.uncertain) == (0, 0)
    assert (second.sends, second.uncertain) == (1, 0 if stays else 1)
