"""The output file: the projection of the journal onto the rows of the input, one line for each id.

The journal is the truth; the output can be made again from it and the input at any time. So:

1. While a run goes on the output only grows. An answer is in the journal (fsynced) before it comes
   here, and its line is written before the row is counted as finished.
2. A row that the journal answers is compared with the line that stands for its id. Where they say
   the same (but for ``source``) that line stands and nothing is written; else a new line is. So
   content decides: of a changed prompt under an old id the new answer stands.
3. Rows that failed wait until the end of the run and are written then. A rerun tries them again.
4. At the end, if lines are left that do not stand (older lines of an id, ids that are no longer in
   the input, what is no line of ours) or ``--ordered`` ones stand in another order, the standing
   ones are copied to a new file, which is fsynced and renamed over the output.
5. A run that ended early does the same, and keeps the lines of rows that it did not come to.
6. A killed run leaves whole lines and perhaps a torn one, which the next run cuts off; the journal
   answers its row. What a kill between journal and output kept from being written is written then.
   Only a *rerun* that is killed may leave an older and a newer line of one id, until the next run.

One run at a time: the output is locked, before anything in it is read or changed.

Memory: 8 bytes a row, and on a rerun about 150 more for each line that was there.
"""

from __future__ import annotations

import os
import re
import tempfile
from array import array
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol, cast

from headrace.adapters.disk import FULL, Disk, File, explain
from headrace.cli.lines import COMPLETIONS, Columns, line_of
from headrace.cli.rows import mark, read_json
from headrace.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.core.response import APIResponse

NOWHERE: Final = (1 << 64) - 1
IN_MEMORY: Final = 1 << 20
# Two lines that differ in their source alone differ in length by less.
SLACK: Final = 32


class Output(Protocol):
    """Where finished rows go."""

    def write(self, response: APIResponse[object]) -> None:
        """Take a finished row."""

    def finish(self, *, complete: bool) -> None:
        """The run is over, at the end of the input or before it."""

    def close(self) -> None:
        """Let go of the file."""


class PipeOutput:
    """Standard output, or what else is no regular file: each row is written as it comes."""

    def __init__(self, stream: BinaryIO, *, closes: bool, columns: Columns = COMPLETIONS) -> None:
        """``closes``: the stream was opened for this."""
        self._stream = stream
        self._closes = closes
        self._columns = columns

    def write(self, response: APIResponse[object]) -> None:
        """Write a row, failed or not."""
        self._stream.write(line_of(response, self._columns))
        self._stream.flush()

    def finish(self, *, complete: bool) -> None:
        """Nothing is left to do."""

    def close(self) -> None:
        """Close what was opened for this; its last error was told when a row was written."""
        if self._closes:
            with suppress(OSError):
                self._stream.close()


class FileOutput:
    """A regular file with a journal beside it; see the head of this module."""

    def __init__(
        self,
        path: Path,
        disk: Disk,
        *,
        ordered: bool,
        fresh: bool,
        columns: Columns = COMPLETIONS,
    ) -> None:
        """Open or make it, lock it, and see what stands in it; raises ``ConfigError``."""
        self.path = path
        self._disk = disk
        self._ordered = ordered
        self._columns = columns
        self._failures: BinaryIO | None = None
        self._failed = array("Q")
        self._standing = array("Q")
        self._old: dict[bytes, int] = {}
        self._lines = 0
        self.replaced = 0
        """How many lines held an answer and gave way to another one, or to a failure."""
        self.dropped = 0
        """How many lines were of rows that are not in the input, and went."""
        self.is_empty = True
        """Does no line stand when the run is over?"""
        if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises for too long a name
            raise ConfigError(
                f"cannot write the output {path}: it is a directory; give the path of a file"
            )
        self.journal = journal_of(path)
        try:
            self._file: File = disk.open_append(path)
        except OSError as error:
            raise _cannot_write(error, path) from None
        try:
            self._begin(fresh=fresh)
        except OSError as error:
            self.close()
            raise _cannot_write(error, path) from None
        except ConfigError:
            self.close()
            raise

    def write(self, response: APIResponse[object]) -> None:
        """Write an answer; keep a failure for the end."""
        line = line_of(response, self._columns)
        if response.error is None:
            self._put(response.index, response.id, line, known=response.source == "journal")
            return
        if self._failures is None:
            self._failures = _spool(self.path.parent)
        self._failures.write(line)
        self._failed.append(response.index)

    def finish(self, *, complete: bool) -> None:
        """Write what failed, and make every id stand once; raises ``OSError``."""
        self._write_failures()
        left = [] if complete else sorted(self._old.values())
        self.dropped = len(self._old) - len(left)
        count = len(self._standing) - self._standing.count(NOWHERE) + len(left)
        self.is_empty = not count
        if count == self._lines and not (self._ordered and self._in_disorder()):
            self._file.fsync()
            return
        standing = [at for at in self._standing if at != NOWHERE]
        self._rewrite([*standing, *left] if self._ordered else sorted([*standing, *left]))

    def close(self) -> None:
        """Let go of the file and its lock."""
        if self._failures is not None:
            self._failures.close()
        self._file.close()

    def _begin(self, *, fresh: bool) -> None:
        self._disk.lock(self._file)
        _remove_leftovers(self.path, self._disk)
        if fresh:
            _remove_unused(self.journal, self._disk)
            self._file.truncate(0)
        elif self._file.end and not self.journal.exists():
            raise ConfigError(
                f"{self.path} exists and no journal is beside it, so its rows cannot be gone on"
                " with; give another -o, or --fresh to replace it"
            )
        self._read_what_stands()

    def _read_what_stands(self) -> None:
        at = 0
        with self.path.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                name = _read(line).get("id")
                if isinstance(name, str):
                    self._old[mark(name)] = at
                self._lines += 1
                at += len(line)
        if at < self._file.end:
            self._file.truncate(at)

    def _put(self, index: int, name: str, line: bytes, *, known: bool) -> None:
        old = self._old.pop(mark(name), None)
        if old is None or not (known and self._says_the_same(old, line)):
            self.replaced += old is not None and self._is_another_answer(old, line)
            old = self._file.end
            self._append(line)
        missing = index + 1 - len(self._standing)
        if missing > 0:
            self._standing.extend([NOWHERE] * missing)
        self._standing[index] = old

    def _append(self, line: bytes) -> None:
        try:
            self._file.write(line)
        except OSError:
            with suppress(OSError):  # a part of the line may be there
                self._file.truncate(self._file.end)
            raise
        self._lines += 1

    def _says_the_same(self, at: int, line: bytes) -> bool:
        there, newline, _ = self._file.read_at(at, len(line) + SLACK).partition(b"\n")
        if not newline:
            return False
        return {**_read(there), "source": None} == {**_read(line), "source": None}

    def _is_another_answer(self, at: int, line: bytes) -> bool:
        there, here = _read(b"".join(_blocks(self.path, [at]))), _read(line)
        if there.get("error") is not None:
            return False
        return any(there.get(key) != here.get(key) for key in ("model", self._columns.answer))

    def _write_failures(self) -> None:
        if self._failures is None:
            return
        self._failures.seek(0)
        for index, line in zip(self._failed, self._failures, strict=True):
            self._put(index, str(_read(line)["id"]), line, known=True)

    def _in_disorder(self) -> bool:
        last = -1
        for at in self._standing:
            if at < last:
                return True
            last = at if at != NOWHERE else last
        return False

    def _rewrite(self, places: list[int]) -> None:
        with self._disk.replace_atomically(self.path) as new:
            for block in _blocks(self.path, places):
                new.write(block)


def journal_of(path: Path) -> Path:
    """The journal beside an output."""
    return path.with_name(f"{path.name}.journal")


def _blocks(path: Path, places: list[int]) -> Iterator[bytes]:
    """The lines at ``places``, in that order, about a mebibyte at a time."""
    block: list[bytes] = []
    size = 0
    with path.open("rb") as lines:
        for place in places:
            lines.seek(place)
            block.append(lines.readline())
            size += len(block[-1])
            if size >= IN_MEMORY:
                yield b"".join(block)
                block, size = [], 0
    yield b"".join(block)


def _spool(folder: Path) -> BinaryIO:
    """A file without a name, in memory while it is small; on the disk of the output after that."""
    return cast("BinaryIO", tempfile.SpooledTemporaryFile(IN_MEMORY, "w+b", dir=str(folder)))


def _read(line: bytes) -> dict[str, object]:
    """A line of the output; empty for what is none of ours."""
    try:
        row = read_json(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


def _remove_leftovers(path: Path, disk: Disk) -> None:
    """New files that a kill kept from taking their place."""
    left = re.compile(re.escape(f".{path.name}.") + "[0-9a-f]{8}[.]tmp")
    for entry in path.parent.iterdir():
        if left.fullmatch(entry.name):
            disk.remove(entry)


def _remove_unused(journal: Path, disk: Disk) -> None:
    """Remove a journal that nobody writes; raises ``OSError`` where somebody does."""
    if not journal.exists():
        return
    file = disk.open_append(journal)
    try:
        disk.lock(file)
        with suppress(FileNotFoundError):
            disk.remove(journal)
    finally:
        file.close()


def _cannot_write(error: OSError, path: Path) -> ConfigError:
    where = Path(error.filename) if isinstance(error.filename, str) else path
    said = explain(error, where)
    if ";" not in said:  # the system's own words, which do not say what to do
        said += "; free some space" if error.errno in FULL else "; give another -o"
    return ConfigError(f"cannot write the output {said}")
