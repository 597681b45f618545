"""``headrace demo``: prompts of its own, and the same way as every run."""

from __future__ import annotations

import importlib.util
import itertools
import json
from typing import TYPE_CHECKING

import pytest

from headrace.cli import demo, run
from headrace.cli.main import main
from headrace.cli.rows import Rows

if TYPE_CHECKING:
    from argparse import Namespace
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


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[Namespace]:
    """What the demo hands to ``headrace run``, which here answers without a model."""
    seen: list[Namespace] = []

    def execute(arguments: Namespace) -> int:
        seen.append(arguments)
        with open(arguments.output, "wb") as out, open(arguments.input, "rb") as rows:  # noqa: PTH123 - names, not paths
            for n, row in enumerate(Rows().read(rows)):
                error = {"message": "refused"} if n == 1 else None
                text = None if error else f"answer\n\x1b {n}"
                line = {"id": row.id, "completion": text, "error": error}
                out.write(json.dumps(line).encode() + b"\n")
        return 1

    monkeypatch.setattr(run, "execute", execute)
    return seen


def test_it_runs_the_run_command_and_shows_some_answers(
    tmp_path: Path, answered: list[Namespace], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "answers.jsonl"
    assert main(["demo", "--rows", "40", "-o", str(out), "--fresh", "--no-progress"]) == 1
    [arguments] = answered
    assert (arguments.model, arguments.fresh, arguments.no_progress) == ([demo.MODEL], True, True)
    prompts = (out.parent / "answers.prompts.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(prompts) == 40
    said = capsys.readouterr()
    assert f"headrace run {out.parent / 'answers.prompts.jsonl'} -m local/smollm2" in said.err
    assert "    answer \\x1b 0\n" in said.out
    assert "    (refused)\n" in said.out
    assert said.out.splitlines()[-1].startswith("Go on with prompts of your own")


def test_a_quiet_demo_shows_nothing(
    tmp_path: Path, answered: list[Namespace], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "-o", str(tmp_path / "a.jsonl"), "--quiet"]) == 1
    assert capsys.readouterr().out == ""
    assert len(answered) == 1


@pytest.mark.real
@pytest.mark.skipif(not HAS_MODEL, reason="xllamacpp is not installed (extra: local)")
def test_the_real_model_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "answers.jsonl"
    assert main(["demo", "--rows", "4", "-o", str(out)]) == 0
    rows = [json.loads(line) for line in out.read_bytes().splitlines()]
    assert {row["id"] for row in rows} == {f"demo-{n}" for n in range(4)}
    assert all(row["completion"] for row in rows)
    assert "4 of 4 answered" in capsys.readouterr().err


@pytest.mark.skipif(HAS_MODEL, reason="the model is there")
def test_without_the_extra_one_sentence_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "-o", str(tmp_path / "a.jsonl")]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("headrace: the local model needs")
