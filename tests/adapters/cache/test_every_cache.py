"""What was put is got again, by whoever asks, from every kind of cache."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.adapters.cache import Cache, MemoryCache, SqliteCache, Statistics, open_cache
from headrace.core.errors import ConfigError, ReplyError
from headrace.core.fingerprint import Key
from headrace.core.reply import Reply
from headrace.core.response import Usage
from tests.adapters.cache.answers import Answer, answer, key, text_of

if TYPE_CHECKING:
    from pathlib import Path


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
        uncertain_attempts=1,
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
