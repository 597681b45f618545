"""One SQLite file of answers: where it may lie, what is in it, and what its troubles mean.

A rollback journal, not a WAL: before SQLite 3.51.3 two processes can corrupt a WAL database
(sqlite.org/wal.html#walresetbug), and a WAL needs shared memory, which network disks lack.
Plain rows with an index, not WITHOUT ROWID, which is five times slower with values this wide.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import stat
import threading
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from headrace.core.errors import ConfigError
from headrace.core.fingerprint import Key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

SCHEMA_VERSION: Final = 1
APPLICATION_ID: Final = 0x48445243  # "HDRC", in the file's header
CHUNK: Final = 100  # SQLite before 3.32 takes 999 variables a statement

# Held while SQLite is at work in this process. A fork waits for it (sqlite.org/howtocorrupt.html
# 2.6), and so does a look at the raw file: to close any descriptor of a file drops all of the
# process's locks on it (2.2).
quiet: Final = threading.Lock()

_HEADER_BYTES: Final = 100
_MAGIC: Final = b"SQLite format 3\0"
_NEVER_FOLLOW: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS answers (
    fingerprint BLOB NOT NULL,
    digest BLOB NOT NULL,
    record BLOB NOT NULL,
    UNIQUE (fingerprint, digest)
)"""
_PUT: Final = """
INSERT INTO answers (fingerprint, digest, record) VALUES (?, ?, ?)
ON CONFLICT (fingerprint, digest) DO UPDATE SET record = excluded.record"""
_MARKS: Final = ",".join("?" * CHUNK)
_GET: Final = f"SELECT fingerprint, digest, record FROM answers WHERE fingerprint IN ({_MARKS})"  # noqa: S608  question marks
_TROUBLES: Final[dict[int, tuple[str, str]]] = {
    sqlite3.SQLITE_BUSY: ("locked", "stays locked by another process; find what holds it"),
    sqlite3.SQLITE_FULL: ("full", "has no room left on its disk; make some"),
    sqlite3.SQLITE_CORRUPT: ("corrupt", "is corrupt; move it away and a new one is begun"),
    sqlite3.SQLITE_NOTADB: ("corrupt", "is corrupt; move it away and a new one is begun"),
}
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)


class Behind(Exception):  # noqa: N818  what happened, not a fault
    """More waits to be written than is sensible to hold."""


class Replaced(Exception):  # noqa: N818  what happened, not a fault
    """The open file is no longer the one at its path."""


class AnswerFile:
    """An open file of answers. All methods raise ``sqlite3.Error`` and ``OSError``."""

    def __init__(self, path: Path, patience: float) -> None:
        """Create the file where there is none; ``patience`` is in seconds, for others' locks."""
        inspect(path, create=True)
        self._path = path
        self._patience = patience
        self._identity = _identity(path)
        self._connection = sqlite3.connect(
            f"{path.as_uri()}?mode=rw", uri=True, timeout=patience, isolation_level=None
        )
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def is_in_place(self) -> bool:
        """Is what is open still what lies at the path?"""
        return _identity(self._path) == self._identity

    def be_patient(self, patience: float) -> None:
        """Wait for others' locks for so many seconds from now on."""
        if patience != self._patience:
            self._connection.execute(f"PRAGMA busy_timeout = {int(patience * 1000)}")
            self._patience = patience

    def read(self, keys: AbstractSet[Key]) -> dict[Key, bytes]:
        """The records of the keys that are here, digests compared."""
        found: dict[Key, bytes] = {}
        left = iter(keys)
        self._connection.execute("BEGIN")
        while chunk := [key.fingerprint for key in islice(left, CHUNK)]:
            chunk.extend(chunk[-1:] * (CHUNK - len(chunk)))
            for fingerprint, digest, data in self._connection.execute(_GET, chunk):
                key = Key(fingerprint, digest)
                if key in keys:
                    found[key] = data
        self._connection.execute("COMMIT")
        return found

    def write(self, records: Mapping[Key, bytes]) -> None:
        """Write the records in one transaction."""
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(_PUT, ((*key, data) for key, data in records.items()))
        self._connection.execute("COMMIT")

    def close(self) -> None:
        """Close; an open transaction is rolled back."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def _prepare(self) -> None:
        for setting in ("trusted_schema = OFF", "synchronous = FULL", "journal_mode = TRUNCATE"):
            self._connection.execute(f"PRAGMA {setting}").close()
        if self._connection.execute("PRAGMA user_version").fetchone() == (0,):
            # Several processes may come here at once; the second changes nothing.
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute(_SCHEMA)
            self._connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            self._connection.execute("COMMIT")


def checked_place(path: str | os.PathLike[str]) -> Path:
    """The absolute path, if a cache may lie there; else ``ConfigError``. Makes the directory."""
    try:
        place = Path(os.fsdecode(path)).expanduser().absolute()
        _make_directory(place.parent)
        with quiet:
            inspect(place)
    except ConfigError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"the cache {path!r} cannot be used ({why}); choose a path that you may write to"
        ) from error
    if not os.access(place.parent, os.W_OK | os.X_OK):
        raise _refusal(place, "lies in a directory that cannot be written to", "choose another")
    return place


def inspect(path: Path, *, create: bool = False) -> None:
    """Refuse with ``ConfigError`` what is at ``path`` and is no cache file of this user."""
    if path.is_symlink():
        raise _refusal(path, "is a symbolic link", "name the file itself")
    if path.is_dir():
        raise _refusal(path, "is a directory", "name a file in it")
    flags = os.O_RDWR | _NEVER_FOLLOW | (os.O_CREAT if create else 0)
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileNotFoundError:
        if create:
            raise
        return
    try:
        _inspect_open(path, descriptor)
    finally:
        os.close(descriptor)


def explained(path: Path, error: Exception) -> tuple[str, str]:
    """The kind of a trouble with the file, and a sentence about it."""
    kind, what = _kind(error)
    if isinstance(error, Replaced):
        return kind, f"the cache {path} {what}"
    return kind, f"the cache {path} {what}; until then answers may be neither found nor kept"


def is_locked(error: Exception) -> bool:
    """Did another process hold the file for longer than we wait?"""
    return _kind(error)[0] == "locked"


def _kind(error: Exception) -> tuple[str, str]:
    if isinstance(error, Replaced):
        return "replaced", "was deleted or replaced while in use; a new file is begun"
    if isinstance(error, Behind):
        return "behind", "is written too slowly, and answers are dropped; use a faster disk"
    if isinstance(error, ConfigError):
        return "refused", f"cannot be opened ({error.message})"
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return _TROUBLES[sqlite3.SQLITE_FULL]
    code = getattr(error, "sqlite_errorcode", None)
    unknown = (f"{type(error).__name__} {code}", f"is in trouble ({error!r}); mend or move it")
    return unknown if code is None else _TROUBLES.get(code & 0xFF, unknown)


def _inspect_open(path: Path, descriptor: int) -> None:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise _refusal(path, "is not a plain file", "choose another path")
    if hasattr(os, "geteuid") and found.st_uid != os.geteuid():
        raise _refusal(path, "belongs to another user", "choose a path of your own")
    if hasattr(os, "fchmod") and stat.S_IMODE(found.st_mode) & 0o077:
        os.fchmod(descriptor, 0o600)
    if found.st_size:
        _check_header(path, os.read(descriptor, _HEADER_BYTES))


def _check_header(path: Path, header: bytes) -> None:
    # The two numbers' places: sqlite.org/fileformat.html 1.3.
    if header[:16] != _MAGIC or int.from_bytes(header[68:72]) != APPLICATION_ID:
        raise _refusal(path, "is no cache of headrace", "choose another path, or move it away")
    version = int.from_bytes(header[60:64])
    if version != SCHEMA_VERSION:
        what = f"is of version {version}, and this headrace reads {SCHEMA_VERSION}"
        raise _refusal(path, what, "upgrade headrace or choose another path")


def _make_directory(directory: Path) -> None:
    # mkdir(parents=True) would give the parents it makes the default mode.
    missing = [d for d in (directory, *directory.parents) if not d.exists()]
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _refusal(path: Path, what: str, remedy: str) -> ConfigError:
    return ConfigError(f"the cache {path} {what}; {remedy}")
