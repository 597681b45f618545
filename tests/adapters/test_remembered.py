"""One small file for each route: private, replaced as a whole, and never in anybody's way."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from headrace.adapters import remembered
from headrace.policy.known import Known

if TYPE_CHECKING:
    from pathlib import Path

KNOWN: Final = Known("openai/m", "openai/m", 1e9, at_once=40.0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the files are to be."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "headrace" / "limits"


def only(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_it_lies_in_the_state_directory_and_is_private(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remembered.write(KNOWN)
    assert only(folder).stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert remembered.read("openai/m") == KNOWN
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "own"))
    assert remembered.folder() == tmp_path / "own" / "limits"
    monkeypatch.delenv("HEADRACE_HOME")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert remembered.folder() == tmp_path / "me/.local/state/headrace/limits"


@pytest.mark.parametrize(
    "name", ["a/b/../../c", "x" * 400, "Größe/模型", "-rf", "a\0b", "host:80/m", "\ud800", " "]
)
def test_any_name_has_a_file_of_its_own(folder: Path, name: str) -> None:
    names = [name, name + "A", name + "a"]
    found = {remembered._path(each).name.casefold() for each in names}  # noqa: SLF001 - how files are called shows nowhere else
    assert len(found) == 3
    if name.isprintable():
        remembered.write(replace(KNOWN, route=name))
        assert only(folder).parent == folder
        assert remembered.read(name) == replace(KNOWN, route=name)
        assert remembered.read(name + "a") is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"\xff\xfe",
        b"[" * 5_000,
        b'{"format": 2}',
        b'{"format":1,"route":"openai/other","model":"openai/m","at":1e9}',
        b" " * remembered.MOST + b'{"format":1,"route":"openai/m","model":"openai/m","at":1e9}',
    ],
)
def test_what_is_damaged_foreign_or_huge_is_not_there_and_is_replaced(
    folder: Path, content: bytes
) -> None:
    remembered.write(KNOWN)
    only(folder).write_bytes(content)
    assert remembered.read("openai/m") is None
    remembered.write(KNOWN)
    assert remembered.every() == [KNOWN]


def test_what_is_no_file_is_not_there(folder: Path) -> None:
    remembered.write(KNOWN)
    path = only(folder)
    path.unlink()
    os.mkfifo(path)  # to open it would wait for ever
    assert remembered.read("openai/m") is None
    assert remembered.every() == []


def test_without_a_home_there_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert remembered.read("openai/m") is None
    assert remembered.every() == []
    with pytest.raises(OSError, match="Not a directory"):
        remembered.write(KNOWN)
    remembered.forget_all()
    monkeypatch.setenv("HEADRACE_HOME", "~nobody-of-this-name/x")
    assert remembered.read("openai/m") is None
    assert remembered.every() == []


def test_forgetting(folder: Path) -> None:
    for name in ("openai/a", "openai/b"):
        remembered.write(replace(KNOWN, route=name))
    remembered.forget("openai/a")
    remembered.forget("openai/never")
    assert [each.route for each in remembered.every()] == ["openai/b"]
    (folder / "damaged.json").write_bytes(b"{")
    (folder / ".openai_b.json.1234.tmp").write_bytes(b"left by a crash")
    (folder / "notes.txt").write_bytes(b"not ours")
    remembered.forget_all()
    assert only(folder).name == "notes.txt"


WRITER: Final = """
import sys
from headrace.adapters import remembered
from headrace.policy.known import Known
mine = float(sys.argv[1])
for _ in range(60):
    remembered.write(Known("openai/m", "openai/m", 1e9, at_once=mine))
    assert remembered.read("openai/m").at_once in (10.0, 20.0)
"""


def test_of_two_processes_the_last_one_wins_and_none_sees_half_a_file(folder: Path) -> None:
    command = [sys.executable, "-c", WRITER]
    writers = [subprocess.Popen([*command, figure]) for figure in ("10", "20")]
    assert [writer.wait(50) for writer in writers] == [0, 0]
    (found,) = remembered.every()
    assert found.at_once in {10.0, 20.0}
    only(folder)  # and nothing else is left
