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


def leave_behind(client: LLMClient, script: Script, prompts: list[str]) -> None:
    """Ask, and end the loop while one of them flies and the others wait."""
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # asyncio complains, and is right
    asks = [loop.create_task(client.ask(prompt)) for prompt in prompts]
    while not (script.calls and sum(state.waiting for state in lanes(client)) == len(prompts) - 1):
        loop.run_until_complete(asyncio.sleep(0))
    assert not any(ask.done() for ask in asks)
    loop.close()


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


def test_its_slot_is_free_again() -> None:
    script = Script(lambda _c, _r, n: 3_600.0 if n == 0 else 0.0)
    client = made(script, max_concurrent_requests=1)
    leave_behind(client, script, ["flies", "waits"])
    # The one that flies gives its slot to the one that waits, which is closed in its turn.
    assert any(gc.collect() >= 0 and slots_taken(client) == 0 for _ in range(100))

    async def main() -> list[str | None]:
        async with client:
            return [(await client.ask(prompt)).completion for prompt in ("p", "q")]

    assert asyncio.run(main()) == ["echo: p", "echo: q"]
