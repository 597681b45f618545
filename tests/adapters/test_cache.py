"""What was put is got again, by whoever asks, and a broken file never costs more than a hit."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import hashlib
import logging
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.adapters.cache import Cache, MemoryCache, SqliteCache, Statistics, open_cache
from headrace.adapters.cache.file import explained, quiet
from headrace.core.errors import ConfigError, ReplyError
from headrace.core.fingerprint import Key
from headrace.core.reply import Reply
from headrace.core.response import APIResponse, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Answer: TypeAlias = APIResponse[object]
PROGRAM = """
import asyncio, hashlib, os, sys
from headrace.adapters.cache import SqliteCache
from headrace.core.fingerprint import Key
from headrace.core.response import APIResponse

def key(name):
    digest = hashlib.sha256(name.encode()).digest()
    return Key(digest[:16], digest)

async def put(cache, *names):
    for name in names:
        await cache.put(key(name), APIResponse(completion=name))

async def get(cache, *names):
    return [answer and answer.completion for answer in
            await asyncio.gather(*(cache.get(key(name)) for name in names))]

cache = SqliteCache(sys.argv[1])
"""


def key(name: str) -> Key:
    digest = hashlib.sha256(name.encode()).digest()
    return Key(digest[:16], digest)


def answer(text: str, **fields: object) -> Answer:
    return APIResponse(completion=text, **fields)  # type: ignore[arg-type]  # the tests' own fields


async def text_of(cache: Cache, name: str) -> str | None:
    found = await cache.get(key(name))
    return None if found is None else found.completion


def run_program(path: Path, body: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM + body, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def output_of(path: Path, body: str) -> str:
    out, _ = (program := run_program(path, body)).communicate(timeout=50)
    assert program.returncode == 0
    return out


def spoil(path: Path) -> None:
    """Keep the header, which is looked at before SQLite is, and nothing else."""
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xa5" * (path.stat().st_size - 100))


def remove(path: Path) -> None:
    path.unlink()


def remove_directory(path: Path) -> None:
    path.rmdir()


def is_sound(path: Path) -> bool:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return bool(connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "answers.db"


@pytest.fixture(params=["memory", "bounded", "sqlite"])
def cache(request: pytest.FixtureRequest, path: Path) -> Iterator[MemoryCache | SqliteCache]:
    made: dict[str, Callable[[], MemoryCache | SqliteCache]] = {
        "memory": MemoryCache,
        "bounded": lambda: MemoryCache(1000),
        "sqlite": lambda: SqliteCache(path),
    }
    cache = made[request.param]()
    yield cache
    asyncio.run(cache.aclose())


# ---- what every cache does


def test_an_answer_is_got_as_it_was_put_without_the_fields_of_its_row(
    cache: MemoryCache | SqliteCache,
) -> None:
    kept = answer(
        "hi",
        usage=Usage(1, 2, 3, 4, 5),
        cost_nanos=7,
        finish_reason="stop",
        model="m",
        provider="p",
        route="m@p",
        request_id="r",
        metadata={"a": [1]},
        attempts=2,
        latency=0.5,
        thinking="hm",
    )
    put = answer(
        **{name: getattr(kept, name) for name in kept.__slots__ if name != "completion"}
        | {"text": "hi", "id": "7", "index": 7, "sample": 1, "tags": {"x": 1}, "parsed": 3}
        | {"reply": Reply(200, b"raw"), "source": "journal"}
    )

    async def main() -> None:
        assert await cache.get(key("a")) is None
        await cache.put(key("a"), put)
        assert await cache.get(key("a")) == kept
        await cache.aclose()
        found = await cache.get(key("a"))
        assert found == kept
        assert found.reply is None
        assert cache.statistics() == Statistics(hits=2, misses=1, stored=1)

    asyncio.run(main())


def test_an_equal_fingerprint_with_another_digest_is_another_answer(
    cache: MemoryCache | SqliteCache,
) -> None:
    one, two = key("one"), Key(key("one").fingerprint, key("two").digest)

    async def main() -> None:
        for known in (None, "two"):
            await cache.put(one, answer("one"))
            await cache.aclose()
            found = await cache.get(two)
            assert (found and found.completion) == known
            await cache.put(two, answer("two"))
            await cache.aclose()
            both = await asyncio.gather(cache.get(one), cache.get(two))
            assert [each and each.completion for each in both] == ["one", "two"]

    asyncio.run(main())


@pytest.mark.parametrize(
    "response",
    [
        answer("cut", finish_reason="length"),
        answer("blocked", finish_reason="filtered"),
        answer("failed", error=ReplyError("no")),
    ],
)
def test_failures_and_what_was_cut_are_not_stored(
    cache: MemoryCache | SqliteCache, response: Answer
) -> None:
    async def main() -> None:
        await cache.put(key("a"), response)
        assert await cache.get(key("a")) is None
        assert cache.statistics() == Statistics(misses=1)

    asyncio.run(main())


def test_several_loops_in_several_threads_share_a_cache(cache: MemoryCache | SqliteCache) -> None:
    async def put_and_get(own: int) -> None:
        async def one(i: int) -> None:
            name = f"{i % 50}" if i % 2 else f"{own}-{i}"
            await cache.put(key(name), answer(name))
            assert await text_of(cache, name) == name

        await asyncio.gather(*map(one, range(200)))

    threads = [threading.Thread(target=asyncio.run, args=(put_and_get(i),)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def look() -> None:
        names = [f"{own}-{i}" for own in range(4) for i in range(0, 200, 2)]
        assert [await text_of(cache, name) for name in names] == names
        assert cache.statistics().hits == 4 * 200 + len(names)

    asyncio.run(look())


STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "get", "close"]), st.integers(0, 4), st.text(max_size=4)),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.booleans())
def test_a_cache_is_a_dict_that_survives_closing(
    steps: list[tuple[str, int, str]], in_memory: bool
) -> None:
    async def main(cache: Cache) -> None:
        known: dict[int, str] = {}
        for what, number, text in steps:
            if what == "put":
                await cache.put(key(str(number)), answer(text))
                known[number] = text
            elif what == "get":
                assert await text_of(cache, str(number)) == known.get(number)
            else:
                await cache.aclose()
        await cache.aclose()

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(main(MemoryCache() if in_memory else SqliteCache(f"{directory}/c")))


# ---- memory


def test_the_least_recently_used_answer_makes_room() -> None:
    async def main() -> None:
        cache = MemoryCache(2)
        for name in ("a", "b"):
            await cache.put(key(name), answer(name))
        assert await text_of(cache, "a") == "a"
        await cache.put(key("c"), answer("c"))
        assert [await text_of(cache, name) for name in "abc"] == ["a", None, "c"]
        await cache.put(key("a"), answer("again"))
        await cache.put(key("d"), answer("d"))
        assert [await text_of(cache, name) for name in "acd"] == ["again", None, "d"]

    asyncio.run(main())


def test_a_bound_below_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="1 or more"):
        MemoryCache(0)


# ---- the setting


def test_the_setting_names_a_cache(path: Path) -> None:
    own = MemoryCache()
    assert open_cache(None) is None
    assert isinstance(open_cache("memory"), MemoryCache)
    assert open_cache(own) is own
    for setting in (path, str(path)):
        opened = open_cache(setting)
        assert isinstance(opened, SqliteCache)
        assert opened.path == path


@pytest.mark.parametrize("setting", [True, {}, MemoryCache, b"memory"])
def test_anything_else_is_refused(setting: Cache) -> None:
    with pytest.raises(ConfigError, match='None, "memory", a path'):
        open_cache(setting)


# ---- the place of a file


def test_nothing_is_opened_before_the_first_use(path: Path) -> None:
    cache = SqliteCache(path)
    assert not path.exists()
    assert cache.statistics() == Statistics()


def test_only_the_owner_can_read_what_is_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "answers.db"

    async def main() -> None:
        cache = SqliteCache(path)
        await cache.put(key("a"), answer("a"))
        await cache.aclose()

    asyncio.run(main())
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.parent.parent.stat().st_mode & 0o777 == 0o700
    path.chmod(0o644)
    SqliteCache(path)
    assert path.stat().st_mode & 0o777 == 0o600


def _no_sqlite(path: Path) -> None:
    path.write_bytes(b"id,text\n" * 100)


def _short(path: Path) -> None:
    path.write_bytes(b"SQLite")


def _of_another_program(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")


def _newer(path: Path) -> None:
    async def make() -> None:
        cache = SqliteCache(path)
        await cache.put(key("a"), answer("a"))
        await cache.aclose()

    asyncio.run(make())
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")


def _symlink(path: Path) -> None:
    path.symlink_to(path.with_name("elsewhere"))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (_no_sqlite, "no cache of headrace; choose another path"),
        (_short, "no cache of headrace; choose another path"),
        (_of_another_program, "no cache of headrace; choose another path"),
        (_newer, "version 2.*upgrade headrace"),
        (_symlink, "symbolic link; name the file itself"),
        (Path.mkdir, "is a directory; name a file in it"),
        (os.mkfifo, "not a plain file"),
    ],
)
def test_a_path_that_holds_something_else_is_refused_and_not_touched(
    path: Path, make: Callable[[Path], None], sentence: str
) -> None:
    make(path)
    before = path.lstat()
    with pytest.raises(ConfigError, match=sentence) as caught:
        SqliteCache(path)
    assert str(path) in str(caught.value)
    after = path.lstat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "plain/answers.db", "~nobody-of-that-name/x"])
def test_an_impossible_path_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "plain").write_text("no directory")
    with pytest.raises(ConfigError, match="cannot be used"):
        SqliteCache(name if name.startswith("~") else tmp_path / name)


@contextlib.contextmanager
def as_plain_user() -> Iterator[None]:
    """Root may write anywhere; the file system's answer to others is wanted."""
    if os.getuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


def test_a_directory_that_cannot_be_written_is_refused(open_directory: Path) -> None:
    open_directory.chmod(0o555)
    with as_plain_user(), pytest.raises(ConfigError, match="cannot be written to"):
        SqliteCache(open_directory / "answers.db")
    with as_plain_user(), pytest.raises(ConfigError, match="Permission denied"):
        SqliteCache(open_directory / "new" / "answers.db")
    open_directory.chmod(0o755)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(path: Path) -> None:
    path.touch()
    os.chown(path, 65534, 65534)
    with pytest.raises(ConfigError, match="belongs to another user"):
        SqliteCache(path)


# ---- sharing


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
    output_of(path, "asyncio.run(put(cache, *map(str, range(5000))))")

    async def look() -> None:
        cache = SqliteCache(path)
        assert [await text_of(cache, str(i)) for i in range(5000)] == [str(i) for i in range(5000)]
        await cache.aclose()

    asyncio.run(look())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forked_children_use_the_cache_beside_their_parent(path: Path) -> None:
    body = """
import threading
ended = threading.Event()
count = 0
def write():
    global count
    while not ended.is_set():
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
    if (pid := os.fork()) == 0:
        asyncio.run(child(number))
        sys.exit(0)
    assert os.waitpid(pid, 0)[1] == 0
ended.set()
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


# ---- trouble


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


def test_a_lock_that_another_process_keeps_costs_hits_and_no_requests(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    body = """
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
    program = run_program(path, body)
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
        _symlink(path)
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
