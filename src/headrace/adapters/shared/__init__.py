"""Limits that several processes keep together: through Redis, or through a file on one machine."""

from __future__ import annotations

import os

from headrace.adapters.shared.base import SharedLimits
from headrace.adapters.shared.redis import SCHEMES, RedisLimits
from headrace.adapters.shared.sqlite import SqliteLimits
from headrace.core.errors import ConfigError

__all__ = ["RedisLimits", "SharedLimits", "SqliteLimits", "open_shared"]


def open_shared(setting: object) -> SharedLimits | None:
    """The store that a setting asks for: None, a Redis URL, a path (SQLite), or a store.

    Raises ``ConfigError`` for anything else, and shows no URL, which may hold a password.
    """
    if setting is None:
        return None
    if isinstance(setting, str) and "://" in setting:
        return RedisLimits(setting)
    if isinstance(setting, str | os.PathLike):
        return SqliteLimits(setting)
    methods = (getattr(setting, name, None) for name in ("exchange", "aclose"))
    if not isinstance(setting, type) and all(map(callable, methods)):
        return setting  # type: ignore[return-value]  # it has what the protocol asks for
    kinds = ", ".join(f"{scheme}://" for scheme in SCHEMES)
    raise ConfigError(
        f"shared_limits must be None, the URL of a Redis server ({kinds}), the path of a file,"
        f" or an object with async exchange and aclose, not {type(setting).__name__}"
    )
