"""Answers remembered: in memory, in one SQLite file that processes share, or in your own store."""

from __future__ import annotations

import os

from headrace.adapters.cache.base import Cache, Statistics, is_storable
from headrace.adapters.cache.memory import MemoryCache
from headrace.adapters.cache.sqlite import SqliteCache
from headrace.core.errors import ConfigError

__all__ = ["Cache", "MemoryCache", "SqliteCache", "Statistics", "is_storable", "open_cache"]


def open_cache(setting: str | os.PathLike[str] | Cache | None) -> Cache | None:
    """The cache that a setting asks for: None, ``"memory"``, a path (SQLite), or a ``Cache``.

    Raises ``ConfigError`` for anything else and for a path that cannot hold a cache.
    """
    if setting is None:
        return None
    if isinstance(setting, str | os.PathLike):
        return MemoryCache() if setting == "memory" else SqliteCache(setting)
    methods = (getattr(setting, name, None) for name in ("get", "put", "aclose"))
    if not isinstance(setting, type) and all(map(callable, methods)):
        return setting
    raise ConfigError(
        'cache must be None, "memory", a path, or an object with async get, put and aclose,'
        f" not {setting!r}"
    )
