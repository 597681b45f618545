"""``headrace limits``: what is remembered, for people and for programs, and how to forget it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from headrace.adapters import remembered
from headrace.adapters.clock import SystemClock
from headrace.cli.main import main
from headrace.policy.known import Known, ToldRate

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run

NOW: Final = SystemClock().wall()
NEW: Final = Known(
    "openai/m",
    "openai/m",
    NOW - 7_300,
    told=(ToldRate("requests", 60, 3_000), ToldRate("input_tokens", 86_400, 1e6)),
    at_once=40.0,
)
FOUND: Final = replace(
    NEW, route="openai/m#2", told=(), is_bound=True, per_minute=600.0, correction=1.071
)
OLD: Final = Known("h:80/x", "h:80/x", 1e9, told=(ToldRate("tokens", 10, 500),))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where something is remembered."""
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path))
    for each in (NEW, FOUND, OLD):
        remembered.write(each)
    return tmp_path / "limits"


def test_it_is_shown_to_people(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "damaged.json").write_bytes(b"{")
    assert main(["limits"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    old, new, found = said.out.splitlines()
    assert old.startswith("h:80/x: told 500 tokens a 10 s (")
    assert old.endswith(" days ago, too old to begin with)")
    assert new == (
        "openai/m: told 3,000 requests a minute, 1,000,000 input tokens a day; bore 40 at once"
        " (2 hours ago)"
    )
    assert found == (
        "openai/m#2: found 600 requests a minute; bore 40 at once, refused some beside more;"
        " counts 1.07 input tokens for each one estimated (2 hours ago)"
    )


def test_it_is_shown_to_programs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert folder.is_dir()
    remembered.write(replace(OLD, route="h:80/\x9b模", at=SystemClock().wall()))
    assert main(["limits", "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["route"] for line in lines][1:] == [
        "h:80/\x9b模",
        "openai/m",
        "openai/m#2",
    ]
    assert json.loads(lines[2])["told"][0] == {"what": "requests", "seconds": 60, "amount": 3000}
    assert main(["limits"]) == 0
    assert "h:80/\\x9b模: told 500 tokens a 10 s (just now)" in capsys.readouterr().out


def test_where_nothing_is_known_it_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["limits"]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("Nothing is known of any limit yet; ")
    assert said.err.endswith("Of servers on this machine only a run with --remember-limits does.\n")
    assert main(["limits", "--json"]) == 0
    assert capsys.readouterr() == ("", "")
    assert main(["limits", "forget", "--all"]) == 0


@pytest.mark.parametrize(
    ("names", "left"),
    [
        (["openai/m#2"], ["h:80/x", "openai/m"]),
        (["openai/m"], ["h:80/x"]),
        (["h:80/x", "openai/m#2"], ["openai/m"]),
        (["--all"], []),
    ],
)
def test_a_route_a_model_or_all_is_forgotten(
    folder: Path, names: list[str], left: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["limits", "forget", *names]) == 0
    assert [each.route for each in remembered.every()] == left
    assert capsys.readouterr().err.count("Forgot ") == 3 - len(left)
    assert len(list(folder.iterdir())) == len(left)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["openai/mm"], "nothing is known of 'openai/mm', so nothing is forgotten; did you mean"),
        (["openai/m", "zzz"], "nothing is known of 'zzz', so nothing is forgotten (there are h:"),
        ([], "name what shall be forgotten as headrace limits shows it, or give --all"),
        (["openai/m", "--all"], "as headrace limits shows it, or give --all, not both"),
    ],
)
def test_what_is_not_there_is_told_and_nothing_is_forgotten(
    folder: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["limits", "forget", *words]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
    assert len(list(folder.iterdir())) == 3


def test_what_cannot_be_removed_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "of_somebody.json").mkdir()
    assert main(["limits", "forget", "--all"]) == 2
    told = capsys.readouterr().err
    assert f"headrace: {folder}: Is a directory; give the path of a file" in told


def test_what_a_run_finds_out_is_shown_by_its_name(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path))
    rows = [{"prompt": f"{n} is a number, as are all the others. " * 50} for n in range(20)]
    assert run(rows, "--quiet", "--no-remember-limits") == 0
    assert remembered.every() == []
    assert run(rows, "--quiet", "--fresh", "--remember-limits") == 0
    assert main(["limits"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("127.0.0.1:")
    assert "/fake: " in said
    assert said.endswith("(just now)\n")
