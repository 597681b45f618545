"""What the engine relies on from a disk: the same questions to the real and to the faulty one."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from headrace.adapters.disk import FULL, Disk, LocalDisk, sync_directory
from headrace.testing.disk import FaultyDisk

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=["local", "zeros", "faulty"])
def disk(request: pytest.FixtureRequest) -> Disk:
    disks: dict[str, Disk] = {
        "local": LocalDisk(),
        "zeros": LocalDisk(allocate=None),
        "faulty": FaultyDisk(),
    }
    return disks[request.param]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def test_writes_go_on_where_the_last_one_ended(disk: Disk, path: Path) -> None:
    file = disk.open_append(path)
    file.write(b"one ")
    file.write(b"two")
    file.fsync()
    file.close()
    again = disk.open_append(path)
    again.write(b" three")
    assert again.end == again.size() == 13
    assert again.read_at(0, 100) == b"one two three"
    assert again.read_at(4, 3) == b"two"
    assert again.read_at(13, 3) == b""
    again.close()
    again.close()


def test_preallocated_room_is_nul_and_does_not_move_the_end(disk: Disk, path: Path) -> None:
    file = disk.open_append(path)
    file.write(b"abc")
    file.preallocate(3 << 20)
    file.preallocate(10)
    assert file.size() == 3 << 20
    file.write(b"d")
    assert file.end == 4
    assert file.read_at(0, 6) == b"abcd\0\0"
    assert file.read_at((3 << 20) - 2, 10) == b"\0\0"
    file.truncate(2)
    file.write(b"!")
    assert file.read_at(0, 10) == b"ab!"
    file.close()


def test_a_second_writer_is_refused_until_the_first_closes(disk: Disk, path: Path) -> None:
    first, second = disk.open_append(path), disk.open_append(path)
    disk.lock(first)
    with pytest.raises(BlockingIOError, match="another writer has it open"):
        disk.lock(second)
    first.close()
    disk.lock(second)
    second.close()


def test_create_refuses_what_exists(disk: Disk, path: Path) -> None:
    disk.create(path).close()
    with pytest.raises(FileExistsError):
        disk.create(path)


def test_a_replaced_file_has_the_new_content(disk: Disk, path: Path) -> None:
    for content in (b"old", b"new"):
        with disk.replace_atomically(path) as file:
            file.write(content)
    assert disk.open_append(path).read_at(0, 9) == b"new"


def test_a_replacement_that_fails_leaves_the_old_content_and_nothing_else(
    disk: Disk, path: Path, tmp_path: Path
) -> None:
    def fill_and_fail() -> NoReturn:
        with disk.replace_atomically(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with disk.replace_atomically(path) as file:
        file.write(b"old")
    with pytest.raises(KeyboardInterrupt):
        fill_and_fail()
    assert disk.open_append(path).read_at(0, 9) == b"old"
    assert {p.name for p in tmp_path.iterdir()} <= {"file"}


def test_removing_what_is_not_there_is_fine(disk: Disk, path: Path) -> None:
    disk.create(path).close()
    disk.remove(path)
    disk.remove(path)
    disk.create(path).close()


def test_new_files_and_directories_are_for_their_owner_only(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        path = tmp_path / "a" / "b" / "file"
        LocalDisk().open_append(path).close()
        with LocalDisk().replace_atomically(tmp_path / "c" / "out") as file:
            file.write(b"x")
    finally:
        os.umask(old)
    modes = {p.relative_to(tmp_path): p.stat().st_mode & 0o777 for p in tmp_path.rglob("*")}
    assert modes == {
        Path("a"): 0o700,
        Path("a/b"): 0o700,
        Path("a/b/file"): 0o600,
        Path("c"): 0o700,
        Path("c/out"): 0o600,
    }


def test_symbolic_links_are_refused(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"mine")
    link.symlink_to(target)
    disk = LocalDisk()
    for refused in (disk.open_append, disk.create):
        with pytest.raises(OSError, match=r"symbolic link|File exists"):
            refused(link)
    with (
        pytest.raises(OSError, match="symbolic link; give the path of the file itself"),
        disk.replace_atomically(link),
    ):
        pass
    assert link.is_symlink()
    assert target.read_bytes() == b"mine"


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no regular file"):
        LocalDisk().open_append(tmp_path / "pipe")
    with pytest.raises(IsADirectoryError):
        LocalDisk().open_append(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_users_file_is_refused(path: Path) -> None:
    path.touch()
    os.chown(path, 12345, -1)
    with pytest.raises(PermissionError, match="belongs to another user"):
        LocalDisk().open_append(path)


def test_a_file_replaced_while_it_was_opened_is_refused(path: Path) -> None:
    disk = LocalDisk()
    file = disk.open_append(path)
    path.rename(path.with_name("elsewhere"))
    with pytest.raises(OSError, match="was replaced while it was opened"):
        disk.lock(file)
    path.touch()
    with pytest.raises(OSError, match="was replaced while it was opened"):
        disk.lock(file)
    file.close()


def test_where_nothing_can_be_preallocated_zeros_are_written(path: Path) -> None:
    def unsupported(fd: int, offset: int, length: int) -> None:
        del fd, offset, length
        raise OSError(errno.EOPNOTSUPP, "no")

    file = LocalDisk(unsupported).open_append(path)
    file.preallocate(5000)
    assert file.read_at(0, 9999) == bytes(5000)
    file.close()


def test_a_full_disk_gives_back_what_was_taken_in_vain(path: Path) -> None:
    def half(fd: int, offset: int, length: int) -> None:
        os.ftruncate(fd, offset + length // 2)
        raise OSError(errno.ENOSPC, "full")

    file = LocalDisk(half).open_append(path)
    file.write(b"abc")
    with pytest.raises(OSError, match="full"):
        file.preallocate(5000)
    assert file.size() == 3
    file.close()


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, old)


def test_a_short_write_goes_on_and_its_error_is_not_lost(path: Path) -> None:
    """The system writes up to its limit first, and says why it stopped at the second try."""
    file = LocalDisk().open_append(path)
    with largest_file(4096):
        with pytest.raises(OSError, match="large") as caught:
            file.write(b"x" * 5000)
        assert caught.value.errno in FULL
        assert (file.end, file.size()) == (0, 4096)
        with pytest.raises(OSError, match="large"):
            file.preallocate(8192)
        assert file.size() == 4096
        file.truncate(0)
        file.write(b"fits")
    assert file.read_at(0, 9) == b"fits"
    file.close()


def test_a_lock_holds_against_another_process_and_ends_with_it(path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from headrace.adapters.disk import LocalDisk\n"
        "d = LocalDisk(); f = d.open_append(Path(sys.argv[1])); d.lock(f)\n"
        "sys.stdout.write('locked\\n'); sys.stdout.flush(); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        file = LocalDisk().open_append(path)
        with pytest.raises(BlockingIOError):
            LocalDisk().lock(file)
        other.kill()
        other.wait()
        LocalDisk().lock(file)
        file.close()


def test_a_directory_that_cannot_be_synced_is_let_be() -> None:
    """Some filesystems refuse; one that is not there is an error."""
    sync_directory(Path("/proc"))
    with pytest.raises(FileNotFoundError):
        sync_directory(Path("/nowhere"))


def test_the_faulty_disk_fails_the_operation_it_was_told_to(path: Path) -> None:
    disk = FaultyDisk()
    disk.fail("write", nth=2, error=errno.EDQUOT, keep=3)
    file = disk.open_append(path)
    file.write(b"first ")
    with pytest.raises(OSError, match="quota"):
        file.write(b"second")
    assert disk.content(path) == b"first sec"
    file.write(b"third")
    assert disk.content(path) == b"first third"
    assert disk.calls["write"] == 3


def test_the_faulty_disk_is_full_at_its_capacity(path: Path) -> None:
    disk = FaultyDisk(capacity=10)
    file = disk.open_append(path)
    file.preallocate(6)
    file.write(b"123456")
    with pytest.raises(OSError, match="space"):
        file.preallocate(11)
    with pytest.raises(OSError, match="space"):
        file.write(b"789abc")
    assert disk.content(path) == b"123456789a"


def test_a_crash_keeps_what_was_synced_and_some_of_the_rest(path: Path) -> None:
    disk = FaultyDisk()
    file = disk.open_append(path)
    file.preallocate(4096)
    file.write(b"a" * 700)
    file.fsync()
    file.write(b"b" * 1300)
    seen = {disk.crash(seed).content(path) for seed in range(200)}
    assert all(content.startswith(b"a" * 700) and len(content) == 4096 for content in seen)
    whole = b"a" * 700 + b"b" * 1300 + bytes(2096)
    nothing = b"a" * 700 + bytes(3396)
    later_sectors_only = b"a" * 700 + bytes(324) + b"b" * 976 + bytes(2096)
    assert {whole, nothing, later_sectors_only} <= seen
    assert disk.crash(power=False).content(path) == whole


def test_after_a_failed_fsync_the_changes_are_lost_to_a_crash(path: Path) -> None:
    disk = FaultyDisk()
    file = disk.open_append(path)
    file.write(b"lost")
    disk.fail("fsync")
    with pytest.raises(OSError, match="Input/output"):
        file.fsync()
    file.fsync()
    assert {disk.crash(seed).content(path) for seed in range(20)} == {b""}


def test_reading_from_a_file_that_is_not_there_is_an_error(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FaultyDisk().content(path)
