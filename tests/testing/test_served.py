"""A simulated vendor behind a real server decides, tells and bills as it does without one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import pytest

from headrace import LLMClient, SamplingParams
from headrace.testing import FakeServer, HurriedClock, run_hurried
from headrace.testing.simulation import Terms, Vendor, served

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from headrace import APIResponse
    from headrace.testing.simulation.headers import HeaderDialect

pytestmark = pytest.mark.once
Hints: TypeAlias = bool | Literal["seconds", "body"]
NAMES: Final[list[HeaderDialect]] = ["openai", "anthropic"]
HINTS: Final[list[Hints]] = [True, "seconds", "body", False]


def behind(
    terms: Terms, main: Callable[[LLMClient, Vendor], Awaitable[object]], **options: Any
) -> Vendor:
    """What a vendor has seen of a client; keys are one and two."""
    clock = HurriedClock(20)
    vendor = Vendor(terms, clock=clock)

    async def whole() -> None:
        async with FakeServer(faults=served(vendor)) as server:
            url = server.anthropic_url if terms.headers == "anthropic" else server.base_url
            model = f"{terms.headers or 'openai'}/m"
            async with LLMClient(model, base_url=url, clock=clock, **options) as client:
                await main(client, vendor)

    run_hurried(whole(), clock)
    return vendor


async def ask(client: LLMClient, count: int) -> list[APIResponse[Any]]:
    prompts = [f"p{n}" for n in range(count)]
    return list(await client.process_prompts_async(prompts, show_progress=False))


@pytest.mark.parametrize("headers", NAMES)
def test_what_it_counts_is_what_the_answer_says(headers: HeaderDialect) -> None:
    async def main(client: LLMClient, vendor: Vendor) -> None:
        [row] = await ask(client, 1)
        [send] = vendor.sends
        assert row.usage is not None
        assert (row.usage.input_tokens, row.usage.output_tokens) == (send.input, send.output)
        assert (send.declared, send.output, send.status) == (50, 30, 200)

    behind(Terms(headers=headers, output=30), main, sampling_params=SamplingParams(max_tokens=50))


def test_it_tells_its_limits_and_they_are_kept() -> None:
    async def main(client: LLMClient, vendor: Vendor) -> None:
        del vendor
        assert not [row for row in await ask(client, 30) if row.error]

    vendor = behind(Terms(requests_per_minute=120, headers="openai", first_token=0.1), main)
    assert [send.status for send in vendor.sends] == [200] * 30
    # After the first of them two a second, though a whole minute's worth was there.
    assert vendor.sends[-1].at - vendor.sends[20].at > 4


@pytest.mark.parametrize("hints", HINTS)
def test_it_refuses_and_says_how_long(hints: Hints) -> None:
    async def main(client: LLMClient, vendor: Vendor) -> None:
        del vendor
        assert not [row for row in await ask(client, 12) if row.error]

    terms = Terms(requests_per_minute=240, counting="second", hints=hints, first_token=0.1)
    vendor = behind(terms, main, max_concurrent_requests=12)
    assert {send.status for send in vendor.sends} == {200, 429}


def test_keys_are_numbered_and_connections_reset() -> None:
    async def main(client: LLMClient, vendor: Vendor) -> None:
        rows = await ask(client, 10)
        assert {row.route for row in rows} == {"openai/m#2"}
        assert not vendor.sends[-1].levels

    terms = Terms(revoked=frozenset({1}), first_token=0.1)
    vendor = behind(terms, main, api_key=["sk-one", "sk-two"], max_concurrent_requests=1)
    assert [send.status for send in vendor.sends] == [401, *[200] * 10]

    async def fail(client: LLMClient, vendor: Vendor) -> None:
        del vendor
        response = await client.ask("p")
        assert response.error is not None
        assert response.error.code in {"connection_lost", "no_route"}

    behind(Terms(failures=1.0, failure_status=0), fail, max_attempts=1)


def test_who_leaves_is_noted() -> None:
    async def main(client: LLMClient, vendor: Vendor) -> None:
        asking = asyncio.create_task(client.ask("p"))
        while not vendor.sends:  # noqa: ASYNC110 - a few turns of the loop
            await asyncio.sleep(0.01)
        asking.cancel()
        while vendor.sends[0].ended is None:  # noqa: ASYNC110 - a few turns of the loop
            await asyncio.sleep(0.01)

    vendor = behind(Terms(first_token=1_000.0), main)
    assert [send.status for send in vendor.sends] == [0]
