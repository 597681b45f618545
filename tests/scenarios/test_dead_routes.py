"""Routes that die, never lived, or come back: who stops, who goes on, what is kept."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from headrace import NoRouteError, RequestContext
from headrace.core.errors import (
    ConnectionLostError,
    GoneError,
    NotSentError,
    OutcomeUnknownError,
    OverloadedError,
    PageError,
    QuotaError,
    RateLimitError,
)
from headrace.testing import Failure, Script
from tests.scenarios.outages import COUNT, PROMPTS, at, between, now_and_then

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.core.errors import ProviderError
    from headrace.core.model import Route
    from headrace.testing.provider import Outcome, Rule
    from tests.scenarios.conftest import World

pytestmark = pytest.mark.once


def gone_after(count: int, *names: str) -> Rule:
    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del context
        return GoneError("401: the key is wrong") if route.id in names and n >= count else 0.5

    return rule


def unsteady(share: float, other: Rule, latency: float = 0.1) -> Rule:
    """One route is busy now and then; the other dies by its own rule."""
    busy = Failure(OverloadedError("busy", status=500), 0.1)
    first = now_and_then(share, busy, latency=latency)
    return lambda context, route, n: (first if route.id == "openai/a" else other)(context, route, n)


def test_a_route_that_dies_leaves_its_work_to_the_other(world: type[World]) -> None:
    sim = world(Script(gone_after(300, "openai/a")), ["openai/a", "openai/b"])
    rows = sim.run(PROMPTS)
    assert len(rows.succeeded) == COUNT
    after = [c for c in sim.script.calls if c.route == "openai/a" and c.n >= 300]
    assert len(after) <= 128


def test_a_route_that_dies_alone_stops_the_run_and_loses_nothing(
    world: type[World], tmp_path: Path
) -> None:
    journal = tmp_path / "run.journal"
    sim = world(Script(gone_after(300, "openai/m")), max_concurrent_requests=50)
    with pytest.raises(NoRouteError, match="401: the key is wrong"):
        sim.run(PROMPTS, journal=journal)
    assert sim.client.last_run is not None
    kept = sim.client.last_run.responses
    assert len(kept) == 300
    assert not kept.failed
    assert len(sim.script.calls) <= 350

    again = world(Script(latency=0.1))
    rows = again.run(PROMPTS, journal=journal)
    assert len(rows.succeeded) == COUNT
    assert len(again.script.calls) == COUNT - 300
    assert Counter(row.source for row in rows) == {"journal": 300, "provider": 700}


def test_a_quota_stop_ends_the_run(world: type[World]) -> None:
    stop = QuotaError("no credit is left", status=429)
    sim = world(Script(lambda _c, _r, n: stop if n >= 10 else 0.1), max_concurrent_requests=5)
    with pytest.raises(NoRouteError, match="no credit is left"):
        sim.run(PROMPTS)
    assert len(sim.script.calls) <= 15


@pytest.mark.parametrize(
    ("error", "most"),
    [
        (NotSentError("127.0.0.1:1 refused the connection"), 135),
        (GoneError("404: no such model"), 128),
        (OutcomeUnknownError("it hung up"), 135),
    ],
    ids=["refused", "gone", "dropped"],
)
def test_a_route_that_never_worked_stops_the_run_at_once(
    world: type[World], error: ProviderError, most: int
) -> None:
    sim = world(Script(lambda *_: Failure(error, 0.01)))
    with pytest.raises(NoRouteError, match=str(error)):
        sim.run(PROMPTS)
    assert sim.elapsed < 10
    assert len(sim.script.calls) <= most
    assert sim.client.last_run is not None
    assert not sim.client.last_run.responses


def test_a_firewall_that_dislikes_one_prompt_costs_that_row_alone(world: type[World]) -> None:
    page = PageError("the server answered 403: an HTML page", status=403)
    sim = world(Script(lambda c, _r, _n: page if c.index == 7 else 0.1))
    rows = sim.run(PROMPTS)
    assert [row.index for row in rows.failed] == [7]
    assert rows[7].error is not None
    assert rows[7].error.code == "page"
    assert rows[7].uncertain_attempts == 0
    assert len(sim.script.calls) == COUNT + 4


def test_nothing_but_web_pages_stops_the_run(world: type[World]) -> None:
    page = PageError("a reply with status 200 cannot be read as an answer")
    sim = world(Script(lambda *_: Failure(page, 0.01)))
    with pytest.raises(NoRouteError, match=r"nothing but errors"):
        sim.run(PROMPTS)
    assert len(sim.script.calls) < 200
    assert sim.client.last_run is not None
    assert not sim.client.last_run.responses


@pytest.mark.parametrize("count", [1, 2, 300])
@pytest.mark.parametrize("most", [1, 2, 5])
@pytest.mark.parametrize(
    "error",
    [NotSentError("127.0.0.1:1 is deaf"), ConnectionLostError("127.0.0.1:1 is deaf")],
    ids=["refused", "dropped"],
)
def test_where_nobody_ever_answers_no_row_fails(
    world: type[World], error: ProviderError, count: int, most: int
) -> None:
    sim = world(Script(lambda *_: Failure(error, 0.01)), max_attempts=most)
    with pytest.raises(NoRouteError, match=r"is deaf \(it never answered\)"):
        sim.run(PROMPTS[:count])
    assert sim.elapsed < 10
    assert sim.client.last_run is not None
    summary = sim.client.last_run.summary
    assert summary.total == 0
    assert str(summary).startswith(f"The run ended early: 0 of {len(PROMPTS[:count])} answered in ")
    assert summary.cost == (0 if isinstance(error, NotSentError) else None)


def test_a_slow_server_that_drops_what_is_too_much_at_once_is_not_dead(world: type[World]) -> None:
    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del context, route, n
        is_full = sim.script.in_flight > 100
        return Failure(ConnectionLostError("too many"), 0.01) if is_full else 5.0

    sim = world(Script(rule))
    assert len(sim.run(PROMPTS).succeeded) == COUNT


def test_with_a_dead_key_each_ask_sends_once_and_many_at_once_a_handful(
    world: type[World],
) -> None:
    sim = world(Script(lambda *_: Failure(GoneError("401: the key is wrong"), 0.01)))

    async def main() -> tuple[int, int]:
        for n in range(3):
            row = await sim.client.ask(f"p{n}")
            assert (row.error and row.error.code, row.attempts) == ("no_route", 1)
        one_by_one = len(sim.script.calls)
        rows = await asyncio.gather(*(sim.client.ask(prompt) for prompt in PROMPTS))
        assert {row.error and row.error.code for row in rows} == {"no_route"}
        return one_by_one, len(sim.script.calls) - one_by_one

    one_by_one, at_once = sim.play(main)
    assert one_by_one == 3
    assert at_once <= 128


def test_a_server_with_nothing_but_errors_stops_the_run(world: type[World]) -> None:
    sim = world(Script(lambda *_: OverloadedError("boom", status=500)), max_attempts=50)
    with pytest.raises(NoRouteError, match="nothing but errors"):
        sim.run(PROMPTS)
    assert len(sim.script.calls) < 200


def test_patience_ends_the_wait_for_a_route_that_once_worked(world: type[World]) -> None:
    rule = between(3, 1e9, OutcomeUnknownError("it hung up"))
    sim = world(Script(rule), max_concurrent_requests=20, patience=120)
    with pytest.raises(NoRouteError, match="patience=120 s"):
        sim.run(PROMPTS)
    assert 120 < sim.elapsed < 150
    assert sim.client.last_run is not None
    kept = sim.client.last_run.responses
    assert len(kept.succeeded) == len(kept) == 140


def test_a_hint_beyond_patience_is_not_waited_for(world: type[World]) -> None:
    stop = RateLimitError("the day is used up", status=429, hint=86_400.0)
    sim = world(Script(["a", stop]), max_concurrent_requests=1)
    with pytest.raises(NoRouteError, match="the day is used up"):
        sim.run(PROMPTS)
    assert sim.elapsed < 1


def test_trouble_long_ago_does_not_use_up_patience(world: type[World]) -> None:
    busy = OverloadedError("busy", status=503)
    sim = world(Script(["a", busy, busy, 0.1, busy, 0.1]), max_attempts=2, patience=60)

    async def main() -> list[str | None]:
        said = [(await sim.client.ask("p")).completion]
        said.append((await sim.client.ask("fails")).completion)
        sim.clock.advance(3_600)
        return [*said, (await sim.client.ask("q")).completion]

    assert sim.play(main) == ["a", None, "echo: q"]


def test_who_waits_for_a_route_that_dies_goes_to_one_that_lives(world: type[World]) -> None:
    rule = unsteady(0.2, lambda _c, _r, n: Failure(GoneError("401"), 5.0) if n > 10 else 5.0, 0.2)
    sim = world(Script(rule), ["openai/a", "openai/b"], max_concurrent_requests=4, max_attempts=20)
    rows = sim.run(PROMPTS[:200])
    assert len(rows.succeeded) == 200


def test_a_dead_route_holds_back_nobody_who_failed_on_the_other(world: type[World]) -> None:
    dropped = Failure(OutcomeUnknownError("dropped"), 0.1)
    rule = unsteady(0.1, lambda _c, _r, n: dropped if n > 100 else 0.1)
    sim = world(Script(rule), ["openai/a", "openai/b"], max_concurrent_requests=20, max_attempts=20)
    rows = sim.run(PROMPTS)
    assert len(rows.succeeded) == COUNT
    assert sim.elapsed < 60


def test_only_the_row_fails_whose_own_model_is_gone(world: type[World]) -> None:
    sim = world(Script(at("openai/old", GoneError("404: no such model"))))
    rows = sim.run(
        RequestContext(prompt=f"p{n}", model="openai/old" if n % 10 == 0 else None)
        for n in range(300)
    )
    assert len(rows.succeeded) == 270
    assert {type(row.error) for row in rows.failed} == {GoneError}
    assert all("404" in str(row.error) for row in rows.failed)


def test_a_new_run_asks_again_for_a_rows_own_model(world: type[World]) -> None:
    sim = world(Script([GoneError("404: not yet")]))
    row = RequestContext(prompt="p", model="openai/new")

    async def main() -> list[bool]:
        rows = [await sim.client.process_single_request(row) for _ in range(2)]
        return [row.is_error for row in rows]

    assert sim.play(main) == [True, False]


def test_a_new_run_asks_again_where_the_last_was_turned_away(world: type[World]) -> None:
    sim = world(Script([GoneError("401")]))

    async def main() -> int:
        with pytest.raises(NoRouteError):
            await sim.client.process_prompts_async(["p"], show_progress=False)
        return len((await sim.client.process_prompts_async(["p"], show_progress=False)).succeeded)

    assert sim.play(main) == 1
