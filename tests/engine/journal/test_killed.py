"""A process that is killed has lost nothing that it had shown."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from headrace.core.reply import Reply
from headrace.engine.journal import Journal
from tests.engine.journal.rows import key

if TYPE_CHECKING:
    from pathlib import Path

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
