"""What a client says of itself, and of what its requests wait for."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from headrace import Binding, LLMClient, Model, Statistics
from headrace.core.errors import GoneError, OverloadedError, RateLimitError
from headrace.testing import Failure, Script, VirtualClock, run_virtual
from tests.clients import lanes, made, quiet, virtual
from tests.shared_book import SharedBook

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.testing.provider import Outcome

PROMPTS = [f"p{n}" for n in range(100)]
LONG = "word " * 400
CALM = Failure(RateLimitError("slow", status=429, hint=30.0), 0.01)


def midway(
    script: Script,
    prompts: list[str] = PROMPTS,
    *,
    before: Callable[[LLMClient], object] = bool,
    seconds: float = 1.0,
    **options: Any,
) -> Statistics:
    """How the client stood so many seconds after its run had begun."""

    async def main(client: LLMClient) -> Statistics:
        before(client)
        run = asyncio.ensure_future(quiet(client, prompts))
        await asyncio.sleep(seconds)
        found = client.statistics()
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        return found

    return virtual(script, main, **options)


def ten_a_second() -> Script:
    """A server that refuses what is more, without a hint."""
    times: list[float] = []

    def answers(_: object, route: object, n: int) -> Outcome:
        del route, n
        now = asyncio.get_running_loop().time()
        if sum(now - at < 1 for at in times[-10:]) == 10:
            return Failure(RateLimitError("slow", status=429), 0.01)
        times.append(now)
        return 0.01

    return Script(answers)


def said(statistics: Statistics) -> list[str]:
    return [str(binding) for binding in statistics.binding]


def test_before_a_run_nothing_was_sent_and_nothing_binds() -> None:
    client = made(Script(), ["openai/a", "openai/b"])
    assert client.statistics() == Statistics(cost=0.0, routes=tuple(client.routes()))


def test_it_counts_what_all_attempts_have_come_to_and_what_the_last_minute_brought() -> None:
    slow = RateLimitError("slow", status=429, hint=1.0)
    script = Script([0.5, slow, 0.5, Failure(OverloadedError("busy", status=503), 0.1)])

    async def main(client: LLMClient) -> list[Statistics]:
        await client.ask("one")
        await client.ask("two")
        early = client.statistics()
        await asyncio.sleep(70)
        await client.ask("three")
        return [early, client.statistics()]

    early, late = virtual(script, main)
    assert (early.sent, early.succeeded, early.failed, early.rate_limited) == (3, 2, 0, 1)
    assert early.requests_last_minute == 3
    assert early.tokens_last_minute == early.tokens == early.usage.total_tokens > 0
    assert (late.sent, late.succeeded, late.failed) == (5, 3, 1)
    assert late.requests_last_minute == 2
    assert late.tokens_last_minute == late.tokens - early.tokens > 0
    assert (late.in_flight, late.waiting, late.binding) == (0, 0, ())


def test_requests_in_line_are_counted_once_however_many_routes_they_may_take() -> None:
    found = midway(Script(latency=9.0), models=["openai/a", "openai/b"], max_concurrent_requests=10)
    assert (found.in_flight, found.sent) == (10, 10)
    assert found.waiting > 10
    assert [status.waiting for status in found.routes] == [found.waiting] * 2


def test_it_names_the_requests_of_the_client() -> None:
    found = midway(Script(latency=0.1), seconds=1.5, max_requests_per_minute=60)
    (binding,) = found.binding
    assert str(binding) == "requests/min of the client (60)"
    assert (binding.what, binding.where, binding.limit) == ("requests/min", "client", 60)
    assert binding.used == pytest.approx(2, abs=1)
    assert binding.seconds is not None
    assert 0 < binding.seconds <= 1


def test_it_names_the_tokens_of_a_row() -> None:
    model = Model(id="openai/m", tokens_per_minute=10_000, output_tokens_per_minute=10_000)
    found = midway(Script(latency=0.1), [LONG] * 20, models=[model])
    assert said(found)[0] == "tokens/min of openai/m (10,000)"
    model = Model(id="openai/m", input_tokens_per_minute=3_000)
    found = midway(Script(latency=0.1), [LONG] * 20, models=[model])
    assert said(found) == ["input tokens/min of openai/m (3,000)"]


def test_it_names_what_a_day_allows() -> None:
    model = Model(id="openai/m", requests_per_day=5)
    (binding,) = midway(Script(latency=0.1), models=[model], patience=90_000).binding
    assert str(binding) == "requests/day of openai/m (5)"
    assert binding.used == 5
    assert binding.seconds == pytest.approx(86_400, rel=0.01)


def test_it_names_each_key() -> None:
    model = Model(id="openai/m", requests_per_minute=30)
    found = midway(Script(latency=0.1), models=[model], api_key=["one", "two"])
    phrases = {"requests/min of openai/m (30)", "requests/min of openai/m key 2 (30)"}
    assert set(said(found)) == phrases
    assert {binding.where for binding in found.binding} == {"openai/m", "openai/m#2"}


def test_it_names_slots_given_and_found() -> None:
    assert said(midway(Script(latency=9.0), max_concurrent_requests=7)) == [
        "concurrency of the client (7)"
    ]
    row = Model(id="openai/m", max_concurrent_requests=3)
    found = midway(Script(latency=9.0), models=[row], max_concurrent_requests=7)
    assert said(found) == ["concurrency of openai/m (3)"]
    found = midway(Script(latency=9.0))
    assert said(found) == ["concurrency of openai/m (found: 16)"]
    assert (found.binding[0].used, found.binding[0].seconds) == (16, None)


def test_it_names_quiet_and_for_how_long() -> None:
    found = midway(Script([CALM]), ["p"], seconds=10.0)
    assert said(found) == ["quiet that openai/m asked for, 20 s"]
    assert found.binding[0].seconds == pytest.approx(20, abs=0.1)


def test_it_names_breakers() -> None:
    busy = Failure(OverloadedError("busy", status=503), 0.1)
    settings = {"failures": 2, "first_break": 40, "longest_break": 40}

    async def warm(client: LLMClient) -> Statistics:
        await client.ask("well")
        run = asyncio.ensure_future(quiet(client, ["p"]))
        await asyncio.sleep(10)
        found = client.statistics()
        await run
        return found

    found = virtual(Script([0.1, busy, busy, 0.1]), warm, breaker=settings)
    assert found.binding[0].name == "breaker of openai/m"
    assert found.binding[0].state == "open"
    assert found.binding[0].seconds == pytest.approx(27, abs=5)
    found = midway(Script(latency=9.0), before=lambda client: client.trip("openai/m", 0.5))
    assert said(found) == ["breaker of openai/m (half-open, its probe is under way)"]
    found = midway(Script(), before=lambda client: client.trip("openai/m"))
    assert said(found) == ["breaker of openai/m (open until it is reset)"]
    found = midway(Script(), before=lambda client: client.trip("openai/m", 11))
    assert said(found) == ["breaker of openai/m (open), 10 s"]


def test_what_is_gone_stands_behind_what_will_be_there_again() -> None:
    def answers(_: object, route: object, n: int) -> Outcome:
        del n
        is_first = getattr(route, "id", None) == "openai/a"
        return GoneError("401: the key is wrong") if is_first else 9.0

    found = midway(Script(answers), models=["openai/a", "openai/b"])
    assert said(found) == [
        "concurrency of openai/b (found: 16)",
        "openai/a, which is gone (401: the key is wrong)",
    ]


def test_it_names_the_pace_that_was_found() -> None:
    found = midway(ten_a_second(), [f"p{n}" for n in range(3_000)], seconds=30.0)
    (pace,) = (binding for binding in found.binding if binding.what == "pace")
    assert str(pace).startswith("pace of openai/m (found: ")
    assert str(pace).endswith("/min)")
    assert pace.limit == pytest.approx(600, rel=0.25)
    assert pace.source == "found"


def test_it_names_shared_limits_and_a_store_that_is_lost() -> None:
    clock = VirtualClock()
    book = SharedBook(clock)

    async def main() -> list[list[str]]:
        async with made(
            Script(latency=0.1),
            clock=clock,
            chance=lambda: 0.5,
            max_requests_per_minute=60,
            shared_limits=book,
        ) as client:
            run = asyncio.ensure_future(quiet(client, PROMPTS))
            await asyncio.sleep(3.5)
            phrases = [said(client.statistics())]
            book.lost = True
            await asyncio.sleep(3)
            phrases.append(said(client.statistics()))
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
            return phrases

    before, after = run_virtual(main, clock=clock)
    assert before == ["requests/min of the client (shared: 60)"]
    assert after == ["shared limits of the shared book (cannot be reached)", *before]


def test_a_run_that_waits_says_so_beside_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    async def main(client: LLMClient) -> None:
        await client.process_prompts_async(["p"])

    calm = Failure(RateLimitError("slow", status=429, hint=50.0), 0.01)
    virtual(Script([calm, 0.1]), main)
    shown = capsys.readouterr().err
    assert shown == "0 of 1 done, 0.0/s, 0 tokens | waits for quiet that openai/m asked for\n"


def test_any_thread_may_ask_while_a_run_goes_on() -> None:
    client = made(Script(latency=0.0), max_concurrent_requests=1)
    client.trip("openai/m")
    seen: list[Binding] = []

    def watch() -> None:
        while not client.statistics().waiting:
            pass
        seen.extend(client.statistics().binding)
        client.reset("openai/m")

    watcher = threading.Thread(target=watch)
    watcher.start()
    with client:
        client.process_prompts_sync(PROMPTS, show_progress=False)
    watcher.join()
    assert [binding.what for binding in seen] == ["breaker"]
    assert client.statistics().binding == ()
    assert [state.waiting for state in lanes(client)] == [0]
