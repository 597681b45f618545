"""Routes as a caller sees them, and what is done to them by hand."""

from __future__ import annotations

import asyncio
import threading
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from headrace import BreakerSettings, ConfigError, LLMClient, Model, Price, RouteStatus
from headrace.core.errors import GoneError, OverloadedError, RateLimitError, RejectedError
from headrace.core.events import BreakerChanged
from headrace.testing import Failure, Script
from tests.clients import made, quiet, virtual

if TYPE_CHECKING:
    from headrace.core.events import Event

BUSY = Failure(OverloadedError("busy", status=503), 0.1)
PROMPTS = [f"p{n}" for n in range(100)]


def standings(client: LLMClient) -> list[str]:
    """Every standing that the client tells from now on."""
    heard: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, BreakerChanged):
            heard.append(event.state)

    client.add_listener(listen)
    return heard


def test_before_the_first_run_all_routes_are_there_and_closed() -> None:
    client = made(Script(), [Model(id="openai/a", max_concurrent_requests=7), "openai/b"])
    first, second = client.routes()
    assert first == RouteStatus(route="openai/a", model="openai/a", concurrency=7, cost=0.0)
    assert (second.route, second.concurrency > 7) == ("openai/b", True)


def test_it_counts_what_the_attempts_have_come_to() -> None:
    price = Price(input=Decimal(1), output=Decimal(2))
    slow = RateLimitError("slow", status=429, hint=1.0)
    refused = RejectedError("no", status=400)
    script = Script([0.5, BUSY, slow, 1.5, refused])

    async def main(client: LLMClient) -> RouteStatus:
        for prompt in ("one", "two", "three"):
            await client.ask(prompt)
        return client.routes()[0]

    status = virtual(script, main, models=[Model(id="openai/m", price=price)])
    assert (status.succeeded, status.failed, status.rate_limited) == (2, 2, 1)
    assert status.latency_p50 == status.latency_p95 == pytest.approx(1.5)
    assert status.usage.total_tokens > 0
    assert status.cost is not None
    assert status.cost > 0
    assert (status.state, status.gone, status.in_flight, status.waiting) == ("closed", None, 0, 0)


def test_in_the_middle_of_a_run_it_says_who_is_under_way_and_who_waits() -> None:
    async def main(client: LLMClient) -> RouteStatus:
        run = asyncio.ensure_future(quiet(client, PROMPTS))
        await asyncio.sleep(0.5)
        status = client.routes()[0]
        await run
        return status

    status = virtual(Script(latency=1.0), main, max_concurrent_requests=10)
    assert (status.in_flight, status.waiting > 0) == (10, True)
    assert status.cost == 0.0


def test_it_says_why_a_route_is_parked_open_or_gone() -> None:
    slow = RateLimitError("slow", status=429, hint=30.0)

    async def main(client: LLMClient) -> list[RouteStatus]:
        run = asyncio.ensure_future(quiet(client, ["p"]))
        await asyncio.sleep(10)
        parked = client.routes()[0]
        await run
        await client.ask("q")
        return [parked, client.routes()[0]]

    parked, gone = virtual(Script([slow, 0.1, GoneError("401: the key is wrong")]), main)
    assert parked.parked == pytest.approx(20, abs=0.2)
    assert parked.state == "closed"
    assert (gone.state, gone.gone) == ("gone", "401: the key is wrong")


def test_the_settings_of_a_client_say_when_it_opens_and_for_how_long() -> None:
    settings = BreakerSettings(failures=2, first_break=40, longest_break=40)
    states: list[list[str]] = []

    async def main(client: LLMClient) -> tuple[RouteStatus, float]:
        states.append(standings(client))
        began = asyncio.get_running_loop().time()
        await client.ask("well")
        run = asyncio.ensure_future(quiet(client, ["p"]))
        await asyncio.sleep(10)
        status = client.routes()[0]
        await run
        return status, asyncio.get_running_loop().time() - began

    status, took = virtual(Script([0.1, BUSY, BUSY, 0.1]), main, breaker=settings)
    assert (status.state, status.failed) == ("open", 2)
    assert took == pytest.approx(36, abs=1)
    assert states == [["open", "half-open", "closed"]]


def test_what_does_not_count_opens_nothing() -> None:
    async def main(client: LLMClient) -> list[str]:
        heard = standings(client)
        await client.ask("well")
        for prompt in PROMPTS[:4]:
            await client.ask(prompt)
        return heard

    options: dict[str, Any] = {"max_attempts": 3}
    assert virtual(Script([0.1, *[BUSY] * 12]), main, **options) != []
    options["breaker"] = {"counts": ["not_sent"]}
    assert virtual(Script([0.1, *[BUSY] * 12]), main, **options) == []


def test_a_route_tripped_by_hand_is_left_alone_until_it_is_reset() -> None:
    async def main(client: LLMClient) -> tuple[list[str], set[str | None], set[str | None]]:
        heard = standings(client)
        client.trip("openai/a")
        first = await quiet(client, PROMPTS)
        client.reset("openai/a")
        second = await quiet(client, PROMPTS)
        return heard, {r.route for r in first}, {r.route for r in second}

    script = Script(latency=0.1)
    heard, first, second = virtual(script, main, models=["openai/a", "openai/b"])
    assert first == {"openai/b"}
    assert second == {"openai/a", "openai/b"}
    assert heard == ["open", "closed"]


def test_answers_under_way_do_not_close_what_is_tripped_by_hand() -> None:
    async def main(client: LLMClient) -> tuple[RouteStatus, float]:
        began = asyncio.get_running_loop().time()
        run = asyncio.ensure_future(quiet(client, PROMPTS[:20]))
        await asyncio.sleep(0.5)
        client.trip("openai/m", 60)
        await asyncio.sleep(5)
        status = client.routes()[0]
        await run
        return status, asyncio.get_running_loop().time() - began

    status, took = virtual(Script(latency=1.0), main, max_concurrent_requests=10)
    assert (status.state, status.succeeded, status.waiting) == ("open", 10, 10)
    # A probe is let through after the minute, and then the rest.
    assert took == pytest.approx(62.5, abs=0.5)


def test_a_parked_or_closed_route_that_is_reset_is_used_at_once() -> None:
    slow = RateLimitError("slow", status=429, hint=600.0)

    async def main(client: LLMClient) -> tuple[float, list[str]]:
        began = asyncio.get_running_loop().time()
        run = asyncio.ensure_future(quiet(client, ["p"]))
        await asyncio.sleep(5)
        client.reset("openai/m")
        await run
        await client.ask("gone")
        before = client.routes()[0].state
        client.reset("openai/m")
        took = asyncio.get_running_loop().time() - began
        return took, [before, client.routes()[0].state]

    took, states = virtual(Script([slow, 0.1, GoneError("404")]), main)
    assert took < 6
    assert states == ["gone", "closed"]


def test_a_route_that_there_is_not_is_told_with_those_that_there_are() -> None:
    client = made(Script(), ["openai/a", "openai/b"])
    says = "this client has no route 'openai/c'; it has openai/a, openai/b"
    with pytest.raises(ConfigError, match=says):
        client.trip("openai/c")
    with pytest.raises(ConfigError, match=says):
        client.reset("openai/c")
    with pytest.raises(ConfigError, match="seconds must be a number of seconds above zero"):
        client.trip("openai/a", -1)
    assert [status.state for status in client.routes()] == ["closed", "closed"]


def test_another_thread_may_trip_reset_and_look() -> None:
    client = made(Script(latency=0.0), max_concurrent_requests=1)
    client.trip("openai/m")
    seen: list[RouteStatus] = []

    def mend() -> None:
        while not client.routes()[0].waiting:
            pass
        seen.extend(client.routes())
        client.reset("openai/m")

    thread = threading.Thread(target=mend)
    thread.start()
    with client:
        rows = client.process_prompts_sync(PROMPTS, show_progress=False)
    thread.join()
    assert len(rows.succeeded) == len(PROMPTS)
    assert [status.state for status in seen] == ["open"]
