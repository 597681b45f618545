"""After any crash everything that was promised is found again."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.reply import Reply
from headrace.engine.journal import Journal
from headrace.testing.disk import FaultyDisk
from tests.engine.journal.contents import ROWS, answered
from tests.engine.journal.rows import PATH, key

pytestmark = pytest.mark.once


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
