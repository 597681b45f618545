"""Each cache, and a place for its file."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from headrace.adapters.cache import MemoryCache, SqliteCache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


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
