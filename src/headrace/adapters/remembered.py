"""Where the limits of routes are remembered between runs: one small file for each.

They lie in the folder ``limits`` of the state directory (``$HEADRACE_HOME``,
``$XDG_STATE_HOME/headrace`` or ``~/.local/state/headrace``). Any number of processes may write: the
last one wins. What is damaged or of somebody else is as if it were not there, and is written over.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

import orjson

from headrace.adapters import home
from headrace.adapters.disk import LocalDisk
from headrace.policy import known

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.policy.known import Known

# Bytes; ours are a few hundred.
MOST: Final = 65_536
_READABLE: Final = 60
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9-]+")


def folder() -> Path:
    """Where the files are; raises ``OSError`` where the user has no home."""
    return home.state() / "limits"


def read(route: str) -> Known | None:
    """What is remembered of a route; never raises."""
    try:
        found = _read(_path(route))
    except OSError:
        return None
    return found if found is not None and found.route == route else None


def write(what: Known) -> None:
    """Remember it instead of what was remembered; raises ``OSError``."""
    with LocalDisk().replace_atomically(_path(what.route)) as file:
        file.write(orjson.dumps(what.form(), option=orjson.OPT_APPEND_NEWLINE))


def every() -> list[Known]:
    """All that is remembered, by route; never raises."""
    try:
        found = [_read(path) for path in folder().glob("*.json")]
    except OSError:
        return []
    return sorted((each for each in found if each is not None), key=lambda each: each.route)


def forget(route: str) -> None:
    """Remember nothing of a route; raises ``OSError``."""
    _path(route).unlink(missing_ok=True)


def forget_all() -> None:
    """Remember nothing, and remove what is damaged and left over, too; raises ``OSError``."""
    for pattern in ("*.json", ".*.tmp"):
        for path in folder().glob(pattern):
            path.unlink(missing_ok=True)


def _path(route: str) -> Path:
    """A name that people can read, and that no other route has on any file system."""
    digest = hashlib.sha256(route.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return folder() / f"{_UNSAFE.sub('_', route)[:_READABLE]}-{digest}.json"


def _read(path: Path) -> Known | None:
    """None for what is no file of ours, or cannot be read."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            data = file.read(MOST + 1)
        return known.read(orjson.loads(data)) if len(data) <= MOST else None
    except (OSError, ValueError):
        return None
