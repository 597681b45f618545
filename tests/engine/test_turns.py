"""A run shares its event loop: whoever else lives there has a turn, whatever comes at once."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING

import pytest

from headrace.engine.scheduler import Schedule
from headrace.testing import run_virtual, running_clock

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator

    from headrace.engine.scheduler import Handle


def schedule(prompts: Iterable[object] | AsyncIterable[object], handle: Handle) -> Schedule:
    return Schedule(prompts, handle, 200, lambda: False)


def test_answers_that_need_no_waiting_let_others_have_their_turn() -> None:
    async def handle(number: int, prompt: object) -> bool:
        del number, prompt
        return False

    async def main() -> int:
        turns = 0
        counting: Iterator[object] = itertools.count()
        running = asyncio.create_task(schedule(counting, handle).run())
        ends = time.monotonic() + 0.1
        while time.monotonic() < ends:
            await asyncio.sleep(0)
            turns += 1
        running.cancel()
        await asyncio.wait({running})
        return turns

    assert asyncio.run(main()) >= 4


def test_answers_that_come_all_at_once_hold_up_nobody_else() -> None:
    """Each of 200 prompts costs the loop a millisecond to send, and all answers come together."""
    worst = 0.0

    async def handle(number: int, prompt: object) -> bool:
        del prompt
        running_clock().advance(0.001)
        loop = asyncio.get_running_loop()
        await asyncio.sleep(1.0 if number < 200 else 10.0 - loop.time() % 10.0)
        return True

    async def watch() -> None:
        nonlocal worst
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + 0.005
            await asyncio.sleep(0.005)
            worst = max(worst, loop.time() - due)

    async def main() -> None:
        watching = asyncio.create_task(watch())
        await schedule(range(2_000), handle).run()
        watching.cancel()
        await asyncio.wait({watching})

    run_virtual(main)
    assert worst < 0.05


def test_an_async_source_that_never_waits_lets_others_have_their_turn() -> None:
    async def source() -> AsyncIterator[object]:
        for item in itertools.count():
            yield item

    async def handle(number: int, prompt: object) -> bool:
        del number, prompt
        return False

    async def main() -> None:
        async with asyncio.timeout(0.1):
            await schedule(source(), handle).run()

    with pytest.raises(TimeoutError):
        asyncio.run(main())
