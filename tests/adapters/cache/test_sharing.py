"""Processes, forks, threads and loops share a cache's file and lose nothing."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
from typing import TYPE_CHECKING

import pytest

from headrace.adapters.cache import SqliteCache
from headrace.adapters.cache.file import quiet
from headrace.adapters.cache.sqlite import BATCH
from tests.adapters.cache.answers import Answer, answer, is_sound, key, text_of
from tests.adapters.cache.programs import output_of, run_program

if TYPE_CHECKING:
    from pathlib import Path


def test_processes_that_write_at_once_lose_nothing(path: Path) -> None:
    body = """
mine = [f"{sys.argv[0]}{os.getpid()}-{i}" for i in range(300)]
async def main():
    sys.stdin.read()
    for i in range(0, 300, 10):
        await put(cache, *mine[i : i + 10], *(f"shared-{i}" for i in range(20)))
        assert await get(cache, *mine[: i + 10]) == mine[: i + 10]
    await cache.aclose()
    assert await get(cache, *mine) == mine
    assert cache.statistics().errors == 0
asyncio.run(main())
print(*mine)
"""
    programs = [run_program(path, body) for _ in range(3)]
    names = [f"shared-{i}" for i in range(20)]
    for program in programs:
        assert program.stdin is not None
        program.stdin.close()
        program.stdin = None
    for program in programs:
        names += program.communicate(timeout=50)[0].split()
        assert program.returncode == 0
    assert len(names) == 20 + 3 * 300

    async def look() -> None:
        cache = SqliteCache(path)
        assert [await text_of(cache, name) for name in names] == names
        await cache.aclose()

    asyncio.run(look())
    assert is_sound(path)


def test_the_end_of_a_process_writes_what_was_put(path: Path) -> None:
    names = [str(i) for i in range(BATCH + 100)]  # more than one transaction
    output_of(path, f"asyncio.run(put(cache, *{names}))")

    async def look() -> None:
        cache = SqliteCache(path)
        assert [await text_of(cache, name) for name in names] == names
        await cache.aclose()

    asyncio.run(look())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forked_children_use_the_cache_beside_their_parent(path: Path) -> None:
    body = """
import threading
rounds = threading.Semaphore(0)
ended = False
count = 0
def write():
    global count
    while rounds.acquire() and not ended:
        asyncio.run(put(cache, *(f"busy-{count + i}" for i in range(20))))
        count += 20
async def child(number):
    assert await get(cache, "parent") == ["parent"]
    await put(cache, f"child-{number}")
    assert await get(cache, f"child-{number}") == [f"child-{number}"]
    if number % 2:
        await cache.aclose()
asyncio.run(put(cache, "parent"))
asyncio.run(cache.aclose())
busy = threading.Thread(target=write)
busy.start()
for number in range(12):
    rounds.release(10)
    if (pid := os.fork()) == 0:
        asyncio.run(child(number))
        sys.exit(0)
    assert os.waitpid(pid, 0)[1] == 0
ended = True
rounds.release()
busy.join()
async def look():
    names = [f"busy-{i}" for i in range(count)] + [f"child-{i}" for i in range(12)]
    assert await get(cache, *names) == names
asyncio.run(look())
assert cache.statistics().errors == 0
print("sound")
"""
    assert output_of(path, body) == "sound\n"
    assert is_sound(path)


def test_a_cache_that_nobody_holds_writes_its_puts_and_ends_its_thread(path: Path) -> None:
    before = set(threading.enumerate())
    cache = SqliteCache(path)
    asyncio.run(cache.put(key("a"), answer("a")))
    threads = set(threading.enumerate()) - before
    assert len(threads) == 1
    del cache
    gc.collect()
    for thread in threads:
        thread.join(50)
        assert not thread.is_alive()
    again = SqliteCache(path)
    assert asyncio.run(text_of(again, "a")) == "a"
    asyncio.run(again.aclose())


def test_a_loop_that_is_gone_and_a_get_that_is_cancelled_disturb_nobody(path: Path) -> None:
    cache = SqliteCache(path)

    async def leave_one() -> asyncio.Task[Answer | None]:
        left = asyncio.ensure_future(cache.get(key("a")))
        cancelled = asyncio.ensure_future(cache.get(key("a")))
        await asyncio.sleep(0)
        cancelled.cancel()
        return left

    loop = asyncio.new_event_loop()
    with quiet:  # the thread cannot answer before the loop is closed
        left = loop.run_until_complete(leave_one())
        loop.close()

    async def main() -> None:
        with quiet:
            cancelled = asyncio.ensure_future(cache.get(key("a")))
            await asyncio.sleep(0)
            cancelled.cancel()
        await cache.put(key("b"), answer("b"))
        await cache.aclose()
        assert await text_of(cache, "b") == "b"
        await cache.aclose()

    asyncio.run(main())
    assert not left.done()
    logging.getLogger("asyncio").disabled = True
    del left
    gc.collect()
    logging.getLogger("asyncio").disabled = False
