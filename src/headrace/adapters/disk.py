"""The one door to files that must survive a crash: append, lock, fsync, preallocate, replace.

Everything raises ``OSError``. Its ``strerror`` is the system's, or finishes a sentence that begins
with the file's name ("… is a symbolic link; give the path of the file itself"); ``explain`` writes
that sentence, and says what to do where only the system has spoken.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
import sys
import weakref
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What a system says when there is no room for more: disk, quota, or largest file size."""

_REMEDIES: Final = {
    errno.EACCES: "give a path that you may read and write",
    errno.EBADF: "it was closed, or opened before a fork: open it again in this process",
    errno.EDQUOT: "free some space, or have the quota raised",
    errno.EFBIG: "have the limit on the size of a file raised (ulimit -f)",
    errno.EIO: "see to the disk (dmesg), or give a path on another one",
    errno.EISDIR: "give the path of a file",
    errno.EMFILE: "close some files, or have their number raised (ulimit -n)",
    errno.ENAMETOOLONG: "give a shorter path",
    errno.ENOENT: "see that its directory is there, or give another path",
    errno.ENOLCK: "give a path on a local disk, where files can be locked",
    errno.ENOSPC: "free some space",
    errno.ENOTDIR: "a part of the path is a file: give another path",
    errno.EOPNOTSUPP: "give a path on a local disk, where files can be locked",
    errno.EPERM: "give a path that you may read and write",
    errno.EROFS: "give a path on a disk that can be written to",
}
_OPEN: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_PREALLOCATION: Final = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.ENODEV})
_ZEROS: Final = bytes(1 << 20)
_FALLOCATE: Final[Callable[[int, int, int], None] | None] = getattr(os, "posix_fallocate", None)


class File(Protocol):
    """An open file with one writing position, ``end``; what lies behind it may be preallocated."""

    path: Path
    end: int

    def size(self) -> int:
        """The size in bytes, preallocated space included."""

    def write(self, data: bytes) -> None:
        """Write all of ``data`` at ``end`` and move ``end``, which an error leaves as it was."""

    def fsync(self) -> None:
        """Return when everything written is on the disk. Never repeat it after an error."""

    def preallocate(self, upto: int) -> None:
        """Make room: afterwards bytes up to ``upto`` can be written on a full disk, and are NUL."""

    def truncate(self, n: int) -> None:
        """Cut the file to ``n`` bytes and set ``end`` there."""

    def read_at(self, offset: int, n: int) -> bytes:
        """Up to ``n`` bytes from ``offset``; fewer only where the file ends."""

    def close(self) -> None:
        """Close it and give up the lock; twice is fine."""


class Disk(Protocol):
    """Files by path; new ones get mode 0600, new directories 0700."""

    def open_append(self, path: Path) -> File:
        """Open or make ``path`` for reading and writing, with ``end`` at its size."""

    def create(self, path: Path) -> File:
        """Make ``path``, which must not exist."""

    def lock(self, file: File) -> None:
        """Take the file for this one writer until it is closed, or raise at once."""

    def rename(self, src: Path, dst: Path) -> None:
        """Give ``src`` the name ``dst``, durably; what had that name is gone."""

    def remove(self, path: Path) -> None:
        """Remove ``path``; it need not exist."""

    def replace_atomically(self, path: Path) -> AbstractContextManager[File]:
        """A new file beside ``path`` that takes its place when the block ends without an error."""


def explain(error: OSError, path: Path) -> str:
    """``"PATH: what is the matter; what to do"``, for the sentence of a typed error."""
    said = error.strerror or str(error)
    if error.errno is not None and said != os.strerror(error.errno):
        return f"{path}: {said}"  # one of ours, which says what to do
    return f"{path}: {said}; {remedy(error)}"


def remedy(error: OSError) -> str:
    """What to do about it, for the end of a sentence."""
    return _REMEDIES.get(error.errno or 0, "see to the disk")


@contextmanager
def replacing(disk: Disk, path: Path) -> Iterator[File]:
    """``Disk.replace_atomically`` out of the other operations: write, fsync, rename.

    After a crash at any point ``path`` holds the old content or the new, never a mixture
    (Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014).
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    file = disk.create(beside)
    try:
        yield file
        file.fsync()
        file.close()
        disk.rename(beside, path)
    except BaseException:
        file.close()
        with suppress(OSError):
            disk.remove(beside)
        raise


class LocalFile:
    """A file of the machine, over ``os``. A forked child has none of those that are open."""

    __slots__ = ("__weakref__", "_allocate", "_fd", "_locked_by", "end", "path")

    def __init__(
        self, fd: int, path: Path, allocate: Callable[[int, int, int], None] | None
    ) -> None:
        self._fd = fd
        self._allocate = allocate
        self._locked_by = 0
        self.path = path
        self.end = os.fstat(fd).st_size
        _open_here.add(self)

    def fileno(self) -> int:
        """The descriptor; -1 when closed."""
        return self._fd

    def size(self) -> int:
        """The size in bytes, preallocated space included."""
        return os.fstat(self._fd).st_size

    def write(self, data: bytes) -> None:
        """Write all of ``data`` at ``end``; a short write goes on where it stopped."""
        self._write_at(self.end, data)
        self.end += len(data)

    def fsync(self) -> None:
        """Data and size are on the disk afterwards; time stamps may not be."""
        if sys.platform == "darwin":  # there fsync stops at the drive's own cache
            fcntl.fcntl(self._fd, fcntl.F_FULLFSYNC)  # pragma: no cover - macOS only
        else:
            os.fdatasync(self._fd)

    def preallocate(self, upto: int) -> None:
        """Reserve blocks, or write zeros where the filesystem reserves none."""
        size = self.size()
        if upto <= size:
            return
        try:
            self._reserve(size, upto)
        except OSError:
            # What was had of it would only fill the disk further.
            with suppress(OSError):
                os.ftruncate(self._fd, size)
            raise

    def truncate(self, n: int) -> None:
        """Cut the file to ``n`` bytes and set ``end`` there."""
        os.ftruncate(self._fd, n)
        self.end = n

    def read_at(self, offset: int, n: int) -> bytes:
        """Up to ``n`` bytes from ``offset``; fewer only where the file ends."""
        parts = []
        while n > 0 and (part := os.pread(self._fd, n, offset)):
            parts.append(part)
            offset += len(part)
            n -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def lock(self) -> None:
        """Take the file for this process; ``BlockingIOError`` where another writer has it."""
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._locked_by = os.getpid()

    def close(self) -> None:
        """Close the descriptor and give up the lock, even where a forked process still has both."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        if self._locked_by == os.getpid():
            fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)

    def _write_at(self, offset: int, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            written = os.pwrite(self._fd, rest, offset)
            offset += written
            rest = rest[written:]

    def _reserve(self, size: int, upto: int) -> None:
        try:
            if self._allocate is not None:
                self._allocate(self._fd, size, upto - size)
                return
        except OSError as error:
            if error.errno not in _NO_PREALLOCATION:
                raise
        for start in range(size, upto, len(_ZEROS)):
            self._write_at(start, _ZEROS[: upto - start])


_open_here: Final[weakref.WeakSet[LocalFile]] = weakref.WeakSet()


def _drop_inherited() -> None:
    """In a forked child: else it would hold the parent's lock, and could write into its files."""
    for file in tuple(_open_here):
        file.close()


os.register_at_fork(after_in_child=_drop_inherited)


class LocalDisk:
    """The machine's own files.

    ``allocate(fd, offset, length)`` reserves blocks; None writes zeros instead. Locks are
    ``flock(2)``: they hold against other processes and against this one, and end with the process,
    whatever it has forked.
    """

    __slots__ = ("_allocate",)

    def __init__(self, allocate: Callable[[int, int, int], None] | None = _FALLOCATE) -> None:
        self._allocate = allocate

    def open_append(self, path: Path) -> LocalFile:
        """Open or make ``path``; refuses links, other people's files, and what is no file."""
        try:
            fd = _open(path, _OPEN)
        except FileNotFoundError:
            try:
                return self.create(path)
            except FileExistsError:  # by somebody else, just now
                return self.open_append(path)
        try:
            _check_owner(os.fstat(fd), path)
            return LocalFile(fd, path, self._allocate)
        except OSError:
            os.close(fd)
            raise

    def create(self, path: Path) -> LocalFile:
        """Make ``path``, which must not exist, and its directories; durably."""
        _make_directories(path.parent)
        fd = _open(path, _OPEN | os.O_CREAT | os.O_EXCL)
        sync_directory(path.parent)
        return LocalFile(fd, path, self._allocate)

    def lock(self, file: File) -> None:
        """Take the file, or raise ``BlockingIOError`` at once where another writer has it."""
        assert isinstance(file, LocalFile)  # noqa: S101  a disk locks its own files only
        path = file.path
        try:
            file.lock()
        except BlockingIOError:
            said = "another writer has it open; wait for it to end, or use another file"
            raise BlockingIOError(errno.EWOULDBLOCK, said, str(path)) from None
        # Between open and lock the file that bore the name may have been renamed or removed.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.lstat()):
                return
        raise OSError(errno.ESTALE, "was replaced while it was opened; try again", str(path))

    def rename(self, src: Path, dst: Path) -> None:
        """Rename and fsync the directory; refuses to replace what ``open_append`` would refuse."""
        with suppress(FileNotFoundError):
            _check_owner(dst.lstat(), dst)
        src.rename(dst)
        sync_directory(dst.parent)

    def remove(self, path: Path) -> None:
        """Remove ``path``; it need not exist."""
        path.unlink(missing_ok=True)

    def replace_atomically(self, path: Path) -> AbstractContextManager[File]:
        """A new file beside ``path`` that takes its place when the block ends without an error."""
        return replacing(self, path)


def _open(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags, 0o600)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise _link(path) from None
    except ValueError:  # a NUL, or half of a character
        raise OSError(errno.EINVAL, "is no path of a file; give another", str(path)) from None


def _link(path: Path) -> OSError:
    said = "is a symbolic link; give the path of the file itself"
    return OSError(errno.ELOOP, said, str(path))


def _check_owner(found: os.stat_result, path: Path) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise _link(path)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "is no regular file; give another path", str(path))
    if found.st_uid != os.geteuid():
        said = "belongs to another user; give the path of a file of your own"
        raise PermissionError(errno.EPERM, said, str(path))


def _make_directories(directory: Path) -> None:
    if directory.is_dir():
        return
    _make_directories(directory.parent)
    with suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    sync_directory(directory.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in ``directory`` durable, where its filesystem can."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        # Some network filesystems cannot; their names are durable on their own terms.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(fd)
