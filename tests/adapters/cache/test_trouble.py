"""A file that breaks in the middle of a run never costs more than a hit."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import sqlite3
import threading
from typing import TYPE_CHECKING

from headrace.adapters.cache import SqliteCache, Statistics
from headrace.adapters.cache.file import explained, quiet
from tests.adapters.cache.answers import answer, is_sound, key, text_of
from tests.adapters.cache.programs import output_of, run_program

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def spoil(path: Path) -> None:
    """Keep the header, which is looked at before SQLite is, and nothing else."""
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xa5" * (path.stat().st_size - 100))


def remove(path: Path) -> None:
    path.unlink()


def link(path: Path) -> None:
    path.symlink_to(path.with_name("elsewhere"))


def remove_directory(path: Path) -> None:
    path.rmdir()


def test_a_deleted_file_is_begun_anew(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        cache = SqliteCache(path)
        for times in (1, 2):
            await cache.put(key("a"), answer("a"))
            while cache.statistics().stored < times:
                await cache.get(key("b"))
            remove(path)
            assert await cache.get(key("a")) is None
            assert cache.statistics().errors == 0
        await cache.put(key("c"), answer("c"))
        await cache.aclose()
        assert await text_of(cache, "c") == "c"
        await cache.aclose()

    asyncio.run(main())
    assert [r.message for r in caplog.records] == [
        f"the cache {path} was deleted or replaced while in use; a new file is begun"
    ]


def test_a_corrupt_file_is_a_miss_and_said_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        cache = SqliteCache(path)
        for i in range(200):
            await cache.put(key(str(i)), answer(str(i) * 50))
        await cache.aclose()
        spoil(path)
        for i in range(5):
            assert await cache.get(key(str(i))) is None
            await cache.put(key(str(i)), answer("b"))
        await cache.aclose()
        assert cache.statistics() == Statistics(misses=5, stored=200, errors=10)
        remove(path)
        await cache.put(key("a"), answer("a"))
        await cache.aclose()
        assert await text_of(cache, "a") == "a"
        await cache.aclose()

    asyncio.run(main())
    assert [(r.name, r.levelname) for r in caplog.records] == [("headrace.cache", "WARNING")]
    assert f"{path} is corrupt; move it away" in caplog.text


LOCKS = """
import sqlite3
asyncio.run(put(cache, "a"))
asyncio.run(cache.aclose())
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
print("free", flush=True)
sys.stdin.read()
"""


def test_a_lock_that_another_process_keeps_costs_hits_and_no_requests(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    program = run_program(path, LOCKS)
    assert program.stdin is not None
    assert program.stdout is not None
    assert program.stdout.readline() == "locked\n"

    async def main() -> None:
        assert program.stdin is not None
        assert program.stdout is not None
        cache = SqliteCache(path, patience=0.01)
        for _ in range(3):
            assert await cache.get(key("a")) is None
            await cache.put(key("b"), answer("b"))
            await cache.aclose()
        assert cache.statistics() == Statistics(misses=3, errors=6)
        program.stdin.write("\n")
        program.stdin.flush()
        assert program.stdout.readline() == "free\n"
        assert await text_of(cache, "a") == "a"
        assert await text_of(cache, "b") is None
        await cache.put(key("b"), answer("b"))
        await cache.aclose()
        assert await text_of(cache, "b") == "b"
        await cache.aclose()

    asyncio.run(main())
    program.communicate(timeout=50)
    assert len(caplog.records) == 1
    assert "stays locked by another process; find what holds it" in caplog.text


def test_a_disk_that_refuses_to_write_loses_puts_and_keeps_hits(path: Path) -> None:
    body = """
import resource
async def main():
    await put(cache, *map(str, range(100)))
    await cache.aclose()
    size = os.stat(sys.argv[1]).st_size
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, usual[1]))
    await put(cache, *map(str, range(1000, 3000)))
    await cache.aclose()
    assert await get(cache, "7", "2000") == ["7", None]
    statistics = cache.statistics()
    assert (statistics.stored, statistics.errors) == (100, 2000), statistics
    resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    print("alive")
asyncio.run(main())
"""
    assert output_of(path, body) == "alive\n"
    assert is_sound(path)


def test_a_record_that_cannot_be_read_is_a_miss_and_is_replaced(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        cache = SqliteCache(path)
        await cache.put(key("a"), answer("a"))
        await cache.aclose()
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE answers SET record = ?", (b'{"v":99}',))
        assert await cache.get(key("a")) is None
        assert cache.statistics() == Statistics(misses=1, stored=1, errors=1)
        await cache.put(key("a"), answer("new"))
        await cache.aclose()
        assert await text_of(cache, "a") == "new"
        await cache.aclose()

    asyncio.run(main())
    assert len(caplog.records) == 1


def test_an_answer_that_cannot_be_written_is_dropped(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        cache = SqliteCache(path)
        for _ in range(2):
            await cache.put(key("a"), answer("a", metadata={"raw": b"x"}))
        assert await cache.get(key("a")) is None
        assert cache.statistics() == Statistics(misses=1, errors=2)
        await cache.aclose()

    asyncio.run(main())
    assert len(caplog.records) == 1
    assert "JSON cannot" in caplog.text


def test_what_the_disk_cannot_keep_up_with_is_dropped(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        cache = SqliteCache(path, most_unwritten=200)
        with quiet:
            await cache.put(key("a"), answer("a" * 100))
            await cache.put(key("a"), answer("b" * 100))
            await cache.put(key("c"), answer("c" * 100))
        await cache.aclose()
        assert await text_of(cache, "c") is None
        assert await text_of(cache, "a") == "b" * 100
        for _ in range(20):
            await cache.put(key("c"), answer("c" * 100))
            await cache.aclose()
        assert await text_of(cache, "c") == "c" * 100
        assert cache.statistics().errors == 1
        await cache.aclose()

    asyncio.run(main())
    assert "written too slowly" in caplog.text


def test_without_a_thread_there_are_misses(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        cache = SqliteCache(path)
        usual = threading.stack_size(1 << 46)  # more than there is: no thread can start
        try:
            assert await cache.get(key("a")) is None
            await cache.put(key("a"), answer("a"))
        finally:
            threading.stack_size(usual)
        assert cache.statistics() == Statistics(misses=1, errors=2)
        await cache.put(key("a"), answer("a"))
        await cache.aclose()
        assert await text_of(cache, "a") == "a"
        await cache.aclose()

    asyncio.run(main())
    assert len(caplog.records) == 1


def test_a_place_that_turns_bad_after_the_check_is_a_miss(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        cache = SqliteCache(path)
        link(path)
        assert await cache.get(key("a")) is None
        remove(path)
        remove_directory(path.parent)
        assert await cache.get(key("a")) is None
        await cache.aclose()
        assert cache.statistics() == Statistics(misses=2, errors=2)

    asyncio.run(main())
    assert "symbolic link" in caplog.records[0].message
    assert "No such file" in caplog.records[1].message


def test_a_full_disk_is_named(path: Path) -> None:
    kind, sentence = explained(path, OSError(errno.ENOSPC, "No space left on device"))
    assert kind == "full"
    assert "no room left on its disk; make some" in sentence
