"""A disk in memory that fails when told to, and forgets in a crash what was not synced.

``crash`` follows Pillai et al., "All File Systems Are Not Created Equal" (OSDI 2014): what was
synced stays; of what came after, either a beginning arrives, cut anywhere, or any of its sectors.
"""

from __future__ import annotations

import errno
import os
import random
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from headrace.adapters.disk import replacing

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from headrace.adapters.disk import File

Kind: TypeAlias = Literal[
    "open", "lock", "write", "fsync", "preallocate", "truncate", "read", "rename", "remove"
]
SECTOR: Final = 512


@dataclass(slots=True)
class _Change:
    """Something done to a file and not synced: bytes written at an offset, or a new size."""

    offset: int
    data: bytes | None

    def apply(self, content: bytearray, size: int | None = None) -> None:
        """Do it, or its first ``size`` bytes."""
        if self.data is None:
            del content[self.offset :]
            content.extend(bytes(self.offset - len(content)))
        else:
            data = self.data[:size]
            content.extend(bytes(max(0, self.offset - len(content))))
            content[self.offset : self.offset + len(data)] = data

    def sectors(self) -> range:
        """Where the sectors begin that it touches."""
        stop = self.offset + len(self.data or b"")
        return range(self.offset // SECTOR * SECTOR, stop, SECTOR)


@dataclass(slots=True)
class _Image:
    """One file: what programs see, what is surely on the disk, and what lies between the two.

    ``base`` is what programs saw before the first of ``unsynced``: a sector travels as a whole,
    with all that it held at that moment.
    """

    seen: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    base: bytearray = field(default_factory=bytearray)
    unsynced: list[_Change] = field(default_factory=list)
    locked_by: FaultyFile | None = None
    mutex: threading.Lock = field(default_factory=threading.Lock)

    def change(self, change: _Change) -> None:
        """What a program does."""
        with self.mutex:
            change.apply(self.seen)
            self.unsynced.append(change)

    def copy(self) -> _Image:
        """The same, unlocked."""
        with self.mutex:
            return _Image(
                self.seen.copy(), self.durable.copy(), self.base.copy(), self.unsynced.copy()
            )

    def settle(self, count: int, *, arrives: bool) -> None:
        """The first ``count`` changes are synced, or for ever forgotten."""
        with self.mutex:
            done, self.unsynced = self.unsynced[:count], self.unsynced[count:]
            if arrives:
                _write_back(done, self.base, self.durable, lambda: True)
            else:
                _write_back(done, self.base, bytearray(), lambda: False)

    def survivor(self, dice: random.Random) -> bytes:
        """What a loss of power leaves."""
        with self.mutex:
            content = self.durable.copy()
            if dice.random() < 0.5:  # noqa: PLR2004  a coin
                _apply_beginning(content, self.unsynced, dice)
            else:
                share = dice.random()
                arrives = lambda: dice.random() < share  # noqa: E731  one throw of the dice
                _write_back(self.unsynced, self.base.copy(), content, arrives)
            return bytes(content)


@dataclass(slots=True)
class _Fault:
    kind: Kind
    at: int
    errno: int
    keep: int


class FaultyDisk:
    """Files in memory; implements ``Disk``.

    ``capacity``: bytes of room over all files, None for any amount; preallocated bytes count, and
    writing over them needs no more. ``calls`` counts the operations by kind, so that a test can
    fail each of them in turn. ``before_write`` and ``before_fsync`` are called in the thread that
    writes or fsyncs.
    """

    def __init__(self, *, capacity: int | None = None) -> None:
        self.capacity = capacity
        self.calls: Counter[Kind] = Counter()
        self.before_write: Callable[[], object] | None = None
        self.before_fsync: Callable[[], object] | None = None
        self._images: dict[Path, _Image] = {}
        self._faults: list[_Fault] = []

    def fail(self, kind: Kind, nth: int = 1, error: int = errno.EIO, *, keep: int = 0) -> None:
        """Let the ``nth`` operation of ``kind`` from now on raise ``OSError(error)``, once.

        ``keep``: that many bytes of a write arrive all the same.
        """
        self._faults.append(_Fault(kind, self.calls[kind] + nth, error, keep))

    def content(self, path: Path) -> bytes:
        """What a program would read from ``path`` now."""
        return bytes(self._image(path).seen)

    def put(self, path: Path, content: bytes) -> None:
        """Lay ``content`` at ``path``, synced."""
        self._images[path] = _Image(bytearray(content), bytearray(content), bytearray(content))

    def keep(self, path: Path, image: _Image) -> None:
        """Lay an image with all that is not yet synced at ``path``; for ``crash``."""
        self._images[path] = image

    def crash(self, seed: int = 0, *, power: bool = True) -> FaultyDisk:
        """The disk as the next start finds it; this one goes on in a world of its own.

        With ``power`` lost, unsynced changes arrive in part, as ``seed`` says. Without (a killed
        process) the system has them all, and a later loss of power may still take them. Names are
        durable at once.
        """
        dice = random.Random(seed)  # noqa: S311  a seed replays the crash
        after = FaultyDisk(capacity=self.capacity)
        for path, image in self._images.items():
            if power:
                after.put(path, image.survivor(dice))
            else:
                after.keep(path, image.copy())
        return after

    def open_append(self, path: Path) -> FaultyFile:
        """Open or make ``path``."""
        self.begin("open", path)
        return FaultyFile(self, path, self._images.setdefault(path, _Image()))

    def create(self, path: Path) -> FaultyFile:
        """Make ``path``, which must not exist."""
        self.begin("open", path)
        if path in self._images:
            raise _error(errno.EEXIST, path)
        return FaultyFile(self, path, self._images.setdefault(path, _Image()))

    def lock(self, file: File) -> None:
        """Take the file, or raise at once where another has it."""
        assert isinstance(file, FaultyFile)  # noqa: S101  a disk locks its own files only
        self.begin("lock", file.path)
        file.take()

    def rename(self, src: Path, dst: Path) -> None:
        """Give ``src`` the name ``dst``; content that was not synced may still be lost."""
        self.begin("rename", dst)
        self._images[dst] = self._image(src)
        del self._images[src]

    def remove(self, path: Path) -> None:
        """Remove ``path``; it need not exist."""
        self.begin("remove", path)
        self._images.pop(path, None)

    def replace_atomically(self, path: Path) -> AbstractContextManager[File]:
        """As on the real disk."""
        return replacing(self, path)

    def room_for(self, image_size: int, stop: int) -> int:
        """How far a file of ``image_size`` may be written on the way to ``stop``."""
        if self.capacity is None:
            return stop
        free = self.capacity - sum(len(image.seen) for image in self._images.values())
        return min(stop, image_size + max(0, free))

    def struck(self, kind: Kind) -> _Fault | None:
        """Count an operation of ``kind``; returns the fault that it is to meet."""
        self.calls[kind] += 1
        return next((f for f in self._faults if (f.kind, f.at) == (kind, self.calls[kind])), None)

    def begin(self, kind: Kind, path: Path) -> None:
        """Count an operation of ``kind``, and raise if it is to fail."""
        if fault := self.struck(kind):
            raise _error(fault.errno, path)

    def _image(self, path: Path) -> _Image:
        try:
            return self._images[path]
        except KeyError:
            raise _error(errno.ENOENT, path) from None


class FaultyFile:
    """A file of a ``FaultyDisk``; implements ``File``."""

    def __init__(self, disk: FaultyDisk, path: Path, image: _Image) -> None:
        self._disk = disk
        self._image = image
        self.path = path
        self.end = len(image.seen)

    def size(self) -> int:
        """The size in bytes, preallocated space included."""
        return len(self._image.seen)

    def take(self) -> None:
        """Lock it; for ``FaultyDisk.lock``."""
        if self._image.locked_by is not None:
            raise OSError(errno.EWOULDBLOCK, "another writer has it open", str(self.path))
        self._image.locked_by = self

    def write(self, data: bytes) -> None:
        """Write at ``end``; where there is no room, what fits arrives before the error."""
        if self._disk.before_write is not None:
            self._disk.before_write()
        stop = self.end + len(data)
        fault = self._disk.struck("write")
        if fault is not None:
            stop, number = self.end + fault.keep, fault.errno
        elif (room := self._disk.room_for(self.size(), stop)) < stop:
            stop, number = room, errno.ENOSPC
        else:
            number = 0
        self._image.change(_Change(self.end, data[: max(0, stop - self.end)]))
        if number:
            raise _error(number, self.path)
        self.end = stop

    def fsync(self) -> None:
        """What is written when the call begins is on the disk when it ends.

        After an error those changes are lost to a crash, and to later calls: the system has
        forgotten that they were not written.
        """
        image = self._image
        count = len(image.unsynced)
        if self._disk.before_fsync is not None:
            self._disk.before_fsync()
        fault = self._disk.struck("fsync")
        image.settle(count, arrives=fault is None)
        if fault is not None:
            raise _error(fault.errno, self.path)

    def preallocate(self, upto: int) -> None:
        """Grow with NULs, or not at all."""
        self._disk.begin("preallocate", self.path)
        size = self.size()
        if self._disk.room_for(size, upto) < upto:
            raise _error(errno.ENOSPC, self.path)
        if upto > size:
            self._image.change(_Change(upto, None))

    def truncate(self, n: int) -> None:
        """Cut or grow to ``n`` bytes and set ``end`` there."""
        self._disk.begin("truncate", self.path)
        self._image.change(_Change(n, None))
        self.end = n

    def read_at(self, offset: int, n: int) -> bytes:
        """Up to ``n`` bytes from ``offset``."""
        self._disk.begin("read", self.path)
        return bytes(self._image.seen[offset : offset + n])

    def close(self) -> None:
        """Give up the lock; twice is fine."""
        if self._image.locked_by is self:
            self._image.locked_by = None


def _apply_beginning(content: bytearray, changes: list[_Change], dice: random.Random) -> None:
    count = dice.randint(0, len(changes))
    for change in changes[:count]:
        change.apply(content)
    if count < len(changes) and (data := changes[count].data) is not None:
        changes[count].apply(content, dice.randint(0, len(data)))


def _write_back(
    changes: list[_Change], base: bytearray, content: bytearray, arrives: Callable[[], bool]
) -> None:
    """Sizes arrive in their order, sectors as they like; what never arrives stays as it was."""
    for change in changes:
        change.apply(base)
        if change.data is None:
            change.apply(content)
        for start in change.sectors():
            if arrives():
                _Change(start, bytes(base[start : start + SECTOR])).apply(content)


def _error(number: int, path: Path) -> OSError:
    return OSError(number, os.strerror(number), str(path))
