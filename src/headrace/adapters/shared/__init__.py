"""Limits that several processes keep together: through Redis, or through a file on one machine.

The stores are loaded by those who use them: they cost all others time to import.
"""

from __future__ import annotations

import os
import re
from typing import Final

from headrace.adapters.shared.base import SharedLimits
from headrace.core.errors import ConfigError
from headrace.core.secret import Masked

__all__ = ["SharedLimits", "open_shared"]

_FORM: Final = (
    "shared_limits must be None, the URL of a Redis server (redis://, rediss://, unix://), the path"
    " of a file, or an object with async exchange and aclose, not "
)
# A file may be called so, but nobody means one.
_SERVER: Final = re.compile(r"(redis|rediss|unix):.*|[\w.-]+:\d+(/\d*)?")


def open_shared(setting: object) -> SharedLimits | None:
    """The store that a setting asks for: None, a Redis URL, a path (SQLite), or a store.

    Raises ``ConfigError`` for anything else, and shows no URL, which may hold a password.
    """
    if setting is None:
        return None
    if isinstance(setting, str | os.PathLike):
        place: str | os.PathLike[str] = Masked(setting) if isinstance(setting, str) else setting
        del setting  # or tracebacks with local variables would show it
        return _at(place)
    methods = (getattr(setting, name, None) for name in ("exchange", "aclose"))
    if not isinstance(setting, type) and all(map(callable, methods)):
        return setting  # type: ignore[return-value]  # it has what the protocol asks for
    raise ConfigError(f"{_FORM}{type(setting).__name__}")


def _at(place: str | os.PathLike[str]) -> SharedLimits:
    if isinstance(place, str) and "://" in place:
        from headrace.adapters.shared.redis import RedisLimits  # noqa: PLC0415  as said above

        return RedisLimits(place)
    from headrace.adapters.shared.sqlite import SqliteLimits  # noqa: PLC0415  as said above

    if isinstance(place, str) and _SERVER.fullmatch(place):
        raise ConfigError(
            f"{_FORM}what looks like the address of a server; redis:// goes before it"
        )
    # A path is no secret, and is shown.
    return SqliteLimits(os.fsdecode(str(place) if isinstance(place, str) else place))
