"""``headrace demo``: prompts of its own, and the same way as every run."""

from __future__ import annotations

import importlib.util
import itertools
import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from headrace.adapters.local import shared
from headrace.cli import demo
from headrace.cli.main import main
from tests.local_model import stand_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HAS_MODEL = importlib.util.find_spec("xllamacpp") is not None


def test_the_prompts_are_different_for_a_while() -> None:
    texts = list(itertools.islice(demo.texts(), 73))
    assert len(set(texts)) == 72
    assert texts[72] == texts[0]


@pytest.mark.parametrize(("flags", "said"), [(["--rows", "0"], "--rows"), (["-o", "-"], "a path")])
def test_what_cannot_be_shown_is_refused(
    flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", *flags]) == 2
    assert said in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["demo", "-o", str(tmp_path / "file" / "a.jsonl")]) == 2
    assert "cannot write the prompts" in capsys.readouterr().err


# Answers with a line break, a control character and the number of its process; refuses one prompt.
MODEL: Final = """
def answer(prompt):
    return f"said\\n\\x1b by {os.getpid()}"

def plan(seen):
    return faults.Status(400) if seen.prompt.startswith("Name three") else None
"""


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The model of the demo, which here needs neither weights nor the extra."""
    with stand_in(tmp_path, monkeypatch, MODEL):
        yield


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


@pytest.mark.usefixtures("model")
def test_it_is_the_run_command_and_shows_some_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "answers.jsonl"
    assert main(["demo", "--rows", "3", "-o", str(out)]) == 1
    assert [row["id"] for row in lines(out.parent / "answers.prompts.jsonl")] == [
        f"demo-{n}" for n in range(3)
    ]
    rows = {row["id"]: row for row in lines(out)}
    assert [rows[f"demo-{n}"]["error"] is None for n in range(3)] == [True, False, True]
    said = capsys.readouterr()
    assert f"headrace run {out.parent / 'answers.prompts.jsonl'} -m local/smollm2" in said.err
    assert "2 of 3 answered" in said.err
    assert "fetched" not in said.err  # the weights are there
    first, refusal = rows["demo-0"]["completion"], rows["demo-1"]["error"]["message"]
    pid = first.split()[-1]
    assert first == f"said\n\x1b by {pid}"
    assert f"    said \\x1b by {pid}\n" in said.out
    assert f"    ({refusal[:100]}" in said.out
    assert said.out.splitlines()[-1].startswith("Go on with prompts of your own")

    shared().close()
    assert main(["demo", "--rows", "3", "-o", str(out), "--no-progress"]) == 1
    assert {row["id"]: row for row in lines(out)}["demo-0"]["completion"] == first
    assert main(["demo", "--rows", "3", "-o", str(out), "--fresh", "--quiet"]) == 1
    anew = {row["id"]: row for row in lines(out)}["demo-0"]["completion"]
    assert anew.startswith("said")
    assert anew != first


@pytest.mark.usefixtures("model")
def test_a_quiet_demo_shows_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--rows", "3", "-o", str(tmp_path / "a.jsonl"), "--quiet"]) == 1
    assert capsys.readouterr().out == ""
    assert len(lines(tmp_path / "a.jsonl")) == 3


@pytest.mark.real
@pytest.mark.skipif(not HAS_MODEL, reason="xllamacpp is not installed (extra: local)")
def test_the_real_model_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "answers.jsonl"
    assert main(["demo", "--rows", "4", "-o", str(out)]) == 0
    rows = lines(out)
    assert {row["id"] for row in rows} == {f"demo-{n}" for n in range(4)}
    assert all(row["completion"] for row in rows)
    assert "4 of 4 answered" in capsys.readouterr().err


@pytest.mark.skipif(HAS_MODEL, reason="the model is there")
def test_without_the_extra_one_sentence_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "-o", str(tmp_path / "a.jsonl")]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("headrace: the local model needs")
