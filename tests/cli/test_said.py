"""What the command says of its rows: the first failure, replaced answers, costs, stopped runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import pytest

from headrace.testing.faults import Status

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.testing import FakeServer

Run: TypeAlias = Callable[..., int]
Said: TypeAlias = pytest.CaptureFixture[str]
REPLACED = "answered by other models or for other prompts or parameters; the journal keeps"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{}, 3], 'row 0: line 1: the row has neither "prompt" nor "messages"'),
        (["a", {"id": "x", "prompt": "b", "parms": {}}, ""], "row x: line 2: the field 'parms'"),
        ([{"prompt": "a", "model": "no/x"}], 'use "openai/NAME" with --base-url URL'),
        ([{"prompt": "a", "model": "anthropic/x"}], "ANTHROPIC_API_KEY or pass --api-key-env NAME"),
    ],
)
def test_the_first_failure_is_told_once(
    run: Run, out: Path, rows: list[object], said: str, capsys: Said
) -> None:
    assert run(rows) == 1
    summary, first, where = capsys.readouterr().err.splitlines()
    assert "failed (" in summary
    assert first.startswith("First failure: row ")
    assert said in first
    assert where == f"The answers are in {out}."


def test_the_first_failure_is_the_first_of_the_input(
    run: Run, server: FakeServer, capsys: Said
) -> None:
    server.faults = lambda _: Status(400)
    server.latency = lambda seen: 0.05 if seen.prompt == "p0" else 0.0
    assert run(["p0", "p1", {"id": "long", "prompt": "p2"}]) == 1
    assert "First failure: row 0: " in capsys.readouterr().err
    server.faults = None
    assert run() == 0
    assert "First failure" not in capsys.readouterr().err


def test_a_long_failure_is_told_in_short(run: Run, capsys: Said) -> None:
    assert run([{"id": "x\n" * 1000, "prompt": ""}]) == 1
    [_, first, _] = capsys.readouterr().err.splitlines()
    assert first.startswith("First failure: row x\\nx")
    assert len(first) < 1000


def test_answers_of_other_models_are_not_replaced_without_a_word(
    run: Run, out: Path, server: FakeServer, capsys: Said
) -> None:
    rows: list[object] = [{"id": n, "prompt": f"p{n}"} for n in range(4)]
    server.faults = lambda seen: Status(400) if seen.prompt == "p3" else None
    assert run(rows) == 1
    assert run() == 1
    assert "replaced" not in capsys.readouterr().err
    server.faults = None
    before = out.read_bytes()
    assert run(None, "-m", "openai/other", "--model-weights", "0,1") == 0
    # The line of a failure is no answer.
    assert f"\n3 replaced in {out}, {REPLACED}" in capsys.readouterr().err
    assert out.read_bytes() != before
    assert run() == 0
    assert server.counts.total() == 10, "the journal had kept those of the first model"
    assert f"\n4 replaced in {out}, {REPLACED}" in capsys.readouterr().err
    assert run() == 0
    assert "replaced" not in capsys.readouterr().err


def test_an_answer_that_gives_way_to_a_failure_is_told(
    run: Run, out: Path, server: FakeServer, capsys: Said
) -> None:
    assert run([{"id": "a", "prompt": "p"}, {"id": "b", "prompt": "q", "tags": {"n": 1}}]) == 0
    server.faults = lambda _: Status(400)
    assert run([{"id": "a", "prompt": "new"}, {"id": "b", "prompt": "q", "tags": {"n": 2}}]) == 1
    assert f"\n1 replaced in {out}, {REPLACED}" in capsys.readouterr().err


def test_with_a_price_the_cost_is_known(run: Run, out: Path, capsys: Said) -> None:
    row = {"prompt": "one two three", "model": "openai/unpriced"}
    assert run(["one two three"], "--price", "0.40,1.60") == 0
    assert json.loads(out.read_bytes())["cost"] == 7.6e-06
    assert " 7 tokens, $0.0000076." in capsys.readouterr().err
    assert run([row], "--price", "0.40,1.60") == 0
    assert "cost unknown" in capsys.readouterr().err
    assert run(["free"], "--price", "0,0") == 0
    assert "$0." in capsys.readouterr().err


def test_a_price_changes_no_row(run: Run, server: FakeServer) -> None:
    assert run(["a"]) == 0
    assert run(["a"], "--price", "1,2") == 0
    assert server.counts["a"] == 1


def test_a_price_without_end_is_refused(run: Run, capsys: Said) -> None:
    assert run(["a"], "--price", "0.1234567891,1") == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("flags", [[], ["--no-progress"]])
def test_a_stopped_run_knows_how_many_rows_there_are(
    run: Run, server: FakeServer, flags: list[str], capsys: Said
) -> None:
    server.faults = lambda seen: Status(401) if seen.n >= 2 else None
    rows = [f"p{n}" for n in range(40)]
    assert run(rows, "--max-concurrent-requests", "1", *flags) == 3
    said = capsys.readouterr().err
    assert said.startswith("The run ended early: 2 of 40 answered in ")
    assert "What is answered is kept; run the same command again to go on." in said
    assert "The answers are in" in said


def test_an_output_whose_journal_cannot_be_made_is_bad_usage(
    run: Run, out: Path, server: FakeServer, capsys: Said
) -> None:
    out.with_name("out.jsonl.journal").mkdir()
    assert run(["a"]) == 2
    said = capsys.readouterr().err
    assert "cannot open the journal" in said
    assert said.endswith("\nNothing was asked.\n")
    assert server.counts.total() == 0
