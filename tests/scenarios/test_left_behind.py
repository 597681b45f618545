"""Requests whose event loop ended without them: the garbage collector closes them, anywhere."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import TYPE_CHECKING

import pytest

from headrace.testing import Script
from tests.clients import lanes, made

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace import LLMClient

PATIENCE = 30.0


def leave_behind(client: LLMClient, script: Script, prompts: list[str]) -> object:
    """Ask, and end the loop while all of them fly or wait; what is returned keeps them alive."""
    before = live(client)
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # asyncio complains, and is right
    asks = [loop.create_task(client.ask(prompt)) for prompt in prompts]
    while not (script.calls and live(client) == before + len(prompts)):
        loop.run_until_complete(asyncio.sleep(0))
    assert not any(ask.done() for ask in asks)
    loop.close()
    return asks


def live(client: LLMClient) -> int:
    return slots_taken(client) + sum(state.waiting for state in lanes(client))


def slots_taken(client: LLMClient) -> int:
    return sum(state.own.in_flight for state in lanes(client))


def in_time(call: Callable[[], None]) -> bool:
    """Does ``call()`` come to an end? Not where it waits for itself."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return not thread.is_alive()


@pytest.mark.parametrize("prompts", [["flies"], ["flies", "waits"]], ids=["flying", "waiting"])
def test_one_that_is_closed_while_its_own_thread_decides(prompts: list[str]) -> None:
    script = Script(lambda *_: 3_600.0)
    client = made(script, max_concurrent_requests=1)
    admission = client._sender.admission  # noqa: SLF001  the moment cannot be met from outside
    gc.collect()
    gc.disable()
    try:
        leave_behind(client, script, prompts)
        if "waits" in prompts:
            # Whoever gives the slot back wakes the waiter, in a loop that is no more.
            gc.collect(0)

        def decide() -> None:
            with admission.lock:
                gc.collect()

        assert in_time(decide)
    finally:
        gc.enable()


def test_a_slot_is_not_lost_on_who_waits_in_a_closed_loop() -> None:
    script = Script(lambda *_: 0.2)
    client = made(script, max_concurrent_requests=1)

    async def main() -> list[str | None]:
        async with client, asyncio.timeout(PATIENCE):
            first = asyncio.create_task(client.ask("first"))
            await asyncio.sleep(0)
            await asyncio.to_thread(leave_behind, client, script, ["waits"])
            return [(await each).completion for each in (first, client.ask("second"))]

    gc.disable()
    try:
        assert asyncio.run(main()) == ["echo: first", "echo: second"]
    finally:
        gc.enable()


def test_who_comes_later_does_not_wait_for_the_timer_of_a_closed_loop() -> None:
    script = Script(lambda _c, _r, n: 3_600.0 if n == 0 else 0.0)
    client = made(script, max_requests_per_minute=600)

    async def main() -> str | None:
        async with client, asyncio.timeout(PATIENCE):
            return (await client.ask("later")).completion

    gc.disable()
    try:
        leave_behind(client, script, ["flies", "waits"])
        assert asyncio.run(main()) == "echo: later"
    finally:
        gc.enable()


def test_a_loop_that_was_closed_over_its_requests_takes_no_slot_from_the_next() -> None:
    """Whoever keeps the coroutines: nothing need be collected."""
    script = Script(lambda _c, _r, n: 3_600.0 if n < 2 else 0.0)
    client = made(script, max_concurrent_requests=2)

    async def main() -> list[str | None]:
        async with asyncio.timeout(PATIENCE):
            rows = await client.process_prompts_async(["a", "b", "c"], show_progress=False)
            return [row.completion for row in rows]

    gc.disable()
    try:
        kept = leave_behind(client, script, ["flies", "flies, too"])
        assert asyncio.run(main()) == ["echo: a", "echo: b", "echo: c"]
        assert slots_taken(client) == 0
        del kept
        gc.collect()
        assert slots_taken(client) == 0
    finally:
        gc.enable()


def test_its_slot_is_free_again() -> None:
    script = Script(lambda _c, _r, n: 3_600.0 if n == 0 else 0.0)
    client = made(script, max_concurrent_requests=1)
    leave_behind(client, script, ["flies", "waits"])
    # Nothing of it goes to the one that waits, whose loop is closed, too.
    assert any(gc.collect() >= 0 and slots_taken(client) == 0 for _ in range(100))

    async def main() -> list[str | None]:
        async with client:
            return [(await client.ask(prompt)).completion for prompt in ("p", "q")]

    assert asyncio.run(main()) == ["echo: p", "echo: q"]
