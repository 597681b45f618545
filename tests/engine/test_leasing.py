"""Several clients and one store, in virtual time: what they share, and what they do without it."""

from __future__ import annotations

import asyncio
import logging
import random
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from headrace import LLMClient, Model, NoRouteError, SamplingParams, events
from headrace.core.errors import ConfigError, OverloadedError, RateLimitError
from headrace.testing import Answer, Script, VirtualClock, run_virtual
from tests.clients import made, quiet
from tests.scenarios.test_limits import most_in_a_minute
from tests.shared_book import SharedBook

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

pytestmark = pytest.mark.once


class Together:
    """So many clients, each a process in its own right, that share one book."""

    def __init__(
        self,
        *scripts: Script,
        latency: float = 0.001,
        book: type[SharedBook] = SharedBook,
        **options: Any,
    ) -> None:
        self.clock = VirtualClock()
        self.book = book(self.clock, latency)
        self.scripts = scripts
        self.clients = [
            made(
                script,
                clock=self.clock,
                shared_limits=self.book,
                chance=random.Random(n).random,
                **options,
            )
            for n, script in enumerate(scripts)
        ]

    @property
    def sent_at(self) -> list[float]:
        return sorted(call.at for script in self.scripts for call in script.calls)

    def play(self, *mains: Callable[[LLMClient], Coroutine[object, object, object]]) -> list[Any]:
        """Each client does one thing, the last of them the rest; what comes of it."""

        async def one(number: int, client: LLMClient) -> object:
            await asyncio.sleep(0.013 * number)
            async with client:
                return await mains[min(number, len(mains) - 1)](client)

        async def whole() -> list[Any]:
            everybody = (one(n, client) for n, client in enumerate(self.clients))
            return await asyncio.gather(*everybody, return_exceptions=True)

        return run_virtual(whole, clock=self.clock)


def pushing(count: int, seconds: float = 1e6) -> Callable[[LLMClient], Coroutine[Any, Any, Any]]:
    """Push so many prompts, for so long at most."""

    async def push(client: LLMClient) -> object:
        async with asyncio.timeout(seconds):
            return await quiet(client, (f"p{n}" for n in range(count)))

    return push


def test_four_processes_use_97_percent_of_one_limit_and_never_more() -> None:
    together = Together(*(Script(latency=0.2) for _ in range(4)), max_requests_per_minute=6_000)
    together.play(pushing(100_000, 150.0))
    at = together.sent_at
    assert most_in_a_minute(at, [1] * len(at)) <= 6_000
    assert len(at) >= 0.97 * 6_000 * 150 / 60
    counts = [len(script.calls) for script in together.scripts]
    assert min(counts) > 0.7 * max(counts)
    # Asking is no flood: a few times a second for each process.
    assert len(together.book.messages) < 4 * 150 * 30


def test_one_that_is_busy_may_have_what_the_others_leave() -> None:
    together = Together(*(Script(latency=0.2) for _ in range(4)), max_requests_per_minute=600)
    together.play(pushing(1_000, 120.0), pushing(5))
    busy = [call.at for call in together.scripts[0].calls]
    assert len(busy) >= 0.96 * 1_000
    assert all(len(script.calls) == 5 for script in together.scripts[1:])


# OpenAI would count what was declared.
COUNTS_WHAT_IS_USED = "mistral/m"


def test_tokens_that_replies_did_not_use_are_lent_again_to_all() -> None:
    script = [Script(lambda *_: Answer("short", 0.5, 20, 30)) for _ in range(2)]
    together = Together(
        *script,
        models=COUNTS_WHAT_IS_USED,
        max_tokens_per_minute=60_000,
        sampling_params=SamplingParams(max_tokens=100),
    )
    together.play(pushing(100_000, 180.0))
    at = together.sent_at
    used = most_in_a_minute(at, [50] * len(at))
    assert used <= 60_000
    # Of 50 tokens each; more than 100 were reserved at first.
    late = [moment for moment in at if moment > at[0] + 60]
    assert 50 * len(late) >= 0.9 * 120_000


def test_requests_and_tokens_and_the_limits_of_a_row_hold_together() -> None:
    model = Model(id="openai/m", requests_per_minute=300)
    together = Together(
        Script(latency=0.1),
        Script(latency=0.1),
        models=model,
        max_requests_per_minute=900,
        max_tokens_per_minute=10_000_000,
    )
    together.play(pushing(10_000, 130.0))
    at = together.sent_at
    assert most_in_a_minute(at, [1] * len(at)) <= 300
    assert len(at) >= 0.96 * 300 * 130 / 60
    assert {name for m in together.book.messages for name in m.scopes} == {"client", "openai/m"}


def test_a_large_prompt_is_served_among_endless_small_ones_of_others() -> None:
    scripts = Script(latency=0.1), Script(latency=0.1)
    together = Together(
        *scripts, max_tokens_per_minute=6_000, sampling_params=SamplingParams(max_tokens=16)
    )

    async def large(client: LLMClient) -> float:
        await asyncio.sleep(70)
        began = asyncio.get_running_loop().time()
        response = await client.ask("x" * 4 * 3_600)
        assert not response.is_error
        return asyncio.get_running_loop().time() - began

    _, waited = together.play(pushing(10_000, 200.0), large)
    assert waited < 2 * 60 * 0.6 + 5


def test_what_is_not_used_goes_back_at_the_end() -> None:
    together = Together(Script(latency=0.1), Script(latency=0.1), max_requests_per_minute=60)
    together.play(pushing(3))
    lent = sum(account["total"] for account in accounts(together.book))
    assert lent == 6


def accounts(book: SharedBook) -> list[Any]:
    plain: Any = book.book.plain()
    return [one for page in plain["pages"].values() for one in page["accounts"].values()]


def test_quiet_that_a_server_asks_one_for_is_kept_by_all() -> None:
    def refused_once(*call: Any) -> RateLimitError | float:
        n = call[2]
        return RateLimitError("slow", status=429, hint=20.0) if n == 3 else 0.1

    scripts = Script(refused_once), Script(latency=0.1)
    together = Together(*scripts, max_requests_per_minute=600)
    together.play(pushing(300))
    parked = scripts[0].calls[3].at + 0.1
    heard = parked + 1.2
    assert [at for at in together.sent_at if heard < at < parked + 19] == []
    assert len(together.sent_at) == 601


def test_a_route_that_breaks_for_one_is_left_alone_by_who_knows_nothing_better() -> None:
    def broken(*_: object) -> OverloadedError | float:
        now = asyncio.get_running_loop().time()
        return OverloadedError("down", status=503) if 1_003 < now < 1_030 else 0.1

    well = Script(latency=0.1)
    scripts = Script(broken), Script(broken), well
    together = Together(*scripts, max_requests_per_minute=6_000)

    async def late(client: LLMClient) -> object:
        await asyncio.sleep(13)
        return await pushing(50)(client)

    together.play(pushing(3_000), late, pushing(3_000))
    first, second, third = (script.calls for script in scripts)
    # The second hears of it before it has tried five times, and probes seldom.
    early = [call for call in second if call.at < 1_030]
    assert len(early) < 15
    # The third has answers all the time, and believes them.
    gaps = [b.at - a.at for a, b in pairwise(third)]
    assert max(gaps) < 1.0
    assert len([call for call in first if 1_004 < call.at < 1_030]) < 15


def test_a_store_that_is_lost_stops_the_sending_is_told_and_goes_on_when_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    together = Together(Script(latency=0.1), max_requests_per_minute=600)
    told: list[object] = []
    together.clients[0].add_listener(told.append)

    async def lose(client: LLMClient) -> object:
        run = asyncio.create_task(pushing(600)(client))
        await asyncio.sleep(10)
        together.book.lost = True
        await asyncio.sleep(30)
        together.book.lost = False
        return await run

    with caplog.at_level(logging.WARNING, "headrace"):
        [responses] = together.play(lose)
    assert len(responses.succeeded) == 600
    began = together.sent_at[0]
    # What had been lent may be spent for half a second.
    assert [at for at in together.sent_at if began + 11 < at < began + 39] == []
    changes = [event for event in told if isinstance(event, events.SharedLimitsChanged)]
    assert [change.is_lost for change in changes] == [True, False]
    assert [record.message for record in caplog.records] == [
        "the shared book is lost. Nothing is sent until it can be reached again.",
        "the shared book can be reached again.",
    ]


def test_a_store_that_stays_lost_stops_the_run_when_patience_ends() -> None:
    together = Together(Script(latency=0.1), max_requests_per_minute=600, patience=60.0)

    async def lose(client: LLMClient) -> object:
        run = asyncio.create_task(pushing(10_000)(client))
        await asyncio.sleep(10)
        together.book.lost = True
        return await run

    [error] = together.play(lose)
    assert isinstance(error, NoRouteError)
    assert error.message == (
        "no route is left: openai/m at http://127.0.0.1:1/v1: the shared book is lost (for longer"
        " than patience=60 s)"
    )
    assert 70 < together.clock.now() / 1e9 - 1_000 < 75
    run = together.clients[0].last_run
    assert run is not None
    assert len(run.responses.succeeded) == len(together.sent_at)
    together.book.lost = False
    [responses] = together.play(lambda client: quiet(client, ["resumed"]))
    assert len(responses.succeeded) == 1


def test_steps_whose_answers_are_lost_break_no_limit() -> None:
    together = Together(Script(latency=0.1), Script(latency=0.1), max_requests_per_minute=600)

    async def stammer(client: LLMClient) -> object:
        run = asyncio.create_task(pushing(1_200, 200.0)(client))
        dice = random.Random(3)
        await asyncio.sleep(0.5)
        while not run.done():
            together.book.mute = dice.random() < 0.3
            await asyncio.sleep(0.7)
        together.book.mute = False
        return await run

    together.play(stammer, pushing(600, 200.0))
    at = together.sent_at
    assert most_in_a_minute(at, [1] * len(at)) <= 600
    assert len(at) > 600


def test_a_store_that_cannot_be_reached_at_the_beginning_is_a_sentence() -> None:
    together = Together(Script(), max_requests_per_minute=600)
    together.book.lost = True
    [error] = together.play(lambda client: client.ask("p"))
    assert isinstance(error, ConfigError)
    assert error.message == "the shared book is lost"
    assert together.scripts[0].calls == []
    together.book.lost = False
    [response] = together.play(lambda client: client.ask("p"))
    assert response.completion == "echo: p"


def test_a_store_that_is_too_far_away_is_told_and_not_waited_for_in_silence() -> None:
    together = Together(Script(), latency=0.4, max_requests_per_minute=600, patience=20.0)
    [error] = together.play(pushing(10))
    assert isinstance(error, NoRouteError)
    assert "took too long to answer" in error.message


def test_a_store_that_answers_nonsense_is_told() -> None:
    together = Together(Script(), max_requests_per_minute=600)

    async def nonsense(message: object) -> None:
        del message

    together.book.exchange = nonsense  # type: ignore[assignment, method-assign]  # what is shown
    [error] = together.play(lambda client: client.ask("p"))
    assert isinstance(error, ConfigError)
    assert error.message.startswith("the shared book cannot be used (AttributeError(")


def test_something_unforeseen_ends_the_run_and_is_not_waited_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Unnamed(SharedBook):
        def __str__(self) -> str:
            if self.mute:
                raise ZeroDivisionError
            return super().__str__()

    together = Together(Script(latency=0.1), max_requests_per_minute=600, book=Unnamed)

    async def break_it(client: LLMClient) -> object:
        run = asyncio.create_task(pushing(10_000)(client))
        await asyncio.sleep(10)
        together.book.mute = True
        return await run

    [error] = together.play(break_it)
    assert isinstance(error, NoRouteError)
    assert "the shared limits met something unforeseen (ZeroDivisionError())" in error.message
    assert "not kept up any more" in caplog.text


def test_a_deadline_holds_while_the_store_is_lost() -> None:
    together = Together(Script(latency=0.1), max_requests_per_minute=60)

    async def lose(client: LLMClient) -> object:
        await client.ask("p")
        together.book.lost = True
        return await client.ask("q", deadline=5.0)

    [response] = together.play(lose)
    assert response.error.code == "deadline"


def test_cancelled_runs_leave_nothing_behind_and_can_be_followed_by_others() -> None:
    together = Together(Script(latency=0.1), max_requests_per_minute=600)

    async def twice(client: LLMClient) -> object:
        with pytest.raises(TimeoutError):
            await pushing(10_000, 5.0)(client)
        return await quiet(client, ["a", "b"])

    [responses] = together.play(twice)
    assert len(responses.succeeded) == 2
