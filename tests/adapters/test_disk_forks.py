"""A forked process neither holds its parent's lock nor touches its parent's file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

from headrace.adapters.disk import LocalDisk
from headrace.core.reply import Reply
from headrace.engine.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")

# A child that lives until the test ends it, whoever else dies: it waits for its standard input.
LOCKED: Final = """
import ctypes, os, signal, sys
from pathlib import Path
from headrace.adapters.disk import LocalDisk

file = LocalDisk().open_append(Path(sys.argv[1]))
LocalDisk().lock(file)
file.write(b"mine")
{forks}
if not child:
    {child}
    sys.stdin.read()
    os._exit(0)
{parent}
sys.stdin.read()
"""
DONE: Final = "print('done', flush=True)"
FORKS: Final = "child = os.fork()"
# As a library in C may do it, past what Python does after a fork.
UNSEEN: Final = "child = ctypes.CDLL(None).fork()"
DIES: Final = "os.kill(os.getpid(), signal.SIGKILL)"


@contextmanager
def playing(path: Path, forks: str, *, child: str = "pass", parent: str = DONE) -> Iterator[None]:
    """A process that has the file at ``path``, and its child; both live within, or as they say."""
    program = LOCKED.format(forks=forks, child=child, parent=parent)
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"done\n"
        if parent == DIES:
            assert owner.wait(20) == -signal.SIGKILL
        yield


def is_free(path: Path) -> bool:
    file = LocalDisk().open_append(path)
    try:
        LocalDisk().lock(file)
    except BlockingIOError:
        return False
    finally:
        file.close()
    return True


@pytest.mark.parametrize("forks", [FORKS, UNSEEN])
def test_a_closed_file_is_free_while_a_forked_child_lives(tmp_path: Path, forks: str) -> None:
    with playing(tmp_path / "f", forks, parent=f"file.close(); {DONE}"):
        assert is_free(tmp_path / "f")


def test_a_killed_writers_file_is_free_while_its_forked_child_lives(tmp_path: Path) -> None:
    with playing(tmp_path / "f", FORKS, child=DONE, parent=DIES):
        assert is_free(tmp_path / "f")


@pytest.mark.parametrize("forks", [FORKS, UNSEEN])
def test_a_child_that_closes_what_it_inherited_frees_nothing(tmp_path: Path, forks: str) -> None:
    with playing(tmp_path / "f", forks, child=f"file.close(); {DONE}", parent="pass"):
        assert not is_free(tmp_path / "f")


JOURNAL: Final = """
import asyncio, os, sys
from contextlib import suppress
from headrace.core.errors import JournalError
from headrace.core.reply import Reply
from headrace.engine.journal import Journal

async def answer(journal, number):
    key = number.to_bytes(16, "big")
    journal.intent(key, "r", 1)
    await journal.answer(key, "r", "m", Reply(200, b"body %d" % number))

journal = Journal.open(sys.argv[1])
asyncio.run(answer(journal, 0))
journal.run(("m",))  # waits to be written with what comes next
child = os.fork()
if not child:
    try:
        journal.close()
    except JournalError as error:
        print(error, flush=True)
    os._exit(0)
os.waitpid(child, 0)
asyncio.run(answer(journal, 1))
journal.close()
"""


def test_a_child_that_ends_leaves_its_parents_journal_alone(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", JOURNAL, str(tmp_path / "j")],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert "open it again in this process" in done.stdout
    journal = Journal.open(tmp_path / "j")
    for number in range(2):
        found = journal.find(number.to_bytes(16, "big"))
        assert found is not None
        assert found.reply == Reply(200, b"body %d" % number)
    assert journal.recovered.runs == 1
    journal.close()
