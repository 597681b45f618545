"""What belongs to one event loop: made on first use, shared there, closed in time."""

from __future__ import annotations

import asyncio
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from headrace import LLMClient
from headrace.adapters.http import Transport
from headrace.engine.loops import IDLE, LoopScope, LoopScopes
from headrace.testing import VirtualClock, run_virtual


class Counted(Transport):
    """A transport that counts those that are open."""

    live = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).live += 1

    async def aclose(self) -> None:
        type(self).live -= 1
        await super().aclose()


def nothing() -> None:
    """Stands for the pump."""


def scopes(pump: list[int] | None = None) -> LoopScopes:
    Counted.live = 0
    called = nothing if pump is None else lambda: pump.append(1)
    return LoopScopes(Counted, called, nothing, lambda _: None)


def test_one_scope_and_one_session_for_each_loop() -> None:
    made = scopes()

    async def main() -> LoopScope:
        here = made.here()
        assert made.here() is here
        assert here.transport() is here.transport()
        assert Counted.live == 1
        return here

    first, second = asyncio.run(main()), asyncio.run(main())
    assert first is not second
    # Each loop closed its session when it ended, though nobody asked for it.
    assert Counted.live == 0


def test_loops_that_begin_at_once_in_many_threads_each_keep_their_scope() -> None:
    made = scopes()

    async def main() -> bool:
        here = made.here()
        await asyncio.sleep(0.001)  # others begin meanwhile
        return made.here() is here

    def many() -> list[bool]:
        return [asyncio.run(main()) for _ in range(30)]

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            kept = [threads.submit(many) for _ in range(8)]
            assert all(all(each.result()) for each in kept)
    finally:
        sys.setswitchinterval(interval)


def test_closing_is_for_this_loop_and_may_come_twice() -> None:
    made = scopes()

    async def main() -> None:
        await made.aclose()
        made.here().transport()
        await made.aclose()
        await made.aclose()
        assert Counted.live == 0
        made.here().transport()
        assert Counted.live == 1

    asyncio.run(main())
    assert Counted.live == 0


def test_connections_are_closed_a_little_after_the_last_use() -> None:
    made = scopes()

    async def main() -> None:
        with made.here() as scope, made.here():
            scope.transport()
        await asyncio.sleep(IDLE - 1)
        assert Counted.live == 1
        with made.here():
            await asyncio.sleep(10 * IDLE)
            assert Counted.live == 1
        await asyncio.sleep(IDLE + 1)
        assert Counted.live == 0

    run_virtual(main)


def test_the_earliest_timer_is_the_one_that_rings() -> None:
    pump: list[int] = []
    made = scopes(pump)

    async def main() -> None:
        scope = made.here()
        scope.arm(5_000_000_000)
        scope.arm(2_000_000_000)
        scope.arm(9_000_000_000)
        await asyncio.sleep(2.1)
        assert len(pump) == 1
        await asyncio.sleep(60)
        assert len(pump) == 1

    run_virtual(main)


def test_a_timer_set_from_another_thread_rings_in_its_own_loop() -> None:
    rung: list[threading.Thread] = []

    async def main() -> None:
        done = asyncio.Event()

        def pump() -> None:
            rung.append(threading.current_thread())
            done.set()

        scope = LoopScope(Counted, pump)
        await asyncio.to_thread(scope.arm, 0)
        async with asyncio.timeout(10):
            await done.wait()

    asyncio.run(main())
    assert rung == [threading.main_thread()]


def test_a_loop_that_has_ended_is_past_caring() -> None:
    made = scopes()

    async def main() -> LoopScope:
        return made.here()

    ended = asyncio.run(main())
    ended.arm(0)


def test_a_thousand_loops_leave_nothing_behind() -> None:
    clock = VirtualClock()
    client = LLMClient("openai/m", base_url="http://127.0.0.1:1/v1", clock=clock)
    for _ in range(50):
        asyncio.run(client.process_prompts_async([], show_progress=False))
    assert len(client._loops._scopes) == 1  # noqa: SLF001 - one too many shows in memory alone
