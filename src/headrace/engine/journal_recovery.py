"""Reading a journal back: what holds, what a crash tore off, and what is damage.

A line is good when its CRC follows from the line before. Reading stops at the first line that is
not, and everything hangs on why it is not:

*Torn.* A crash left a piece of a line, and behind it nothing, or the NULs of the preallocated rest.
It was never promised to anybody: it is dropped. After a power cut there may be more: the sectors of
the last writes reach the disk in any order, so that NULs can stand before whole good lines. Such a
hole ends where a sector ends, and no mark behind it claims that it had been synced.

*Damaged.* Anything else that is not the last line. What stood there may have been promised, so
nothing is dropped or repaired in silence: the file is refused, untouched. Two lines whose line feed
was lost look like one; the beginning of the second gives them away.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Final
from zlib import crc32

from headrace.core.errors import JournalError
from headrace.engine import journal_format as form

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.adapters.disk import File

SEGMENT: Final = 4 << 20
"""Bytes that are preallocated at a time."""

CHUNK: Final = 1 << 20
SECTOR: Final = 512
# More than any preallocated rest; a bad line so far from the end is no torn one.
LONGEST_TAIL: Final = 256 << 20


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a journal held when it was opened, in rows.

    ``in_flight`` are rows without an end that have an intent of which nothing is known: they may
    be sent again.
    ``torn``: bytes that a crash had left unfinished at the end, which were dropped.
    """

    answered: int
    failed: int
    in_flight: int
    unreadable: int
    runs: int
    torn: int


@dataclass(slots=True)
class State:
    """What a journal says. ``answers`` and ``failures`` map row keys to byte offsets of lines.

    ``in_flight`` holds how many of a row's sends are open: neither recorded nor withdrawn.
    Marks say that the bytes before ``synced`` are on the disk.
    """

    end: int = 0
    crc: int = 0
    lines: int = 0
    runs: int = 0
    unreadable: int = 0
    torn: int = 0
    synced: int = 0
    answers: dict[bytes, int] = field(default_factory=dict)
    failures: dict[bytes, int] = field(default_factory=dict)
    in_flight: dict[bytes, int] = field(default_factory=dict)

    def counted(self) -> Recovered:
        """The same in numbers."""
        return Recovered(
            answered=len(self.answers),
            failed=len(self.failures),
            in_flight=len(self.in_flight),
            unreadable=self.unreadable,
            runs=self.runs,
            torn=self.torn,
        )


def recover(file: File) -> State:
    """Read the whole file and change nothing in it.

    An ``end`` of 0 means a new journal. Raises ``JournalError`` for what is no journal, of an
    unknown version, or damaged; ``OSError`` where the file cannot be read.
    """
    _check_kind(file)
    state = State()
    for text in _lines(file):
        if state.lines == 0 and not _begin(text, state, file):
            break
        crc = form.follows(text, state.crc)
        if crc is None:
            break
        _take(state, text)
        state.crc = crc
        state.lines += 1
        state.end += len(text) + 1
    _judge_rest(file, state)
    return state


def prepare(file: File, state: State, now: float) -> None:
    """Cut what is torn or unused; begin a new journal where there is none, at ``now`` (epoch).

    ``OSError`` where the file cannot be changed.
    """
    if file.size() != state.end:
        file.truncate(state.end)
    _write_again(file, state.synced, state.end)
    # Unsynced, the cut could come undone, and old bytes would stand behind new lines; and what is
    # in the system's memory alone is about to be relied on.
    file.fsync()
    if state.end:
        return
    salt = secrets.token_hex(8)
    file.preallocate(SEGMENT)
    text, state.crc = form.lines([form.header(salt, now)], crc32(salt.encode()))
    file.write(text)
    file.fsync()
    state.end = file.end


def _write_again(file: File, start: int, stop: int) -> None:
    """Write the bytes that are there once more, so that the next fsync does take them to the disk.

    Only marks say what is on it. The rest may be in memory and nowhere else, and taken for clean
    since an fsync has failed on it: the next one would "succeed" without them.
    """
    file.end = start
    while data := file.read_at(file.end, min(CHUNK, stop - file.end)):
        file.write(data)


def _check_kind(file: File) -> None:
    head = file.read_at(0, SECTOR)
    text, nul, _ = head.partition(b"\0")
    if text and not form.begins_like_header(text, padded=bool(nul)):
        raise _no_journal(file)


def _lines(file: File) -> Iterator[bytes]:
    """Whole lines without their LF, up to the first NUL."""
    at, rest = 0, b""
    while chunk := file.read_at(at, CHUNK):
        at += len(chunk)
        text, nul, _ = chunk.partition(b"\0")
        *whole, rest = (rest + text).split(b"\n")
        yield from whole
        if nul:
            return


def _begin(text: bytes, state: State, file: File) -> bool:
    """Start the chain from the salt; False where the first line has none."""
    head = form.read_header(text)
    if head is None:
        return False
    version, salt = head
    if version != form.VERSION:
        raise JournalError(
            f"{file.path}: this journal has format {version}, and this headrace knows only "
            f"{form.VERSION}; use the version of headrace that wrote it, or another file"
        )
    state.crc = crc32(salt)
    return True


def _take(state: State, text: bytes) -> None:
    record = form.RECORD.match(text)
    if record is None:
        return
    kind, key = record.groups()
    if key is None:
        state.runs += kind == b"run"
        state.synced = max(state.synced, form.read_mark(text[9:]))
    else:
        _index(state, kind, bytes.fromhex(key.decode()))


def _index(state: State, kind: bytes, key: bytes) -> None:
    if kind == b"i":
        state.in_flight[key] = state.in_flight.get(key, 0) + 1
    elif kind == b"a":
        state.answers[key] = state.end
        state.failures.pop(key, None)
        state.in_flight.pop(key, None)
    elif kind == b"f":
        if key not in state.answers:
            state.failures[key] = state.end
        state.in_flight.pop(key, None)
    elif kind in (b"u", b"w"):
        state.unreadable += kind == b"u"
        if state.in_flight.get(key, 0) > 1:
            state.in_flight[key] -= 1
        else:
            state.in_flight.pop(key, None)


def _judge_rest(file: File, state: State) -> None:
    """Is what stands behind the last good line nothing, torn, or damaged?"""
    size = file.size() - state.end
    if size > LONGEST_TAIL:
        raise _damaged(file, state)
    rest = file.read_at(state.end, size).rstrip(b"\0")
    if state.lines == 0 and rest.startswith(b"\0"):
        raise _no_journal(file)
    behind = [m.start() for m in form.START.finditer(rest, 1)]
    is_last = not behind and b"\n" not in rest[:-1]
    if not is_last and not _is_hole(rest, state.end, _furthest_mark(rest, behind)):
        raise _damaged(file, state)
    state.torn = len(rest)


def _furthest_mark(rest: bytes, starts: list[int]) -> int:
    """How far the marks among the lines that begin at ``starts`` claim that all is on the disk.

    Not all of them can be verified, behind a hole; at worst a torn file is refused.
    """
    lines = (rest[start:stop] for start, stop in pairwise([*starts, len(rest)]))
    return max((form.read_mark(line[9:].partition(b"\n")[0]) for line in lines), default=0)


def _is_hole(rest: bytes, offset: int, claim: int) -> bool:
    """Is the first damage a piece of a sector, or whole ones, that never reached the disk?"""
    text, _, _ = rest.partition(b"\0")
    start = offset + len(text)
    after = rest[len(text) :].lstrip(b"\0")
    stop = offset + len(rest) - len(after)
    return bool(after) and stop % SECTOR == 0 and b"\n" not in text and claim <= start


def _no_journal(file: File) -> JournalError:
    return JournalError(f"{file.path}: this file is no headrace journal; give another path")


def _damaged(file: File, state: State) -> JournalError:
    good = state.lines
    keep = f", or keep its first {good} lines (head -n {good}) and ask the rest again" * bool(good)
    return JournalError(
        f"{file.path}: line {good + 1} of this journal (at byte {state.end}) is damaged, and it is "
        "not the last one, so it was not torn off by a crash; nothing was changed: restore the "
        f"file from a copy{keep}, or start over with another file"
    )
