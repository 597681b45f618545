"""What was recorded is found again, and what cannot be opened is refused."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest

from headrace.adapters.disk import LocalDisk
from headrace.core.errors import JournalError
from headrace.core.reply import Reply
from headrace.engine.journal import Journal
from headrace.testing.disk import FaultyDisk
from tests.engine.journal.rows import EXTRAS, PATH, REPLY, answer, key

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_path_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    Journal.open("~/run.journal").close()
    assert (tmp_path / "run.journal").is_file()


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


def test_the_journal_of_a_real_disk_is_the_default(tmp_path: Path) -> None:
    openers: list[Callable[[], Journal]] = [
        lambda: Journal.open(str(tmp_path / "a")),
        lambda: Journal.open(tmp_path / "a", disk=LocalDisk(allocate=None)),
    ]
    for opener in openers:
        opener().close()
    assert (tmp_path / "a").read_bytes().count(b"\n") == 1
