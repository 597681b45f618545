"""A disk that is full or fails stops the run and costs nothing that was promised."""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, Final

import pytest

from headrace.core.errors import JournalError
from headrace.core.reply import Reply
from headrace.engine.journal import SEGMENT, Journal
from headrace.testing.disk import FaultyDisk, FaultyFile, Kind
from tests.engine.journal.rows import PATH, REPLY, answer, key

if TYPE_CHECKING:
    from collections.abc import Awaitable

pytestmark = pytest.mark.once


def full_disk(journal: Journal, disk: FaultyDisk) -> None:
    disk.capacity = len(disk.content(journal.path))


def send_until_refused(journal: Journal, rows: list[int]) -> None:
    for number in range(1 << 20):
        journal.intent(key(number), "r", 1)
        rows.append(number)


async def ask_until_refused(journal: Journal, rows: list[int]) -> None:
    for number in range(len(rows), 1 << 20):
        journal.intent(key(number), "r", 1)
        await answer(journal, number, Reply(200, b"x" * 100_000))
        rows.append(number)


def test_a_full_disk_refuses_sends_while_replies_still_find_room() -> None:
    disk = FaultyDisk()

    async def record() -> int:
        journal = Journal.open(PATH, disk=disk)
        full_disk(journal, disk)
        rows: list[int] = []
        with pytest.raises(JournalError, match=r"run\.journal: No space left.*free some space"):
            send_until_refused(journal, rows)
        sent = len(rows)
        await asyncio.gather(*(answer(journal, n, Reply(200, b"x" * 2000)) for n in range(sent)))
        # Now one at a time, until what was preallocated is used up.
        with pytest.raises(JournalError, match="free some space"):
            await ask_until_refused(journal, rows)
        sent = len(rows)
        disk.capacity = None
        journal.intent(key(sent), "r", 1)
        await journal.aclose()
        return sent

    sent = asyncio.run(record())
    assert sent > 100
    journal = Journal.open(PATH, disk=disk)
    assert (journal.recovered.answered, journal.recovered.in_flight) == (sent, 1)
    journal.close()


def test_room_is_taken_ahead_in_segments() -> None:
    disk = FaultyDisk()

    async def record() -> None:
        journal = Journal.open(PATH, disk=disk)
        assert len(disk.content(PATH)) == SEGMENT
        for number in range(100):
            journal.intent(key(number), "r", 1)
            await answer(journal, number, Reply(200, b"x" * 100_000))
        assert disk.calls["preallocate"] < 10
        await journal.aclose()

    asyncio.run(record())


def test_a_reply_that_finds_no_room_stops_the_run_and_is_cut_back() -> None:
    disk = FaultyDisk()

    async def record() -> None:
        journal = Journal.open(PATH, disk=disk)
        await answer(journal, 1)
        full_disk(journal, disk)
        with pytest.raises(JournalError, match=r"cannot be written: run\.journal: No space left"):
            await answer(journal, 2, Reply(200, b"x" * SEGMENT))
        assert disk.content(PATH).endswith(b"}\n")
        for call in (
            lambda: journal.find(key(1)),
            lambda: journal.failure(key(1)),
            lambda: journal.intent(key(1), "r", 1),
        ):
            with pytest.raises(JournalError, match="run the same again"):
                call()
        await journal.aclose()

    asyncio.run(record())
    journal = Journal.open(PATH, disk=disk)
    assert (journal.recovered.answered, journal.recovered.torn) == (1, False)
    journal.close()


@pytest.mark.parametrize("is_written", [False, True])
def test_ctrl_c_within_a_write_damages_nothing(
    monkeypatch: pytest.MonkeyPatch, *, is_written: bool
) -> None:
    disk = FaultyDisk()
    write = FaultyFile.write

    def interrupted(file: FaultyFile, data: bytes) -> None:
        monkeypatch.undo()
        if is_written:
            write(file, data)
        raise KeyboardInterrupt

    async def record() -> None:
        journal = Journal.open(PATH, disk=disk)
        first = answer(journal, 1)
        monkeypatch.setattr(FaultyFile, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            journal.find(key(1))
        await asyncio.gather(first, answer(journal, 2))
        await journal.aclose()

    asyncio.run(record())
    journal = Journal.open(PATH, disk=disk)
    assert (journal.recovered.answered, journal.recovered.torn) == (2, 0)
    assert journal.find(key(1)) is not None
    journal.close()


def test_a_failed_fsync_reaches_all_waiters_and_is_never_repeated() -> None:
    disk = FaultyDisk()

    async def record() -> None:
        journal = Journal.open(PATH, disk=disk)
        disk.fail("fsync")
        before = disk.calls["fsync"]
        waiting = [asyncio.ensure_future(answer(journal, n)) for n in range(3)]
        for result in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(result, JournalError)
            assert "cannot be synced: run.journal: Input/output error" in str(result)
        with pytest.raises(JournalError):
            await answer(journal, 9)
        with pytest.raises(JournalError):
            await journal.failed(key(1), {})
        with pytest.raises(JournalError):
            await journal.unreadable(key(1), "r", "m", REPLY)
        await journal.aclose()
        assert disk.calls["fsync"] == before + 1

    asyncio.run(record())


def test_an_fsync_that_fails_during_close_is_told_to_closer_and_waiter() -> None:
    disk = FaultyDisk()

    async def record() -> None:
        journal = Journal.open(PATH, disk=disk)
        disk.fail("fsync")
        waiting = asyncio.ensure_future(answer(journal, 1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with pytest.raises(JournalError, match="cannot be synced"):
            journal.close()
        with pytest.raises(JournalError, match="cannot be synced"):
            await waiting

    asyncio.run(record())


def test_a_write_that_fails_during_close_is_told() -> None:
    disk = FaultyDisk()
    journal = Journal.open(PATH, disk=disk)
    journal.run(("m",))
    disk.fail("write")
    with pytest.raises(JournalError, match="cannot be written"):
        journal.close()
    Journal.open(PATH, disk=disk).close()


def test_a_disk_that_cannot_be_extended_stops_the_run() -> None:
    disk = FaultyDisk()

    async def record() -> None:
        journal = Journal.open(PATH, disk=disk)
        disk.fail("preallocate", error=errno.EIO)
        with pytest.raises(JournalError, match="cannot be extended"):
            send_until_refused(journal, [])
        await journal.aclose()

    asyncio.run(record())


async def story(disk: FaultyDisk, seen: set[int]) -> None:
    """A run of 30 rows in groups of five; ``seen`` collects what its caller was told."""
    journal = Journal.open(PATH, disk=disk)
    try:
        for start in range(0, 30, 5):
            numbers = range(start, start + 5)
            for number in numbers:
                journal.intent(key(number), "r", 1)
            await asyncio.gather(*(told(answer(journal, n), n, seen) for n in numbers))
    finally:
        await journal.aclose()


async def told(recording: Awaitable[None], number: int, seen: set[int]) -> None:
    await recording
    seen.add(number)


KINDS: Final[tuple[tuple[Kind, int], ...]] = (
    ("open", errno.EACCES),
    ("lock", errno.EIO),
    ("read", errno.EIO),
    ("write", errno.ENOSPC),
    ("write", errno.EIO),
    ("fsync", errno.EIO),
    ("truncate", errno.EIO),
    ("preallocate", errno.ENOSPC),
)


@pytest.mark.parametrize(("kind", "number"), KINDS)
@pytest.mark.parametrize("power", [False, True])
def test_whatever_fails_at_whatever_call_what_was_seen_is_kept(
    kind: Kind, number: int, power: bool
) -> None:
    whole = FaultyDisk()
    asyncio.run(story(whole, set()))
    assert whole.calls[kind] > 0
    for nth in range(1, whole.calls[kind] + 1):
        disk, seen = FaultyDisk(), set[int]()
        disk.fail(kind, nth, number, keep=nth * 37)
        with pytest.raises(JournalError, match=PATH.name):
            asyncio.run(story(disk, seen))
        journal = Journal.open(PATH, disk=disk.crash(nth, power=power))
        assert all(journal.find(key(n)) is not None for n in seen)
        journal.close()
