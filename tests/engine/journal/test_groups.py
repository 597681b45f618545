"""Group commit: a turn of the loop is one write, and an fsync takes all that waits."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from headrace.core.errors import JournalError
from headrace.engine.journal import PACE, STARVED, Journal
from headrace.engine.journal_sync import STAND_ASIDE
from headrace.engine.memory import RowRecord
from headrace.testing.clock import VirtualClock, run_virtual
from headrace.testing.disk import FaultyDisk
from tests.engine.journal.rows import PATH, answer, key


def test_one_turn_of_the_loop_is_one_write_and_one_fsync() -> None:
    disk = FaultyDisk()

    async def record() -> tuple[int, int]:
        journal = Journal.open(PATH, disk=disk)
        before = disk.calls.copy()
        await asyncio.gather(*(answer(journal, n) for n in range(100)))
        made = disk.calls - before
        await journal.aclose()
        return made["write"], made["fsync"]

    assert asyncio.run(record()) == (1, 1)


def test_an_intent_is_in_the_file_before_its_request_can_be_sent() -> None:
    """A kill in the turn of the send loses no count of what may be paid twice."""
    disk = FaultyDisk()

    async def record() -> int:
        journal = Journal.open(PATH, disk=disk)
        await journal.intent(key(1), "r", 1)
        copy = disk.content(PATH)
        journal.close()
        killed = FaultyDisk()
        file = killed.create(PATH)
        file.write(copy)
        file.close()
        return Journal.open(PATH, disk=killed).recovered.in_flight

    assert asyncio.run(record()) == 1


def test_intents_of_one_turn_are_one_write() -> None:
    disk = FaultyDisk()

    async def record() -> tuple[int, int]:
        journal = Journal.open(PATH, disk=disk)
        before = disk.calls["write"]
        await asyncio.gather(*(journal.intent(key(number), "r", 1) for number in range(20)))
        made = disk.calls["write"] - before
        journal.close()
        return made, Journal.open(PATH, disk=disk).recovered.in_flight

    assert asyncio.run(record()) == (1, 20)


def test_an_intent_that_cannot_be_written_lets_nothing_be_sent() -> None:
    disk = FaultyDisk()

    async def record() -> None:
        journal = Journal.open(PATH, disk=disk)
        disk.fail("write")
        with pytest.raises(JournalError, match="cannot be written"):
            await journal.intent(key(1), "r", 1)
        journal.close()

    asyncio.run(record())


def test_nothing_is_sent_by_a_journal_that_ended_after_the_intent_was_written() -> None:
    """An fsync of earlier answers may fail between the write and the send."""
    disk = FaultyDisk()

    async def record() -> None:
        journal = Journal.open(PATH, disk=disk)
        row = RowRecord(journal, key(1))
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, journal.close)  # after the write, before the send
        with pytest.raises(JournalError, match="the journal is closed"):
            await row.intent("r", 1)

    asyncio.run(record())


def test_fsyncs_begin_in_their_time() -> None:
    disk, clock = FaultyDisk(), VirtualClock()

    async def record() -> tuple[int, int]:
        journal = Journal.open(PATH, disk=disk, clock=clock)
        before, began = disk.calls["fsync"], clock.now()
        for number in range(100):
            await answer(journal, number)
        made, took = disk.calls["fsync"] - before, clock.now() - began
        await journal.aclose()
        return made, took

    made, took = run_virtual(record, clock=clock, allow_threads=True)
    assert made == 100
    assert took == pytest.approx(99 * PACE, rel=0.01)


def test_groups_collect_while_an_fsync_is_under_way() -> None:
    disk = FaultyDisk()

    async def record() -> int:
        journal = Journal.open(PATH, disk=disk)
        started, may_end = threading.Event(), threading.Event()

        def wait() -> None:
            started.set()
            assert may_end.wait(20)

        disk.before_fsync = wait
        first = asyncio.ensure_future(answer(journal, 0))
        await asyncio.to_thread(started.wait)
        later = []
        for number in range(1, 6):
            later.append(asyncio.ensure_future(answer(journal, number)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        before = disk.calls["fsync"]
        assert not first.done()
        may_end.set()
        await asyncio.gather(first, *later)
        made = disk.calls["fsync"] - before
        await journal.aclose()
        return made

    assert asyncio.run(record()) == 2


def test_the_loop_stands_aside_once_for_a_starved_fsync() -> None:
    disk, clock = FaultyDisk(), VirtualClock()

    async def record() -> None:
        journal = Journal.open(PATH, disk=disk, clock=clock)
        may_end = threading.Event()
        disk.before_fsync = lambda: may_end.wait(20)
        first = asyncio.ensure_future(answer(journal, 0))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        clock.advance(2 * STARVED / 1e9)
        turns = []
        for number in range(1, 200):
            began = time.monotonic()
            journal.intent(key(number), "r", 1)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            turns.append(time.monotonic() - began)
        assert turns[0] > 0.9 * STAND_ASIDE
        assert sum(turns[1:]) < 100 * STAND_ASIDE
        assert not first.done()
        may_end.set()
        await first
        await journal.aclose()

    asyncio.run(record())


def test_a_cancelled_wait_does_not_undo_the_record_nor_disturb_others() -> None:
    disk = FaultyDisk()

    async def record() -> None:
        journal = Journal.open(PATH, disk=disk)
        cancelled = asyncio.ensure_future(answer(journal, 1))
        other = asyncio.ensure_future(answer(journal, 2))
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        await other
        await journal.aclose()

    asyncio.run(record())
    journal = Journal.open(PATH, disk=disk)
    assert journal.recovered.answered == 2
    journal.close()


def test_it_works_in_virtual_time() -> None:
    disk = FaultyDisk()

    async def record() -> None:
        journal = Journal.open(PATH, disk=disk)
        for number in range(20):
            journal.intent(key(number), "r", 1)
            await asyncio.sleep(60)
            await answer(journal, number)
        await journal.aclose()

    run_virtual(record())
    journal = Journal.open(PATH, disk=disk)
    assert journal.recovered.answered == 20
    journal.close()


def test_what_an_ended_loop_left_behind_does_not_block_the_next_one() -> None:
    disk = FaultyDisk()
    journal = Journal.open(PATH, disk=disk)
    may_end = threading.Event()

    async def leave_unfinished() -> None:
        disk.before_fsync = lambda: may_end.wait(20)
        waiting = asyncio.ensure_future(answer(journal, 1))
        for _ in range(3):
            await asyncio.sleep(0)
        assert not waiting.done()
        journal.intent(key(3), "r", 1)

    async def go_on() -> None:
        may_end.set()
        await answer(journal, 2)

    asyncio.run(leave_unfinished())
    asyncio.run(go_on())
    journal.close()
    known = Journal.open(PATH, disk=disk).recovered
    assert (known.answered, known.in_flight) == (2, 1)
