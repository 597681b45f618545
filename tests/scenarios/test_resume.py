"""The journal through the client: what was answered is never asked again, whatever happened."""

from __future__ import annotations

import asyncio
import errno
import random
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from headrace import APIResponse, Model, Price, RequestContext, SamplingParams
from headrace.core.errors import (
    GoneError,
    HeldBackError,
    JournalError,
    NoRouteError,
    NotSentError,
    OutcomeUnknownError,
    OverloadedError,
    QuotaError,
    RateLimitError,
    RejectedError,
    ReplyError,
)
from headrace.core.reply import Reply
from headrace.engine.journal import LEAST_RESERVE, SEGMENT, Journal
from headrace.testing import Answer, Script
from headrace.testing.disk import FaultyDisk, Kind

if TYPE_CHECKING:
    from headrace.core.model import Route
    from headrace.core.response import Responses
    from headrace.testing.provider import Outcome
    from tests.scenarios.conftest import World

pytestmark = pytest.mark.once

PROMPTS = [f"p{n}" for n in range(300)]
PRICE = Price(input=Decimal(1), output=Decimal(2))


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "run.journal"


def kept(sim: World) -> Responses[Any]:
    assert sim.client.last_run is not None
    return sim.client.last_run.responses


def asked(sim: World) -> Counter[str]:
    return Counter(call.prompt for call in sim.script.calls)


def bare(row: APIResponse[object]) -> APIResponse[object]:
    return replace(row, source="provider")


def test_a_second_run_asks_nothing_and_returns_the_same(world: type[World], journal: Path) -> None:
    model = Model(id="openai/m", price=PRICE)
    answers: list[Outcome] = [Answer("a", 0.5, input_tokens=7, output_tokens=3), "b", Answer("c")]
    first = world(Script(answers), model).run(["p", "q", "r"], journal=journal)
    again = world(Script(["never"]), model)
    second = again.run(["p", "q", "r"], journal=journal)
    assert not again.script.calls
    assert [row.source for row in second] == ["journal"] * 3
    assert [bare(row) for row in second] == [bare(row) for row in first]
    assert second[0].cost == pytest.approx(13e-6)
    assert again.client.last_run is not None
    assert again.client.last_run.summary.cost == 0
    assert "3 from the journal" in str(again.client.last_run.summary)


def test_rows_may_be_added_removed_reordered_and_duplicated(
    world: type[World], journal: Path
) -> None:
    world(Script(latency=0.1)).run([*PROMPTS[:200], "twice", "twice"], journal=journal)
    rows = PROMPTS[100:] + ["twice"] * 4 + ["new"]
    random.Random(1).shuffle(rows)
    again = world(Script(latency=0.1))
    done = again.run(rows, journal=journal)
    assert [row.completion for row in done] == [f"echo: {prompt}" for prompt in rows]
    assert asked(again) == Counter(PROMPTS[200:]) + Counter({"twice": 2, "new": 1})


def test_the_same_prompt_for_different_models_may_change_its_order(
    world: type[World], journal: Path
) -> None:
    rows = [RequestContext(prompt="p", model=f"openai/{name}") for name in "abc"]
    world(Script(latency=0.1)).run(rows, journal=journal)
    again = world(Script())
    done = again.run([rows[2], rows[1]], journal=journal)
    assert [row.route for row in done] == ["openai/c", "openai/b"]
    assert not again.script.calls


def test_changed_content_is_a_new_request(world: type[World], journal: Path) -> None:
    world(Script()).run(["p"], journal=journal)
    again = world(Script())
    assert again.run(["p "], journal=journal)[0].source == "provider"
    hot = SamplingParams(temperature=1)
    assert again.run(["p"], journal=journal, sampling_params=hot)[0].source == "provider"
    assert again.run(["p"], journal=journal, model="openai/n")[0].source == "provider"
    assert again.run(["p"], journal=journal)[0].source == "journal"


def test_failed_rows_are_tried_again(world: type[World], journal: Path) -> None:
    first = world(Script([RejectedError("no", status=400)], latency=0.1), max_concurrent_requests=1)
    assert [row.is_error for row in first.run(["p", "q"], journal=journal)] == [True, False]
    again = world(Script())
    assert [row.source for row in again.run(["p", "q"], journal=journal)] == ["provider", "journal"]
    third = world(Script())
    assert [row.source for row in third.run(["p", "q"], journal=journal)] == ["journal"] * 2


def test_bad_rows_do_not_disturb(world: type[World], journal: Path) -> None:
    rows = ["p", "", None, "\ud800", "q"]
    first = world(Script()).run(rows, journal=journal)
    assert [row.is_error for row in first] == [False, True, True, True, False]
    again = world(Script())
    assert [row.is_error for row in again.run(rows, journal=journal)] == [r.is_error for r in first]
    assert not again.script.calls


def test_cached_and_coalesced_answers_are_in_the_journal(world: type[World], journal: Path) -> None:
    sim = world(Script(latency=0.1), cache="memory")
    sim.run(["cached"])
    rows = sim.run(["cached", "same", "same", "same"], journal=journal)
    assert [row.source for row in rows] == ["cache", "provider", "coalesced", "coalesced"]
    again = world(Script())
    done = again.run(["same", "cached", "same", "same"], journal=journal)
    assert not again.script.calls
    assert {row.source for row in done} == {"journal"}
    assert [row.completion for row in done] == [f"echo: {p}" for p in ("same", "cached")] + [
        "echo: same"
    ] * 2


@pytest.mark.parametrize("cache", [None, "memory"])
def test_a_run_that_is_cancelled_goes_on_where_it_was(
    world: type[World], journal: Path, cache: str | None
) -> None:
    sim = world(Script(latency=1.0), max_concurrent_requests=20, cache=cache)

    async def main() -> None:
        run = asyncio.create_task(
            sim.client.process_prompts_async(PROMPTS, journal=journal, show_progress=False)
        )
        await asyncio.sleep(5.5)
        run.cancel()
        await asyncio.wait({run})
        assert run.cancelled()

    sim.play(main)
    assert len(kept(sim).succeeded) == 100
    assert sim.client.last_run is not None
    again = world(Script(latency=0.1))
    rows = again.run(PROMPTS, journal=journal)
    assert len(rows.succeeded) == 300
    assert len(again.script.calls) == 200
    # What was in flight may have been paid for twice, and the summary says so.
    assert again.client.last_run is not None
    assert 20 <= again.client.last_run.summary.resent <= 21
    assert "in flight when an earlier run ended" in str(again.client.last_run.summary)


@pytest.mark.parametrize(
    ("outcomes", "resent"),
    [
        ([GoneError("401")], 0),
        ([QuotaError("no credit")], 0),
        ([NotSentError("refused")] * 10, 0),
        ([RateLimitError("slow", status=429, hint=60.0)], 0),
        ([OverloadedError("busy", status=503, hint=60.0)], 0),
        ([HeldBackError("parked"), RateLimitError("slow", status=429, hint=60.0)], 0),
        ([OutcomeUnknownError("cut", hint=60.0)], 1),
        ([OutcomeUnknownError("cut"), RateLimitError("slow", status=429, hint=60.0)], 1),
        ([RateLimitError("slow", status=429, hint=1.0), 90.0], 1),
        ([ReplyError("odd", reply=Reply(200, b"{"), hint=60.0)], 0),
    ],
)
def test_only_what_may_have_been_paid_counts_as_sent_twice(
    world: type[World], journal: Path, outcomes: list[Outcome], resent: int
) -> None:
    sim = world(Script(outcomes))

    async def main() -> None:
        run = asyncio.create_task(
            sim.client.process_prompts_async(["p"], journal=journal, show_progress=False)
        )
        await asyncio.wait({run}, timeout=30)
        run.cancel()
        await asyncio.wait({run})
        assert run.cancelled() or isinstance(run.exception(), NoRouteError)

    sim.play(main)
    again = world(Script())
    again.run(["p"], journal=journal)
    assert again.client.last_run is not None
    assert again.client.last_run.summary.resent == resent
    third = world(Script())
    third.run(["p"], journal=journal)
    assert third.client.last_run is not None
    assert third.client.last_run.summary.resent == 0


def test_a_run_that_is_cancelled_in_the_moment_of_opening_leaves_no_lock(
    world: type[World], journal: Path
) -> None:
    was_opened = []
    for steps in range(6):
        sim = world(Script(latency=1.0))

        async def main(sim: World = sim, steps: int = steps) -> None:
            run = asyncio.create_task(
                sim.client.process_prompts_async(["p"], journal=journal, show_progress=False)
            )
            for _ in range(steps):
                await asyncio.sleep(0)
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run

        sim.play(main)
        was_opened.append(journal.exists())
        Journal.open(journal).close()
        journal.unlink()
    assert set(was_opened) == {False, True}, "before the opening, and after it"


def test_two_runs_on_one_journal_are_one_too_many(world: type[World], journal: Path) -> None:
    sim = world(Script(latency=1.0))

    async def main() -> tuple[object, object]:
        runs = (
            sim.client.process_prompts_async(["p"], journal=journal, show_progress=False)
            for _ in range(2)
        )
        one, two = await asyncio.gather(*runs, return_exceptions=True)
        return one, two

    outcomes = sim.play(main)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["JournalError", "Responses"]
    [error] = [str(outcome) for outcome in outcomes if isinstance(outcome, JournalError)]
    assert str(journal) in error


def test_a_shared_answer_is_kept_for_each_row_even_if_its_sender_has_left(
    world: type[World], journal: Path
) -> None:
    rows = [RequestContext(prompt="same", deadline=1.0), RequestContext(prompt="same")]
    first = world(Script(latency=5.0), coalesce=True).run(rows, journal=journal)
    assert [row.is_error for row in first] == [True, False]
    again = world(Script())
    done = again.run(rows, journal=journal)
    assert [row.source for row in done] == ["journal", "journal"]
    assert not again.script.calls


def test_a_run_with_a_journal_and_one_without_do_not_share_their_ends(
    world: type[World], journal: Path
) -> None:
    sim = world(Script(latency=10.0), coalesce=True)

    async def main() -> list[str | None]:
        kept_one = asyncio.create_task(
            sim.client.process_prompts_async(["same"], journal=journal, show_progress=False)
        )
        await asyncio.sleep(1)
        plain = asyncio.create_task(sim.client.process_prompts_async(["same"], show_progress=False))
        await asyncio.sleep(1)
        kept_one.cancel()
        return [row.completion for row in await plain]

    assert sim.play(main) == ["echo: same"]


def stop_by(sim: World, path: Path) -> str:
    with pytest.raises(JournalError) as caught:
        sim.run(PROMPTS, journal=path)
    return str(caught.value)


def test_a_full_disk_stops_the_run_before_a_send(world: type[World]) -> None:
    path = Path("run.journal")
    disk = FaultyDisk(capacity=SEGMENT + LEAST_RESERVE)
    long = "x" * 20_000

    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del context, route, n
        return Answer(long, 0.1)

    sim = world(Script(rule), max_concurrent_requests=20, disk=disk)
    message = stop_by(sim, path)
    assert "free some space" in message
    done = kept(sim)
    # Whatever was sent was answered, and its answer was kept.
    assert len(done.succeeded) == len(done) == len(sim.script.calls)
    assert 0 < len(done) < 300

    disk.capacity = None
    again = world(Script(latency=0.1), disk=disk)
    rows = again.run(PROMPTS, journal=path)
    assert len(rows.succeeded) == 300
    assert len(again.script.calls) == 300 - len(done)


@pytest.mark.parametrize("nth", [4, 7, 12])
@pytest.mark.parametrize("kind", ["write", "fsync"])
def test_a_disk_that_fails_stops_the_run(world: type[World], kind: Kind, nth: int) -> None:
    path = Path("run.journal")
    disk = FaultyDisk()
    sim = world(Script(latency=0.1), max_concurrent_requests=20, disk=disk)
    disk.fail(kind, nth, errno.EIO)
    assert "run the same again" in stop_by(sim, path)
    shown = len(kept(sim).succeeded)
    assert len(kept(sim)) == shown < 300
    after = world(Script(latency=0.1), disk=disk.crash(power=False))
    rows = after.run(PROMPTS, journal=path)
    assert len(rows.succeeded) == 300
    # Nothing that was shown is asked again.
    assert len(after.script.calls) <= 300 - shown


def test_a_failure_that_cannot_be_written_stops_the_run(world: type[World]) -> None:
    disk = FaultyDisk()
    disk.fail("fsync", 4)
    sim = world(Script(lambda *_: RejectedError("no", status=400)), disk=disk)
    stop_by(sim, Path("run.journal"))


def test_replies_that_cannot_be_read_are_kept_and_tried_again(world: type[World]) -> None:
    broken = ReplyError("not JSON", status=200, reply=Reply(200, b"{...", {}))
    disk = FaultyDisk()
    sim = world(Script([broken]), disk=disk)
    assert sim.run(["p"], journal="run.journal")[0].attempts == 2
    opened = Journal.open("run.journal", disk=disk)
    assert (opened.recovered.unreadable, opened.recovered.runs) == (1, 1)
    opened.close()


def test_a_stream_has_its_journal_too(world: type[World], journal: Path) -> None:
    sim = world(Script(latency=0.1))

    async def main() -> int:
        count = 0
        async with sim.client.process_stream(PROMPTS, journal=journal) as rows:
            async for _ in rows:
                count += 1
                if count == 100:
                    break
        return count

    assert sim.play(main) == 100
    again = world(Script(latency=0.1))
    assert len(again.run(PROMPTS, journal=journal).succeeded) == 300
    assert len(again.script.calls) <= 200


@pytest.mark.parametrize("again", ["journal", "memory", "file"])
def test_uncertain_attempts_come_back_and_are_not_counted_again(
    world: type[World], journal: Path, again: str
) -> None:
    cache = {"journal": None, "memory": "memory", "file": journal.parent / "answers.db"}[again]
    options: dict[str, Any] = {"journal": journal} if again == "journal" else {}
    sim = world(Script([OutcomeUnknownError("cut"), "a"]), cache=cache, threads=again == "file")
    first = sim.run(["p"], **options)
    assert (first[0].attempts, first[0].uncertain_attempts) == (2, 1)
    second = sim.run(["p"], **options)
    assert second[0].source == ("journal" if again == "journal" else "cache")
    assert bare(second[0]) == bare(first[0])
    assert sim.client.last_run is not None
    summary = sim.client.last_run.summary
    assert (summary.sends, summary.uncertain, summary.resent) == (0, 0, 0)


def test_retries_are_in_the_journal(world: type[World], journal: Path) -> None:
    sim = world(Script([OverloadedError("busy", status=500)]))
    first = sim.run(["p"], journal=journal)
    again = world(Script())
    assert again.run(["p"], journal=journal)[0].attempts == first[0].attempts == 2
