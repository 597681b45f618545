"""A cache's file is the owner's alone; a path that holds something else is refused."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from headrace.adapters.cache import SqliteCache, Statistics
from headrace.core.errors import ConfigError
from tests.adapters.cache.answers import answer, key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def test_nothing_is_opened_before_the_first_use(path: Path) -> None:
    cache = SqliteCache(path)
    assert not path.exists()
    assert cache.statistics() == Statistics()


def test_only_the_owner_can_read_what_is_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "answers.db"

    async def main() -> None:
        cache = SqliteCache(path)
        await cache.put(key("a"), answer("a"))
        await cache.aclose()

    asyncio.run(main())
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.parent.parent.stat().st_mode & 0o777 == 0o700
    path.chmod(0o644)
    SqliteCache(path)
    assert path.stat().st_mode & 0o777 == 0o600


def _no_sqlite(path: Path) -> None:
    path.write_bytes(b"id,text\n" * 100)


def _short(path: Path) -> None:
    path.write_bytes(b"SQLite")


def _of_another_program(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")


def _newer(path: Path) -> None:
    async def make() -> None:
        cache = SqliteCache(path)
        await cache.put(key("a"), answer("a"))
        await cache.aclose()

    asyncio.run(make())
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")


def _symlink(path: Path) -> None:
    path.symlink_to(path.with_name("elsewhere"))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (_no_sqlite, "no cache of headrace; choose another path"),
        (_short, "no cache of headrace; choose another path"),
        (_of_another_program, "no cache of headrace; choose another path"),
        (_newer, "version 2.*upgrade headrace"),
        (_symlink, "symbolic link; name the file itself"),
        (Path.mkdir, "is a directory; name a file in it"),
        (os.mkfifo, "not a plain file"),
    ],
)
def test_a_path_that_holds_something_else_is_refused_and_not_touched(
    path: Path, make: Callable[[Path], None], sentence: str
) -> None:
    make(path)
    before = path.lstat()
    with pytest.raises(ConfigError, match=sentence) as caught:
        SqliteCache(path)
    assert str(path) in str(caught.value)
    after = path.lstat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "plain/answers.db", "~nobody-of-that-name/x"])
def test_an_impossible_path_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "plain").write_text("no directory")
    with pytest.raises(ConfigError, match="cannot be used"):
        SqliteCache(name if name.startswith("~") else tmp_path / name)


@contextlib.contextmanager
def as_plain_user() -> Iterator[None]:
    """Root may write anywhere; the file system's answer to others is wanted."""
    if os.getuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


def test_a_directory_that_cannot_be_written_is_refused(open_directory: Path) -> None:
    open_directory.chmod(0o555)
    with as_plain_user(), pytest.raises(ConfigError, match="cannot be written to"):
        SqliteCache(open_directory / "answers.db")
    with as_plain_user(), pytest.raises(ConfigError, match="Permission denied"):
        SqliteCache(open_directory / "new" / "answers.db")
    open_directory.chmod(0o755)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(path: Path) -> None:
    path.touch()
    os.chown(path, 65534, 65534)
    with pytest.raises(ConfigError, match="belongs to another user"):
        SqliteCache(path)
