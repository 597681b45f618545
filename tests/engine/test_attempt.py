"""One request's attempts, at a real server and at the seam."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pytest

from headrace import LLMClient, Model, Price
from headrace.core.errors import (
    BadRowError,
    HeldBackError,
    NotSentError,
    OverloadedError,
    RejectedError,
)
from headrace.core.events import AttemptFailed, BreakerChanged, RouteParked
from headrace.core.response import APIResponse, Usage
from headrace.providers.base import ProviderRequest
from headrace.providers.catalog import Catalog
from headrace.testing import FakeServer, VirtualClock, faults, plans, run_virtual

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from headrace.core.errors import HeadraceError
    from headrace.core.events import Event
    from headrace.testing.seen import RequestSeen

NOWHERE: Final = "http://127.0.0.1:1/v1"


class Seam(ProviderRequest):
    """A provider that does what its next step says."""

    __slots__ = ()
    steps: list[HeadraceError | APIResponse[object]]

    async def execute_once(self) -> APIResponse[object]:
        await asyncio.sleep(0.1)
        step = self.steps.pop(0)
        if isinstance(step, APIResponse):
            return step
        raise step


T = TypeVar("T")
ANSWER: Final = APIResponse[object](completion="a", usage=Usage(1, 1), model="m")


def play(
    steps: list[HeadraceError | APIResponse[object]],
    main: Callable[[LLMClient], Coroutine[object, object, T]],
    **options: Any,
) -> tuple[T, float]:
    """What ``main`` returns, and the virtual seconds it took."""
    clock = VirtualClock()
    provider = type("Steps", (Seam,), {"steps": steps, "__slots__": ()})
    client = LLMClient(
        "openai/m",
        base_url=NOWHERE,
        clock=clock,
        catalog=Catalog({"openai_chat": provider}),
        chance=lambda: 0.5,
        **options,
    )
    began = clock.now()

    async def whole() -> T:
        async with client:
            return await main(client)

    return run_virtual(whole, clock=clock), (clock.now() - began) / 1e9


def ask_each(*prompts: str) -> Callable[[LLMClient], Coroutine[object, object, list[Any]]]:
    async def main(client: LLMClient) -> list[Any]:
        return [await client.ask(prompt) for prompt in prompts]

    return main


def test_what_is_held_back_was_never_an_attempt() -> None:
    steps: list[Any] = [HeldBackError("parked"), HeldBackError("parked"), ANSWER]
    rows, _ = play(steps, ask_each("p"), max_attempts=1, max_requests_per_minute=60)
    assert (rows[0].completion, rows[0].attempts) == ("a", 1)


def test_what_the_codec_refuses_was_never_sent() -> None:
    local = RejectedError("this dialect has no such part")
    steps: list[Any] = [local, BadRowError("lone surrogate"), ANSWER]
    rows, seconds = play(steps, ask_each("p", "q", "r"), max_requests_per_minute=1)
    assert [row.attempts for row in rows] == [0, 0, 1]
    assert [row.is_error for row in rows] == [True, True, False]
    # A limit of one a minute was not touched by the two.
    assert seconds < 1


def test_a_refusal_by_the_server_was_sent() -> None:
    steps: list[Any] = [RejectedError("no", status=400), ANSWER]
    rows, seconds = play(steps, ask_each("p", "q"), max_requests_per_minute=1)
    assert [row.attempts for row in rows] == [1, 1]
    assert seconds == pytest.approx(60.4, abs=0.5)


def test_transient_failures_back_off_longer_each_time() -> None:
    waits: list[float | None] = []
    steps: list[Any] = [OverloadedError("busy", status=500) for _ in range(3)] + [ANSWER]

    async def main(client: LLMClient) -> APIResponse[object]:
        client.add_listener(
            lambda event: waits.append(event.wait) if isinstance(event, AttemptFailed) else None
        )
        return await client.ask("p")

    row, seconds = play(steps, main)
    # Full jitter at one half: of 0.5, 1 and 2 seconds.
    assert waits == [0.25, 0.5, 1.0]
    assert row.attempts == 4
    assert seconds == pytest.approx(1.75 + 0.4)


def test_the_last_error_carries_the_whole_history() -> None:
    steps: list[Any] = [
        NotSentError("refused"),
        OverloadedError("busy", status=500),
        RejectedError("no", status=400),
    ]
    rows, _ = play(steps, ask_each("p"))
    error = rows[0].error
    assert [e.code for e in (*error.history, error)] == ["not_sent", "overloaded", "rejected"]
    assert [e.attempt for e in (*error.history, error)] == [1, 2, 3]
    assert {e.route for e in (*error.history, error)} == {"openai/m"}


def test_a_failed_attempt_that_was_billed_is_in_the_cost() -> None:
    busy = OverloadedError("cut", status=200, usage=Usage(input_tokens=10))
    model = Model(id="openai/priced", price=Price(input=Decimal(1), output=Decimal(1)))

    async def main(client: LLMClient) -> APIResponse[object]:
        return await client.ask("p", model=model)

    row, _ = play([busy, ANSWER], main)
    assert row.cost == pytest.approx(12e-6)


def test_events_tell_the_story_of_a_route() -> None:
    heard: list[Event] = []
    steps: list[Any] = [ANSWER, *(OverloadedError("busy", status=500) for _ in range(5)), ANSWER]

    async def main(client: LLMClient) -> None:
        client.add_listener(heard.append)
        await client.ask("p")
        await client.ask("q")

    play(steps, main)
    states = [event.state for event in heard if isinstance(event, BreakerChanged)]
    assert states == ["open", "half-open", "closed"]


# At a real server.


def real(
    server: FakeServer, main: Callable[[LLMClient], Coroutine[object, object, T]], **options: Any
) -> T:
    async def whole() -> T:
        async with LLMClient("openai/fake", base_url=server.base_url, **options) as client:
            return await main(client)

    return asyncio.run(whole())


def test_a_429_parks_its_route_before_its_body_is_read(server: FakeServer) -> None:
    parked: list[float] = []
    limit = faults.Status(429, headers={"retry-after": "0.1"})

    def plan(seen: RequestSeen) -> faults.Fault | None:
        return limit if seen.n == 3 else None

    server.faults = plan

    async def main(client: LLMClient) -> int:
        client.add_listener(
            lambda event: parked.append(event.seconds) if isinstance(event, RouteParked) else None
        )
        rows = await client.process_prompts_async(
            [f"p{n}" for n in range(100)], show_progress=False
        )
        return len(rows.succeeded)

    assert real(server, main, max_concurrent_requests=5) == 100
    # That nothing is sent meanwhile is shown by scenarios/test_faulty_server.py, in turns.
    assert parked == [pytest.approx(0.1, abs=0.02)]


def test_a_hint_on_a_503_parks_too(server: FakeServer) -> None:
    server.faults = plans.Sequence([faults.Status(503, headers={"retry-after": "0.05"})])

    async def main(client: LLMClient) -> list[int]:
        rows = await client.process_prompts_async(["p", "q"], show_progress=False)
        return [row.attempts for row in rows]

    assert sorted(real(server, main, max_concurrent_requests=1)) == [1, 2]
    at = [seen.at for seen in server.received]
    assert at[1] - at[0] >= 0.05
