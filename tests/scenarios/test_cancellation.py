"""Cancellation at any await leaves no coroutine, no slot taken, and keeps what is finished."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from headrace.core.errors import OverloadedError, RateLimitError
from headrace.testing import Failure, Script
from tests.clients import check_nothing_is_held
from tests.scenarios.outages import now_and_then

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from headrace.testing.provider import Rule
    from tests.scenarios.conftest import World

pytestmark = pytest.mark.once

PROMPTS = [f"p{n % 12}" for n in range(24)]


def shaky(seed: int) -> Rule:
    limit = Failure(RateLimitError("slow", status=429, hint=0.3), 0.1)
    busy = Failure(OverloadedError("busy", status=500), 0.1)
    return now_and_then(0.4, limit, busy, latency=0.2, seed=seed)


async def step(count: int) -> None:
    """So many turns of the loop, of those that have something to do."""
    loop = asyncio.get_running_loop()
    for _ in range(count):
        turned = loop.create_future()
        loop.call_later(0.02, turned.set_result, None)
        await turned


@pytest.mark.thorough
@pytest.mark.parametrize("options", [{}, {"cache": "memory"}, {"max_requests_per_minute": 300}])
@pytest.mark.parametrize("moment", range(1, 60, 3))
def test_a_run_cancelled_at_any_moment(
    world: type[World], tmp_path: Path, moment: int, options: dict[str, Any]
) -> None:
    journal = tmp_path / "run.journal"
    sim = world(Script(shaky(moment)), max_concurrent_requests=3, max_attempts=20, **options)
    seen: list[str] = []

    async def main() -> None:
        run = asyncio.create_task(
            sim.client.process_prompts_async(
                PROMPTS,
                journal=journal,
                show_progress=False,
                on_response=lambda row: seen.append(row.id),
            )
        )
        await step(moment)
        run.cancel()
        await asyncio.wait({run})
        assert run.cancelled() or run.done()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        check_nothing_is_held(sim.client)
        assert sim.script.in_flight == 0
        # What was handed out is kept, and the same client goes on where it was.
        assert sim.client.last_run is not None
        kept = sim.client.last_run.responses
        assert sorted(seen) == sorted(row.id for row in kept)
        rows = await sim.client.process_prompts_async(PROMPTS, show_progress=False, journal=journal)
        assert len(rows.succeeded) == len(PROMPTS)
        answered = {row.id for row in kept.succeeded}
        assert answered <= {row.id for row in rows if row.source == "journal"}
        check_nothing_is_held(sim.client)

    sim.play(main)


@pytest.mark.parametrize("ordered", [True, False])
def test_a_stream_left_early_ends_an_endless_source(world: type[World], ordered: bool) -> None:
    drawn: list[int] = []

    def endless() -> Iterator[str]:
        number = 0
        while True:
            drawn.append(number)
            yield f"p{number}"
            number += 1

    sim = world(Script(latency=0.1), max_concurrent_requests=5)

    async def main() -> list[str]:
        ids = []
        async with sim.client.process_stream(endless(), ordered=ordered) as rows:
            async for row in rows:
                ids.append(row.id)
                if len(ids) == 20:
                    break
        check_nothing_is_held(sim.client)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return ids

    assert sorted(sim.play(main), key=int) == [str(n) for n in range(20)]
    assert len(drawn) < 500


def test_a_stream_whose_consumer_fails_ends_its_run(world: type[World]) -> None:
    sim = world(Script(latency=0.1), max_concurrent_requests=5)

    async def main() -> None:
        async with sim.client.process_stream(f"p{n}" for n in range(10_000)) as rows:
            async for _ in rows:
                raise LookupError("the consumer's own")

    with pytest.raises(LookupError, match="own"):
        sim.play(main)
    check_nothing_is_held(sim.client)
    assert len(sim.script.calls) < 20


def test_an_async_source_is_cancelled_while_it_waits(world: type[World]) -> None:
    ended: list[str] = []

    async def source() -> AsyncIterator[str]:
        try:
            yield "p"
            await asyncio.sleep(1_000_000)
            yield "q"
        finally:
            ended.append("source")

    sim = world(Script(latency=0.1))

    async def main() -> int:
        run = asyncio.create_task(sim.client.process_prompts_async(source(), show_progress=False))
        await asyncio.sleep(10)
        run.cancel()
        await asyncio.wait({run})
        assert sim.client.last_run is not None
        return len(sim.client.last_run.responses.succeeded)

    assert sim.play(main) == 1
    assert ended == ["source"]


def test_asks_cancelled_while_queued_give_their_place_to_others(world: type[World]) -> None:
    sim = world(Script(latency=1.0), max_concurrent_requests=1)

    async def main() -> list[str | None]:
        asks = [asyncio.create_task(sim.client.ask(f"p{n}")) for n in range(40)]
        await asyncio.sleep(0.5)
        for ask in asks[1::2]:
            ask.cancel()
        done = await asyncio.gather(*asks, return_exceptions=True)
        return [row.completion for row in done if not isinstance(row, BaseException)]

    assert sim.play(main) == [f"echo: p{n}" for n in range(0, 40, 2)]
    assert [call.prompt for call in sim.script.calls] == [f"p{n}" for n in range(0, 40, 2)]
    assert sim.elapsed == pytest.approx(20)


def test_an_ask_cancelled_between_its_grant_and_its_resuming(world: type[World]) -> None:
    sim = world(Script(latency=1.0), max_concurrent_requests=1)

    async def main() -> str | None:
        first = asyncio.create_task(sim.client.ask("first"))
        await asyncio.sleep(0)
        second = asyncio.create_task(sim.client.ask("second"))
        third = asyncio.create_task(sim.client.ask("third"))
        # The callback runs in the turn in which the second was granted the slot.
        first.add_done_callback(lambda _: second.cancel())
        row = await third
        assert second.cancelled()
        check_nothing_is_held(sim.client)
        return row.completion

    assert sim.play(main) == "echo: third"
    assert [call.prompt for call in sim.script.calls] in (
        ["first", "third"],
        ["first", "second", "third"],
    )
