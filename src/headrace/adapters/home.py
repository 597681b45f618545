"""The user's directories in which headrace keeps what is its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_CACHE: Final = ("XDG_CACHE_HOME", "~/.cache")
_STATE: Final = ("XDG_STATE_HOME", "~/.local/state")


def cache() -> Path:
    """What can be fetched again."""
    return _folder(*_CACHE)


def state() -> Path:
    """What was learned; raises ``OSError`` where the user has no home."""
    try:
        return _folder(*_STATE)
    except RuntimeError as error:  # pathlib's word for it
        raise OSError(str(error)) from None


def _folder(variable: str, usual: str) -> Path:
    """A relative path in ``variable`` is ignored, as the XDG specification says."""
    if own := os.environ.get("HEADRACE_HOME"):
        return Path(own).expanduser().absolute()
    base = Path(os.environ.get(variable, ""))
    return (base if base.is_absolute() else Path(usual).expanduser()) / "headrace"
