"""Hurried time takes a fraction of its seconds, with real sockets."""

from __future__ import annotations

import asyncio
import time

from headrace import LLMClient
from headrace.testing import FakeServer, HurriedClock, faults, plans, run_hurried


def test_a_second_of_the_loop_is_a_fraction_of_a_real_one() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.sleep(20)
        return loop.time() - began

    clock, began = HurriedClock(400), time.monotonic()
    assert run_hurried(main(), clock) >= 20
    assert 0.05 <= time.monotonic() - began < 10
    assert abs(clock.wall() - time.time()) < 10  # noqa: TID251 - what it is compared with


def test_a_client_backs_off_in_hurried_time() -> None:
    async def main() -> tuple[str | None, float]:
        before = clock.now()
        async with FakeServer(faults=plans.Sequence([faults.limited(10)])) as server:
            client = LLMClient("openai/m", base_url=server.base_url, clock=clock)
            response = await client.ask("hi")
            await client.aclose()
        return response.completion, (clock.now() - before) / 1e9

    clock, began = HurriedClock(200), time.monotonic()
    completion, seconds = run_hurried(main(), clock)
    assert completion == "echo: hi"
    assert seconds >= 10
    assert time.monotonic() - began < 5
