"""What a disk forgot it had not written: failed fsyncs, then a cut of the power."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.errors import JournalError
from headrace.core.reply import Reply
from headrace.engine import journal_format as form
from headrace.engine.journal import Journal
from headrace.engine.journal_recovery import SECTOR
from headrace.testing.disk import FaultyDisk
from tests.engine.journal.contents import answered, lines_of, recover
from tests.engine.journal.rows import PATH, key

pytestmark = [pytest.mark.once, pytest.mark.thorough]

SIZES: Final = (10, 300, 700, 3000)


async def answer_all(journal: Journal, rows: range, size: int, seen: set[int]) -> None:
    async def answer(number: int) -> None:
        journal.intent(key(number), "r", 1)
        await journal.answer(key(number), "r", "m", Reply(200, b"x" * size))
        seen.add(number)

    for start in rows[::3]:
        group = (answer(number) for number in rows if start <= number < start + 3)
        for outcome in await asyncio.gather(*group, return_exceptions=True):
            if outcome is not None:
                raise outcome


async def live(disk: FaultyDisk, rows: range, size: int, seen: set[int]) -> None:
    """One run, up to its end or to the first fsync that fails; ``seen`` is what was shown."""
    journal = Journal.open(PATH, disk=disk)
    try:
        seen |= answered(journal)
        await answer_all(journal, rows, size, seen)
    finally:
        await journal.aclose()


def run(disk: FaultyDisk, rows: range, size: int, seen: set[int]) -> None:
    try:
        asyncio.run(live(disk, rows, size, seen))
    except JournalError as error:
        if "is damaged" in error.message:
            raise


def test_what_only_memory_held_is_on_the_disk_before_it_is_shown() -> None:
    """After a failed fsync the system takes lost pages for clean, and the next one "succeeds"."""
    disk, seen = FaultyDisk(), set[int]()
    disk.fail("fsync", nth=3)
    run(disk, range(3), 700, seen)
    assert seen == set()
    run(disk, range(10, 13), 700, seen)
    assert seen == {0, 1, 2, 10, 11, 12}
    for seed in range(50):
        journal = Journal.open(PATH, disk=disk.crash(seed))
        assert answered(journal) >= seen
        journal.close()


EPOCH: Final = st.tuples(
    st.none() | st.integers(1, 9), st.sampled_from(SIZES), st.none() | st.booleans()
)


@settings(max_examples=max(150, settings().max_examples))
@given(st.lists(EPOCH, min_size=1, max_size=4), st.integers(0, 2**32))
def test_failed_fsyncs_and_crashes_lose_nothing_that_was_shown(
    epochs: list[tuple[int | None, int, bool | None]], seed: int
) -> None:
    """Each life may meet an fsync that fails, and end well, by a kill, or by a loss of power."""
    disk, seen = FaultyDisk(), set[int]()
    for number, (failing, size, power) in enumerate(epochs):
        if failing is not None:
            disk.fail("fsync", failing)
        run(disk, range(number * 6, number * 6 + 6), size, seen)
        if power is not None:
            disk = disk.crash(seed + number, power=power)
    journal = Journal.open(PATH, disk=disk.crash(seed))
    assert answered(journal) >= seen
    journal.close()


def written(marked: int, unmarked: int, size: int) -> tuple[bytes, int]:
    """A journal with so many answers before its last mark and after it; the offset it marks."""
    records = [
        form.reply(b"a", key(n), "r", "m", Reply(200, b"x" * size), None)
        for n in range(marked + unmarked)
    ]
    offset = len(lines_of(*records[:marked]))
    return lines_of(*records[:marked], form.mark(offset), *records[marked:]), offset


ROWS: Final = st.tuples(st.integers(1, 6), st.integers(0, 6), st.sampled_from(SIZES))


@settings(max_examples=max(300, settings().max_examples))
@given(ROWS, st.data())
def test_sectors_lost_after_the_last_mark_cost_nothing_before_it(
    rows: tuple[int, int, int], data: st.DataObject
) -> None:
    content, offset = written(*rows)
    sectors = range(offset // SECTOR, len(content) // SECTOR + 1)
    lost = data.draw(st.sets(st.sampled_from(sectors)))
    left = bytearray(content + bytes(9 * SECTOR))
    for sector in lost:
        start, stop = max(sector * SECTOR, offset), (sector + 1) * SECTOR
        left[start:stop] = bytes(stop - start)
    journal, disk = recover(bytes(left))
    assert answered(journal) >= set(range(rows[0]))
    assert journal.recovered.torn == 0 or lost
    journal.close()
    assert disk.content(PATH).startswith(content[:offset])


@settings(max_examples=max(300, settings().max_examples))
@given(ROWS, st.data())
def test_damage_before_the_last_mark_is_never_accepted(
    rows: tuple[int, int, int], data: st.DataObject
) -> None:
    content, offset = written(*rows)
    start = data.draw(st.integers(0, offset - 1))
    stop = data.draw(st.integers(start, offset))
    other = data.draw(st.binary(max_size=40) | st.builds(bytes, st.just(stop - start)))
    damaged = content[:start] + other + content[stop:]
    if damaged == content:
        return
    with pytest.raises(JournalError, match=r"damaged|no headrace journal"):
        recover(damaged)


def test_what_is_cut_off_is_told(caplog: pytest.LogCaptureFixture) -> None:
    content, _ = written(2, 2, 300)
    with caplog.at_level(logging.INFO, "headrace"):
        journal, _ = recover(content[:-7])
    journal.close()
    torn = len(content) - 7 - content.rindex(b"\n", 0, -1) - 1
    assert journal.recovered.torn == torn
    assert f"run.journal: {torn} bytes that a crash left unfinished" in caplog.text
