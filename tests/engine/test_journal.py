"""The journal as its callers see it: what is awaited is kept, and errors stop the run."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import pytest

from headrace.adapters.disk import LocalDisk
from headrace.core.errors import JournalError
from headrace.core.reply import Reply
from headrace.engine.journal import SEGMENT, STARVED, Journal
from headrace.engine.journal_sync import STAND_ASIDE
from headrace.testing.clock import VirtualClock, run_virtual
from headrace.testing.disk import FaultyDisk, Kind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PATH: Final = Path("run.journal")
REPLY: Final = Reply(200, '{"text":"Grüße\\n\u0000"}'.encode(), {"x-request-id": "r1"})
EXTRAS: Final = {"attempts": 2, "latency": 0.25, "cost_nanos": None}


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def answer(journal: Journal, number: int, reply: Reply | None = REPLY) -> Awaitable[None]:
    return journal.answer(key(number), "r", "m", reply, None, EXTRAS)


def test_what_was_recorded_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "run.journal"

    async def record() -> None:
        journal = Journal.open(path)
        journal.run(("m",))
        for number in range(4):
            journal.intent(key(number), "openai/m@eu", 1)
        assert journal.find(key(0)) is None
        await journal.answer(key(0), "openai/m@eu", "m", REPLY, None, EXTRAS)
        await journal.failed(key(1), {"code": "rejected"}, {"attempts": 1})
        await journal.unreadable(key(2), "r", "m", REPLY, {"code": "unreadable_reply"})
        assert check(journal)
        await journal.aclose()
        await journal.aclose()

    def check(journal: Journal) -> bool:
        found, failure = journal.find(key(0)), journal.failure(key(1))
        assert found is not None
        assert (found.route, found.model, found.reply) == ("openai/m@eu", "m", REPLY)
        assert (found.value, found.extras) == (None, EXTRAS)
        assert failure is not None
        assert (failure.error, failure.extras) == ({"code": "rejected"}, {"attempts": 1})
        assert [journal.find(key(n)) for n in (1, 2, 3)] == [None, None, None]
        assert [journal.failure(key(n)) for n in (0, 2, 3)] == [None, None, None]
        return True

    asyncio.run(record())
    assert path.stat().st_size < 2000  # the preallocated room is given back
    assert path.stat().st_mode & 0o777 == 0o600
    journal = Journal.open(path)
    assert check(journal)
    known = journal.recovered
    assert (known.answered, known.failed, known.unreadable, known.runs) == (1, 1, 1, 1)
    assert (known.in_flight, known.torn) == (1, False)
    journal.close()


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b"", MappingProxyType({"a": "b"})),
        Reply(200, b"\xff\x00\xed\xa0\x80", {"a": "b"}),
        Reply(200, b'"\r\n\\u0000\x7f\xe2\x80\xa8'),
        Reply(529, b"x" * 100_000, {"odd": "\udcff", "\ud800": "1"}),
    ],
)
def test_every_reply_comes_back_byte_for_byte(reply: Reply) -> None:
    disk = FaultyDisk()

    async def record() -> None:
        journal = Journal.open(PATH, disk=disk)
        await answer(journal, 1, reply)
        await answer(journal, 2)
        await journal.aclose()

    asyncio.run(record())
    journal = Journal.open(PATH, disk=disk)
    found = journal.find(key(1))
    assert found is not None
    assert found.reply == reply
    assert disk.content(PATH).count(b"\n") == 5
    journal.close()


def test_a_provider_without_replies_records_a_value() -> None:
    disk = FaultyDisk()

    async def record() -> list[bytes | None]:
        journal = Journal.open(PATH, disk=disk)
        await journal.answer(key(1), "r", "m", None, b'{"completion":\n "hi", "big":1}')
        await journal.answer(key(2), "r", "m", None)
        with pytest.raises(ValueError, match=r"JSON|unexpected"):
            await journal.answer(key(3), "r", "m", None, b"{")
        with pytest.raises(TypeError):
            await journal.answer(key(3), "r", "m", REPLY, None, {"odd": object()})
        found = [journal.find(key(n)) for n in (1, 2, 3)]
        await journal.aclose()
        return [None if f is None else f.value for f in found]

    assert asyncio.run(record()) == [b'{"completion":"hi","big":1}', b"null", None]


def test_a_later_answer_wins_and_a_failure_does_not_undo_it() -> None:
    disk = FaultyDisk()

    async def record() -> None:
        journal = Journal.open(PATH, disk=disk)
        await journal.failed(key(1), {"code": "x"})
        await answer(journal, 1, Reply(200, b"one"))
        await answer(journal, 1, Reply(200, b"two"))
        await journal.failed(key(1), {"code": "y"})
        check(journal)
        await journal.aclose()

    def check(journal: Journal) -> None:
        found = journal.find(key(1))
        assert found is not None
        assert found.reply == Reply(200, b"two")
        assert journal.failure(key(1)) is None

    asyncio.run(record())
    journal = Journal.open(PATH, disk=disk)
    check(journal)
    assert (journal.recovered.answered, journal.recovered.failed) == (1, 0)
    journal.close()


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


def test_closing_keeps_what_nobody_awaited(tmp_path: Path) -> None:
    path = tmp_path / "j"
    journal = Journal.open(path)
    journal.run(("m",))

    async def record() -> None:
        journal.intent(key(1), "r", 1)
        ending = asyncio.ensure_future(answer(journal, 2))
        await asyncio.sleep(0)
        journal.close()
        await ending

    asyncio.run(record())
    journal.close()
    with pytest.raises(JournalError, match="closed"):
        journal.find(key(2))
    with pytest.raises(JournalError, match="closed"):
        journal.run(())
    journal = Journal.open(path)
    known = journal.recovered
    assert (known.answered, known.in_flight, known.runs) == (1, 1, 1)
    journal.close()


def test_a_second_writer_is_refused_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    journal = Journal.open(path)
    content = path.read_bytes()
    with pytest.raises(JournalError, match=re.escape(str(path)) + r".*another writer has it open"):
        Journal.open(path)
    assert path.read_bytes() == content
    journal.close()
    Journal.open(path).close()


def test_an_unusable_path_is_refused_with_a_sentence(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "target")
    with pytest.raises(JournalError, match="symbolic link"):
        Journal.open(link)
    with pytest.raises(JournalError, match=r"cannot open the journal .*: Is a directory"):
        Journal.open(tmp_path)


def test_a_directory_without_permission_is_refused(tmp_path: Path) -> None:
    if os.geteuid() == 0:  # root may write anywhere, but not into what belongs to the kernel
        place = Path("/proc/run.journal")
    else:
        place = tmp_path / "run.journal"
        tmp_path.chmod(0o500)
    with pytest.raises(JournalError, match="cannot open the journal"):
        Journal.open(place)
    tmp_path.chmod(0o700)


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


def test_a_record_that_changed_on_disk_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "j"
    disk = FaultyDisk()

    async def record() -> None:
        journal = Journal.open(path)
        await answer(journal, 1)
        content = path.read_bytes()
        for changed in (
            content[:150],
            content.replace(b'"k":"0', b'"k":"1'),
            content.replace(b'"r":', b'"R":'),
            content.replace(b'"h":{', b'"h":x'),
            content.replace(b'"b":"', b'"b":1,"c":"'),
        ):
            path.write_bytes(changed)
            with pytest.raises(JournalError, match="has changed since"):
                journal.find(key(1))
        await journal.aclose()
        journal = Journal.open(PATH, disk=disk)
        await answer(journal, 1)
        disk.fail("read")
        with pytest.raises(JournalError, match="cannot read the journal"):
            journal.find(key(1))
        await journal.aclose()

    asyncio.run(record())


def test_an_answer_is_found_before_its_group_is_written() -> None:
    disk = FaultyDisk()

    async def record() -> None:
        journal = Journal.open(PATH, disk=disk)
        waiting = asyncio.ensure_future(answer(journal, 1))
        asyncio.get_running_loop().call_soon(lambda: seen.append(journal.find(key(1))))
        seen: list[object] = []
        await waiting
        assert seen[0] is not None
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


CHILD: Final = """
import asyncio, sys
from headrace.core.reply import Reply
from headrace.engine.journal import Journal

async def main():
    journal = Journal.open(sys.argv[1])
    async def row(number):
        key = number.to_bytes(16, "big")
        if journal.find(key) is None:
            journal.intent(key, "r", 1)
            await journal.answer(key, "r", "m", Reply(200, b"body %d" % number))
        sys.stdout.write(f"{number}\\n")
        sys.stdout.flush()
    for start in range(0, 100_000, 50):
        await asyncio.gather(*(row(n) for n in range(start, start + 50)))

asyncio.run(main())
"""


@pytest.mark.parametrize("lines", [1, 333, 2000])
def test_a_killed_process_has_lost_nothing_that_it_had_shown(tmp_path: Path, lines: int) -> None:
    path = tmp_path / "j"
    shown: set[int] = set()
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            shown |= {int(child.stdout.readline()) for _ in range(lines)}
            child.kill()
            shown |= {int(line) for line in child.stdout if line.endswith("\n")}
    journal = Journal.open(path)
    for number in shown:
        found = journal.find(key(number))
        assert found is not None
        assert found.reply == Reply(200, b"body %d" % number)
    assert journal.recovered.in_flight <= 50
    journal.close()


def test_the_journal_of_a_real_disk_is_the_default(tmp_path: Path) -> None:
    openers: list[Callable[[], Journal]] = [
        lambda: Journal.open(str(tmp_path / "a")),
        lambda: Journal.open(tmp_path / "a", disk=LocalDisk(allocate=None)),
    ]
    for opener in openers:
        opener().close()
    assert (tmp_path / "a").read_bytes().count(b"\n") == 1
