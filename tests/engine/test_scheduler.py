"""Many requests: each once, never more than the window, drawn late, and nothing left behind."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.context import RequestContext
from headrace.core.conversation import Conversation, Message
from headrace.core.errors import ConfigError, NoRouteError, RunStoppedError
from headrace.engine.scheduler import Handle, Schedule, window
from headrace.testing import run_virtual

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

Prompts: TypeAlias = "Iterator[object] | AsyncIterator[object]"


def never() -> bool:
    return False


class Desk:
    """Answers prompts in virtual time and notes what it sees."""

    def __init__(self, seconds: Callable[[int], float] = lambda _: 1.0) -> None:
        self.seconds = seconds
        self.begun: list[tuple[int, object]] = []
        self.ended: list[int] = []
        self.most = 0
        self.drawn = 0
        self.farthest = 0

    async def handle(self, number: int, prompt: object) -> bool:
        self.begun.append((number, prompt))
        self.most = max(self.most, len(self.begun) - len(self.ended))
        try:
            await asyncio.sleep(self.seconds(number))
        finally:
            self.ended.append(number)
        return True

    def source(self, items: Iterator[object]) -> Iterator[object]:
        for item in items:
            self.drawn += 1
            self.farthest = max(self.farthest, self.drawn - len(self.ended))
            yield item

    async def slow_source(self, items: Iterator[object], pause: float) -> AsyncIterator[object]:
        for item in self.source(items):
            await asyncio.sleep(pause)
            yield item


def drawn_from(desk: Desk, count: int, pause: float | None) -> Prompts:
    items: Iterator[object] = iter(range(count))
    return desk.source(items) if pause is None else desk.slow_source(items, pause)


async def work(prompts: object, handle: Handle, width: int = 8) -> None:
    await Schedule(prompts, handle, width, never).run()  # type: ignore[arg-type]  # numbers stand for prompts


@given(
    st.integers(0, 60),
    st.integers(1, 9),
    st.sampled_from([None, 0.0, 0.3]),
    st.lists(st.integers(0, 5), min_size=60, max_size=60),
)
def test_each_item_once_in_a_window_and_never_drawn_ahead(
    count: int, width: int, pause: float | None, seconds: list[int]
) -> None:
    desk = Desk(lambda number: seconds[number])
    run_virtual(lambda: work(drawn_from(desk, count, pause), desk.handle, width))
    assert desk.begun == [(number, number) for number in range(count)]
    assert sorted(desk.ended) == list(range(count))
    assert desk.most <= width
    assert desk.farthest <= width


def test_the_window_is_filled_and_a_slow_one_holds_nobody_up() -> None:
    desk = Desk(lambda number: 1000.0 if number == 0 else 1.0)
    run_virtual(lambda: work(range(64), desk.handle, 8))
    assert (desk.most, desk.ended[-1]) == (8, 0)


def test_a_short_list_gets_no_more_workers_than_items() -> None:
    async def main() -> int:
        desk = Desk()
        running = asyncio.create_task(work(["a", "b", "c"], desk.handle, 1_000))
        await asyncio.sleep(0.5)
        live = len(asyncio.all_tasks()) - 2
        await running
        return live

    assert run_virtual(main) == 3


@pytest.mark.parametrize("empty", [[], (), iter(())])
def test_nothing_to_do_is_done_at_once(empty: object) -> None:
    desk = Desk()
    run_virtual(lambda: work(empty, desk.handle))
    assert desk.begun == []


def test_no_workers_are_added_while_enough_wait_for_a_slot() -> None:
    desk = Desk()
    prompts = desk.source(iter(range(40)))
    run_virtual(Schedule(prompts, desk.handle, 8, lambda: desk.drawn >= 3).run)
    assert desk.most == 3
    assert len(desk.ended) == 40


class SourceError(Exception):
    """What the caller's own iterator raises."""


def _failing(at: int) -> Iterator[object]:
    yield from range(at)
    raise SourceError


async def _failing_later(at: int) -> AsyncIterator[object]:
    for item in range(at):
        yield item
    raise SourceError


@pytest.mark.parametrize("source", [_failing, _failing_later])
@pytest.mark.parametrize("at", [0, 1, 5, 20])
def test_a_source_that_raises_stops_the_run_after_what_is_live(
    source: Callable[[int], object], at: int
) -> None:
    desk = Desk()

    async def main() -> None:
        with pytest.raises(SourceError):
            await work(source(at), desk.handle, 4)

    run_virtual(main)
    assert sorted(desk.ended) == list(range(at))


class Grudging:
    """An async source that never says it ends twice: asked again it would wait for ever."""

    def __init__(self, count: int, error: Exception) -> None:
        self.left = count
        self.error = error
        self.asked_after_the_end = 0

    def __aiter__(self) -> Grudging:
        return self

    async def __anext__(self) -> object:
        await asyncio.sleep(0)
        self.left -= 1
        if self.left == -1:
            raise self.error
        if self.left < -1:
            self.asked_after_the_end += 1
            await asyncio.Event().wait()
        return self.left


@pytest.mark.parametrize("error", [StopAsyncIteration(), SourceError()])
def test_a_source_is_not_asked_again_after_its_end(error: Exception) -> None:
    desk, source = Desk(), Grudging(3, error)

    async def main() -> None:
        try:
            await work(source, desk.handle, 8)
        except SourceError:
            assert error.__class__ is SourceError

    run_virtual(main)
    assert len(desk.ended) == 3
    assert source.asked_after_the_end == 0


@pytest.mark.parametrize("pause", [None, 0.0, 0.01])
@pytest.mark.parametrize("kind", [RunStoppedError, NoRouteError, ValueError])
def test_when_the_run_must_stop_nothing_new_is_drawn_and_the_live_ones_finish(
    kind: type[Exception], pause: float | None
) -> None:
    desk, stops = Desk(lambda _: 5.0), list[int]()

    async def handle(number: int, prompt: object) -> bool:
        if number == 2:
            await asyncio.sleep(1)
            stops.append(desk.drawn)
            raise kind("no more")
        return await desk.handle(number, prompt)

    async def main() -> None:
        prompts = drawn_from(desk, 1_000, pause)
        with pytest.raises(kind, match="no more"):
            await Schedule(prompts, handle, 8, never).run()

    run_virtual(main)
    assert sorted(desk.ended) == [number for number, _ in desk.begun]
    assert len(desk.begun) == 7
    # The one of them that was being waited for may still have been drawn.
    assert desk.drawn - stops[0] <= (pause is not None)


def test_a_run_that_must_stop_does_not_wait_for_a_source_that_gives_nothing() -> None:
    async def source() -> AsyncIterator[object]:
        yield "first"
        await asyncio.sleep(1e9)
        yield "never"

    async def handle(number: int, prompt: object) -> bool:
        await asyncio.sleep(1)
        raise RunStoppedError(f"{number} {prompt}")

    async def main() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(RunStoppedError, match="0 first"):
            await work(source(), handle)
        return loop.time() - began

    assert run_virtual(main) < 2


def test_the_first_reason_is_the_one_that_is_raised_and_told_once() -> None:
    told = list[str]()

    async def handle(number: int, prompt: object) -> bool:
        await asyncio.sleep(number)
        raise RunStoppedError(f"number {prompt}")

    async def main() -> None:
        schedule = Schedule(range(100), handle, 5, never, lambda: told.append("stop"))
        with pytest.raises(RunStoppedError, match="number 0"):
            await schedule.run()

    run_virtual(main)
    assert told == ["stop"]


@pytest.mark.parametrize("pause", [None, 0.001, 1e6])
def test_an_endless_run_is_cancelled_and_leaves_nothing_behind(pause: float | None) -> None:
    desk, tidied = Desk(), list[int]()

    async def handle(number: int, prompt: object) -> bool:
        try:
            return await desk.handle(number, prompt)
        finally:
            await asyncio.sleep(0.5)
            tidied.append(number)

    async def main() -> None:
        counting: Iterator[object] = itertools.count()
        prompts = desk.source(counting) if pause is None else desk.slow_source(counting, pause)
        running = asyncio.create_task(Schedule(prompts, handle, 5, never).run())
        await asyncio.sleep(9.75)
        running.cancel()
        drawn = desk.drawn
        with pytest.raises(asyncio.CancelledError):
            await running
        assert desk.drawn == drawn
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main)
    # Each was let put its things in order, which takes a while.
    assert sorted(tidied) == [number for number, _ in desk.begun]


def test_a_cancelled_run_is_cancelled_also_when_it_stops_at_the_same_moment() -> None:
    async def source() -> AsyncIterator[object]:
        yield "first"
        await asyncio.sleep(1e9)

    async def main() -> None:
        running: asyncio.Task[None]

        async def handle(number: int, prompt: object) -> bool:
            del number, prompt
            await asyncio.sleep(1)
            running.cancel()
            raise RunStoppedError("stop")

        running = asyncio.create_task(Schedule(source(), handle, 4, never).run())
        with pytest.raises(asyncio.CancelledError):
            await running

    run_virtual(main)


class Sudden:
    """Cancels the run from within the source, while the run stops for another reason."""

    def __init__(self) -> None:
        self.worker: asyncio.Task[object] | None = None
        self.given = False

    def __aiter__(self) -> Sudden:
        return self

    async def __anext__(self) -> object:
        if not self.given:
            self.given = True
            return "first"
        self.worker = asyncio.current_task()
        await asyncio.Event().wait()
        raise StopAsyncIteration


def test_a_worker_that_is_cancelled_beside_being_called_off_stays_cancelled() -> None:
    source = Sudden()

    async def handle(number: int, prompt: object) -> bool:
        del number, prompt
        await asyncio.sleep(1)
        assert source.worker is not None
        source.worker.cancel()
        raise RunStoppedError("stop")

    async def main() -> None:
        with pytest.raises(asyncio.CancelledError):
            await work(source, handle, 4)

    run_virtual(main)


@pytest.mark.parametrize(
    "prompts",
    [
        "one prompt",
        b"bytes",
        {"role": "user", "content": "hi"},
        Message.user("hi"),
        Conversation().user("hi"),
        RequestContext(prompt="hi"),
        None,
        5,
    ],
)
def test_one_prompt_is_not_many(prompts: object) -> None:
    async def handle(number: int, prompt: object) -> bool:
        raise AssertionError(number, prompt)

    with pytest.raises(ConfigError, match="put it into a list, or use ask"):
        Schedule(prompts, handle, 4, never)  # type: ignore[arg-type]  # the types refuse it too


def test_the_window_is_larger_than_the_slots() -> None:
    assert window(1) == 256
    assert window(64) == 256
    assert window(500) == 2_000
