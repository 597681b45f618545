"""Shared limits in one SQLite file, for the processes of one machine and user.

A rollback journal, as the cache has it, and no fsync: a process that is killed leaves the file
whole, and what a power cut could break is worth no more than a minute. The file is opened for each
step: so a fork inherits nothing, and whoever deletes it begins a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from headrace.adapters.cache.file import quiet
from headrace.adapters.clock import SystemClock
from headrace.adapters.shared.base import PATIENCE
from headrace.core.errors import ConfigError
from headrace.policy.leases import SECOND, Book

if TYPE_CHECKING:
    from headrace.adapters.clock import Clock
    from headrace.policy.leases import Answer, Message

APPLICATION_ID: Final = 0x4844524C  # "HDRL", in the file's header
_SETTINGS: Final = ("trusted_schema = OFF", "synchronous = OFF", "journal_mode = TRUNCATE")
_BUSY: Final = "another process holds it; find which, or name another file"
_REMEDIES: Final = {
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_FULL: "its disk is full; make room",
    sqlite3.SQLITE_CORRUPT: "it is corrupt; delete it, since it holds nothing older than a minute",
    sqlite3.SQLITE_NOTADB: "it is no file of shared limits; name another one",
}


class SqliteLimits:
    """Limits that all processes of one user on this machine share which name the same file.

    Raises ``ConfigError`` where no such file may lie. Not for network disks, whose locks are not
    to be relied on.
    """

    def __init__(self, path: str | os.PathLike[str], *, clock: Clock | None = None) -> None:
        """``clock``: its wall clock is what the processes have in common."""
        self.path = _checked(path)
        self._clock = clock or SystemClock()

    def __repr__(self) -> str:
        return f"SqliteLimits({str(self.path)!r})"

    def __str__(self) -> str:
        return f"the shared limits in {self.path}"

    def __reduce__(self) -> tuple[object, ...]:
        return (SqliteLimits, (str(self.path),))

    async def exchange(self, message: Message) -> Answer:
        """One step, off the event loop."""
        return await asyncio.to_thread(self.step, message)

    async def aclose(self) -> None:
        """Nothing is open between steps."""

    def step(self, message: Message, now: int | None = None) -> Answer:
        """One step in this thread; ``now`` stands for the wall clock in microseconds."""
        try:
            with quiet, contextlib.closing(self._opened()) as connection:
                if now is None:
                    now = int(self._clock.wall() * SECOND)
                return _step(connection, message, now)
        except ConfigError as error:
            raise OSError(error.message) from None
        except (sqlite3.Error, ValueError) as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
            raise OSError(f"{self} cannot be used: {_REMEDIES.get(code, error)}") from error

    def _opened(self) -> sqlite3.Connection:
        _create(self.path)
        return sqlite3.connect(
            f"{self.path.as_uri()}?mode=rw", uri=True, timeout=PATIENCE, isolation_level=None
        )


def _step(connection: sqlite3.Connection, message: Message, now: int) -> Answer:
    for setting in _SETTINGS:
        connection.execute(f"PRAGMA {setting}").close()
    connection.execute("BEGIN IMMEDIATE")
    if connection.execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,):
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
            raise ConfigError("the file is no file of shared limits; name another one")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("CREATE TABLE book (number INTEGER PRIMARY KEY, kept BLOB NOT NULL)")
    found = connection.execute("SELECT kept FROM book").fetchone()
    book = Book(orjson.loads(found[0]) if found else None)
    answer = book.exchange(message, now)
    kept = orjson.dumps(book.plain())
    connection.execute("INSERT OR REPLACE INTO book VALUES (1, ?)", (kept,))
    connection.execute("COMMIT")
    return answer


def _checked(path: str | os.PathLike[str]) -> Path:
    """The absolute path, if the file may lie there.

    No folder is made: who misspells one would share nothing with the others, and never know.
    """
    try:
        place = Path(os.fsdecode(path)).expanduser().absolute()
        if not place.parent.is_dir():
            raise ConfigError(f"there is no folder {place.parent}")
        with quiet:
            _create(place)
    except (OSError, TypeError, ValueError, RuntimeError) as error:
        why = getattr(error, "message", None) or getattr(error, "strerror", None) or error
        raise ConfigError(
            f"the shared limits in {path!r} cannot be used ({why}); choose a path that you may"
            " write to"
        ) from error
    return place


def _create(place: Path) -> None:
    """Make the file where there is none; ``ConfigError``: something else is there."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(place, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    found = place.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(f"{place} is not a plain file")
    if hasattr(os, "geteuid") and found.st_uid != os.geteuid():
        raise ConfigError(f"{place} belongs to another user")
    if os.name == "posix" and stat.S_IMODE(found.st_mode) & 0o077:
        place.chmod(0o600)
