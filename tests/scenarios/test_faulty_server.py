"""Whole runs against a server that misbehaves all the time: nothing lost, every hint kept."""

from __future__ import annotations

import asyncio
import selectors
import time
from bisect import bisect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import pytest

from headrace import LLMClient
from headrace.core.errors import ConfigError, NoRouteError, OutcomeUnknownError
from headrace.testing import FakeServer, HurriedClock, faults, plans, run_hurried
from headrace.testing.faults import Fault
from tests.scenarios.doors import address_of, tls_door

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from headrace import APIResponse
    from headrace.testing import RequestSeen
    from headrace.testing.server import Turn

pytestmark = pytest.mark.once

Dialect: TypeAlias = Literal["openai", "anthropic"]
COUNT: Final = 1_000
# Of hurried seconds: a fortieth of a real one.
HINT: Final = 0.75
# What is on the wire when a 429's headers are written cannot be called back. Server and client
# share one loop here, so the grace for it is counted in turns of that loop, which no busy machine
# makes more of: the client reads the headers in the first after the one that wrote them and hears
# of them in the second; what it wrote until then is read by the server in the next, or the one
# after, where connections are new. On an idle machine that is a millisecond.
GRACE: Final = 5
# Faults are drawn from seed, prompt and repetition, so that a run meets them again. Five failures
# in a row use up the default of five attempts; the longest row of this seed is four.
SEED: Final = 3


class Turns(selectors.DefaultSelector):
    """Notes when each turn of its loop began (``time.monotonic()``), in hurried time."""

    def __init__(self, rate: int = 1) -> None:
        """``rate``: of the clock; 1 is real time."""
        super().__init__()
        self.clock = HurriedClock(rate)
        self.began: list[float] = []

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(None if timeout is None else timeout / self.clock.rate)
        self.began.append(time.monotonic())
        return ready

    def run(self, main: Coroutine[object, object, None]) -> None:
        """``run_hurried`` on a loop with this selector."""
        with asyncio.Runner(loop_factory=lambda: HurriedLoop(self)) as runner:
            runner.run(main)

    def violations(self, server: FakeServer) -> list[RequestSeen]:
        """Requests that came in the quiet that a 429 had asked for, after ``GRACE``."""
        quiet = []
        for refusal in server.throttled:
            assert refusal.hint is not None
            turn = bisect(self.began, refusal.at) + GRACE
            if turn < len(self.began):
                end = refusal.at + refusal.hint / self.clock.rate
                quiet.append((self.began[turn - 1], end))
        return [s for s in server.received if any(start < s.at < end for start, end in quiet)]


class HurriedLoop(asyncio.SelectorEventLoop):
    def __init__(self, turns: Turns) -> None:
        super().__init__(turns)
        self._clock = turns.clock

    def time(self) -> float:
        return self._clock.now() / 1e9


def client(server: FakeServer, dialect: Dialect = "openai", **options: Any) -> LLMClient:
    url = server.base_url if dialect == "openai" else server.anthropic_url
    return LLMClient(f"{dialect}/m", base_url=url, **options)


async def ask_all(one: LLMClient, count: int) -> list[APIResponse[Any]]:
    prompts = [f"prompt {n}" for n in range(count)]
    async with one:
        return list(await one.process_prompts_async(prompts, show_progress=False))


def check_all_answered(responses: list[APIResponse[Any]], server: FakeServer) -> None:
    wrong = [r for r in responses if r.completion != f"echo: prompt {r.index}"]
    assert wrong == []
    assert sum(r.attempts for r in responses) == server.ledger.total
    # Each was answered, and so paid for, once.
    assert set(server.answered.values()) == {1}
    assert len(server.answered) == len(responses)


@dataclass(frozen=True, slots=True)
class SlowRefusal(Fault):
    """A 429 whose headers come at once and whose body comes later."""

    hint: float | None
    body_after: float

    async def play(self, turn: Turn) -> None:
        refusal = faults.limited(self.hint).reply(turn.error(429))
        turn.start(refusal, (("content-length", str(len(refusal.body))),))
        await asyncio.sleep(self.body_after)
        await turn.write(refusal.body)


@pytest.mark.parametrize("hint", [HINT, pytest.param(None, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_a_thousand_prompts_all_succeed_and_every_hint_is_kept(
    dialect: Dialect, hint: float | None
) -> None:
    """A tenth is refused, a tenth fails, a twentieth is dropped: all in one run."""
    shares = {
        faults.limited(hint): 0.05,
        SlowRefusal(hint, 0.5): 0.05,
        faults.Status(500): 0.1,
        faults.DropBefore(): 0.03,
        faults.Reset(): 0.02,
    }

    async def main() -> None:
        async with FakeServer(faults=plans.Random(SEED, shares)) as server:
            one = client(server, dialect, max_concurrent_requests=50, clock=turns.clock)
            check_all_answered(await ask_all(one, COUNT), server)
            assert server.ledger.statuses[500] > COUNT / 20 < len(server.throttled)
            assert {refusal.hint for refusal in server.throttled} == {hint}
            if hint is not None:
                assert turns.violations(server) == []

    turns = Turns(30)
    turns.run(main())


@pytest.mark.parametrize("body_after", [0.03, 0.4])
def test_nothing_is_sent_between_the_headers_of_a_429_and_the_end_of_its_hint(
    body_after: float,
) -> None:
    async def main() -> None:
        hint = 0.06
        slow = SlowRefusal(hint, body_after)
        plan = plans.per_prompt({f"prompt {n}": [slow] for n in range(0, 200, 40)})
        async with FakeServer(faults=plan, latency=0.004) as server:
            responses = await ask_all(client(server, max_concurrent_requests=8), 200)
            check_all_answered(responses, server)
            assert len(server.throttled) == 5
            assert turns.violations(server) == []
            if body_after > hint:
                # The others went on when the hint had passed, before the body came.
                first = server.throttled[0]
                gone_on = [s for s in server.received if s.at > first.at + hint]
                assert min(s.at for s in gone_on) < first.at + body_after

    turns = Turns()
    turns.run(main())


def test_a_request_whose_connection_is_not_ready_when_the_429_comes_stays_here(
    tmp_path: Path,
) -> None:
    """TLS greetings are held on the way until the first row's 429 is written."""

    async def main() -> None:
        hint = 0.3
        plan = plans.per_prompt({"prompt 0": [faults.limited(hint)]})
        async with FakeServer(faults=plan) as server:
            door, _ = await tls_door(server, tmp_path)
            hall, port = await holding(server, door)
            url = f"https://127.0.0.1:{port}/v1"
            one = LLMClient("openai/m", base_url=url, ca_file=tmp_path / "ca.pem")
            async with one:
                warm = await one.ask("warm up")
                assert warm.completion == "echo: warm up"
                # One connection is open now. The first row takes it and is refused at once,
                # while nineteen others are admitted and shake hands.
                prompts = [f"prompt {n}" for n in range(20)]
                responses = await one.process_prompts_async(prompts, show_progress=False)
            assert [r.completion for r in responses] == [f"echo: {p}" for p in prompts]
            [refused] = server.throttled
            early = [s for s in server.received if s.at < refused.at + hint]
            assert [seen.prompt for seen in early] == ["warm up", "prompt 0"]
            assert sum(r.attempts for r in responses) == 21, "what was held back was not sent"
            hall.close()
            door.close()

    asyncio.run(main())


async def holding(server: FakeServer, door: asyncio.Server) -> tuple[asyncio.Server, int]:
    """A way to ``door`` that holds all connections but the first until a 429 was written."""
    arrived = 0

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal arrived
        arrived += 1
        while arrived > 1 and not server.throttled:  # noqa: ASYNC110 - a few turns of the loop
            await asyncio.sleep(0)
        inner_reader, inner_writer = await asyncio.open_connection(*address_of(door))
        await asyncio.gather(carry(reader, inner_writer), carry(inner_reader, writer))

    hall = await asyncio.start_server(hold, "127.0.0.1", 0)
    return hall, address_of(hall)[1]


def test_an_untrusted_certificate_stops_the_run_before_anything_is_sent(tmp_path: Path) -> None:
    async def main() -> tuple[float, str]:
        async with FakeServer() as server:
            door, url = await tls_door(server, tmp_path)
            began = clock.now()
            one = LLMClient("openai/m", base_url=url, api_key="sk-CANARY", clock=clock)
            async with one:
                with pytest.raises(NoRouteError) as stopped:
                    await one.process_prompts_async(["a", "b"], show_progress=False)
            door.close()
            assert server.ledger.total == 0
            return (clock.now() - began) / 1e9, str(stopped.value)

    clock = HurriedClock(50)
    seconds, sentence = run_hurried(main(), clock)
    assert seconds < 30
    assert "has no TLS certificate that is trusted here" in sentence
    assert "ca_file=" in sentence


def test_plain_http_goes_to_loopback_only() -> None:
    for url in ("http://10.1.2.3/v1", "http://model.example:8080", "http://[2001:db8::1]/v1"):
        with pytest.raises(ConfigError, match="unencrypted"):
            LLMClient("openai/m", base_url=url, api_key="sk-CANARY")
        LLMClient("openai/m", base_url=url, allow_http=True)
    for url in ("http://127.0.0.1:1/v1", "http://localhost:1", "http://[::1]:1/v1"):
        LLMClient("openai/m", base_url=url)


def test_a_redirect_in_the_middle_of_a_run_never_carries_the_key_along() -> None:
    async def main() -> None:
        async with FakeServer() as elsewhere:
            away = faults.Redirect(f"{elsewhere.base_url}/chat/completions", 307)
            async with FakeServer(faults=plans.per_prompt({"prompt 5": [away]})) as server:
                one = client(server, api_key="sk-CANARY", max_concurrent_requests=1)
                with pytest.raises(NoRouteError, match="set base_url to the final address"):
                    await ask_all(one, 10)
                assert server.ledger.total == 6
            assert elsewhere.ledger.connections_total == 0

    asyncio.run(main())


def test_a_proxy_carries_a_run() -> None:
    async def main() -> None:
        async with FakeServer() as proxy:
            nowhere = "http://127.0.0.1:1/v1"
            one = LLMClient("openai/m", base_url=nowhere, proxy=proxy.anthropic_url)
            check_all_answered(await ask_all(one, 20), proxy)
            assert {seen.path for seen in proxy.received} == {f"{nowhere}/chat/completions"}

    asyncio.run(main())


def test_connections_are_used_again() -> None:
    async def main() -> None:
        async with FakeServer() as server:
            check_all_answered(
                await ask_all(client(server, max_concurrent_requests=10), 500), server
            )
            assert server.ledger.connections_total <= 10

    asyncio.run(main())


def test_a_server_that_closes_after_each_answer_loses_no_row() -> None:
    """Some requests meet a connection that was just closed: sent again, not given up."""

    async def main() -> None:
        async with FakeServer(faults=lambda _: faults.CloseAfter()) as server:
            responses = await ask_all(client(server, max_concurrent_requests=10), 100)
            assert [r.completion for r in responses] == [f"echo: prompt {n}" for n in range(100)]
            assert {r.error for r in responses} == {None}

    asyncio.run(main())


@pytest.mark.parametrize(
    "large", [faults.Oversized(1 << 30), faults.Bomb(1 << 28)], ids=["large", "bomb"]
)
def test_a_bomb_is_one_bad_row(large: Fault) -> None:
    async def main() -> None:
        plan = plans.per_prompt({"prompt 3": [large]})
        async with FakeServer(faults=plan) as server:
            responses = await ask_all(client(server, max_attempts=1), 8)
            [bad] = [r for r in responses if r.error is not None]
            assert (bad.index, bad.error and bad.error.code) == (3, "unreadable_reply")

    asyncio.run(main())


def test_a_silent_row_costs_its_own_time_only() -> None:
    async def main() -> None:
        plan = plans.per_prompt({"prompt 3": [faults.Stall()]})
        async with FakeServer(faults=plan) as server:
            one = client(server, max_attempts=1, request_timeout=0.3)
            responses = await ask_all(one, 8)
            [bad] = [r for r in responses if r.error is not None]
            assert isinstance(bad.error, OutcomeUnknownError)
            assert bad.index == 3

    asyncio.run(main())


def test_slots_stay_bounded_in_a_storm() -> None:
    peaks: list[int] = []

    def plan(seen: RequestSeen) -> Fault | None:
        peaks.append(seen.in_flight)
        return faults.Latency(0.01, faults.Status(500)) if seen.n % 3 == 0 else faults.Latency(0.01)

    async def main() -> None:
        async with FakeServer(faults=plan) as server:
            one = client(server, max_concurrent_requests=7, max_attempts=10, clock=clock)
            check_all_answered(await ask_all(one, 100), server)

    clock = HurriedClock(20)
    run_hurried(main(), clock)
    assert max(peaks) <= 7
