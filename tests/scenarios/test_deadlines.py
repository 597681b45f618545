"""A request's deadline ends its waiting, its back-off and its attempt, and harms nobody else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from headrace import LLMClient, RequestContext
from headrace.core.errors import DeadlineError, OutcomeUnknownError, OverloadedError, RateLimitError
from headrace.testing import Failure, FakeServer, Script
from tests.testing.asking import Held

if TYPE_CHECKING:
    from headrace.core.events import Event
    from tests.scenarios.conftest import World

pytestmark = pytest.mark.once


def test_while_waiting_for_a_slot(world: type[World]) -> None:
    sim = world(Script(latency=10.0), max_concurrent_requests=1)
    rows = sim.run(
        [RequestContext(prompt=p, deadline=d) for p, d in (("a", 99), ("b", 3), ("c", 99))]
    )
    assert [type(row.error) for row in rows] == [type(None), DeadlineError, type(None)]
    assert [call.prompt for call in sim.script.calls] == ["a", "c"]
    assert rows[1].attempts == 0
    assert sim.elapsed == pytest.approx(20)


def test_while_waiting_behind_a_rate(world: type[World]) -> None:
    sim = world(Script(), max_requests_per_minute=60, deadline=10.5)
    rows = sim.run(["p"] * 30)
    assert len(rows.succeeded) == len(sim.script.calls) == 11
    assert sim.elapsed == pytest.approx(10.5, abs=0.01)


def test_during_back_off(world: type[World]) -> None:
    busy = OverloadedError("busy", status=503, hint=60.0)
    sim = world(Script([busy]))
    rows = sim.run([RequestContext(prompt="p", deadline=5.0)])
    error = rows[0].error
    assert isinstance(error, DeadlineError)
    assert [type(e) for e in error.history] == [OverloadedError]
    assert rows[0].attempts == 1
    assert sim.elapsed == pytest.approx(5)


def test_while_its_route_is_parked(world: type[World]) -> None:
    sim = world(Script([RateLimitError("slow", status=429, hint=60.0)]))
    rows = sim.run([RequestContext(prompt="p", deadline=5.0), RequestContext(prompt="q")])
    assert isinstance(rows[0].error, DeadlineError)
    assert [type(e) for e in rows[0].error.history] == [RateLimitError]
    assert rows[1].completion == "echo: q"


def test_a_deadline_that_has_passed_when_it_would_wait_again_keeps_nothing(
    world: type[World],
) -> None:
    late = Failure(RateLimitError("slow", status=429, hint=5.0), 10.0)
    sim = world(Script([late, late, 1.0]), max_concurrent_requests=1)
    rows = sim.run([RequestContext(prompt="p", deadline=8.0), "q", "r"])
    assert isinstance(rows[0].error, DeadlineError)
    # The only slot is free again: the others are served.
    assert [row.completion for row in rows[1:]] == ["echo: q", "echo: r"]


def test_of_the_client_of_the_call_and_of_the_row(world: type[World]) -> None:
    sim = world(Script(latency=10.0), max_concurrent_requests=1, deadline=15.0)

    def outcome(rows: list[object], **options: float) -> list[bool]:
        return [row.is_error for row in sim.run(rows, **options)]

    assert outcome(["a", "b", "c"]) == [False, False, True]
    assert outcome(["a", "b", "c"], deadline=5.0) == [False, True, True]
    own = RequestContext(prompt="c", deadline=25.0)
    assert outcome(["a", "b", own], deadline=5.0) == [False, True, False]


async def warm_up(client: LLMClient, server: FakeServer, connections: int) -> None:
    """Open so many connections, so that a short deadline is spent on nothing but the answer."""
    held = Held()
    server.faults = lambda _: held
    asking = asyncio.gather(*(client.ask(f"warm up {n}") for n in range(connections)))
    await server.until(connections)
    held.free.set()
    assert not any(row.is_error for row in await asking)
    server.faults = None


def test_in_flight_it_ends_the_attempt_and_says_nothing_about_the_route() -> None:
    events: list[Event] = []

    async def main() -> list[str]:
        async with (
            FakeServer() as server,
            LLMClient("openai/m", base_url=server.base_url, max_concurrent_requests=8) as client,
        ):
            await warm_up(client, server, 8)
            client.add_listener(events.append)
            server.latency = lambda seen: 30.0 if seen.prompt.startswith("slow") else 0.0
            asks = [client.ask(f"slow{n}", deadline=0.2) for n in range(8)]
            rows = await asyncio.gather(*asks)
            rows.append(await client.ask("quick", deadline=30))
            return [row.error.code if row.error else "answered" for row in rows]

    assert asyncio.run(main()) == ["deadline"] * 8 + ["answered"]
    assert {type(event).__name__ for event in events} == {"RequestFinished"}


def test_the_timeout_of_an_attempt_is_a_failure_of_the_route() -> None:
    async def main() -> OutcomeUnknownError | None:
        async with (
            FakeServer() as server,
            LLMClient(
                "openai/fake", base_url=server.base_url, request_timeout=0.3, max_attempts=1
            ) as client,
        ):
            await warm_up(client, server, 1)
            server.latency = 30.0
            row = await client.ask("p")
            assert row.error is None or isinstance(row.error, OutcomeUnknownError)
            return row.error

    error = asyncio.run(main())
    assert error is not None
    assert error.attempt == 1
