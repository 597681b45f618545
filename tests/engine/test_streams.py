"""A run's responses as they come, or in order; the consumer sets the pace and may leave."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import NoRouteError, RunStoppedError
from headrace.core.response import APIResponse
from headrace.engine.scheduler import Schedule
from headrace.engine.streams import Deliver, ResponseStream
from headrace.testing import run_virtual

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    Answer = Callable[[int], Coroutine[object, object, None]]


class Provider:
    """Answers ``count`` prompts in a window, each after its own time, and counts what is open."""

    def __init__(self, seconds: Sequence[float], window: int, bad: int = -1) -> None:
        self.seconds = seconds
        self.window = window
        self.bad = bad
        self.finished = 0
        self.delivered = 0

    async def run(self, deliver: Deliver) -> None:
        async def handle(index: int, prompt: object) -> bool:
            await asyncio.sleep(self.seconds[index])
            if index == self.bad:
                raise NoRouteError("no route is left")
            self.finished += 1
            await deliver(APIResponse(id=str(prompt), index=index))
            self.delivered += 1
            return True

        prompts = range(len(self.seconds))
        await Schedule(prompts, handle, self.window, lambda: False, deliver.release).run()

    def stream(self, bound: int, *, ordered: bool) -> ResponseStream:
        return ResponseStream(self.run, bound=bound, ordered=ordered)


async def read(responses: ResponseStream, seen: list[int], pause: float = 0) -> None:
    async for response in responses:
        seen.append(response.index)
        await asyncio.sleep(pause)


times = st.lists(st.integers(0, 6), max_size=40)


@given(times, st.integers(1, 8), st.integers(1, 8), st.booleans(), st.integers(0, 3))
def test_every_response_comes_once_and_the_bound_is_kept(
    seconds: list[int], window: int, bound: int, ordered: bool, pause: int
) -> None:
    provider, seen = Provider(seconds, window), list[int]()

    async def main() -> None:
        async with provider.stream(bound, ordered=ordered) as responses:
            async for response in responses:
                # Those in the buffer, and those whose workers stand before it with one each.
                assert provider.delivered - len(seen) <= bound
                assert provider.finished - len(seen) <= bound + window
                seen.append(response.index)
                await asyncio.sleep(pause)

    run_virtual(main)
    assert sorted(seen) == list(range(len(seconds)))
    assert not ordered or seen == sorted(seen)


def test_without_order_the_quick_come_first() -> None:
    async def main() -> list[int]:
        async with Provider([9, 1, 5, 3], 4).stream(4, ordered=False) as responses:
            return [response.index async for response in responses]

    assert run_virtual(main) == [1, 3, 2, 0]


def test_a_consumer_that_does_not_look_holds_the_run_back() -> None:
    provider = Provider([0.0] * 1_000, window=10)

    async def main() -> None:
        async with provider.stream(5, ordered=False) as responses:
            await asyncio.sleep(1_000)
            assert (provider.delivered, provider.finished) == (5, 15)
            assert (await anext(responses)).index == 0
            await asyncio.sleep(1_000)
            assert (provider.delivered, provider.finished) == (6, 16)

    run_virtual(main)


def test_in_order_a_late_one_holds_back_as_many_as_the_bound() -> None:
    provider = Provider([1_000.0] + [0.0] * 99, window=10)

    async def main() -> None:
        async with provider.stream(20, ordered=True) as responses:
            await asyncio.sleep(500)
            assert provider.delivered == 19
            assert [response.index async for response in responses] == list(range(100))

    run_virtual(main)


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("after", [0, 1, 7])
def test_leaving_early_leaves_nothing_behind(ordered: bool, after: int) -> None:
    provider = Provider([1.0] * 1_000, window=10)

    async def main() -> int:
        taken = 0
        async with provider.stream(3, ordered=ordered) as responses:
            while taken < after:
                await anext(responses)
                taken += 1
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return taken

    assert run_virtual(main) == after
    assert provider.finished < 40


@pytest.mark.parametrize("ordered", [False, True])
def test_an_error_in_the_block_ends_the_run_too(ordered: bool) -> None:
    async def stumble() -> None:
        async with Provider([1.0] * 100, 5).stream(3, ordered=ordered) as responses:
            async for response in responses:
                _ = 1 // response.index

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await stumble()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main)


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=40),
    st.integers(1, 8),
    st.integers(1, 8),
    st.booleans(),
    st.tuples(st.integers(0, 39), st.integers(0, 3)),
)
def test_what_was_finished_comes_before_what_stopped_the_run(
    seconds: list[int], window: int, bound: int, ordered: bool, more: tuple[int, int]
) -> None:
    bad, pause = more[0] % len(seconds), more[1]
    provider, seen = Provider(seconds, window, bad), list[int]()

    async def main() -> None:
        async with provider.stream(bound, ordered=ordered) as responses:
            with pytest.raises(NoRouteError, match="no route is left"):
                await read(responses, seen, pause)
            with pytest.raises(NoRouteError):
                await anext(responses)

    run_virtual(main)
    assert len(seen) == provider.finished
    assert bad not in seen
    assert not ordered or seen == sorted(seen)


def test_in_order_a_row_that_never_comes_does_not_hang_the_others() -> None:
    # Row 0 stops the run when all the others have long been waiting behind it.
    provider, seen = Provider([1_000.0] + [0.0] * 99, window=10, bad=0), list[int]()

    async def main() -> None:
        async with provider.stream(5, ordered=True) as responses:
            with pytest.raises(NoRouteError):
                await read(responses, seen)

    run_virtual(main)
    # Four in the buffer, and one with each of the nine other workers.
    assert seen == list(range(1, 14))


def test_an_unforeseen_error_of_the_run_is_raised() -> None:
    async def run(deliver: Deliver) -> None:
        await deliver(APIResponse(index=0))
        raise LookupError("what")

    async def main() -> None:
        async with ResponseStream(run, bound=3, ordered=False) as responses:
            assert (await anext(responses)).index == 0
            with pytest.raises(LookupError, match="what"):
                await anext(responses)

    run_virtual(main)


def test_a_run_that_somebody_else_cancels_does_not_look_whole() -> None:
    async def run(deliver: Deliver) -> None:
        await deliver(APIResponse(index=0))
        this = asyncio.current_task()
        assert this is not None
        this.cancel()
        await asyncio.sleep(1)

    async def main() -> None:
        async with ResponseStream(run, bound=3, ordered=False) as responses:
            assert (await anext(responses)).index == 0
            with pytest.raises(RunStoppedError, match="start it again for the rest"):
                await anext(responses)

    run_virtual(main)


def test_a_consumer_may_give_up_waiting_and_come_again() -> None:
    async def main() -> None:
        async with Provider([5.0], 1).stream(3, ordered=False) as responses:
            waiting = asyncio.ensure_future(anext(responses))
            await asyncio.sleep(1)
            waiting.cancel()
            await asyncio.wait({waiting})
            assert (await anext(responses)).index == 0

    run_virtual(main)


def test_two_consumers_at_once_are_refused() -> None:
    async def main() -> None:
        async with Provider([5.0], 1).stream(3, ordered=False) as responses:
            first = asyncio.ensure_future(anext(responses))
            await asyncio.sleep(1)
            with pytest.raises(RuntimeError, match="two consumers"):
                await anext(responses)
            assert (await first).index == 0

    run_virtual(main)


def test_a_stream_is_used_as_a_context_and_once() -> None:
    async def main() -> None:
        stream = Provider([], 1).stream(3, ordered=False)
        with pytest.raises(RuntimeError, match="async with"):
            await anext(stream)
        async with stream as responses:
            assert [r async for r in responses] == []
            with pytest.raises(RuntimeError, match="entered once"):
                await stream.__aenter__()
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        await Provider([], 1).stream(3, ordered=False).__aexit__(None, None, None)

    run_virtual(main)


def test_after_the_block_nothing_is_waited_for() -> None:
    async def main() -> None:
        stream = Provider([1.0], 1).stream(3, ordered=False)
        async with stream:
            pass
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    run_virtual(main)
