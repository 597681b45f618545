"""What a crash tore off is dropped; anything else that is damaged is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import JournalError
from headrace.core.reply import Reply
from headrace.engine import journal_format as form
from headrace.engine.journal import SEGMENT, Journal
from headrace.engine.journal_recovery import LONGEST_TAIL, SECTOR
from tests.engine.journal.contents import ROWS, answered, disk_with, lines_of, recover, valid
from tests.engine.journal.rows import PATH, key

pytestmark = pytest.mark.once


def test_every_truncation_loses_only_what_was_cut() -> None:
    content = valid()
    begin = content.index(b"\n") + 1
    for size in range(len(form.MAGIC), len(content) + 1):
        journal, disk = recover(content[:size])
        whole = content.rfind(b"\n", 0, size) + 1
        assert len(answered(journal)) == content[:whole].count(b'{"t":"a"')
        assert journal.recovered.torn == size - whole
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


@pytest.mark.thorough
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


@pytest.mark.thorough
@given(st.binary(max_size=300), st.integers(0, 10_000))
def test_any_rubbish_at_the_end_is_torn_or_refused(rubbish: bytes, cut: int) -> None:
    content = valid()
    content = content[: max(cut % len(content), content.index(b"\n") + 1)]
    whole = content[: content.rindex(b"\n") + 1]
    disk = disk_with(content + rubbish)
    is_line = form.START.search(rubbish) is not None  # glued to a piece: a lost line feed
    may_be_torn = b"\n" not in rubbish[:-1] and b"\0" not in rubbish and not is_line
    try:
        Journal.open(PATH, disk=disk).close()
    except JournalError:
        assert not may_be_torn
        assert disk.content(PATH) == content + rubbish
    else:
        assert disk.content(PATH).startswith(whole)
