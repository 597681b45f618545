"""Crashes and damage: everything that was promised is found again, or the file is refused."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.errors import JournalError
from headrace.core.reply import Reply
from headrace.engine import journal_format as form
from headrace.engine.journal import SEGMENT, Journal
from headrace.engine.journal_recovery import CHUNK, LONGEST_TAIL, SECTOR
from headrace.testing.disk import FaultyDisk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATH: Final = Path("run.journal")
ROWS: Final = 6


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def disk_with(content: bytes) -> FaultyDisk:
    disk = FaultyDisk()
    disk.put(PATH, content)
    return disk


def recover(content: bytes) -> tuple[Journal, FaultyDisk]:
    disk = disk_with(content)
    return Journal.open(PATH, disk=disk), disk


def answered(journal: Journal) -> set[int]:
    return {n for n in range(200) if journal.find(key(n)) is not None}


def valid(*, closed: bool = True, body: bytes = b"body") -> bytes:
    """A journal of ``ROWS`` rows, closed, or as a killed process leaves it."""
    disk = FaultyDisk()

    async def record() -> bytes:
        journal = Journal.open(PATH, disk=disk)
        journal.run(("m",))
        for number in range(ROWS):
            journal.intent(key(number), "r", 1)
            await journal.answer(key(number), "r", "m", Reply(200, body))
        left = disk.content(PATH)
        await journal.aclose()
        return disk.content(PATH) if closed else left

    return asyncio.run(record())


def lines_of(*records: bytes) -> bytes:
    """A journal that holds these records, by the book."""
    salt = "00112233445566ff"
    text, crc = form.line(form.header(salt, 0.0), crc32(salt.encode()))
    for record in records:
        more, crc = form.line(record, crc)
        text += more
    return text


def test_the_format_is_what_the_documentation_says() -> None:
    """Read with nothing but ``json`` and ``zlib``."""
    crc, kinds, claimed = 0, [], 0
    content = valid()
    for number, line in enumerate(content.splitlines()):
        record = json.loads(line[9:])
        if number == 0:
            assert list(record) == ["t", "v", "salt", "created"]
            crc = crc32(record["salt"].encode())
        crc = crc32(line[9:], crc)
        assert line[:9] == b"%08x " % crc
        if record["t"] == "s":
            claimed = record["o"]
        else:
            kinds.append(record["t"])
    assert kinds == ["headrace-journal", "run", *["i", "a"] * ROWS]
    assert claimed == content.rindex(b"\n", 0, -1) + 1


def test_the_reader_in_the_documentation_reads(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "journal.md").read_text()
    program = text.split("```python\n")[1].split("```")[0]
    names: dict[str, Callable[[Path], Iterator[dict[str, object]]]] = {}
    exec(program, names)  # noqa: S102  it is our own page
    for closed in (True, False):
        (tmp_path / "j").write_bytes(valid(closed=closed))
        kinds = [record["t"] for record in names["records"](tmp_path / "j")]
        assert kinds.count("a") == ROWS
    (tmp_path / "j").write_bytes(valid().replace(b"body", b"bady", 1))
    with pytest.raises(AssertionError, match="line 4 is damaged"):
        list(names["records"](tmp_path / "j"))


def test_every_truncation_loses_only_what_was_cut() -> None:
    content = valid()
    begin = content.index(b"\n") + 1
    for size in range(len(form.MAGIC), len(content) + 1):
        journal, disk = recover(content[:size])
        whole = content.rfind(b"\n", 0, size) + 1
        assert len(answered(journal)) == content[:whole].count(b'{"t":"a"')
        assert journal.recovered.torn == (whole != size)
        assert journal.recovered.in_flight == content[:whole].count(b'{"t":"i"') - len(
            answered(journal)
        )
        journal.close()
        kept = disk.content(PATH)
        assert kept.startswith(content[:whole]) if whole >= begin else kept.count(b"\n") == 1


@pytest.mark.parametrize("size", [1, 8, 9, 20])
def test_the_first_bytes_of_a_header_are_a_torn_journal_only_with_preallocated_room(
    size: int,
) -> None:
    content = valid()[:size]
    journal, _ = recover(content + bytes(SEGMENT - size))
    assert journal.recovered.torn
    journal.close()
    with pytest.raises(JournalError, match="no headrace journal"):
        recover(content)


@pytest.mark.parametrize("closed", [True, False])
def test_every_flipped_bit_is_refused_or_drops_only_the_last_line(closed: bool) -> None:
    content = valid(closed=closed).rstrip(b"\0")
    rest = b"" if closed else bytes(4096)
    last = content.rindex(b"\n", 0, -1) + 1
    refused = 0
    for place in range(len(content)):
        for bit in range(8):
            flipped = bytearray(content + rest)
            flipped[place] ^= 1 << bit
            disk = disk_with(bytes(flipped))
            try:
                journal = Journal.open(PATH, disk=disk)
            except JournalError:
                refused += 1
                assert disk.content(PATH) == flipped
                continue
            assert place >= last
            assert journal.recovered.torn
            journal.close()
            assert disk.content(PATH).startswith(content[:last])
    assert refused == 8 * last


@pytest.mark.parametrize("size", [1, 2])
def test_a_flip_in_a_journal_with_hardly_a_line_never_finds_what_was_not_written(size: int) -> None:
    lines = valid().splitlines(keepends=True)
    content = b"".join(lines[:size])
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 4
        disk = disk_with(bytes(flipped))
        try:
            journal = Journal.open(PATH, disk=disk)
        except JournalError:
            assert disk.content(PATH) == flipped
        else:
            assert place >= len(content) - len(lines[size - 1])
            journal.close()


def test_damage_is_refused_with_the_line_and_what_to_do() -> None:
    content = valid()
    place = content.index(b'"t":"a"')
    damaged = content[:place] + b"#" + content[place + 1 :]
    with pytest.raises(
        JournalError,
        match=r"run\.journal: line 4 .*\(at byte \d+\) is damaged.*head -n 3.*start over",
    ):
        recover(damaged)
    kept = b"".join(damaged.splitlines(keepends=True)[:3])
    journal, _ = recover(kept)
    assert journal.recovered.in_flight == 1
    journal.close()


def test_a_damaged_header_leaves_nothing_to_keep() -> None:
    content = bytearray(valid())
    content[content.index(b'"salt":"') + 9] ^= 1
    with pytest.raises(JournalError, match=r"line 1 of this journal .* a copy, or start over"):
        recover(bytes(content))


def test_a_doubled_end() -> None:
    """The same line twice is a bad last line; the same two lines twice are damage."""
    content = valid()
    lines = content.splitlines(keepends=True)
    journal, disk = recover(content + lines[-1])
    assert journal.recovered.torn
    assert len(answered(journal)) == ROWS
    journal.close()
    assert disk.content(PATH).startswith(content)
    with pytest.raises(JournalError, match="damaged"):
        recover(content + lines[-2] + lines[-1])


@pytest.mark.parametrize(
    "content",
    [
        b"hello\n",
        b"{}\n",
        b'{"prompt": "x"}\n' * 1000,
        bytes(range(1, 256)) * 10_000,
        b"\0" * 10 + b"x",
        b'00000000 {"t":"headrace-journal"}\n',
        b'00000000 {"t":"headrace-journal","v":"1","salt":"x"}\n' * 2,
    ],
)
def test_a_file_that_is_no_journal_is_refused_or_was_an_unfinished_header(content: bytes) -> None:
    disk = disk_with(content)
    if content.count(b"headrace") == 1:
        Journal.open(PATH, disk=disk).close()
        return
    with pytest.raises(JournalError, match=r"no headrace journal|damaged"):
        Journal.open(PATH, disk=disk)
    assert disk.content(PATH) == content


def test_a_huge_file_that_goes_bad_far_from_its_end_is_refused() -> None:
    with pytest.raises(JournalError, match=r"line \d+ .* is damaged"):
        recover(valid()[:-60].rsplit(b"\n", 1)[0] + b"\n" + bytes(LONGEST_TAIL + 1))


def test_an_editor_that_changed_every_line_is_noticed() -> None:
    with pytest.raises(JournalError, match=r"line 1 .* is damaged"):
        recover(valid().replace(b"\n", b"\r\n"))


@pytest.mark.parametrize("content", [b"", bytes(5000)])
def test_an_empty_file_is_a_new_journal(content: bytes) -> None:
    journal, disk = recover(content)
    assert not journal.recovered.torn
    journal.close()
    assert disk.content(PATH).count(b"\n") == 1


def test_an_unknown_version_is_refused() -> None:
    salt = "00112233445566ff"
    head = form.header(salt, 0.0).replace(b'"v":1', b'"v":2')
    text, _ = form.line(head, crc32(salt.encode()))
    with pytest.raises(
        JournalError, match=r"format 2, and this headrace knows only 1; use the ver"
    ):
        recover(text)


def test_unknown_records_are_skipped() -> None:
    strange = [b'{"t":"zz","k":"%032x","x":1}' % 7, b'{"t":""}', b'{"new":1}', b"[]", b'{"t":"i"}']
    journal, _ = recover(lines_of(*strange, form.value(key(1), "r", "m", b"7", None)))
    assert (journal.recovered.answered, journal.recovered.in_flight) == (1, 0)
    found = journal.find(key(1))
    assert found is not None
    assert found.value == b"7"
    journal.close()


def test_lines_longer_than_a_read_are_whole() -> None:
    journal, _ = recover(valid(body=b"x" * CHUNK))
    assert len(answered(journal)) == ROWS
    journal.close()


def with_hole(content: bytes, start: int, stop: int) -> bytes:
    return content[:start] + bytes(stop - start) + content[stop:]


def test_sectors_missing_from_what_was_not_synced_are_torn() -> None:
    """A power cut may leave later sectors and not earlier ones."""
    bodies = [b"x" * 400] * 20
    records = [
        form.reply(b"a", key(n), "r", "m", Reply(200, body), None) for n, body in enumerate(bodies)
    ]
    content = lines_of(*records)
    start = content.index(b"\n", 2000) + 1
    stop = (start // SECTOR + 2) * SECTOR
    journal, disk = recover(with_hole(content, start, stop) + bytes(100))
    assert journal.recovered.torn
    assert len(answered(journal)) == content[:start].count(b'"t":"a"')
    journal.close()
    assert disk.content(PATH).startswith(content[:start])
    for hole in ((start, stop - 1), (start + 1, stop + 7)):  # no sector ends there
        with pytest.raises(JournalError, match="damaged"):
            recover(with_hole(content, *hole))
    flipped = bytearray(with_hole(content, start, stop))
    flipped[start - 5] ^= 1
    with pytest.raises(JournalError, match="damaged"):
        recover(bytes(flipped))


def test_sectors_missing_from_what_was_synced_are_damage() -> None:
    records = [form.reply(b"a", key(n), "r", "m", Reply(200, b"x" * 400), None) for n in range(10)]
    size = len(lines_of(*records))
    content = lines_of(*records, form.mark(size), *records)
    with pytest.raises(JournalError, match="damaged"):
        recover(with_hole(content, SECTOR, 3 * SECTOR))
    hole = (size // SECTOR + 2) * SECTOR
    journal, _ = recover(with_hole(content, hole, hole + SECTOR))
    assert journal.recovered.torn
    journal.close()


def test_what_a_killed_process_left_unsynced_is_synced_before_it_is_shown() -> None:
    disk = FaultyDisk()

    async def die() -> FaultyDisk:
        journal = Journal.open(PATH, disk=disk)
        may_end = threading.Event()
        disk.before_fsync = lambda: may_end.wait(20)
        row = journal.answer(key(1), "r", "m", Reply(200, b"written, not synced"))
        waiting = asyncio.ensure_future(row)
        for _ in range(3):
            await asyncio.sleep(0)
        left = disk.crash(power=False)
        may_end.set()
        await waiting
        await journal.aclose()
        return left

    after = asyncio.run(die())
    journal = Journal.open(PATH, disk=after)
    assert answered(journal) == {1}
    for seed in range(20):
        assert answered(Journal.open(PATH, disk=after.crash(seed))) == {1}
    journal.close()


@dataclass
class Known:
    """What was written, and what of it somebody has been told is safe."""

    written: dict[int, list[bytes]] = field(default_factory=dict)
    safe: dict[int, int] = field(default_factory=dict)
    failed: set[int] = field(default_factory=set)

    async def answer(self, journal: Journal, number: int, size: int) -> None:
        versions = self.written.setdefault(number, [])
        versions.append(b"%d:%d:" % (number, len(versions)) + b"x" * size)
        mine = len(versions) - 1
        await journal.answer(key(number), "r", "m", Reply(200, versions[mine]))
        self.safe[number] = max(self.safe.get(number, 0), mine)

    async def fail(self, journal: Journal, number: int) -> None:
        await journal.failed(key(number), {"code": "x"})
        self.failed.add(number)

    def check(self, journal: Journal) -> None:
        for number in range(ROWS):
            found = journal.find(key(number))
            if found is None:
                assert number not in self.safe
                assert number not in self.failed or journal.failure(key(number)) is not None
                continue
            assert found.reply is not None
            version = self.written[number].index(found.reply.body)
            assert version >= self.safe.get(number, 0)
            self.safe[number] = version  # it has been shown, and must stay


ROW = st.integers(0, ROWS - 1)
STEP = st.one_of(
    st.tuples(st.just("intent"), ROW, st.just(0)),
    st.tuples(st.just("answer"), ROW, st.sampled_from([0, 30, 600, 5000])),
    st.tuples(st.just("fail"), ROW, st.just(0)),
    st.tuples(st.just("unreadable"), ROW, st.just(0)),
    st.tuples(st.just("turn"), ROW, st.just(0)),
    st.tuples(st.just("settle"), ROW, st.just(0)),
)
EPOCH = st.tuples(st.lists(STEP, max_size=25), st.booleans(), st.integers(0, 2**32))


async def live(
    disk: FaultyDisk, known: Known, steps: list[tuple[str, int, int]], seed: int, *, power: bool
) -> FaultyDisk:
    """One life of a process, from opening to the crash."""
    journal = Journal.open(PATH, disk=disk)
    known.check(journal)
    waiting: list[asyncio.Future[None]] = []
    synced = threading.Event()
    if seed % 2:  # a slow disk: nothing is synced but what is waited for
        disk.before_fsync = lambda: synced.wait(20)
    for step, number, size in steps:
        if step == "intent":
            journal.intent(key(number), "r", 1)
        elif step == "answer":
            waiting.append(asyncio.ensure_future(known.answer(journal, number, size)))
        elif step == "fail":
            waiting.append(asyncio.ensure_future(known.fail(journal, number)))
        elif step == "unreadable":
            record = journal.unreadable(key(number), "r", "m", Reply(200, b"\xff"))
            waiting.append(asyncio.ensure_future(record))
        elif step == "turn":
            await asyncio.sleep(0)
        else:
            synced.set()
            await asyncio.gather(*waiting)
            synced.clear()
    after = disk.crash(seed, power=power)
    written = {number: list(bodies) for number, bodies in known.written.items()}
    safe, failed = dict(known.safe), set(known.failed)
    synced.set()
    await asyncio.gather(*waiting)
    await journal.aclose()
    # What came after the crash never happened.
    known.written, known.safe, known.failed = written, safe, failed
    return after


@settings(max_examples=150, deadline=None)
@given(st.lists(EPOCH, min_size=1, max_size=4))
def test_whatever_happens_what_was_promised_is_found_and_nothing_else(
    epochs: list[tuple[list[tuple[str, int, int]], bool, int]],
) -> None:
    disk, known = FaultyDisk(), Known()
    for steps, power, seed in epochs:
        disk = asyncio.run(live(disk, known, steps, seed, power=power))
    journal = Journal.open(PATH, disk=disk)
    known.check(journal)
    journal.close()


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 10_000))
def test_any_rubbish_at_the_end_is_torn_or_refused(rubbish: bytes, cut: int) -> None:
    content = valid()
    content = content[: max(cut % len(content), content.index(b"\n") + 1)]
    whole = content[: content.rindex(b"\n") + 1]
    disk = disk_with(content + rubbish)
    may_be_torn = b"\n" not in rubbish[:-1] and b"\0" not in rubbish
    try:
        Journal.open(PATH, disk=disk).close()
    except JournalError:
        assert not may_be_torn
        assert disk.content(PATH) == content + rubbish
    else:
        assert disk.content(PATH).startswith(whole)
