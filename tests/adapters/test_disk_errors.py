"""Whatever a disk says, the sentence says what to do about it."""

from __future__ import annotations

import asyncio
import errno
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from headrace.adapters.disk import LocalDisk, explain
from headrace.core.errors import JournalError
from headrace.core.reply import Reply
from headrace.engine.journal import Journal
from headrace.testing.disk import FaultyDisk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.testing.disk import Kind

REMEDIES: Final = {
    errno.EACCES: "give a path that you may read and write",
    errno.EDQUOT: "free some space, or have the quota raised",
    errno.EFBIG: "have the limit on the size of a file raised",
    errno.EIO: "see to the disk (dmesg), or give a path on another one",
    errno.EISDIR: "give the path of a file",
    errno.ENAMETOOLONG: "give a shorter path",
    errno.ENOENT: "see that its directory is there, or give another path",
    errno.ENOLCK: "give a path on a local disk",
    errno.ENOSPC: "free some space",
    errno.ENOTDIR: "a part of the path is a file: give another path",
    errno.EROFS: "give a path on a disk that can be written to",
    errno.EXDEV: "see to the disk",  # one that nobody thought of
}
OPENING: Final[tuple[Kind, ...]] = ("open", "lock", "read", "truncate", "fsync", "preallocate")


@pytest.mark.parametrize("number", REMEDIES, ids=errno.errorcode.get)
@pytest.mark.parametrize("kind", OPENING)
def test_a_journal_that_cannot_be_opened_says_what_to_do(kind: Kind, number: int) -> None:
    disk, path = FaultyDisk(), Path("some/run.journal")
    disk.put(path, bytes(10))  # cut and begun anew, it meets every operation
    disk.fail(kind, error=number)
    with pytest.raises(JournalError) as refused:
        Journal.open(path, disk=disk)
    said = f"{path}: {os.strerror(number)}; {REMEDIES[number]}"
    assert said in refused.value.message
    assert "\n" not in refused.value.message


@pytest.mark.parametrize("number", REMEDIES, ids=errno.errorcode.get)
@pytest.mark.parametrize(("kind", "what"), [("write", "written"), ("fsync", "synced")])
def test_a_journal_that_cannot_be_written_says_what_to_do(
    kind: Kind, what: str, number: int
) -> None:
    disk, path = FaultyDisk(), Path("run.journal")

    async def record() -> None:
        journal = Journal.open(path, disk=disk)
        disk.fail(kind, error=number)
        try:
            await journal.answer(bytes(16), "r", "m", Reply(200, b"x"))
        finally:
            await journal.aclose()

    with pytest.raises(JournalError) as stopped:
        asyncio.run(record())
    said = f"the journal cannot be {what}: run.journal: {os.strerror(number)}; {REMEDIES[number]}"
    assert stopped.value.message.startswith(said)
    assert stopped.value.message.endswith(", and run the same again; what was promised is safe")


def opened(path: Path) -> str:
    """What is said of a journal at ``path``, which cannot be."""
    with pytest.raises(JournalError) as refused:
        Journal.open(path)
    return refused.value.message


def test_real_paths_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert opened(tmp_path).endswith(f"{tmp_path}: Is a directory; give the path of a file")
    assert opened(tmp_path / ("x" * 300)).endswith("File name too long; give a shorter path")
    under = opened(tmp_path / "file" / "j")
    assert under.endswith("Not a directory; a part of the path is a file: give another path")
    for odd in ("a\0b", "a\ud800b"):
        assert opened(tmp_path / odd).endswith("is no path of a file; give another")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc on this system")
def test_a_directory_that_is_not_there_and_cannot_be_made() -> None:
    said = opened(Path("/proc/nowhere/j"))
    assert said.endswith("see that its directory is there, or give another path")


@contextmanager
def as_plain_user() -> Iterator[None]:
    """Root may do anything."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(12345)
    try:
        yield
    finally:
        os.seteuid(before)


def test_places_that_are_not_ones_own(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    (closed / "there").touch(0o600)
    closed.chmod(0o500 if os.geteuid() else 0o700)
    with as_plain_user():
        for name in ("there", "new"):
            said = opened(closed / name)
            assert said.endswith("Permission denied; give a path that you may read and write")


def test_a_closed_file_says_so(tmp_path: Path) -> None:
    file = LocalDisk().create(tmp_path / "f")
    file.close()
    with pytest.raises(OSError, match="descriptor") as failed:
        file.write(b"x")
    assert "open it again in this process" in explain(failed.value, file.path)


def test_what_headrace_itself_says_is_not_said_again() -> None:
    ours = OSError(errno.ELOOP, "is a symbolic link; give the path of the file itself", "x")
    assert explain(ours, Path("a")) == "a: is a symbolic link; give the path of the file itself"
    assert explain(OSError("odd"), Path("b")) == "b: odd; see to the disk"
