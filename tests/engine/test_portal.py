"""The sync side: from scripts, threads, running loops and forks, with Ctrl-C, and again later."""

from __future__ import annotations

import asyncio
import contextvars
import signal
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Final

import pytest

from headrace.core.errors import ConfigError, RunStoppedError
from headrace.engine.portal import Portal
from headrace.engine.scheduler import Schedule

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from types import CodeType

POSIX: Final = pytest.mark.skipif(sys.platform == "win32", reason="signals and forks of POSIX")
NAME: Final = "headrace-sync"


class Place:
    """A portal, and a note of each time it was closed on its own loop."""

    def __init__(self) -> None:
        self.closed: list[str] = []
        self.portal = Portal(self.close)

    async def close(self) -> None:
        await asyncio.sleep(0)
        self.closed.append(threading.current_thread().name)


@pytest.fixture
def place() -> Iterator[Place]:
    place = Place()
    yield place
    place.portal.close()


async def name_of_thread() -> str:
    await asyncio.sleep(0)
    return threading.current_thread().name


async def fail() -> None:
    raise LookupError("what")


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == NAME]


def test_a_script_calls_on_a_thread_that_is_started_once(place: Place) -> None:
    before = len(threads())
    assert [place.portal.call(name_of_thread) for _ in range(3)] == [NAME] * 3
    assert len(threads()) == before + 1


def test_an_unused_portal_starts_nothing() -> None:
    before = len(threads())
    place = Place()
    place.portal.close()
    assert (len(threads()), place.closed) == (before, [])


def test_an_error_is_raised_where_it_was_called_for(place: Place) -> None:
    with pytest.raises(LookupError, match="what"):
        place.portal.call(fail)
    assert place.portal.call(name_of_thread) == NAME


def test_a_running_loop_may_call_and_waits_meanwhile(place: Place) -> None:
    async def main() -> str:
        return place.portal.call(name_of_thread)

    assert asyncio.run(main()) == NAME


def test_several_threads_call_at_once(place: Place) -> None:
    meeting = threading.Barrier(8, timeout=10)
    met, all_here = list[int](), asyncio.Event()

    async def work(number: int) -> int:
        # Only calls that run side by side meet.
        met.append(number)
        if len(met) == 8:
            all_here.set()
        await all_here.wait()
        return number

    def call(number: int) -> None:
        meeting.wait()
        answers.append(place.portal.call(lambda: work(number)))

    answers = list[int]()
    callers = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(10)
    assert sorted(answers) == list(range(8))


def test_the_callers_context_is_seen(place: Place) -> None:
    color = contextvars.ContextVar("color", default="none")
    color.set("green")

    async def look() -> str:
        return color.get()

    assert place.portal.call(look) == "green"


def test_a_call_from_its_own_loop_is_refused(place: Place) -> None:
    async def again() -> str:
        return place.portal.call(name_of_thread)

    with pytest.raises(ConfigError, match="await the async form"):
        place.portal.call(again)
    assert place.portal.call(name_of_thread) == NAME


def test_it_is_closed_and_used_again(place: Place) -> None:
    before = len(threads())
    for times in (1, 2, 3):
        assert place.portal.call(name_of_thread) == NAME
        place.portal.close()
        place.portal.close()
        assert place.closed == [NAME] * times
        assert len(threads()) == before


def test_what_is_left_on_the_loop_is_ended_when_it_closes(place: Place) -> None:
    ended = list[str]()

    async def linger() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("task")

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            ended.append("generator")

    async def begin() -> list[object]:
        left = numbers()
        await anext(left)
        lingering = asyncio.ensure_future(linger())
        await asyncio.sleep(0)
        return [left, lingering]

    kept = place.portal.call(begin)
    place.portal.close()
    assert ended == ["task", "generator"]
    assert len(kept) == 2


def test_closing_during_a_call_ends_the_call_with_a_sentence(place: Place) -> None:
    begun, ends = threading.Event(), list[object]()

    async def long() -> None:
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            ends.append("tidied")

    def call() -> None:
        try:
            place.portal.call(long)
        except RunStoppedError as error:
            ends.append(str(error))

    caller = threading.Thread(target=call)
    caller.start()
    assert begun.wait(10)
    place.portal.close()
    caller.join(10)
    assert ends[0] == "tidied"
    assert "closed during the call" in str(ends[1])


def test_closing_from_within_does_not_wait_for_itself(place: Place) -> None:
    async def close() -> None:
        place.portal.close()
        await asyncio.sleep(3600)

    with pytest.raises(RunStoppedError, match="closed during the call"):
        place.portal.call(close)
    assert place.portal.call(name_of_thread) == NAME


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_who_leaves_the_program_inside_a_call_leaves_it(
    place: Place, kind: type[BaseException]
) -> None:
    async def handle(number: int, prompt: object) -> bool:
        del prompt
        await asyncio.sleep(0)
        if number == 3:
            raise kind(7)
        return True

    with pytest.raises(kind) as caught:
        place.portal.call(Schedule(range(100), handle, 4, lambda: False).run)
    assert caught.value.args == (7,)
    assert place.portal.call(name_of_thread) == NAME


MAIN: Final = threading.get_ident()


def interrupt() -> None:
    """What Ctrl-C does; the main thread is waiting in ``call``."""
    signal.pthread_kill(MAIN, signal.SIGINT)


@POSIX
def test_ctrl_c_cancels_waits_until_all_is_in_order_and_is_raised(place: Place) -> None:
    order = list[str]()

    async def work() -> None:
        interrupt()
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.005)
            order.append("in order")

    with pytest.raises(KeyboardInterrupt):
        place.portal.call(work)
    order.append("raised")
    assert order == ["in order", "raised"]
    assert place.portal.call(name_of_thread) == NAME


@POSIX
def test_a_second_ctrl_c_does_not_wait(place: Place) -> None:
    stuck = asyncio.Event()

    async def work() -> None:
        interrupt()
        try:
            await asyncio.sleep(3600)
        finally:
            threading.Timer(0.005, interrupt).start()
            await stuck.wait()

    async def let_go() -> None:
        stuck.set()

    with pytest.raises(KeyboardInterrupt):
        place.portal.call(work)
    assert not stuck.is_set()
    place.portal.call(let_go)


def wait_until_main_is_in(code: CodeType) -> None:
    """Poll where the main thread is: no other sign says that it has come so far."""
    there = False
    while not there:
        time.sleep(0.001)
        frame = sys._current_frames()[MAIN]  # noqa: SLF001 - public is only one's own frame
        there = any(each.f_code is code for each, _ in traceback.walk_stack(frame))


@POSIX
def test_ctrl_c_before_the_coroutine_has_begun(place: Place) -> None:
    """The loop is busy when it comes, so that the coroutine is cancelled before its first step."""
    blocked, gate, begun = threading.Event(), threading.Event(), list[str]()

    async def block() -> None:
        blocked.set()
        gate.wait(10)

    async def work() -> None:
        begun.append("begun")

    blocker = threading.Thread(target=lambda: place.portal.call(block))
    blocker.start()
    assert blocked.wait(10)

    def press() -> None:
        wait_until_main_is_in(Future.result.__code__)
        interrupt()
        wait_until_main_is_in(wait.__code__)  # for the end, once it has cancelled
        gate.set()

    threading.Thread(target=press).start()
    with pytest.raises(KeyboardInterrupt):
        place.portal.call(work)
    blocker.join(10)
    assert begun == []


def run_script(text: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", *options, "-c", textwrap.dedent(text)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_script_that_forgets_to_close_ends_well() -> None:
    said = run_script(
        """
        import asyncio
        from headrace.engine.portal import Portal

        async def close():
            await asyncio.sleep(0)
            print("closed")

        portal = Portal(close)
        print(portal.call(lambda: asyncio.sleep(0, "answer")))
        """
    )
    assert (said.stdout, said.stderr, said.returncode) == ("answer\nclosed\n", "", 0)


@POSIX
def test_a_real_sigint_ends_a_script_after_it_has_tidied_up() -> None:
    said = run_script(
        """
        import asyncio, os, signal
        from headrace.engine.portal import Portal

        async def close():
            print("closed", flush=True)

        async def work():
            os.kill(os.getpid(), signal.SIGINT)
            try:
                await asyncio.sleep(3600)
            finally:
                await asyncio.sleep(0.005)
                print("in order", flush=True)

        Portal(close).call(work)
        """
    )
    assert said.stdout == "in order\nclosed\n"
    assert said.stderr.endswith("KeyboardInterrupt\n")
    assert said.returncode in {-signal.SIGINT, 130}


@POSIX
def test_a_forked_child_starts_a_loop_of_its_own_without_a_warning() -> None:
    said = run_script(
        """
        import asyncio, gc, os, sys, threading
        from headrace.engine.portal import Portal

        async def close():
            print("closed in the", place, flush=True)

        async def work():
            return os.getpid(), threading.get_ident()

        place = "parent"
        portal = Portal(close)
        parent = portal.call(work)
        child = os.fork()
        if not child:
            place = "child"
            there = portal.call(work)
            gc.collect()
            assert there[0] == os.getpid() != parent[0]
            sys.exit()
        os.waitpid(child, 0)
        assert portal.call(work) == parent
        idle = os.fork()
        if not idle:
            place = "idle child"
            sys.exit()
        print("idle", os.waitpid(idle, 0)[1], flush=True)
        """,
        "-W",
        "ignore:This process:DeprecationWarning",
    )
    assert said.stderr == ""
    assert said.stdout == "closed in the child\nidle 0\nclosed in the parent\n"
