"""Virtual time: exact, quick, never spinning, never hanging."""

from __future__ import annotations

import asyncio
import itertools
import math
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.testing import (
    DeadlockError,
    LeftBehindError,
    VirtualClock,
    VirtualLoop,
    run_virtual,
    running_clock,
)
from headrace.testing.clock import EPOCH

SECOND = 1_000_000_000


def test_a_clock_starts_at_fixed_values_and_moves_only_when_told() -> None:
    clock = VirtualClock()
    assert (clock.now(), clock.wall()) == (1_000 * SECOND, EPOCH)
    clock.advance(1.5)
    assert (clock.now(), clock.wall()) == (1_001_500_000_000, EPOCH + 1.5)


@pytest.mark.parametrize("step", [-1.0, math.nan])
def test_a_clock_does_not_go_back(step: float) -> None:
    with pytest.raises(ValueError, match="only moves forward"):
        VirtualClock().advance(step)


def test_the_wall_can_jump_while_monotonic_time_does_not() -> None:
    clock = VirtualClock()
    clock.epoch += 3 * 86_400
    assert clock.wall() == EPOCH + 3 * 86_400
    assert clock.now() == 1_000 * SECOND


def test_ten_minutes_take_no_time() -> None:
    async def main() -> int:
        began = running_clock().now()
        for _ in range(600):
            await asyncio.sleep(1)
        return running_clock().now() - began

    before = time.perf_counter()
    assert run_virtual(main) == 600 * SECOND
    assert time.perf_counter() - before < 5


@given(st.lists(st.floats(min_value=1e-9, max_value=1e5), min_size=1, max_size=20))
def test_sleepers_wake_in_order_and_on_time(delays: list[float]) -> None:
    woken: list[float] = []

    async def sleeper(delay: float) -> float:
        began = running_clock().now()
        await asyncio.sleep(delay)
        woken.append(delay)
        return (running_clock().now() - began) / SECOND

    async def main() -> list[float]:
        return await asyncio.gather(*map(sleeper, delays))

    took = run_virtual(main)
    assert took == pytest.approx(delays, abs=2e-6)
    assert all(b > a - 2e-6 for a, b in itertools.pairwise(woken))


@pytest.mark.timeout(20)
def test_waiters_that_are_a_rounding_error_away_make_progress() -> None:
    async def waiter(until: int) -> None:
        while running_clock().now() < until:  # noqa: ASYNC110 - what a limiter may do to us
            await asyncio.sleep(5e-10)

    async def main() -> None:
        until = running_clock().now() + 3_000
        first = asyncio.ensure_future(waiter(until))
        # One turn apart, each finds the other ready at each turn, and nothing ever idle.
        await asyncio.sleep(0)
        await asyncio.gather(first, waiter(until))

    run_virtual(main)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("start", [0, 10**17, 10**18])
def test_a_timer_comes_due_at_any_time_of_the_clock(start: int) -> None:
    clock = VirtualClock(start)

    async def main() -> None:
        await asyncio.sleep(1)
        await asyncio.sleep(1e-9)
        overdue = asyncio.Event()
        asyncio.get_running_loop().call_at(0.0, overdue.set)
        await overdue.wait()
        await asyncio.sleep(0.5)

    run_virtual(main, clock=clock)
    assert 1.5 * SECOND <= clock.now() - start < 1.5 * SECOND + 10_000


def test_timeouts_run_in_virtual_time() -> None:
    async def main() -> int:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3_600):
                await asyncio.get_running_loop().create_future()
        return running_clock().now()

    assert run_virtual(main) == 4_600 * SECOND


def test_a_timer_can_be_cancelled_and_one_at_infinity_never_fires() -> None:
    async def main() -> list[str]:
        fired: list[str] = []
        loop = asyncio.get_running_loop()
        loop.call_later(1, fired.append, "cancelled").cancel()
        loop.call_later(math.inf, fired.append, "never")
        loop.call_later(2, fired.append, "fired")
        await asyncio.sleep(3)
        return fired

    assert run_virtual(main()) == ["fired"]


@pytest.mark.parametrize("seconds", [None, math.inf])
def test_what_would_hang_is_an_error(seconds: float | None) -> None:
    async def main() -> None:
        if seconds is None:
            await asyncio.Event().wait()
        else:
            await asyncio.sleep(seconds)

    with pytest.raises(DeadlockError, match="deadlock in virtual time: nothing is scheduled"):
        run_virtual(main)


def test_the_error_of_the_program_comes_out() -> None:
    async def main() -> None:
        await asyncio.sleep(1)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run_virtual(main)


def test_what_is_left_running_is_an_error() -> None:
    async def forgotten() -> None:
        await asyncio.sleep(60)

    kept: list[asyncio.Future[None]] = []

    async def main() -> None:
        kept.append(asyncio.ensure_future(forgotten()))

    with pytest.raises(LeftBehindError, match=r"1 coroutines were left behind.*forgotten"):
        run_virtual(main)


def test_the_clock_waits_for_the_executor() -> None:
    release = threading.Event()

    async def main() -> tuple[str, int]:
        began = running_clock().now()
        loop = asyncio.get_running_loop()
        sleeping = asyncio.ensure_future(asyncio.sleep(60))
        working = asyncio.ensure_future(asyncio.to_thread(release.wait))
        loop.call_soon(threading.Timer(0.02, release.set).start)
        assert await working
        took = running_clock().now() - began
        await sleeping
        return "done", took

    assert run_virtual(main) == ("done", 0)


def test_other_threads_may_speak_up() -> None:
    async def main() -> str:
        loop = asyncio.get_running_loop()
        said: asyncio.Future[str] = loop.create_future()
        thread = threading.Thread(
            target=loop.call_soon_threadsafe, args=(said.set_result, "from a thread")
        )
        loop.call_soon(thread.start)
        text = await said
        thread.join()
        await asyncio.sleep(10)
        return text

    assert run_virtual(main, allow_threads=True) == "from a thread"


def test_the_loop_has_the_clock_and_other_loops_have_none() -> None:
    clock = VirtualClock()
    loop = VirtualLoop(clock)
    assert loop.clock is clock
    assert loop.time() == 1_000.0
    loop.close()

    async def main() -> None:
        running_clock()

    with pytest.raises(RuntimeError, match="run_virtual"):
        asyncio.run(main())
