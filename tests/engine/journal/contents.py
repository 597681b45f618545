"""Whole journals as bytes, and how they are opened."""

from __future__ import annotations

import asyncio
from typing import Final
from zlib import crc32

from headrace.core.reply import Reply
from headrace.engine import journal_format as form
from headrace.engine.journal import Journal
from headrace.testing.disk import FaultyDisk
from tests.engine.journal.rows import PATH, key

ROWS: Final = 6


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
    text, _ = form.lines([form.header(salt, 0.0), *records], crc32(salt.encode()))
    return text
